#pragma once // Needs reel::text and reel::io.
// What compare_samplers is asked to do, and the samplers of it. Link reel::pipelines.

#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <reel/core/usable_threads.hpp>
#include <reel/io/files/folder_lock.hpp>
#include <reel/models/configs.hpp>
#include <reel/pipelines/any_pipeline.hpp>
#include <reel/pipelines/checkpoint_folder.hpp>
#include <reel/pipelines/lora_options.hpp>
#include <reel/pipelines/model_files.hpp>
#include <reel/schedulers/config/model_scheduler.hpp>
#include <reel/schedulers/scheduler_registry.hpp>

namespace reel {

/// Every option of compare_samplers: names are those of the command line.
struct ComparisonOptions {
    std::string model{}, prompt{}, output{}, negative_prompt{}, video{}, scheduler_config{};
    /// A list with commas on the command line, so not visited.
    std::vector<std::string> samplers{"ddim", "plms", "euler", "heun", "dpm++_2m", "unipc", "deis", "euler_a"};
    std::vector<int> steps{5, 10, 20, 50};
    std::string timestep_spacing = "trailing";
    int reference_steps = 1000, frames = 1, width = 0, height = 0, threads = 0;
    double guidance_scale = 7.5;
    std::uint64_t seed = 33;
    BackendKind backend = BackendKind::cpu;
    LoraOptions lora{};
    ModelOptions parts{};
    bool allow_nonfinite = false;

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(Option{"model", "a diffusers folder, as it is or tuned, or a .safetensors or .ckpt file"}, self.model);
        LoraOptions::options(self.lora, visit);
        visit(Option{"prompt", "what to show"}, self.prompt);
        visit(Option{"output", "folder to write to"}, self.output);
        visit(Option{"negative_prompt", "what not to show"}, self.negative_prompt);
        visit(Option{"video", "a clip, whose latents with noise are the start"}, self.video);
        visit(Option{"steps", "step counts", from_to(1, 1000)}, self.steps);
        visit(Option{"scheduler_config", "scheduler_config.json, or a folder with one, instead of the model's own"},
              self.scheduler_config);
        visit(Option{"timestep_spacing", "leading, trailing or linspace"}, self.timestep_spacing);
        visit(Option{"reference_steps", "of DDIM", from_to(1, 1000)}, self.reference_steps);
        visit(Option{"frames", "1: a picture", from_to(1, 1024)}, self.frames);
        visit(Option{"width", "pixels; 0: the model's", from_to(0, 8192)}, self.width);
        visit(Option{"height", "pixels; 0: the model's", from_to(0, 8192)}, self.height);
        visit(Option{"guidance_scale", "1 or less: none"}, self.guidance_scale);
        visit(Option{"seed", "of the noise"}, self.seed);
        visit(Option{"backend", "where the networks run: cpu, or cuda for an NVIDIA GPU"}, self.backend);
        visit(Option{"threads", "0: one per core", from_to(0, 1024)}, self.threads);
        ModelOptions::options(self.parts, visit);
        visit(Option{"allow_nonfinite", "go on where latents hold Inf or NaN"}, self.allow_nonfinite);
    }

    /// Makes the folder to write to, and keeps other runs out of it.
    [[nodiscard]] FolderLock claim_output() const {
        require_other_folder(output, model);
        return FolderLock(output);
    }

    void check(const KeyLocator& locate) const { parts.check(locate); }

    /// The model as it is to be loaded: a UNet for pictures stays one where a picture is to be made.
    [[nodiscard]] PipelineSource source(const ModelFiles& files) const {
        const UNetConfig unet = read_unet_config(files.unet.config());
        return {.folder = model,
                .seed = seed,
                .pictures = !unet.temporal && frames == 1 && video.empty(),
                .model = parts,
                .loras = lora.choice(),
                .allow_nonfinite = allow_nonfinite};
    }
};

/// A sampler by the name it was asked for by.
struct ComparedSampler {
    std::string name;
    Sampler sampler;
};

/// Samplers of one noise schedule.
struct ComparedSamplers {
    Sampler reference; ///< DDIM with trailing timesteps
    std::vector<ComparedSampler> samplers;
};

/// The samplers that are asked for, with the model's schedule or that of a file, and without a shift of the steps
/// (steps_offset), so that with trailing timesteps all begin at pure noise. Throws Error, naming the option, for a name
/// that is none, and for steps that a sampler has no room for.
[[nodiscard]] inline ComparedSamplers compared_samplers(const ComparisonOptions& options, const ModelFiles& model) {
    std::filesystem::path file = options.scheduler_config;
    const bool models_own = file.empty();
    std::error_code ignored;
    if (models_own) {
        file = model.scheduler.file;
    } else if (std::filesystem::is_directory(file, ignored)) {
        file /= "scheduler_config.json";
    }
    nlohmann::json config = stable_diffusion_fixes(models_own ? model.scheduler.config : read_scheduler_json(file));
    require(config.is_object(), file.string(), ": expected a JSON object");
    config.update({{"timestep_spacing", options.timestep_spacing}, {"steps_offset", 0}});
    std::vector<ComparedSampler> samplers;
    for (const std::string& name : options.samplers) {
        samplers.push_back({name, make_scheduler<float>(name, config, file.string(), "--samplers")});
        for (const int steps : options.steps) {
            try {
                samplers.back().sampler.set_timesteps(steps);
            } catch (const Error& error) {
                fail("--samplers ", name, " --steps ", steps, ": ", error.what());
            }
        }
    }
    config["timestep_spacing"] = "trailing";
    return {make_scheduler<float>("DDIMScheduler", config, file.string()), std::move(samplers)};
}

} // namespace reel
