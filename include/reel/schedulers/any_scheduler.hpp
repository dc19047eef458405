#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#include <reel/schedulers/scheduler.hpp>

namespace reel {

/// Where a step's noise comes from when the scheduler's type is not known at compile time.
template <class T, class B = Cpu>
using NoiseSource = std::function<Tensor<T, B>(const Shape&)>;

namespace detail {

/// Virtual functions of AnyScheduler.
template <class T, class B>
struct SchedulerInterface {
    virtual ~SchedulerInterface() = default;
    [[nodiscard]] virtual std::unique_ptr<SchedulerInterface> clone() const = 0;
    virtual void set_timesteps(index_t count) = 0;
    [[nodiscard]] virtual std::vector<double> timesteps() const = 0;
    [[nodiscard]] virtual double init_noise_sigma() const = 0;
    [[nodiscard]] virtual Tensor<T, B> scale_model_input(const Tensor<T, B>& sample, double timestep) = 0;
    [[nodiscard]] virtual Tensor<T, B> step(const Tensor<T, B>& output, double timestep, const Tensor<T, B>& sample,
                                            const NoiseSource<T, B>* noise) = 0;
    [[nodiscard]] virtual Tensor<T, B> add_noise(const Tensor<T, B>& clean, const Tensor<T, B>& noise,
                                                 std::span<const double> timesteps) const = 0;
    [[nodiscard]] virtual bool set_eta(double eta) = 0;
    [[nodiscard]] virtual double eta() const = 0;
    [[nodiscard]] virtual std::optional<PredictionType> prediction_type() const = 0;
    [[nodiscard]] virtual const void* as(const std::type_info& type) const = 0;
    [[nodiscard]] virtual bool same_configuration(const SchedulerInterface& other) const = 0;
};

/// Whether a scheduler has a choice of how much noise its steps draw.
template <class S>
concept HasEta = requires(S& scheduler) {
    scheduler.options.eta = 0.5;
};

template <class S>
concept HasPredictionType = requires(const S& scheduler) {
    { scheduler.config().prediction_type } -> std::convertible_to<PredictionType>;
};

template <class S, class T, class B>
class SchedulerHolder final : public SchedulerInterface<T, B> {
public:
    SchedulerHolder(const std::string& name, S scheduler) : name_(name), scheduler_(std::move(scheduler)) {}

    [[nodiscard]] std::unique_ptr<SchedulerInterface<T, B>> clone() const override {
        return std::make_unique<SchedulerHolder>(*this);
    }
    void set_timesteps(index_t count) override { scheduler_.set_timesteps(count); }
    [[nodiscard]] std::vector<double> timesteps() const override {
        std::vector<double> numbers;
        for (const auto timestep : scheduler_.timesteps()) {
            numbers.push_back(static_cast<double>(timestep));
        }
        return numbers;
    }
    [[nodiscard]] double init_noise_sigma() const override { return scheduler_.init_noise_sigma(); }
    [[nodiscard]] Tensor<T, B> scale_model_input(const Tensor<T, B>& sample, double timestep) override {
        return scheduler_.scale_model_input(sample, own(timestep));
    }
    [[nodiscard]] Tensor<T, B> step(const Tensor<T, B>& output, double timestep, const Tensor<T, B>& sample,
                                    const NoiseSource<T, B>* noise) override {
        const auto given = [&](const Shape& shape) -> Tensor<T, B> {
            require(noise != nullptr, name_, ": the step at timestep ", timestep,
                    " draws noise: pass a tensor or a noise source as the fourth argument of step()");
            return (*noise)(shape);
        };
        return scheduler_.step(output, own(timestep), sample, given);
    }
    [[nodiscard]] Tensor<T, B> add_noise(const Tensor<T, B>& clean, const Tensor<T, B>& noise,
                                         std::span<const double> timesteps) const override {
        std::vector<timestep_t<S>> numbers;
        for (const double timestep : timesteps) {
            numbers.push_back(own(timestep));
        }
        return scheduler_.add_noise(clean, noise, std::span<const timestep_t<S>>(numbers));
    }
    [[nodiscard]] bool set_eta(double eta) override {
        if constexpr (HasEta<S>) {
            scheduler_.options.eta = eta;
            return true;
        }
        return eta == 0;
    }
    [[nodiscard]] double eta() const override {
        if constexpr (HasEta<S>) {
            return scheduler_.options.eta;
        }
        return 0;
    }
    [[nodiscard]] std::optional<PredictionType> prediction_type() const override {
        if constexpr (HasPredictionType<S>) {
            return scheduler_.config().prediction_type;
        }
        return std::nullopt;
    }
    [[nodiscard]] const void* as(const std::type_info& type) const override {
        return type == typeid(S) ? &scheduler_ : nullptr;
    }
    [[nodiscard]] bool same_configuration(const SchedulerInterface<T, B>& other) const override {
        const auto* same = static_cast<const S*>(other.as(typeid(S)));
        if constexpr (requires {
                          { scheduler_.config() == scheduler_.config() } -> std::convertible_to<bool>;
                      }) {
            if (same == nullptr || !(same->config() == scheduler_.config())) {
                return false;
            }
        }
        if constexpr (HasEta<S>) {
            return same != nullptr && same->options.eta == scheduler_.options.eta;
        }
        return same != nullptr;
    }

private:
    [[nodiscard]] timestep_t<S> own(double timestep) const {
        const auto exact = static_cast<timestep_t<S>>(timestep);
        require(static_cast<double>(exact) == timestep, name_, ": timestep ", timestep,
                " is not one of this scheduler's, which are whole numbers");
        return exact;
    }

    std::string name_;
    S scheduler_;
};

} // namespace detail

/// Any Scheduler behind one type, for a choice at run time: what calls the model is compiled once, whichever samplers
/// there are. A Scheduler itself (for tensors of T on B), with timesteps of type double. Copies are independent runs.
///
///     AnyScheduler<float> sampler("RestartSampler", RestartSampler{});
///     sampler = make_scheduler<float>("euler", model_folder / "scheduler"); // scheduler_registry.hpp
template <Real T, Backend B = Cpu>
class AnyScheduler {
public:
    /// `name` begins messages: diffusers' class name where there is one.
    template <class S>
    requires(!std::same_as<S, AnyScheduler>) AnyScheduler(std::string name, S scheduler) : name_(std::move(name)) {
        static_assert(check_scheduler<S, T, B>());
        held_ = std::make_unique<detail::SchedulerHolder<S, T, B>>(name_, std::move(scheduler));
        timesteps_ = held_->timesteps();
    }
    AnyScheduler(const AnyScheduler& other)
        : name_(other.name_), timesteps_(other.timesteps_), held_(other.held_->clone()) {}
    AnyScheduler(AnyScheduler&&) noexcept = default;
    AnyScheduler& operator=(AnyScheduler other) noexcept {
        name_.swap(other.name_);
        timesteps_.swap(other.timesteps_);
        held_.swap(other.held_);
        return *this;
    }
    ~AnyScheduler() = default;

    [[nodiscard]] const std::string& name() const { return name_; }

    void set_timesteps(index_t count) {
        held_->set_timesteps(count);
        timesteps_ = held_->timesteps();
    }

    /// The timestep of every model call; see the scheduler's own. There may be more of them than steps.
    [[nodiscard]] const std::vector<double>& timesteps() const { return timesteps_; }

    [[nodiscard]] double init_noise_sigma() const { return held_->init_noise_sigma(); }

    [[nodiscard]] Tensor<T, B> scale_model_input(const Tensor<T, B>& sample, double timestep) {
        return held_->scale_model_input(sample, timestep);
    }

    /// `noise` is a tensor or a source (see NoiseFor), which is called only when the step draws.
    template <class Noise = NoNoise>
    [[nodiscard]] Tensor<T, B> step(const Tensor<T, B>& model_output, double timestep, const Tensor<T, B>& sample,
                                    Noise&& noise = {}) {
        if constexpr (std::same_as<std::remove_cvref_t<Noise>, NoNoise>) {
            return held_->step(model_output, timestep, sample, nullptr);
        } else if constexpr (std::same_as<std::remove_cvref_t<Noise>, Tensor<T, B>>) {
            const NoiseSource<T, B> source = [&](const Shape&) { return noise; };
            return held_->step(model_output, timestep, sample, &source);
        } else {
            static_assert(NoiseFor<Noise, T, B>, "reel: the noise of a step is a tensor of the sample's type or a "
                                                 "callable that takes a Shape and returns one");
            const NoiseSource<T, B> source = [&](const Shape& shape) -> Tensor<T, B> { return noise(shape); };
            return held_->step(model_output, timestep, sample, &source);
        }
    }

    [[nodiscard]] Tensor<T, B> add_noise(const Tensor<T, B>& clean, const Tensor<T, B>& noise,
                                         std::span<const double> timesteps) const {
        return held_->add_noise(clean, noise, timesteps);
    }
    [[nodiscard]] Tensor<T, B> add_noise(const Tensor<T, B>& clean, const Tensor<T, B>& noise, double timestep) const {
        return held_->add_noise(clean, noise, std::span<const double>(&timestep, 1));
    }

    /// How much noise the steps draw, for schedulers that have the choice (DDIM, TCD). Throws Error for a value other
    /// than 0 where there is none.
    void set_eta(double eta) {
        require(held_->set_eta(eta), name_, " has no eta, but ", eta, " is asked for; leave it at 0");
    }

    /// How much noise the steps draw: 0 where there is no choice.
    [[nodiscard]] double eta() const { return held_->eta(); }

    /// What the model must have been trained to give; nothing when the scheduler does not say.
    [[nodiscard]] std::optional<PredictionType> prediction_type() const { return held_->prediction_type(); }

    /// Whether both hold the same type of scheduler with equal configurations (where it has one) and equal eta.
    [[nodiscard]] bool same_configuration(const AnyScheduler& other) const {
        return held_->same_configuration(*other.held_);
    }

    /// The scheduler within, or null when it has another type.
    template <class S>
    [[nodiscard]] const S* as() const {
        return static_cast<const S*>(held_->as(typeid(S)));
    }

private:
    std::string name_;
    std::vector<double> timesteps_;
    std::unique_ptr<detail::SchedulerInterface<T, B>> held_;
};

} // namespace reel
