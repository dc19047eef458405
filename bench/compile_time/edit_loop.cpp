// A researcher's edit loop, whole: a clip is encoded, the UNet tuned on it, the clip inverted and sampled anew with
// another prompt. bench/compile_time.sh measures what a compiler needs for it.
//
//     edit_loop MODEL CLIP PROMPT EDITED OUT.gif

#include <cstdio>
#include <vector>

#include <reel/io/video/gif.hpp>
#include <reel/io/video/video_reader.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/pipelines/edit.hpp>
#include <reel/pipelines/stable_diffusion.hpp>
#include <reel/pipelines/tune.hpp>
#include <reel/schedulers/ddim_inverse.hpp>

int main(int, char** argv) {
    constexpr int side = 64;
    reel::Cpu cpu;
    auto model = reel::load_stable_diffusion<float>(cpu, argv[1], 33);
    const auto clip = reel::read_video(argv[2], {.max_frames = 8, .width = side, .height = side});
    const auto pixels = reel::pixels_from_bytes<float>(cpu, {clip.count, side, side, 3}, clip.rgb);
    const auto moments = reel::encode_clip(model.vae, pixels, [] {});
    const auto prompt = reel::encode_prompt(model, argv[3]);

    reel::set_trainable_modules(model.unet, {"attn1.to_q", "attn2.to_q", "attn_temp"});
    reel::Tuner tuner(model.unet, model.training_scheduler, moments, prompt, model.vae.config.scaling_factor,
                      {.max_train_steps = 4});
    for (int step = 0; step < 4; ++step) {
        const auto report = tuner.update(
            [&](reel::index_t draw) { return reel::training_noise<float>(cpu, tuner.latent_shape(), 33, draw, 1000); });
        std::printf("step %d: loss %.17g\n", static_cast<int>(report.step), report.loss);
    }

    reel::DDIMInverseScheduler inversion(model.sampling);
    const auto start = reel::sample_latents(moments, reel::Tensor<float>{}, model.vae.config.scaling_factor);
    const auto noise = reel::invert(model.unet, inversion, start, prompt, 5, [](auto, const auto&) {});

    reel::DDIMScheduler scheduler(model.sampling);
    const reel::Guidance<float, reel::Cpu> guidance{reel::encode_prompt(model, argv[4]), reel::encode_prompt(model, ""),
                                                    7.5};
    const auto latents =
        reel::sample_clip(model.unet, scheduler, noise, {.guidance = guidance, .num_inference_steps = 5});
    const auto edited = reel::decode_clip(model.vae, latents, [] {});
    reel::write_gif(argv[5], reel::to_frames_u8(edited.to_host(), clip.count, side, side), 8);
}
