#include "editing.hpp"

#include <reel/pipelines/difference.hpp>
#include <reel/schedulers/dpm_solver_multistep_inverse.hpp>

namespace editing {

Model load_model(Cpu& cpu, const ModelSource& source) {
    const std::string& precision = source.mixed_precision;
    reel::require(precision == "no" || precision == "bf16" || precision == "fp16", "mixed_precision is \"", precision,
                  "\"; expected no, bf16 or fp16");
    if (source.device != nullptr) {
        return source.device->load(cpu, source);
    }
    if (precision == "bf16") {
        return load_bfloat16_model(cpu, source);
    }
    if (precision == "fp16") {
        return load_half_model(cpu, source);
    }
    return load_float_model(cpu, source);
}

Tensor encode_prompt(const Model& model, const std::string& prompt) {
    return model.networks->text(model.tokenizer.encode(prompt));
}

Tensor encode(Cpu&, const Model& model, const reel::Frames& clip) {
    reel::Progress bar("encode", static_cast<std::size_t>(clip.count));
    return model.networks->encode(clip, [&] {
        bar.step();
        program::check_stop();
    });
}

reel::Frames decode(const Model& model, const Tensor& latents, double fps, Tensor* pixels) {
    reel::Progress bar("decode", static_cast<std::size_t>(latents.shape(0)));
    const Tensor unit = model.networks->decode(latents, [&] {
        bar.step();
        program::check_stop();
    });
    if (pixels != nullptr) {
        *pixels = unit;
    }
    return reel::to_frames_u8(unit.to_host(), static_cast<int>(unit.shape(0)), static_cast<int>(unit.shape(1)),
                              static_cast<int>(unit.shape(2)), fps);
}

Tensor mean_latents(const Model& model, const Tensor& moments) {
    return reel::scale(reel::slice_channels(moments, 0, moments.shape(3) / 2),
                       static_cast<float>(model.vae.config.scaling_factor));
}

reel::Frames reconstruct(const Model& model, const Tensor& moments, double fps) {
    return decode(model, mean_latents(model, moments), fps);
}

namespace {

/// Source of the noise that a sampler draws at eta > 0: step by step, a function of the seed alone.
class SamplingNoise {
public:
    SamplingNoise(Cpu& cpu, std::uint64_t seed) : cpu_(&cpu), seed_(seed) {}

    [[nodiscard]] Tensor operator()(const reel::Shape& shape) {
        Tensor noise(*cpu_, shape);
        reel::fill_normal(*cpu_, noise, seed_, first_stream + drawn_++);
        return noise;
    }

private:
    static constexpr std::uint64_t first_stream = std::uint64_t{1} << 40; // beyond any training step's
    Cpu* cpu_;
    std::uint64_t seed_;
    std::uint64_t drawn_ = 0;
};

/// The DDIM or DPM-Solver++ inversion that a sampler goes with, to run(inversion).
void with_inversion(const Sampler& sampler, reel::InversionFormula formula, const auto& run) {
    if (const auto* ddim = sampler.as<reel::DDIMScheduler>()) {
        run(reel::DDIMInverseScheduler(ddim->config(), formula));
        return;
    }
    const auto* solver = sampler.as<reel::DPMSolverMultistepScheduler<float, Cpu>>();
    reel::require(solver != nullptr, sampler.name(), ": no inversion leads to a start for this sampler; use ",
                  "DDIMScheduler or DPMSolverMultistepScheduler, or start from noise (--start noise)");
    run(reel::DPMSolverMultistepInverseScheduler<float, Cpu>(solver->config()));
}

/// Runs an inversion, with its bar.
template <class Result>
[[nodiscard]] Result inverted(const Model& model, const Sampler& sampler, const std::string& prompt, int steps,
                              reel::InversionFormula formula, const Each& each, const auto& run) {
    Result result;
    with_inversion(sampler, formula, [&](auto&& inversion) {
        reel::Progress bar("invert", static_cast<std::size_t>(steps));
        result = run(inversion, encode_prompt(model, prompt), [&](index_t k, const Tensor& x) {
            program::check_stop();
            each(k, x);
            if (k > 0) {
                bar.step();
            }
        });
    });
    return result;
}

} // namespace

Sampler ddim_sampler(const Model& model, double eta) {
    reel::DDIMScheduler scheduler(model.sampling);
    scheduler.options.eta = eta;
    return {"DDIMScheduler", std::move(scheduler)};
}

Sampler with_levels_of_inversion(const Sampler& sampler) {
    Sampler suited = sampler;
    with_inversion(sampler, reel::InversionFormula::reference, [&]<class Inversion>(const Inversion& inversion) {
        if constexpr (requires { inversion.sampler_config(); }) {
            suited = Sampler(sampler.name(), reel::DPMSolverMultistepScheduler<float, Cpu>(inversion.sampler_config()));
        }
    });
    return suited;
}

std::vector<double> levels_of_inversion(const Sampler& sampler, int steps) {
    std::vector<double> levels;
    with_inversion(sampler, reel::InversionFormula::reference, [&](auto&& inversion) {
        inversion.set_timesteps(steps);
        levels = reel::levels_of_inversion(inversion);
    });
    return levels;
}

Tensor invert(const Model& model, const Sampler& sampler, const Tensor& latents, const std::string& prompt, int steps,
              reel::InversionFormula formula, const Each& each) {
    return inverted<Tensor>(model, sampler, prompt, steps, formula, each,
                            [&](auto& scheduler, const Tensor& text, const auto& after_step) {
                                return reel::invert(model.unet, scheduler, latents, text, steps, after_step);
                            });
}

Trajectory invert_trajectory(const Model& model, const Sampler& sampler, const Tensor& latents,
                             const std::string& prompt, int steps, reel::InversionFormula formula, const Each& each) {
    return inverted<Trajectory>(
        model, sampler, prompt, steps, formula, each, [&](auto& scheduler, const Tensor& text, const auto& after_step) {
            return reel::invert_trajectory(model.unet, scheduler, latents, text, steps, after_step);
        });
}

Tensor noise_like(Cpu& cpu, const Tensor& latents, std::uint64_t seed) {
    Tensor noise(cpu, latents.shape());
    reel::fill_normal(cpu, noise, seed, std::uint64_t{1} << 41); // as tune_video without use_inv_latent
    return noise;
}

namespace {

// Streams of a draft's noise, beyond those of masks.
constexpr std::uint64_t delta_stream = std::uint64_t{1} << 43;
constexpr std::uint64_t start_stream = std::uint64_t{1} << 44;

} // namespace

Trajectory noised_trajectory(Cpu& cpu, Sampler sampler, const Tensor& latents, int steps, std::uint64_t seed,
                             bool shared) {
    const Tensor noise =
        shared ? reel::shared_noise<float>(cpu, latents.shape(), seed, start_stream) : noise_like(cpu, latents, seed);
    return reel::noised_trajectory(sampler, latents, noise, steps);
}

Tensor difference_mask(const Model& model, const Trajectory& trajectory, const std::string& source,
                       const std::string& edited, const MaskSettings& settings, std::uint64_t seed) {
    reel::require(settings.noise == "draws" || settings.noise == "inversion", "the mask's noise is \"", settings.noise,
                  "\"; expected draws or inversion");
    const reel::DDIMScheduler scheduler(model.sampling);
    const std::span<const double> strengths(settings.strengths);
    const auto samples = settings.noise == "inversion" ? reel::trajectory_samples(scheduler, trajectory, strengths)
                                                       : reel::noised_samples(scheduler, trajectory.latents.front(),
                                                                              strengths, index_t{settings.draws}, seed);
    reel::Progress bar("find the place", samples.size());
    const Tensor difference = reel::prediction_difference(model.unet, samples, encode_prompt(model, source),
                                                          encode_prompt(model, edited), [&] {
                                                              bar.step();
                                                              program::check_stop();
                                                          });
    return reel::mask_of(difference, settings.options);
}

Draft delta_draft(Cpu& cpu, const Model& model, Sampler sampler, const Tensor& latents, const std::string& source,
                  const std::string& edited, const DeltaSettings& settings, const reel::MaskOptions& mask, int steps,
                  std::uint64_t seed) {
    check(settings);
    const reel::DDIMScheduler scheduler(model.sampling); // for the noise levels between a run's own
    reel::Progress bar("draft", static_cast<std::size_t>(settings.delta.steps));
    const Tensor moved = reel::delta_denoise(model.unet, scheduler, latents, encode_prompt(model, source),
                                             encode_prompt(model, edited), settings.delta, seed, delta_stream, [&] {
                                                 bar.step();
                                                 program::check_stop();
                                             });
    sampler.set_timesteps(steps);
    const auto calls = static_cast<index_t>(sampler.timesteps().size());
    const auto left = std::clamp<index_t>(std::lround(settings.strength * static_cast<double>(calls)), 1, calls);
    const Tensor noise = reel::shared_noise<float>(cpu, latents.shape(), seed, start_stream);
    const double level = sampler.timesteps()[static_cast<std::size_t>(calls - left)];
    return {sampler.add_noise(moved, noise, level), reel::mask_of(reel::latent_difference(moved, latents), mask),
            calls - left};
}

Tensor sample(Cpu& cpu, const Model& model, Sampler& sampler, const Tensor& latents, const std::string& prompt,
              const std::string& negative_prompt, const reel::TuneValidationData& options, std::uint64_t seed,
              const Each& each, const Outside* outside) {
    const reel::Guidance<float, Cpu> guidance{encode_prompt(model, prompt), encode_prompt(model, negative_prompt),
                                              options.guidance_scale};
    const index_t steps = options.num_inference_steps;
    const index_t skipped = outside == nullptr ? 0 : outside->skipped;
    sampler.set_timesteps(steps);
    reel::Progress bar("sample", sampler.timesteps().size() - static_cast<std::size_t>(skipped));
    const auto after_step = [&](index_t k, const Tensor& x) {
        program::check_stop();
        each(k, x);
        bar.step();
    };
    SamplingNoise noise(cpu, seed);
    if (outside == nullptr) {
        return reel::sample_clip(model.unet, sampler, latents, guidance, steps, noise, after_step);
    }
    return reel::sample_clip_blended(model.unet, sampler, latents, guidance, steps, outside->trajectory, outside->mask,
                                     noise, after_step, skipped);
}

std::vector<std::uint8_t> marks_of(const Tensor& mask, int height, int width) {
    const std::vector<float> values = mask.to_host();
    const int step = height / static_cast<int>(mask.shape(1));
    std::vector<std::uint8_t> marks;
    for (int f = 0; f < static_cast<int>(mask.shape(0)); ++f) {
        for (int y = 0; y < height; ++y) {
            for (int x = 0; x < width; ++x) {
                const index_t pixel = (f * mask.shape(1) + y / step) * mask.shape(2) + x / step;
                marks.push_back(values[static_cast<std::size_t>(pixel)] > 0.5F ? 1 : 0);
            }
        }
    }
    return marks;
}

} // namespace editing
