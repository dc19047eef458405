// Prompt-to-prompt (Hertz et al. 2022, arXiv:2208.01626) by an attention processor: words that both prompts share look
// where they look in the clip, and where the new word looks becomes a picture. word_map MODEL CLIP PNG
#include <reel/io/pictures/frame_grid.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/video/video_reader.hpp>
#include <reel/pipelines/blend.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/pipelines/load_stable_diffusion.hpp>
#include <reel/schedulers/ddim_inverse.hpp>

using Tensor = reel::Tensor<float>;

int main(int, char** argv) {
    reel::Cpu cpu;
    auto model = reel::load_stable_diffusion<float>(cpu, argv[1], 33);
    const auto clip = reel::read_video(argv[2], {.max_frames = 4});
    const auto latents = reel::encode_latents(model.vae, reel::to_tensor<float>(cpu, clip));
    const auto source = reel::encode_prompt(model, "a woman is swinging");
    const auto edit = reel::encode_prompt(model, "a woman is swinging a red tennis racket");
    const auto ids = model.tokenizer->encode("a woman is swinging a red tennis racket");
    const auto word = std::ranges::find(ids, model.tokenizer->encode("racket")[1]) - ids.begin();
    reel::DDIMInverseScheduler inverse(model.sampling);
    const auto trajectory = reel::invert_trajectory(model.unet, inverse, latents, source, 10);
    reel::DDIMScheduler sampler(model.sampling);
    const auto plain = reel::sample_clip(model.unet, sampler, trajectory.latents[10], {{edit, source, 7.5}, 10});

    std::map<std::string, Tensor> of_clip; // where its words look, by layer
    auto map = Tensor::zeros(cpu, {4, 64});
    double error = 0; // of the sums over all words
    reel::set_attn_processor(model.unet, "attn2", [&](const reel::LayerAttention<Tensor>& layer) {
        const Tensor p = layer.probabilities(); // [frames, heads, pixels, words]
        if (p.shape(0) == 4) {                  // the clip alone
            of_clip[layer.name] = p;
            return layer.attend();
        }
        const Tensor own = p.slice(4, 8); // the guided half
        if (p.shape(2) == 64) {
            map = map + mean(slice_channels(own, word, word + 1), 1).reshape({4, 64});
            error = std::max(error, mse(sum(own, -1), Tensor::full(cpu, {4, own.shape(1), 64}, 1)));
        }
        const Tensor shared = slice_channels(of_clip.at(layer.name), 0, 5); // "<start> a woman is swinging"
        const Tensor mixed = concat_channels(shared, slice_channels(own, 5, own.shape(3)));
        return layer.attend_with(reel::concat_rows({p.slice(0, 4), mixed}));
    });
    Tensor x = trajectory.latents[10];
    for (reel::index_t k = 0; k < 10; ++k) {
        const auto t = sampler.timesteps()[k];
        static_cast<void>(model.unet(trajectory.latents[10 - k], t, source, 4));
        x = sampler.step(reel::guided_prediction(model.unet, x, double(t), {edit, source, 7.5}), t, x);
    }
    const Tensor grey = (map / std::ranges::max(map.to_host())).reshape({4, 8, 8, 1});
    const auto picture = reel::to_frames(upsample_nearest(grey, clip.height, clip.width));
    reel::write_png(argv[3], reel::contact_sheet({clip, picture}));
    const Tensor change = mean(abs(x - latents), -1).reshape({4, 16, 16, 1}), seen = upsample_nearest(grey, 16, 16);
    reel::require(error < 1e-8, "the probabilities of all words do not add up to 1");
    reel::require(mean(seen * change).item() > mean(seen).item() * mean(change).item(), "the word looks elsewhere");
    reel::require(mse(x, plain) > 0.01, "the processor changes nothing");
}
