#pragma once
// Training from nothing: the autoencoder, and the text encoder with the 2D UNet.

#include <algorithm>

#include <reel/autograd/losses.hpp>
#include <reel/core/random.hpp>
#include <reel/models/autoencoder_kl.hpp>
#include <reel/models/unet.hpp>
#include <reel/optim/adamw.hpp>
#include <reel/optim/ema.hpp>
#include <reel/optim/grad_clip.hpp>
#include <reel/optim/lr_scheduler.hpp>
#include <reel/schedulers/ddpm.hpp>

namespace reel {

/// How parameters move. Names are those of diffusers' train_text_to_image.py.
struct TrainOptions {
    double learning_rate = 1e-3;
    LrScheduleKind lr_scheduler = LrScheduleKind::constant_with_warmup;
    index_t lr_warmup_steps = 200;
    index_t max_train_steps = 10000;
    index_t lr_decay_steps = 0; ///< over the last so many steps the rate also falls linearly to 0
    double adam_beta1 = 0.9;
    double adam_beta2 = 0.999;
    double adam_weight_decay = 1e-2;
    double adam_epsilon = 1e-8;
    double max_grad_norm = 1;
    double ema_decay = 0.999;
};

/// What one update did.
struct TrainReport {
    index_t step = 0; ///< updates so far
    double grad_norm = 0;
    double learning_rate = 0;
};

/// Everything of a training that moves from step to step, beside the parameters: AdamW, the learning rate, averages.
template <Real T, Backend B = Cpu>
class Training {
public:
    explicit Training(const TrainOptions& options)
        : options_(options), optimizer_({.learning_rate = options.learning_rate,
                                         .beta1 = options.adam_beta1,
                                         .beta2 = options.adam_beta2,
                                         .epsilon = options.adam_epsilon,
                                         .weight_decay = options.adam_weight_decay}),
          schedule_{.kind = options.lr_scheduler,
                    .learning_rate = options.learning_rate,
                    .warmup_steps = options.lr_warmup_steps,
                    .training_steps = options.max_train_steps},
          ema_(options.ema_decay) {}

    [[nodiscard]] index_t step_count() const { return step_; }
    [[nodiscard]] AdamW<T, B>& optimizer() { return optimizer_; }
    [[nodiscard]] const AdamW<T, B>& optimizer() const { return optimizer_; }
    [[nodiscard]] EMAModel<T, B>& ema() { return ema_; }
    [[nodiscard]] const EMAModel<T, B>& ema() const { return ema_; }

    /// After optimizer and averages were restored: how many updates they have seen.
    void resume_at(index_t step) { step_ = step; }

    [[nodiscard]] double learning_rate_at(index_t step) const {
        const double left = static_cast<double>(options_.max_train_steps - step);
        const double share = options_.lr_decay_steps > 0 ? left / static_cast<double>(options_.lr_decay_steps) : 1.0;
        return schedule_.at(step) * std::clamp(share, 0.0, 1.0);
    }

    /// One update with the gradients that backward() left.
    TrainReport update(const std::vector<NamedParameter<T, B>>& parameters) {
        TrainReport report{.step = step_ + 1, .learning_rate = learning_rate_at(step_)};
        report.grad_norm = clip_grad_norm_(parameters, options_.max_grad_norm);
        optimizer_.step(parameters, report.learning_rate);
        ema_.step(parameters);
        ++step_;
        return report;
    }

private:
    TrainOptions options_;
    AdamW<T, B> optimizer_;
    LrSchedule schedule_;
    EMAModel<T, B> ema_;
    index_t step_ = 0;
};

/// Appends a model's parameters that train, their names behind `prefix`.
template <Real T, Backend B, Module M>
void append_trained(std::vector<NamedParameter<T, B>>& parameters, const M& model, const std::string& prefix) {
    for_each_parameter(
        model,
        [&](const std::string& name, const auto& parameter) {
            if (parameter.requires_grad()) {
                parameters.push_back({name, parameter.value(), parameter.grad()});
            }
        },
        prefix);
}

/// Gives a model the averages of its parameters.
template <Real T, Backend B, Module M>
void set_to_averages(M& model, const EMAModel<T, B>& ema, const std::string& prefix) {
    for_each_parameter(
        model,
        [&](const std::string& name, auto& parameter) {
            const auto found = ema.averages().find(name);
            require(found != ema.averages().end(), "set_to_averages: no average of \"", name, "\"");
            parameter.set(found->second);
        },
        prefix);
}

/// Sets every parameter of a module to train, or none.
template <Module M>
void train_all(M& module, bool on = true) {
    for_each_parameter(module, [&](const std::string&, auto& parameter) { parameter.train(on); });
}

/// The autoencoder's two losses as variables; their weighted sum is what is trained.
template <class T, Backend B>
struct AutoencoderLoss {
    Variable<T, B> reconstruction; ///< mean squared error of the pictures, which are in -1..1
    Variable<T, B> divergence;     ///< kl_loss of the latents, in nats per latent
    Variable<T, B> total;          ///< reconstruction + kl_weight * divergence
};

/// pictures [n, height, width, 3] in -1..1, noise [n, h, w, latent channels].
template <Real T, Backend B>
[[nodiscard]] AutoencoderLoss<T, B> autoencoder_loss(const AutoencoderKL<T, B>& vae, const Tensor<T, B>& pictures,
                                                     const Tensor<T, B>& noise, double kl_weight) {
    const Variable<T, B> moments = vae.encode(Variable<T, B>(pictures));
    const Variable<T, B> decoded = vae.decode(reparameterize(moments, noise));
    AutoencoderLoss<T, B> loss{mse_loss(decoded, pictures), kl_loss(moments), {}};
    loss.total = axpby(T(1), loss.reconstruction, static_cast<T>(kl_weight), loss.divergence);
    return loss;
}

/// Weight of a timestep's loss: min(SNR, gamma) / SNR for noise prediction, and what equals it for the other two (Hang
/// et al. 2023, "Min-SNR", arXiv:2303.09556, section 3.4). A gamma of 0 weighs all alike.
[[nodiscard]] inline double min_snr_weight(const NoiseSchedule& schedule, PredictionType type, index_t timestep,
                                           double gamma) {
    require(gamma >= 0, "min_snr_weight: gamma is ", gamma, "; expected 0 or more");
    if (gamma == 0) {
        return 1;
    }
    const double alpha_bar = schedule.alpha_bar(timestep);
    const double snr = alpha_bar / (1 - alpha_bar);
    const double bounded = std::min(snr, gamma);
    switch (type) {
    case PredictionType::epsilon:
        return snr > 0 ? bounded / snr : 1;
    case PredictionType::v_prediction:
        return bounded / (snr + 1);
    case PredictionType::sample:
        break;
    }
    return bounded;
}

/// Clean (scaled) latents [n, h, w, channels], each with a noise and a timestep of its own.
template <class T, Backend B>
struct DiffusionBatch {
    Tensor<T, B> latents;
    Tensor<T, B> noise; ///< the same shape
    std::span<const index_t> timesteps;
};

/// The loss of the 2D UNet on a batch, each of whose pictures has a text [n, tokens, channels] of its own: mean of
/// weight * (prediction - target)^2, with min_snr_weight().
template <Real T, Backend B, class Parts, class V>
[[nodiscard]] auto diffusion_loss(const UNet3DConditionModel<T, B, Parts>& unet, const DDPMScheduler& scheduler,
                                  const DiffusionBatch<T, B>& batch, const V& text, double snr_gamma) {
    const auto& [latents, noise, timesteps] = batch;
    const PredictionType type = scheduler.config().prediction_type;
    std::vector<double> at(timesteps.begin(), timesteps.end());
    std::vector<T> weights;
    for (const index_t timestep : timesteps) {
        weights.push_back(static_cast<T>(min_snr_weight(scheduler.schedule(), type, timestep, snr_gamma)));
    }
    const Tensor<T, B> target = type == PredictionType::epsilon  ? noise
                                : type == PredictionType::sample ? latents
                                                                 : scheduler.get_velocity(latents, noise, timesteps);
    const V prediction = unet(V(scheduler.add_noise(latents, noise, timesteps)), std::span<const double>(at), text, 1);
    if constexpr (std::same_as<V, Tensor<T, B>>) {
        return weighted_mse_loss(Variable<T, B>(prediction), target, std::span<const T>(weights)).value();
    } else {
        return weighted_mse_loss(prediction, target, std::span<const T>(weights));
    }
}

} // namespace reel
