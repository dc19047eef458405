// A control of one's own: an edit that looks at the clip while it is sampled.
//
// The clip is inverted under its own prompt, and its states are kept. At every step of the edit the UNet first sees the
// clip at that noise level, then the edit. The control below keeps where the clip's pixels look at each other, and lets
// the edit's look there for the first half of the steps: the layout stays, what is painted changes (the attention of
// plug-and-play, Tumanyan et al. 2022, arXiv:2211.12572). Beside it prompt-to-prompt, as the library has it.

#include <reel/io/pictures/frame_grid.hpp>
#include <reel/io/video/gif.hpp>
#include <reel/io/video/video_reader.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/pipelines/control/prompt_to_prompt.hpp>
#include <reel/pipelines/stable_diffusion.hpp>
#include <reel/schedulers/ddim_inverse.hpp>
#include <reel/text/aligned_prompts.hpp>

#include "options.hpp"

using Tensor = reel::Tensor<float>;
using reel::index_t;

namespace {

constexpr index_t steps = 10; // of inversion and of sampling

/// Keeps the layout of the clip.
struct KeepLayout {
    double share = 0.5; ///< of the steps
    reel::ControlStep at{};
    std::map<std::string, std::pair<Tensor, Tensor>> kept{}; ///< the clip's queries and keys, by layer

    /// Called before the UNet sees the clip (step.on_clip) and before it sees the edit.
    void begin(const reel::ControlStep& step) { at = step; }

    /// The layers in whose place it is.
    [[nodiscard]] static bool controls(const std::string& layer) {
        return layer.starts_with("up_blocks") && layer.ends_with("attn1");
    }

    Tensor operator()(const reel::LayerAttention<Tensor>& layer) {
        if (at.on_clip) {
            kept[layer.name] = {layer.query, layer.key};
        } else if (at.within(share)) {
            const auto& [query, key] = kept.at(layer.name);
            // Of guidance both halves.
            return layer.attend(reel::concat_rows({query, query}), reel::concat_rows({key, key}), layer.value);
        }
        return layer.attend();
    }
};

void edit_with_controls(const program::ClipEdit& job) {
    reel::Cpu cpu;
    auto model = reel::load_stable_diffusion<float>(cpu, job.model, 33);
    const auto clip = reel::read_video(job.video);
    const auto latents = reel::encode_latents(model.vae, reel::to_tensor<float>(cpu, clip));
    const auto source = reel::encode_prompt(model, job.prompt);
    const reel::Guidance<float, reel::Cpu> guidance{reel::encode_prompt(model, job.edit), source, 7.5};

    reel::DDIMInverseScheduler inverse(model.sampling);
    const auto trajectory = reel::invert_trajectory(model.unet, inverse, latents, source, steps);

    const auto sampled = [&](const auto& unet) {
        reel::DDIMScheduler sampler(model.sampling);
        const auto x = reel::sample_clip(unet, sampler, trajectory.latents.back(),
                                         {.guidance = guidance, .num_inference_steps = steps});
        return reel::to_frames(reel::decode_clip(model.vae, x), clip.fps);
    };
    const auto sampled_under = [&](auto control) {
        return reel::with_control(model.unet, control,
                                  [&] { return sampled(reel::SourceBranch(model.unet, trajectory, source, control)); });
    };
    const auto words = reel::refined_tokens(*model.tokenizer, job.prompt, job.edit);
    const reel::PromptToPrompt<float, reel::Cpu> prompt_to_prompt(cpu, words, {.self_replace_steps = 0.2});

    const std::vector<reel::Frames> all{clip, sampled(model.unet), sampled_under(KeepLayout{}),
                                        sampled_under(prompt_to_prompt)};
    reel::write_gif(job.output, reel::side_by_side(all), clip.fps);
    std::cout << "written: " << job.output << "\n";
}

} // namespace

int main(int argc, char** argv) {
    return program::run({"custom_control",
                         "Edits a clip freely, with its layout kept, and by prompt-to-prompt. Writes them beside the\n"
                         "clip as a GIF.",
                         program::clip_edit_options},
                        argc, argv, program::ClipEdit{}, edit_with_controls);
}
