#pragma once
// A tuning of one scalar type on one backend. Needs reel::io and reel::text.

#include <filesystem>
#include <string>

#include <reel/pipelines/any/networks.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/pipelines/not_finite.hpp>
#include <reel/pipelines/stable_diffusion_parts.hpp>
#include <reel/pipelines/tuning_run.hpp>

namespace reel::detail {

/// A Tuner with the noise of its draws.
template <Scalar T, Backend B>
class TuningOf final : public AnyTuning {
public:
    TuningOf(StableDiffusion<T, B>& model, const ModelFiles& files, const Tensor<float, B>& moments,
             const Tensor<float, B>& text, const TuneOptions& options, const TuningNoise& noise)
        : files_(files), timesteps_(model.training_scheduler.schedule().size()), moments_(moments),
          scaling_factor_(model.vae.config.scaling_factor), draws_(options.gradient_accumulation_steps), noise_(noise),
          tuner_(model.unet, model.training_scheduler, moments, stored_as<T>(text), model.vae.config.scaling_factor,
                 options) {}

    [[nodiscard]] index_t step_count() const override { return tuner_.step_count(); }
    [[nodiscard]] AnyTensor latents() const override {
        if (tuner_.latents().defined() || tuner_.step_count() == 0) {
            return tuner_.latents();
        }
        const auto random =
            noise_of(moments_.backend(), noise_, tuner_.latent_shape(), tuner_.step_count() * draws_ - 1, timesteps_);
        return reel::sample_latents(moments_, random.posterior, scaling_factor_);
    }
    TuneReport update() override {
        return tuner_.update(
            [&](index_t draw) { return noise_of(tuner_.backend(), noise_, tuner_.latent_shape(), draw, timesteps_); });
    }
    void share_draws(const Communicator& ranks) override { tuner_.share_draws(ranks); }
    void save_checkpoint(const std::filesystem::path& output, const CheckpointIdentity& identity) override {
        reel::save_checkpoint(tuner_, tuner_.unet(), output, identity);
    }
    void load_checkpoint(const std::filesystem::path& folder, const CheckpointIdentity& identity) override {
        reel::load_checkpoint(tuner_, tuner_.unet(), tuner_.backend(), folder, identity);
    }

    [[nodiscard]] std::string why_not_finite() const override { return blame_weights(files_); }

private:
    const ModelFiles& files_;
    index_t timesteps_;
    Tensor<float, B> moments_;
    double scaling_factor_;
    index_t draws_;
    TuningNoise noise_;
    Tuner<T, B> tuner_;
};

} // namespace reel::detail
