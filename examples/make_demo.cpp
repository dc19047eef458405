// make_demo DIR: a Stable Diffusion folder with random weights and a drawn clip, to try reel's programs with.
// Random weights have learned nothing: whatever is made with them is noise.

#include <filesystem>

#include <reel/io/files/folder_lock.hpp>
#include <reel/io/video/video_writer.hpp>
#include <reel/models/config_writers.hpp>
#include <reel/models/from_pretrained.hpp>
#include <reel/models/random_weights.hpp>
#include <reel/schedulers/config/scheduler_config.hpp>
#include <reel/text/tokenizer_writer.hpp>

#include "options.hpp"
#include "world/stick_figure.hpp"

namespace {

struct Sizes {
    reel::UNetConfig unet;
    reel::AutoencoderKLConfig vae;
    reel::CLIPTextConfig text;
};

/// Stable Diffusion 1.4: 859,520,964 parameters in the UNet, 83,653,863 in the VAE, 123,060,480 in the text encoder.
Sizes full_sizes() {
    Sizes sizes;
    sizes.unet.temporal = false;
    sizes.unet.cross_attention_dim = 768;
    return sizes;
}

/// The same layout with a fraction of the channels.
Sizes small_sizes(std::int64_t vocabulary) {
    Sizes sizes = full_sizes();
    sizes.unet.sample_size = 8;
    sizes.unet.block_out_channels = {32, 64, 64, 64};
    sizes.unet.norm_num_groups = 8;
    sizes.unet.heads = {4, 4, 4, 4};
    sizes.unet.cross_attention_dim = 64;
    sizes.vae.block_out_channels = {32, 32, 64, 64};
    sizes.vae.norm_num_groups = 8;
    sizes.vae.sample_size = 64;
    sizes.text.vocab_size = vocabulary;
    sizes.text.hidden_size = 64;
    sizes.text.intermediate_size = 256;
    sizes.text.num_hidden_layers = 2;
    sizes.text.num_attention_heads = 4;
    return sizes;
}

struct Weights {
    std::uint64_t seed;
    reel::DType dtype;
};

template <reel::Module M>
void write_model(const std::filesystem::path& folder, const std::string& file, const nlohmann::json& config,
                 const M& model, const Weights& weights) {
    reel::Cpu cpu;
    std::cout << folder.string() << ": " << reel::parameter_count(model) << " random parameters\n" << std::flush;
    reel::make_output_folder(folder);
    reel::write_json(folder / "config.json", config);
    reel::write_safetensors(folder / file, reel::random_weights(model, cpu, weights.seed, weights.dtype));
}

void write_folder(const std::filesystem::path& folder, bool full_size, const Weights& weights) {
    const std::vector<std::string> captions = {"a man is swinging", "a woman is swinging a red tennis racket",
                                               "a photo of the man with the racket"};
    const reel::LearnedVocabulary vocabulary = reel::learn_bpe(captions, reel::largest_bpe_vocabulary, 1);
    const Sizes sizes = full_size ? full_sizes() : small_sizes(static_cast<std::int64_t>(vocabulary.size()));
    write_model(folder / "unet", "diffusion_pytorch_model.safetensors", reel::write_unet_config(sizes.unet),
                reel::UNet3DConditionModel<float>(sizes.unet), weights);
    write_model(folder / "vae", "diffusion_pytorch_model.safetensors", reel::write_autoencoder_kl_config(sizes.vae),
                reel::AutoencoderKL<float>(sizes.vae), weights);
    write_model(folder / "text_encoder", "model.safetensors", reel::write_clip_text_config(sizes.text),
                reel::CLIPTextModel<float>(sizes.text), weights);
    reel::write_tokenizer(folder / "tokenizer", vocabulary,
                          static_cast<std::size_t>(sizes.text.max_position_embeddings),
                          static_cast<std::size_t>(sizes.text.vocab_size));
    reel::DDIMConfig ddim; // as Stable Diffusion 1.4 and Tune-A-Video set it
    ddim.schedule.beta_start = 0.00085;
    ddim.schedule.beta_end = 0.012;
    ddim.schedule.beta_schedule = reel::BetaSchedule::scaled_linear;
    ddim.clip_sample = false;
    ddim.set_alpha_to_one = false;
    ddim.steps_offset = 1;
    reel::save_scheduler(reel::DDIMScheduler(ddim), folder / "scheduler");
    reel::write_json(folder / "model_index.json", reel::write_model_index());
}

} // namespace

int main(int argc, char** argv) {
    return program::run("make_demo", [&] {
        CLI::App app(
            "Writes DIR/model, a Stable Diffusion folder with random weights (it makes noise), and DIR/clip.mp4, a\n"
            "drawn clip.");
        std::filesystem::path folder;
        std::uint64_t seed = 0;
        bool full_size = false;
        std::string type = "fp32";
        app.add_option("DIR", folder, "where to write; made if it is not there")->required();
        app.add_option("--seed", seed, "equal seeds make equal weights")
            ->check(program::not_negative)
            ->capture_default_str();
        app.add_flag("--full_size", full_size, "as large as Stable Diffusion 1.4: 4.3 GB (fp32), for measurements");
        app.add_option("--dtype", type, "type of the weights")
            ->check(CLI::IsMember({"fp32", "fp16"}))
            ->capture_default_str();
        if (const auto status = program::parse(app, argc, argv)) {
            return *status;
        }
        const reel::FolderLock lock(folder);
        reel::write_mp4(folder / "clip.mp4", demo::stick_figure_clip(24, 128, 12), 12);
        write_folder(folder / "model", full_size, {seed, type == "fp16" ? reel::DType::f16 : reel::DType::f32});
        std::cout << "wrote " << reel::terminal_text((folder / "model").string()) << " and clip.mp4 beside it\n";
        return 0;
    });
}
