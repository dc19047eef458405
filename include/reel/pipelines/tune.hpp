#pragma once

#include <cmath>
#include <functional>
#include <limits>

#include <reel/models/autoencoder_kl.hpp>
#include <reel/models/unet.hpp>
#include <reel/optim/adamw_8bit.hpp>
#include <reel/optim/grad_clip.hpp>
#include <reel/optim/grad_scaler.hpp>
#include <reel/optim/lr_scheduler.hpp>
#include <reel/pipelines/shared_gradients.hpp>
#include <reel/pipelines/training_noise.hpp>
#include <reel/pipelines/tune_options.hpp>
#include <reel/pipelines/tune_report.hpp>
#include <reel/schedulers/ddpm.hpp>

namespace reel {

/// What a Tuner goes on from, beside parameters and the optimizer's state.
struct TuneProgress {
    index_t step = 0;
    index_t skipped = 0; ///< of these steps
    GradScalerState scaler;
};

/// What a loss compares the UNet's prediction with.
template <class T, Backend B>
struct TuneSample {
    Tensor<T, B> target;  ///< noise, velocity or latents, by the model's prediction type: [frames, h, w, channels]
    Tensor<T, B> latents; ///< the clip's, without noise
    Tensor<T, B> noise;   ///< that was added
    index_t timestep = 0; ///< its level
};

/// The reference's loss: the mean of squared differences.
struct MseLoss {
    template <Real T, Backend B>
    [[nodiscard]] Variable<T, B> operator()(const Variable<T, B>& prediction, const TuneSample<T, B>& sample) const {
        return mse_loss(prediction, sample.target);
    }
};

/// Tunes the parameters that are set to train, one update per call: a sample of the clip's latent distribution, noise
/// at a random timestep, the squared error of the UNet's prediction, AdamW. The distribution is computed once, by the
/// caller. Wu et al. 2022 (Tune-A-Video), arXiv:2212.11565.
/// With a 16-bit T (its mixed_precision) weights and activations have 16 bits; latents, noise, loss, what trains and
/// AdamW's state stay float. With half the loss is scaled, as torch.cuda.amp.GradScaler does.
template <Scalar T, Backend B = Cpu, class Unet = UNet3DConditionModel<T, B>>
class Tuner {
public:
    using C = compute_t<T>;

    /// moments [frames, h, w, 2 * latent channels] of the clip; text [1, tokens, channels] of its prompt. The UNet and
    /// the scheduler must outlive the tuner.
    Tuner(Unet& unet, const DDPMScheduler& scheduler, Tensor<C, B> moments, Tensor<T, B> text, double scaling_factor,
          const TuneOptions& options)
        : unet_(unet), scheduler_(scheduler), moments_(std::move(moments)), text_(std::move(text)),
          scaling_factor_(scaling_factor), options_(options),
          optimizer_(
              {.adamw = {.learning_rate = options.scaled_learning_rate(),
                         .beta1 = options.adam_beta1,
                         .beta2 = options.adam_beta2,
                         .epsilon = options.adam_epsilon,
                         .weight_decay = options.adam_weight_decay},
               .min_8bit_size = options.use_8bit_adam ? AdamW8bitOptions{}.min_8bit_size : AdamW8bitOptions::never}),
          learning_rates_{.kind = options.lr_scheduler,
                          .learning_rate = options.scaled_learning_rate(),
                          .warmup_steps = options.lr_warmup_steps,
                          .training_steps = options.max_train_steps},
          scaler_({.enabled = std::same_as<T, half>}) {
        require(trains(unet), "Tuner: no parameter is set to train; call set_trainable_modules() first");
        require(options.gradient_accumulation_steps > 0, "Tuner: gradient_accumulation_steps is ",
                options.gradient_accumulation_steps, "; expected 1 or more");
    }

    [[nodiscard]] index_t step_count() const { return step_; }
    /// With use_8bit_adam false it keeps all moments in full.
    [[nodiscard]] AdamW8bit<C, B>& optimizer() { return optimizer_; }

    [[nodiscard]] Unet& unet() { return unet_; }
    [[nodiscard]] B& backend() { return moments_.backend(); }

    /// Shape of the clip's latents.
    [[nodiscard]] Shape latent_shape() const { return moments_.shape().with(3, moments_.shape(3) / 2); }

    /// The clip's latents that the last update looked at (scaled); undefined before the first.
    [[nodiscard]] const Tensor<C, B>& latents() const { return latents_; }

    [[nodiscard]] TuneProgress progress() const { return {step_, skipped_, scaler_.state()}; }

    /// After parameters and optimizer were restored: what progress() gave then.
    void resume_at(const TuneProgress& progress) {
        scaler_.restore(progress.scaler);
        step_ = progress.step;
        skipped_ = progress.skipped;
    }

    /// Divides the draws of every update among ranks, which must have the same model and options: each computes its
    /// share's gradients, and all step with their sum. The same noise, so the same result but for the order of sums.
    void share_draws(Communicator ranks) { ranks_ = std::move(ranks); }

    /// One update. `draw(i)` gives the noise of draw i, counted from 0 over all updates. The learning rate stands still
    /// where a step is left out. `loss(prediction, sample)` takes a Variable and a TuneSample, both of C (float, where
    /// T has 16 bits), and returns a scalar Variable. Throws Error when a gradient is not finite and the scale of the
    /// loss cannot be why.
    template <class Draw, class Loss = MseLoss>
    TuneReport update(const Draw& draw, const Loss& loss = {}) {
        const index_t draws = options_.gradient_accumulation_steps;
        TuneReport report{
            .step = step_ + 1, .loss = 0, .grad_norm = 0, .learning_rate = learning_rates_.at(step_ - skipped_)};
        const Share mine = ranks_.share(draws);
        for (index_t i = mine.first; i < mine.last; ++i) {
            report.loss += accumulate(draw(step_ * draws + i), loss) / static_cast<double>(draws);
        }
        if (!ranks_.alone()) {
            ranks_.all_reduce(std::span<double>(&report.loss, 1), "the loss of a step");
            sum_gradients<T>(ranks_, unet_, backend());
            if (mine.empty() || mine.last < draws) { // what one process looked at last
                latents_ = sample_latents(moments_, draw(step_ * draws + draws - 1).posterior, scaling_factor_);
            }
        }
        std::vector<NamedParameter<T, B>> parameters;
        for_each_parameter(unet_, [&](const std::string& name, auto& parameter) {
            if (parameter.requires_grad()) {
                parameters.push_back({name, parameter.value(), parameter.grad()});
            }
        });
        if constexpr (std::same_as<T, C>) {
            report.grad_norm = clip_grad_norm_(parameters, options_.max_grad_norm);
            optimizer_.step(parameters, report.learning_rate);
        } else {
            const std::span<const NamedParameter<T, B>> all(parameters);
            if constexpr (std::same_as<T, half>) {
                report.grad_norm = scaler_.unscaled_norm(all).value_or(std::numeric_limits<double>::infinity());
            } else {
                report.grad_norm = grad_norm(all);
            }
            report.skipped = std::isinf(report.grad_norm);
            if (!report.skipped) {
                const double factor = clip_factor(report.grad_norm, options_.max_grad_norm);
                step_masters(factor / scaler_.get_scale(), report.learning_rate);
            }
            require(!report.skipped || scaler_.get_scale() > smallest_scale, "Tuner: the gradients of step ",
                    report.step, " are not finite, not even with a loss scale of ", scaler_.get_scale(),
                    ": the training has diverged, or its input holds NaN; use bf16 or float32 (mixed_precision), or a "
                    "smaller learning rate");
            scaler_.update(report.skipped);
            skipped_ += report.skipped ? 1 : 0;
        }
        zero_grad(unet_);
        ++step_;
        return report;
    }

private:
    /// Moves the float copies of 16-bit parameters, one by one: a gradient in float is as large as two of them.
    void step_masters(double factor, double learning_rate) {
        for_each_parameter(unet_, [&](const std::string& name, auto& parameter) {
            if (const Tensor<C, B> gradient = parameter.master_grad(); gradient.defined()) {
                gradient.backend().for_each_index(
                    gradient.size(), functors::Scale<C>{static_cast<C>(factor), gradient.data(), gradient.data()});
                optimizer_.step({NamedParameter<C, B>{name, parameter.master(), gradient}}, learning_rate);
                parameter.round_master();
            }
        });
    }

    /// Adds one draw's share to the gradients; returns its loss.
    template <class Loss>
    double accumulate(const TrainingNoise<C, B>& random, const Loss& loss_of) {
        latents_ = sample_latents(moments_, random.posterior, scaling_factor_);
        const Tensor<C, B> noisy = scheduler_.add_noise(latents_, random.noise, random.timestep);
        const double timestep = static_cast<double>(random.timestep);
        const Variable<T, B> prediction =
            unet_(Variable<T, B>(detail::stored_as<T>(noisy)), std::span<const double>(&timestep, 1),
                  Variable<T, B>(text_), moments_.shape(0));
        const double seed = scaler_.get_scale() / static_cast<double>(options_.gradient_accumulation_steps);
        if constexpr (!std::same_as<T, C> && std::same_as<Loss, MseLoss>) { // without a copy of the prediction
            const Tensor<C, B> difference = subtract(cast<C>(prediction.value()), target(random));
            const auto count = static_cast<double>(difference.size());
            backward(prediction, cast<T>(scale(difference, static_cast<C>(2.0 * seed / count))));
            return squared_norm(difference) / count;
        } else {
            const TuneSample<C, B> sample{target(random), latents_, random.noise, random.timestep};
            if constexpr (std::same_as<T, C>) {
                const Variable<T, B> loss = loss_of(prediction, sample);
                backward(loss, seed);
                return static_cast<double>(loss.value().to_host()[0]);
            } else { // the loss is taken in float, as the reference's
                const auto wide = Variable<C, B>::leaf(cast<C>(prediction.value()));
                const Variable<C, B> loss = loss_of(wide, sample);
                backward(loss, seed);
                backward(prediction, cast<T>(wide.grad()));
                return static_cast<double>(loss.value().to_host()[0]);
            }
        }
    }

    [[nodiscard]] Tensor<C, B> target(const TrainingNoise<C, B>& random) const {
        switch (scheduler_.config().prediction_type) {
        case PredictionType::epsilon:
            return random.noise;
        case PredictionType::v_prediction:
            return scheduler_.get_velocity(latents_, random.noise, random.timestep);
        case PredictionType::sample:
            break;
        }
        return latents_;
    }

    static constexpr double smallest_scale = 1.0 / 65536;

    Unet& unet_;
    const DDPMScheduler& scheduler_;
    Tensor<C, B> moments_;
    Tensor<T, B> text_;
    double scaling_factor_;
    TuneOptions options_;
    AdamW8bit<C, B> optimizer_;
    LrSchedule learning_rates_;
    GradScaler scaler_;
    index_t step_ = 0;
    index_t skipped_ = 0;
    Tensor<C, B> latents_;
    Communicator ranks_;
};

} // namespace reel
