#pragma once
// Networks of one scalar type on one backend, for the file that is compiled for it. Needs reel::io and reel::text.

#include <algorithm>
#include <map>
#include <system_error>
#include <utility>

#include <reel/core/ranges.hpp>
#include <reel/io/files/sha256.hpp>
#include <reel/nn/train_low_rank.hpp>
#include <reel/pipelines/any/networks.hpp>
#include <reel/pipelines/any/tuning_of.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/pipelines/initialize.hpp>
#include <reel/pipelines/inpainting.hpp>
#include <reel/pipelines/load_stable_diffusion.hpp>
#include <reel/pipelines/loras.hpp>
#include <reel/pipelines/merge_factors.hpp>
#include <reel/pipelines/model_notes.hpp>
#include <reel/pipelines/noise_stream.hpp>
#include <reel/pipelines/not_finite.hpp>
#include <reel/pipelines/widened_unet.hpp>

namespace reel {

namespace detail {

/// Of 16 bits, in float; of float, itself.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<float, B> widened(const Tensor<T, B>& x) {
    if constexpr (std::same_as<T, float>) {
        return x;
    } else {
        return cast<float>(x);
    }
}

/// Bytes of a module's parameters that lie in files' maps.
template <class M>
[[nodiscard]] std::size_t bytes_in_maps(const M& network) {
    std::size_t bytes = 0;
    for_each_parameter(network, [&](const std::string&, const auto& parameter) {
        if (!parameter.defined() || parameter.waits()) {
            return;
        }
        if (const auto& value = parameter.value(); !value.owns_memory()) {
            bytes += static_cast<std::size_t>(value.size()) * sizeof(*value.data());
        }
    });
    return bytes;
}

/// The files that a run reads of a model, LoRAs' with them: of a folder of PEFT's its weights and its configuration.
[[nodiscard]] inline std::map<std::string, std::filesystem::path>
files_with_loras(const ModelFiles& model, const std::vector<LoraReport>& loras) {
    auto files = files_of_model(model);
    for (std::size_t i = 0; i < loras.size(); ++i) {
        const std::filesystem::path weights = lora_path(loras[i].use.file);
        for (const auto& file : {weights, weights.parent_path() / "adapter_config.json"}) {
            if (std::error_code unreadable; std::filesystem::is_regular_file(file, unreadable)) {
                files.emplace(
                    concat_text("lora/", i, " at ", option_text(loras[i].use.scale), "/", file.filename().string()),
                    file);
            }
        }
    }
    return files;
}

/// What was merged when a model was loaded, and what its temporal layers are.
struct LoadedWith {
    std::vector<LoraReport> loras{};
    bool text_changed = false;     ///< the text encoder has other weights than the files
    bool temporal_changed = false; ///< and so have temporal layers
    std::uint64_t seed = 0;        ///< of a tuning's fresh factors
    TemporalStart temporal{};
};

template <Scalar T, Backend B>
class NetworksOf final : public Networks<B> {
public:
    NetworksOf(B& backend, StableDiffusion<T, B> model, const ModelFiles& files, const LoadedWith& loaded)
        : backend_(backend), loaded_(loaded), model_(std::move(model)),
          files_(files), facts_{.folder = model_.folder,
                                .files = files_with_loras(files, loaded.loras),
                                .latent_channels = model_.unet.config.out_channels,
                                .pixels_per_latent = model_.vae.config.pixels_per_latent(),
                                .sample_size = model_.unet.config.sample_size,
                                .training_timesteps = model_.training_scheduler.schedule().size(),
                                .inpaints = model_.unet.config.is_inpainting(),
                                .takes_guidance_scale = model_.unet.takes_guidance_scale(),
                                .sampling = model_.sampling,
                                .scheduler = files.scheduler,
                                .notes = model_notes(files),
                                .prompt_syntax = model_.prompt_syntax,
                                .loras = loaded.loras} {}

    [[nodiscard]] B& backend() const override { return backend_; }
    [[nodiscard]] const PipelineFacts& facts() const override { return facts_; }
    [[nodiscard]] const CLIPTokenizer& tokenizer() const override { return *model_.tokenizer; }
    [[nodiscard]] double scaling_factor() const override { return model_.vae.config.scaling_factor; }

    [[nodiscard]] Tensor<float, B> predict(const Tensor<float, B>& sample, std::span<const double> timesteps,
                                           const Tensor<float, B>& text, index_t frames) const override {
        return WidenedUnet(model_.unet)(sample, timesteps, text, frames);
    }
    [[nodiscard]] Tensor<float, B> predict_at(double guidance_scale, const Tensor<float, B>& sample,
                                              std::span<const double> timesteps, const Tensor<float, B>& text,
                                              index_t frames) const override {
        return WidenedUnet(model_.unet).at_guidance_scale(guidance_scale, sample, timesteps, text, frames);
    }
    [[nodiscard]] Tensor<float, B> text(std::span<const std::int32_t> ids) const override {
        return widened(model_.text_encoder(ids));
    }
    [[nodiscard]] Tensor<float, B> encode(const Frames& clip,
                                          const typename Networks<B>::AfterFrame& after_frame) const override {
        const Shape shape{clip.count, clip.height, clip.width, 3};
        return widened(encode_clip(model_.vae, pixels_from_bytes<T>(backend_, shape, clip.rgb), after_frame));
    }
    void paint_inside(const Frames& clip, const PixelMask& mask, std::uint64_t seed,
                      const typename Networks<B>::AfterFrame& after_frame) override {
        const auto moments = widened(encode_clip(model_.vae, masked_pixels<T>(backend_, clip, mask), after_frame));
        Tensor<float, B> noise(backend_, moments.shape().with(3, facts_.latent_channels));
        fill_normal(backend_, noise, seed, static_cast<std::uint64_t>(NoiseStream::masked));
        model_.unet.beside = stored_as<T>(inpainting_channels(mask, sample_latents(moments, noise, scaling_factor())));
    }
    [[nodiscard]] Tensor<float, B> decode(const Tensor<float, B>& latents,
                                          const typename Networks<B>::AfterFrame& after_frame) const override {
        return widened(decode_clip(model_.vae, stored_as<T>(latents), after_frame));
    }

    void under_control(const ControlSetup<B>& setup, const std::function<void(AnyControl<B>&)>& run) override {
        under_named_control(model_.unet, backend_, setup, run);
    }

    [[nodiscard]] std::string fingerprint() const override {
        Sha256 hash;
        const auto add = [&](const std::string& name, const auto& parameter) {
            if (!is_temporal_parameter(name) && !is_low_rank_parameter(name)) {
                hash.update(std::as_bytes(std::span(name)));
                const auto& value = parameter.value();
                const auto first = value.reshape({-1}).slice(0, std::min<index_t>(value.size(), 64)).to_host();
                hash.update(std::as_bytes(std::span(first)));
            }
        };
        for_each_parameter(model_.unet, add);
        for_each_parameter(model_.vae, add);
        for_each_parameter(model_.text_encoder, add);
        hash.update(std::as_bytes(std::span(model_.reading)));
        return hash.hex();
    }
    [[nodiscard]] std::string why_not_finite() const override { return blame_weights(files_); }
    [[nodiscard]] std::size_t mapped_bytes(PipelinePart part) const override {
        switch (part) {
        case PipelinePart::encoder:
            return model_.vae.with([](const auto& network) { return bytes_in_maps(network.encoder); });
        case PipelinePart::decoder:
            return model_.vae.with([](const auto& network) { return bytes_in_maps(network.decoder); });
        case PipelinePart::unet:
            return bytes_in_maps(model_.unet);
        case PipelinePart::text_layers:
            break;
        }
        std::size_t bytes = 0;
        for (const auto& layer : model_.text_encoder.layers) {
            bytes += bytes_in_maps(layer);
        }
        return bytes;
    }
    void initialize(const Replay& replay) override {
        require(!loaded_.temporal_changed, replay.where(), ": it would undo what a --lora changes in temporal layers; ",
                "give one of the two");
        initialize_from(replay, model_.unet, backend_);
        loaded_.temporal = {};
    }

    void prepare_training(const TuneOptions& options, bool reference_checkpointing, bool keep) override {
        drop_low_rank<T, B>(model_.unet);
        learned_.clear();
        keeps_ = keep;
        const bool lora = options.tune == TuneKind::lora;
        if (lora) {
            train_low_rank<T>(model_.unet, backend_, {options.lora_modules(), options.rank, loaded_.seed});
        } else {
            set_trainable_modules(model_.unet, options.trainable_modules);
        }
        model_.unet.gradient_checkpointing.reset();
        if (options.gradient_checkpointing || reference_checkpointing) {
            model_.unet.gradient_checkpointing =
                reference_checkpointing ? CheckpointMode::inputs_only : CheckpointMode::exact;
        }
        if (keep && !lora) { // whose weights stand still
            for_each_trained([&](const std::string& name, auto& parameter) {
                const auto found = originals_.try_emplace(name, parameter.exact()).first;
                parameter.set_master(found->second.clone());
            });
        }
    }
    [[nodiscard]] std::unique_ptr<AnyTuning> tune(const Tensor<float, B>& moments, const Tensor<float, B>& text,
                                                  const TuneOptions& options, const TuningNoise& noise) override {
        return std::make_unique<TuningOf<T, B>>(model_, files_, moments, text, options, noise);
    }
    void stop_training() override {
        if (has_low_rank()) {
            learned_ = trained();
            auto before = merge_factors<T>(model_.unet, backend_, learned_, "tuned LoRA");
            if (keeps_) {
                untuned_.merge(std::move(before));
            }
        }
        for_each_trained([](const std::string&, auto& parameter) { parameter.train(false); });
    }
    [[nodiscard]] StateDict trained() const override {
        StateDict tensors;
        for_each_parameter(model_.unet, [&](const std::string& name, const auto& parameter) {
            if (parameter.requires_grad()) {
                tensors.emplace(name, to_file_tensor(parameter.exact(), parameter.spec(), DType::f32));
            }
        });
        return tensors;
    }
    void set_trained(const StateDict& trained, const std::string& where) override {
        if (!trained.empty() && is_low_rank_parameter(trained.begin()->first)) {
            untuned_.merge(merge_factors<T>(model_.unet, backend_, trained, where));
            return;
        }
        std::size_t used = 0;
        for_each_parameter(model_.unet, [&](const std::string& name, auto& parameter) {
            if (const auto found = trained.find(name); found != trained.end()) {
                originals_.try_emplace(name, parameter.exact());
                parameter.set_master(
                    tensor_from_file<float>(found->second, parameter.spec(), backend_, name, where).clone());
                ++used;
            }
        });
        require(used == trained.size(), where, ": does not fit the model");
    }
    void restore() override {
        drop_low_rank<T, B>(model_.unet);
        stop_training();
        for_each_parameter(model_.unet, [&](const std::string& name, auto& parameter) {
            if (const auto found = untuned_.find(name); found != untuned_.end()) {
                parameter = found->second;
            }
            if (const auto found = originals_.find(name); found != originals_.end()) {
                parameter.set_master(found->second);
            }
        });
    }
    void save_tuned(const std::filesystem::path& output) const override {
        ModelFiles files = files_;
        if (loaded_.text_changed) {
            files.text_encoder = changed_text_encoder();
        }
        save_tuned_pipeline(model_.unet, files, output);
    }
    void save_lora(const std::filesystem::path& file, LoraNaming names) const override {
        write_tuned_lora(file, has_low_rank() ? trained() : learned_, names, loaded_.temporal);
    }

private:
    [[nodiscard]] bool has_low_rank() const {
        bool any = false;
        for_each_module<Linear<T, B>>(model_.unet, [&](const std::string&, const Linear<T, B>& layer) {
            any = any || layer.low_rank.has_value();
        });
        return any;
    }

    /// The text encoder's files with the weights that it has.
    [[nodiscard]] ModelPart changed_text_encoder() const {
        const ModelPart& part = files_.text_encoder;
        StateDict tensors = part.weights(transformers_weight_names).tensors;
        for_each_parameter(model_.text_encoder, [&](const std::string& name, const auto& parameter) {
            const auto found = tensors.find(name);
            if (found != tensors.end() && ranges::equal(found->second.shape, parameter.spec().file_shape())) {
                found->second = to_file_tensor(parameter.exact(), parameter.spec(), DType::f32);
            }
        });
        return {part.path(), part.config_json(), std::move(tensors)};
    }

    void for_each_trained(const auto& visit) {
        for_each_parameter(model_.unet, [&](const std::string& name, auto& parameter) {
            if (parameter.requires_grad()) {
                visit(name, parameter);
            }
        });
    }

    B& backend_;
    LoadedWith loaded_;
    StableDiffusion<T, B> model_;
    ModelFiles files_;
    PipelineFacts facts_;
    std::map<std::string, Tensor<float, B>> originals_; ///< of the parameters that a tuning has changed
    std::map<std::string, Parameter<T, B>> untuned_;    ///< weights that have had a LoRA merged
    bool keeps_ = false;                                ///< what restore() undoes is remembered
    StateDict learned_;                                 ///< the factors of a tuning as LoRA, once they are merged
};

} // namespace detail

template <Scalar T, Backend B>
std::unique_ptr<Networks<B>> load_networks(B& backend, const PipelineSource& source) {
    ModelFiles files = open_model_with(source.folder, source.unet_folder, source.model);
    files.masked = source.masked;
    const std::uint64_t temporal = (source.pictures ? std::nullopt : temporal_seed(source.loras)).value_or(source.seed);
    auto parts = load_stable_diffusion<T>(backend, files, temporal, source.text_cleaning);
    if (source.pictures) {
        const auto guidance_scale = parts.unet.guidance_scale;
        parts.unet = load_unet_2d<T>(backend, files.unet);
        parts.unet.guidance_scale = guidance_scale;
    }
    detail::LoadedWith loaded{.seed = source.seed};
    if (!read_unet_config(files.unet.config()).temporal) {
        loaded.temporal.seed = temporal;
    }
    if (!source.loras.uses.empty()) {
        const Loras loras(parts, files, source.loras);
        loras.merge(parts, backend);
        loaded.loras = loras.reports();
        loaded.text_changed = loras.changes(LdmPart::text_encoder);
        loaded.temporal_changed = loras.changes_temporal();
    }
    return std::make_unique<detail::NetworksOf<T, B>>(backend, std::move(parts), files, loaded);
}

} // namespace reel
