#pragma once // Needs reel::text and reel::io.
// What text_to_image is asked to do, and how its run is recorded. Link reel::pipelines.

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <reel/io/config/options.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/pipelines/job.hpp>
#include <reel/pipelines/prompt_pictures.hpp>
#include <reel/pipelines/prompts.hpp>

namespace reel {

/// Every option of text_to_image: names are those of the command line and of the manifest.
struct TextToImageOptions {
    std::vector<std::string> prompt{};
    std::string model{}, output = "out/text_to_image", save_tensors{};
    PictureOptions sampling{};
    LoraOptions lora{};
    int num_images_per_prompt = 1, height = 0, width = 0, batch_size = 8, threads = 0;
    BackendKind backend = BackendKind::cpu;
    ModelOptions parts{};
    bool allow_nonfinite = false;

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(Option{"prompt", "what to draw; may be given more than once"}, self.prompt);
        visit(Option{"model", "a Stable Diffusion with a 2D UNet: a diffusers folder, or a .safetensors or .ckpt file"},
              self.model);
        LoraOptions::options(self.lora, visit);
        visit(Option{"output", "folder to write into"}, self.output);
        PictureOptions::options(self.sampling, visit);
        visit(Option{"num_images_per_prompt", "pictures of each prompt", at_least(1)}, self.num_images_per_prompt);
        visit(Option{"height", "pixels; 0: what the model was made for", from_to(0, 4096)}, self.height);
        visit(Option{"width", "pixels; 0: what the model was made for", from_to(0, 4096)}, self.width);
        visit(Option{"batch_size", "pictures sampled at a time", at_least(1)}, self.batch_size);
        visit(Option{"save_tensors", "file for noise, latents and pictures [n, channels, height, width]"},
              self.save_tensors);
        visit(Option{"backend", "where the networks run: cpu, or cuda for an NVIDIA GPU"}, self.backend);
        visit(Option{"threads", "0: one per core", from_to(0, 1024)}, self.threads);
        ModelOptions::options(self.parts, visit);
        visit(Option{"allow_nonfinite", "go on where latents hold Inf or NaN"}, self.allow_nonfinite);
    }

    void check(const KeyLocator& locate) const { parts.check(locate); }

    /// Makes the folders of all that will be written: finds out before the work whether that is possible. Keeps other
    /// runs out of `output`.
    void make_folders(Job& job) const {
        require_other_folder(output, model);
        job.claim(output);
        if (const auto folder = std::filesystem::path(save_tensors).parent_path(); !folder.empty()) {
            make_output_folder(folder);
        }
    }

    /// After height and width were chosen. Throws Error for a text that is no UTF-8, and for pictures that are too
    /// large for the memory; says on stderr what the text encoder cannot see.
    void check_texts(const AnyPipeline& pipeline) const {
        for (const std::string& text : prompt) {
            check_prompt(pipeline, "--prompt", text);
        }
        check_prompt(pipeline, "--negative_prompt", sampling.negative_prompt);
        const auto pictures = static_cast<int>(std::min<std::size_t>(prompts().size(), 1U << 20));
        const auto vae = known_vae(model, parts.vae);
        const std::string text =
            backend == BackendKind::cpu && vae ? too_large({pictures, height, width}, *vae) : std::string();
        require(text.empty(), text);
    }

    /// The prompt of every picture, in the order in which they are made.
    [[nodiscard]] std::vector<std::string> prompts() const {
        std::vector<std::string> of_each;
        for (const std::string& text : prompt) {
            of_each.insert(of_each.end(), static_cast<std::size_t>(num_images_per_prompt), text);
        }
        return of_each;
    }

    /// Everything needed to repeat the run. `cpu`: where it ran; `scheduler`: class of the sampler.
    [[nodiscard]] Manifest manifest(const Cpu& cpu, const std::string& scheduler) const {
        nlohmann::json settings = options_json(*this);
        settings.erase("seed"); // said apart
        settings.update({{"scheduler", scheduler}, {"threads", cpu.threads()}});
        Manifest manifest("text_to_image");
        manifest.set_seed(sampling.seed);
        manifest.set("options", std::move(settings));
        add_model(manifest, model, parts);
        add_loras(manifest, lora);
        return manifest;
    }
};

} // namespace reel
