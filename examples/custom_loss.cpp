// A loss of one's own, and parameters of one's own beside the UNet's: what the clip's prompt lacks is learnt as an
// offset of its vectors, the loss counts where the clip moves, and neighbouring frames should err alike. Then an edit
// is sampled with both prompts moved by that offset.

#include <reel/io/pictures/frame_grid.hpp>
#include <reel/io/video/gif.hpp>
#include <reel/io/video/video_reader.hpp>
#include <reel/optim/adamw.hpp>
#include <reel/optim/grad_clip.hpp>
#include <reel/optim/trained_parameters.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/pipelines/edit.hpp>
#include <reel/pipelines/stable_diffusion.hpp>
#include <reel/pipelines/tune.hpp>
#include <reel/schedulers/ddim_inverse.hpp>

#include "options.hpp"

using Tensor = reel::Tensor<float>;
using Variable = reel::Variable<float>;

namespace {

/// Added to every prompt: [1, tokens, channels], zero at first.
struct PromptOffset {
    reel::Parameter<float> offset;
    PromptOffset(reel::Cpu& cpu, const reel::Shape& text) : offset({.shape = text}) {
        offset.set(Tensor::zeros(cpu, text));
        offset.train(true);
    }
    static void members(auto& self, const auto& visit) { visit("prompt_offset", self.offset); }
};

/// How much the clip moves at every pixel, 1 on average and never less than a tenth: [frames, h, w, 1].
[[nodiscard]] Tensor weights_of_motion(const Tensor& latents) {
    const reel::index_t frames = latents.shape(0);
    const Tensor change = mean(square(latents.slice(1, frames) - latents.slice(0, frames - 1)), -1);
    const Tensor all = reel::concat_rows({change, change.slice(frames - 2, frames - 1)}); // the last as the one before
    return (0.1 + 0.9 * all / mean(all).item()).reshape(latents.shape().with(3, 1));
}

/// prediction and target [frames, h, w, channels].
[[nodiscard]] Variable loss_of(const Variable& prediction, const Tensor& target, const Tensor& weights) {
    const Variable error = prediction - target;
    const Variable change = slice(error, 1, error.shape(0)) - slice(error, 0, error.shape(0) - 1);
    return mean(masked(square(error), weights)) + 0.1 * mean(square(change));
}

void tune_and_edit(const program::ClipEdit& job) {
    reel::Cpu cpu;
    auto model = reel::load_stable_diffusion<float>(cpu, job.model, 33);
    const auto clip = reel::read_video(job.video);
    const auto latents = reel::encode_latents(model.vae, reel::to_tensor<float>(cpu, clip));
    const auto weights = weights_of_motion(latents);
    const auto prompt = reel::encode_prompt(model, job.prompt);
    PromptOffset own(cpu, prompt.shape());

    // Tune.
    reel::set_trainable_modules(model.unet, {"attn1.to_q", "attn2.to_q", "attn_temp"});
    reel::AdamW<float> optimizer({.learning_rate = 1e-4});
    for (reel::index_t step = 0; step < 50; ++step) {
        const auto draw = reel::training_noise<float>(cpu, latents.shape(), 33, step, 1000);
        const auto noisy = model.training_scheduler.add_noise(latents, draw.noise, draw.timestep);
        const auto prediction =
            model.unet(Variable(noisy), draw.timestep, prompt + own.offset.variable(), latents.shape(0));
        const auto loss = loss_of(prediction, draw.noise, weights);
        backward(loss);
        auto parameters = reel::trained_parameters<float>(model.unet);
        parameters.push_back({"prompt_offset", own.offset.value(), own.offset.grad()});
        reel::clip_grad_norm_(parameters, 1.0);
        optimizer.step(parameters);
        reel::zero_grad(model.unet);
        reel::zero_grad(own);
        if (step % 10 == 0) {
            std::cout << "step " << step << ", loss " << loss.item() << '\n';
        }
    }

    // Invert, edit, write.
    const auto source = prompt + own.offset.value();
    const auto edit = reel::encode_prompt(model, job.edit) + own.offset.value();
    reel::DDIMInverseScheduler inverse(model.sampling);
    const auto noise = reel::invert(model.unet, inverse, latents, source, 10);
    reel::DDIMScheduler sampler(model.sampling);
    const auto edited =
        reel::sample_clip(model.unet, sampler, noise, {.guidance = {edit, source, 7.5}, .num_inference_steps = 10});
    const auto frames = reel::to_frames(reel::decode_clip(model.vae, edited), clip.fps);
    reel::write_gif(job.output, reel::side_by_side({clip, frames}), clip.fps);
    std::cout << "written: " << job.output << '\n';
}

} // namespace

int main(int argc, char** argv) {
    return program::run(
        {"custom_loss",
         "Tunes a model on a clip with a loss and an offset of the prompt of its own, and edits the clip.\n"
         "Writes OUTPUT, a GIF: clip and edit side by side.",
         program::clip_edit_options},
        argc, argv, program::ClipEdit{}, tune_and_edit);
}
