// An attention processor: prompt-to-prompt (Hertz et al. 2022, arXiv:2208.01626), and where a word looks as a picture.
//
// The clip is inverted under its own prompt, and its states are kept. At every step of the edit the UNet first sees
// the clip's own state and prompt, and a processor keeps how its words share out the attention; then it sees the edit,
// and the words that both prompts begin with look where they looked in the clip. So the picture keeps its composition,
// and new words have the rest.

#include <cmath>

#include <reel/core/ranges.hpp>
#include <reel/io/pictures/frame_grid.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/video/gif.hpp>
#include <reel/io/video/video_reader.hpp>
#include <reel/pipelines/blend.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/pipelines/stable_diffusion.hpp>
#include <reel/schedulers/ddim_inverse.hpp>
#include <reel/text/clip_tokenizer.hpp>

#include "options.hpp"

using Tensor = reel::Tensor<float>;
using reel::index_t;

namespace {

constexpr index_t steps = 10; // of inversion and of sampling

/// What the layers that look at the prompt are told, and what they tell.
struct PromptToPrompt {
    index_t shared = 0; ///< tokens that both prompts begin with
    index_t word = 0;   ///< the token whose map is wanted
    index_t frames = 0;
    index_t pixels = 0;                   ///< of the layers whose maps are added up: the largest
    std::map<std::string, Tensor> kept{}; ///< by layer: probabilities of the clip, [frames, heads, pixels, words]
    Tensor map{};                         ///< [frames, pixels]

    /// Of the clip alone everything is kept. Of an edit's two halves the second, with the prompt, is changed.
    Tensor operator()(const reel::LayerAttention<Tensor>& layer) {
        const Tensor p = layer.probabilities();
        if (p.shape(0) == frames) {
            kept[layer.name] = p;
            return layer.attend_with(p);
        }
        const Tensor edit = p.slice(frames, 2 * frames);
        if (edit.shape(2) >= pixels) {
            const Tensor seen = mean(slice_channels(edit, word, word + 1), 1).reshape({frames, -1});
            map = edit.shape(2) > pixels ? seen : map + seen;
            pixels = edit.shape(2);
        }
        const Tensor of_clip = slice_channels(kept.at(layer.name), 0, shared);
        const Tensor mixed = concat_channels(of_clip, slice_channels(edit, shared, edit.shape(3)));
        return layer.attend_with(reel::concat_rows({p.slice(0, frames), mixed}));
    }
};

void edit_with_prompt_to_prompt(const program::ClipEdit& job) {
    reel::Cpu cpu;
    auto model = reel::load_stable_diffusion<float>(cpu, job.model, 33);
    const auto clip = reel::read_video(job.video);
    const auto latents = reel::encode_latents(model.vae, reel::to_tensor<float>(cpu, clip));
    const auto source = reel::encode_prompt(model, job.prompt);
    const auto edit = reel::encode_prompt(model, job.edit);

    // Which tokens are the same, and which is the word.
    const auto of_source = model.tokenizer->encode(job.prompt);
    const auto of_edit = model.tokenizer->encode(job.edit);
    const auto last = reel::ranges::find(of_edit, model.tokenizer->encode("").at(1)) - 1; // before the end
    PromptToPrompt control{.shared = reel::ranges::mismatch(of_source, of_edit).in1 - of_source.begin(),
                           .word = last - of_edit.begin(),
                           .frames = latents.shape(0)};

    // Invert; then sample, with a look at the clip before each step.
    reel::DDIMInverseScheduler inverse(model.sampling);
    const auto trajectory = reel::invert_trajectory(model.unet, inverse, latents, source, steps);
    reel::set_attn_processor(model.unet, "attn2", std::ref(control));
    reel::DDIMScheduler sampler(model.sampling);
    sampler.set_timesteps(steps);
    Tensor x = trajectory.latents.back();
    for (index_t k = 0; k < steps; ++k) {
        const index_t t = sampler.timesteps()[static_cast<std::size_t>(k)];
        const Tensor& of_clip = trajectory.latents[static_cast<std::size_t>(steps - k)];
        static_cast<void>(model.unet(of_clip, t, source, control.frames));
        const reel::Guidance<float, reel::Cpu> guidance{edit, source, 7.5};
        x = sampler.step(reel::guided_prediction(model.unet, x, static_cast<double>(t), guidance), t, x);
    }

    const auto edited = reel::to_frames(reel::decode_clip(model.vae, x), clip.fps);
    reel::write_gif(job.output + ".gif", reel::side_by_side({clip, edited}), clip.fps);
    const auto size = static_cast<index_t>(std::sqrt(control.pixels * latents.shape(1) / latents.shape(2)));
    const Tensor map = (control.map / reel::ranges::max(control.map.to_host())).reshape({control.frames, size, -1, 1});
    const auto grey = reel::to_frames(upsample_nearest(map, clip.height, clip.width));
    reel::write_png(job.output + ".png", reel::contact_sheet({clip, edited, grey}));
    std::cout << "written: " << job.output << ".gif, " << job.output << ".png\n";
}

} // namespace

int main(int argc, char** argv) {
    return program::run(
        {"custom_attention",
         "Edits a clip by prompt-to-prompt. Writes OUTPUT.gif, clip and edit side by side, and OUTPUT.png:\n"
         "frames of both, and where the last word of the edit looks.",
         program::clip_edit_options},
        argc, argv, program::ClipEdit{}, edit_with_prompt_to_prompt);
}
