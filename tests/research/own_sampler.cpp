// An edit with a sampler of one's own, in a loop in sight. own_sampler MODEL CLIP
#include <reel/io/video/video_reader.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/pipelines/edit.hpp>
#include <reel/pipelines/stable_diffusion.hpp>
#include <reel/schedulers/ddim_inverse.hpp>

/// DDIM whose predicted clean sample is kept within the clip's own range: what guidance overshoots is cut off.
struct Bounded : reel::VariancePreserving {
    explicit Bounded(const reel::DDIMConfig& model) : VariancePreserving(model.schedule), type(model.prediction_type) {}
    reel::PredictionType type;
    float bound = 0;
    std::vector<reel::index_t> steps;
    void set_timesteps(reel::index_t n) { steps = reel::spaced_timesteps(reel::TimestepSpacing::leading, 1000, n, 1); }
    const std::vector<reel::index_t>& timesteps() const { return steps; }
    template <class X, class Noise>
    X step(const X& output, reel::index_t t, const X& x, Noise&& /*noise*/) const {
        const X clean = clamp(mix(clean_mixture(type, schedule().level(t)), x, output), -bound, bound);
        const X noise = mix(noise_mixture(type, schedule().level(t)), x, output);
        return t == steps.back() ? clean : add_noise(clean, noise, *std::next(std::ranges::find(steps, t)));
    }
};

int main(int, char** argv) {
    reel::Cpu cpu;
    const auto model = reel::load_stable_diffusion<float>(cpu, argv[1], 33);
    const auto clip = reel::read_video(argv[2], {.max_frames = 4});
    const auto latents = reel::encode_latents(model.vae, reel::to_tensor<float>(cpu, clip));
    const auto source = reel::encode_prompt(model, "a woman is swinging");
    const auto edit = reel::encode_prompt(model, "a woman is swinging a red tennis racket");
    reel::DDIMInverseScheduler inverse(model.sampling);
    const auto noise = reel::invert(model.unet, inverse, latents, source, 20);
    Bounded sampler(model.sampling);
    sampler.bound = std::ranges::max(abs(latents).to_host());
    sampler.set_timesteps(20);
    auto x = noise;
    for (const auto t : sampler.timesteps()) {
        const auto output = reel::guided_prediction(model.unet, x, static_cast<double>(t), {edit, source, 12.5});
        x = sampler.step(output, t, x, reel::NoNoise{});
    }
    const auto same = reel::sample_clip(model.unet, sampler, noise, {{edit, source, 12.5}, 20});
    const auto back = reel::sample_clip(model.unet, sampler, noise, {{source, source, 1}, 20});
    reel::require(same.to_host() == x.to_host(), "the loop is not sample_clip()'s");
    reel::require(std::ranges::max(abs(x).to_host()) <= sampler.bound, "the bound does not hold");
    reel::require(mse(back, latents) < 0.2 * mse(x, latents), "the clip's own prompt does not lead back to it");
}
