#pragma once
// A training from nothing: first the autoencoder, then the text encoder and the 2D UNet together.

#include <algorithm>
#include <cmath>

#include <reel/io/pictures/frame_grid.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/models/config_writers.hpp>
#include <reel/models/from_pretrained.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/pipelines/text_to_image.hpp>
#include <reel/schedulers/ddim.hpp>
#include <reel/text/bpe_learning.hpp>
#include <reel/text/clip_tokenizer.hpp>
#include <reel/text/tokenizer_writer.hpp>

#include "network_configs.hpp"
#include "training_loop.hpp"
#include "training_setup.hpp"

namespace training {

/// Random streams of a training, one number each per step: a run that continues draws what an uninterrupted one does.
enum class RandomStream : std::uint64_t { latents, noise, timesteps, empty_prompts };

[[nodiscard]] inline std::uint64_t stream(index_t step, RandomStream what) {
    return 4 * static_cast<std::uint64_t>(step) + static_cast<std::uint64_t>(what);
}

/// Peak signal-to-noise ratio in dB of pictures in -1..1 whose squared error is known.
[[nodiscard]] inline double psnr(double squared_error) {
    return 10 * std::log10(4 / squared_error);
}

/// Pictures beside each other, `columns` in a row.
template <reel::Backend B>
[[nodiscard]] reel::Frames sheet_of(const reel::Tensor<float, B>& pixels, int columns) {
    const auto count = static_cast<int>(pixels.shape(0));
    const auto height = static_cast<int>(pixels.shape(1));
    const auto width = static_cast<int>(pixels.shape(2));
    const std::vector<float> host = pixels.to_host();
    reel::Frames all = reel::make_frames(count, height, width);
    std::transform(host.begin(), host.end(), all.rgb.begin(), [](float value) {
        return static_cast<std::uint8_t>(std::lround(std::clamp(127.5F * value + 127.5F, 0.0F, 255.0F)));
    });
    std::vector<reel::Frames> rows;
    for (int i = 0; i + columns <= count; i += columns) {
        rows.push_back(reel::make_frames(columns, height, width));
        std::copy_n(all.rgb.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(i) * all.frame_bytes()),
                    rows.back().rgb.size(), rows.back().rgb.begin());
    }
    return reel::contact_sheet(rows);
}

/// The whole training, its networks on a backend.
template <reel::Backend B>
class Trainer {
public:
    /// Both must outlive it.
    Trainer(const TrainingSetup& setup, B& backend)
        : setup_(setup), options_(setup.options), output_(setup.options.output), backend_(backend),
          vae_(vae_config(setup.options)) {
        check_batch();
        if (options_.mixed_precision == "bf16") {
            backend_.float32_matmul_precision = reel::Float32MatmulPrecision::medium;
        }
        reel::initialize(vae_, backend_, options_.seed);
        // Nearly without noise at first: latents that are all noise teach the decoder to ignore them.
        const index_t latent = options_.latent_channels;
        vae_.quant_conv.bias->value().slice(latent, 2 * latent).fill(-8);
    }

    void run() {
        const std::string data = setup_.dataset.identity();
        Loop autoencoder("autoencoder", options_, options_.vae, {"--vae_steps", "--vae_decay_steps"},
                         autoencoder_identity(options_, data), setup_.check_stop);
        Loop unet("unet", options_, options_.unet, {"--max_train_steps", "--lr_decay_steps"},
                  unet_identity(options_, data), setup_.check_stop);
        autoencoder.check(); // all before model/ is touched
        unet.check();
        check_same_autoencoder(autoencoder, unet);
        make_tokenizer();
        train_autoencoder(autoencoder);
        save_autoencoder();
        train_unet(unet);
        std::cout << "trained: " << reel::terminal_text((output_ / "model").string()) << '\n';
    }

private:
    using Tensor = reel::Tensor<float, B>;
    using Variable = reel::Variable<float, B>;
    using Autoencoder = reel::AutoencoderKL<float, B>;
    using TextEncoder = reel::CLIPTextModel<float, B>;
    using UNet = reel::UNet3DConditionModel<float, B>;
    using Loop = TrainingLoop<B>;
    using Parameters = typename Loop::Parameters;

    static constexpr index_t held_out_pictures = 64;

    [[nodiscard]] Tensor pixels_of(const Batch& batch) const {
        const index_t side = options_.resolution;
        return reel::pixels_from_bytes<float>(backend_, {static_cast<index_t>(batch.captions.size()), side, side, 3},
                                              batch.rgb);
    }

    void check_batch() const {
        const index_t scene = setup_.dataset.per_scene();
        reel::require(options_.train_batch_size % scene == 0, "--train_batch_size ", options_.train_batch_size,
                      ": expected a multiple of ", scene, ", the number of pictures of a scene");
    }

    /// The UNet's latents must stay what they were.
    void check_same_autoencoder(const Loop& autoencoder, const Loop& unet) const {
        const auto last = autoencoder.last_checkpoint();
        const auto trained = unet.last_checkpoint();
        reel::require(!last || !trained || Loop::step_of(*last) >= options_.vae.max_train_steps, "--vae_steps ",
                      options_.vae.max_train_steps, ": ", trained.value_or("").string(),
                      " was trained on latents of the autoencoder's step ", last ? Loop::step_of(*last) : 0,
                      "; use --vae_steps ", last ? Loop::step_of(*last) : 0, ", or start afresh in another folder");
    }

    void make_tokenizer() {
        const std::filesystem::path folder = output_ / "model" / "tokenizer";
        const std::vector<std::string> captions = setup_.dataset.captions();
        reel::make_output_folder(folder);
        reel::write_tokenizer(folder, reel::learn_bpe(captions, options_.vocab_size), options_.model_max_length);
        tokenizer_.emplace(reel::CLIPTokenizer::from_pretrained(folder));
        const auto cut = std::count_if(captions.begin(), captions.end(), [&](const std::string& caption) {
            return tokenizer_->encode_with_details(caption).truncated;
        });
        if (cut > 0) {
            std::cerr << "warning: " << cut << " of " << captions.size() << " captions are longer than "
                      << options_.model_max_length << " tokens and are cut; see --model_max_length\n";
        }
    }

    [[nodiscard]] Batch batch_of(const Dataset& dataset, index_t step, index_t size) const {
        return dataset.train_batch(setup_.cpu, static_cast<std::uint64_t>(step) * static_cast<std::uint64_t>(size),
                                   size);
    }

    void train_autoencoder(Loop& loop) {
        reel::train_all(vae_);
        const auto parameters = [&] {
            Parameters all;
            reel::append_trained(all, vae_, "");
            return all;
        };
        loop.resume(backend_, parameters());
        const int side = options_.resolution;
        const index_t per_latent = vae_.config.pixels_per_latent();
        const Tensor unseen = pixels_of(setup_.dataset.held_out_batch(setup_.cpu, held_out_pictures));
        Autoencoder averaged(vae_.config);
        const auto reconstruct = [&] {
            reel::set_to_averages(averaged, loop.training().ema(), "");
            return reel::sliced(unseen, [&](const Tensor& x) {
                return averaged.decode(reel::sample_latents(averaged.encode(x), Tensor{}, 1.0));
            });
        };
        loop.run(
            parameters,
            [&](index_t step) {
                reel::zero_grad(vae_);
                const Tensor pixels = pixels_of(batch_of(setup_.dataset, step, options_.vae_batch_size));
                Tensor noise(backend_,
                             {options_.vae_batch_size, side / per_latent, side / per_latent, options_.latent_channels});
                reel::fill_normal(backend_, noise, options_.seed, stream(step, RandomStream::latents));
                const auto loss = reel::autoencoder_loss(vae_, pixels, noise, options_.kl_weight);
                reel::backward(loss.total);
                return psnr(static_cast<double>(loss.reconstruction.value().to_host()[0]));
            },
            [&] { return psnr(reel::mse(reconstruct(), unseen)); },
            [&](index_t step) {
                const Tensor decoded = reconstruct();
                reel::write_png(loop.folder() / ("sample-" + std::to_string(step) + ".png"),
                                sheet_of(reel::concat_rows({unseen.slice(0, 16), decoded.slice(0, 16)}), 16));
            });
        reel::train_all(vae_, false);
        reel::set_to_averages(vae_, loop.training().ema(), "");
    }

    /// Makes the autoencoder's latents larger by a factor, without a change to what it draws.
    void scale_latents(double factor) {
        const index_t latent = options_.latent_channels;
        const auto larger = [&](const reel::Parameter<float, B>& parameter) {
            const Tensor means = parameter.value().slice(0, latent);
            means.copy_from(reel::scale(means, static_cast<float>(factor)));
        };
        larger(vae_.quant_conv.weight);
        larger(*vae_.quant_conv.bias);
        const Tensor log_variance = vae_.quant_conv.bias->value().slice(latent, 2 * latent);
        const auto shift = Tensor::full(backend_, log_variance.shape(), static_cast<float>(2 * std::log(factor)));
        log_variance.copy_from(reel::add(log_variance, shift));
        const Tensor& back = vae_.post_quant_conv.weight.value();
        back.copy_from(reel::scale(back, static_cast<float>(1 / factor)));
    }

    /// Finds the factor that gives the latents unit variance, and writes vae/ and the parts that need no training.
    void save_autoencoder() {
        const Tensor pixels = pixels_of(batch_of(setup_.dataset, 0, 256));
        const Tensor latents =
            reel::sliced(pixels, [&](const Tensor& x) { return reel::sample_latents(vae_.encode(x), Tensor{}, 1.0); });
        const double count = static_cast<double>(latents.size());
        const double mean = reel::sum_all(latents) / count;
        const double deviation = std::sqrt(reel::squared_norm(latents) / count - mean * mean);
        // diffusers 0.11.1 knows no other scaling factor than Stable Diffusion's, so the weights take the rest.
        scale_latents(1 / (deviation * vae_.config.scaling_factor));
        const std::filesystem::path folder = output_ / "model";
        reel::make_output_folder(folder / "vae");
        reel::write_json(folder / "vae" / "config.json", reel::write_autoencoder_kl_config(vae_.config));
        reel::write_safetensors(folder / "vae" / "diffusion_pytorch_model.safetensors",
                                reel::parameter_sources(vae_, reel::DType::f16), {{"format", "pt"}});
        // From here on with the weights that were written.
        vae_ = reel::load_autoencoder_kl<float>(backend_, folder / "vae");
        reel::save_scheduler(reel::DDIMScheduler(schedule(options_)), folder / "scheduler");
        reel::write_json(folder / "model_index.json", reel::write_model_index());
    }

    [[nodiscard]] std::vector<std::int32_t> ids_of(const std::vector<std::string>& captions) const {
        std::vector<std::int32_t> ids;
        for (const std::string& caption : captions) {
            const std::vector<std::int32_t> row = tokenizer_->encode(caption);
            ids.insert(ids.end(), row.begin(), row.end());
        }
        return ids;
    }

    /// One timestep per scene, spread evenly over the schedule with a random place in each share; noise equal for the
    /// pictures of a scene, so that what differs between their gradients is what differs between the pictures.
    struct Randomness {
        std::vector<index_t> timesteps;
        Tensor noise;
    };

    [[nodiscard]] Randomness randomness(index_t count, std::uint64_t seed, index_t step, index_t train_timesteps) {
        const index_t repeat = setup_.dataset.per_scene();
        const index_t scenes = count / repeat;
        const index_t side = options_.resolution / vae_.config.pixels_per_latent();
        Randomness result;
        Tensor noise(backend_, {scenes, side, side, options_.latent_channels});
        reel::fill_normal(backend_, noise, seed, stream(step, RandomStream::noise));
        const reel::Philox random(seed, stream(step, RandomStream::timesteps));
        std::vector<Tensor> rows;
        for (index_t scene = 0; scene < scenes; ++scene) {
            const double share = (static_cast<double>(scene) +
                                  static_cast<double>(random.bits(static_cast<std::uint64_t>(scene))) * 0x1p-32) /
                                 static_cast<double>(scenes);
            for (index_t i = 0; i < repeat; ++i) {
                rows.push_back(noise.slice(scene, scene + 1));
                result.timesteps.push_back(static_cast<index_t>(share * static_cast<double>(train_timesteps)));
            }
        }
        result.noise = reel::concat_rows(std::span<const Tensor>(rows));
        return result;
    }

    [[nodiscard]] Tensor encode(const Tensor& pixels, const Tensor& posterior) const {
        return reel::sample_latents(vae_.encode(pixels), posterior, vae_.config.scaling_factor);
    }

    void train_unet(Loop& loop) {
        UNet unet(unet_config(options_, vae_.config.pixels_per_latent()));
        TextEncoder text_encoder(text_config(options_));
        reel::initialize(unet, backend_, options_.seed);
        reel::initialize(text_encoder, backend_, options_.seed);
        reel::train_all(unet);
        reel::train_all(text_encoder);
        const auto parameters = [&] {
            Parameters all;
            reel::append_trained(all, text_encoder, "text_encoder.");
            reel::append_trained(all, unet, "unet.");
            return all;
        };
        loop.resume(backend_, parameters());
        const reel::DDPMScheduler scheduler =
            reel::scheduler_from_pretrained<reel::DDPMScheduler>(output_ / "model" / "scheduler");
        const index_t train_timesteps = scheduler.schedule().size();
        const index_t batch_size = options_.train_batch_size;

        const Batch unseen = setup_.dataset.held_out_batch(setup_.cpu, held_out_pictures);
        const Tensor unseen_latents = encode(pixels_of(unseen), Tensor{});
        const std::vector<std::int32_t> unseen_ids = ids_of(unseen.captions);
        const Randomness fixed = randomness(held_out_pictures, ~options_.seed, 0, train_timesteps);

        UNet averaged_unet(unet.config);
        TextEncoder averaged_text(text_encoder.config);
        loop.run(
            parameters,
            [&](index_t step) {
                reel::zero_grad(unet);
                reel::zero_grad(text_encoder);
                Batch batch = batch_of(setup_.unet_dataset, step, batch_size);
                const reel::Philox empty(options_.seed, stream(step, RandomStream::empty_prompts));
                for (index_t i = 0; i < batch_size; ++i) {
                    const auto scene = static_cast<std::uint64_t>(i / setup_.dataset.per_scene());
                    if (static_cast<double>(empty.bits(scene)) * 0x1p-32 < options_.proportion_empty_prompts) {
                        batch.captions[static_cast<std::size_t>(i)].clear();
                    }
                }
                const Randomness random = randomness(batch_size, options_.seed, step, train_timesteps);
                Tensor posterior(backend_, random.noise.shape());
                reel::fill_normal(backend_, posterior, options_.seed, stream(step, RandomStream::latents));
                const Tensor latents = encode(pixels_of(batch), posterior);
                const std::vector<std::int32_t> ids = ids_of(batch.captions);
                const Variable text = text_encoder.template operator()<Variable>(ids, batch_size);
                const Variable loss = reel::diffusion_loss(unet, scheduler, {latents, random.noise, random.timesteps},
                                                           text, options_.snr_gamma);
                reel::backward(loss);
                return static_cast<double>(loss.value().to_host()[0]);
            },
            [&] {
                const Tensor text = text_encoder(std::span<const std::int32_t>(unseen_ids), held_out_pictures);
                return static_cast<double>(reel::diffusion_loss(unet, scheduler,
                                                                {unseen_latents, fixed.noise, fixed.timesteps}, text,
                                                                options_.snr_gamma)
                                               .to_host()[0]);
            },
            [&](index_t step) {
                reel::set_to_averages(averaged_unet, loop.training().ema(), "unet.");
                reel::set_to_averages(averaged_text, loop.training().ema(), "text_encoder.");
                save_model(averaged_unet, averaged_text);
                sample(averaged_unet, averaged_text, unseen,
                       loop.folder() / ("sample-" + std::to_string(step) + ".png"));
            });
    }

    void save_model(const UNet& unet, const TextEncoder& text_encoder) const {
        reel::AtomicFolder folder(output_ / "model" / "unet");
        reel::save_unet(unet, folder.path(), true, reel::DType::f16);
        folder.commit();
        reel::AtomicFolder text_folder(output_ / "model" / "text_encoder");
        reel::write_json(text_folder.path() / "config.json", reel::write_clip_text_config(text_encoder.config));
        reel::write_safetensors(text_folder.path() / "model.safetensors",
                                reel::parameter_sources(text_encoder, reel::DType::f16), {{"format", "pt"}});
        text_folder.commit();
    }

    /// A sheet of pictures for held-out captions: 25 DDIM steps, guidance 4, the same noise every time.
    void sample(const UNet& unet, const TextEncoder& text_encoder, const Batch& unseen,
                const std::filesystem::path& path) {
        const index_t count = options_.sample_count;
        const std::vector<std::string> captions(unseen.captions.begin(), unseen.captions.begin() + count);
        const std::vector<std::int32_t> ids = ids_of(captions);
        const std::vector<std::int32_t> empty = ids_of(std::vector<std::string>(static_cast<std::size_t>(count)));
        const reel::Guidance<float, B> guidance{text_encoder(std::span<const std::int32_t>(ids), count),
                                                text_encoder(std::span<const std::int32_t>(empty), count), 4.0};
        Tensor noise(backend_, {count, unet.config.sample_size, unet.config.sample_size, unet.config.in_channels});
        reel::fill_normal(backend_, noise, options_.seed, ~std::uint64_t{0});
        reel::DDIMScheduler scheduler(schedule(options_));
        const Tensor latents =
            reel::sample_pictures(unet, scheduler, noise, {.guidance = guidance, .num_inference_steps = 25},
                                  reel::NoNoise{}, [this](index_t, const Tensor&) { setup_.check_stop(); });
        reel::write_png(
            path, sheet_of(vae_.decode(reel::scale(latents, static_cast<float>(1 / vae_.config.scaling_factor))), 8));
    }

    const TrainingSetup& setup_;
    const Options& options_;
    std::filesystem::path output_;
    B& backend_;
    std::optional<reel::CLIPTokenizer> tokenizer_;
    Autoencoder vae_;
};

} // namespace training
