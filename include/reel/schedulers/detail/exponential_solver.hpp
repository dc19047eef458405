#pragma once

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <reel/schedulers/detail/exponential_step.hpp>
#include <reel/schedulers/detail/linear_combination.hpp>
#include <reel/schedulers/detail/noise_blend.hpp>
#include <reel/schedulers/detail/run_position.hpp>
#include <reel/schedulers/detail/solver_run.hpp>
#include <reel/schedulers/detail/thresholding.hpp>
#include <reel/schedulers/detail/variance_preserving.hpp>

namespace reel {

/// The half that DPM-Solver, DEIS and UniPC share: the levels of a run, the outputs of the last steps, and what they
/// stand for. A sampler inherits from it and adds a constructor, config(), set_timesteps (which calls begin()) and
/// step.
template <Real T, Backend B>
class ExponentialSolver : public VariancePreserving {
public:
    /// From the noisiest down; empty before set_timesteps(). With spread sigmas a timestep can come twice.
    [[nodiscard]] const std::vector<index_t>& timesteps() const { return run_.timesteps(); }

    /// The noise level before every step, as noise / signal, or of flow sigmas as noise, and the one after the last.
    [[nodiscard]] const std::vector<double>& sigmas() const { return sigmas_; }

    /// As VariancePreserving's; at a timestep of the run, with the run's level, which with spread sigmas is not quite
    /// the timestep's, and with flow sigmas another.
    [[nodiscard]] Tensor<T, B> add_noise(const Tensor<T, B>& clean, const Tensor<T, B>& noise,
                                         std::span<const index_t> timesteps) const {
        return detail::blend_noise("add_noise", clean, noise, timesteps, [&](index_t timestep) {
            const auto found = std::find(run_.timesteps().begin(), run_.timesteps().end(), timestep);
            const NoiseLevel level = found == run_.timesteps().end()
                                         ? level_at(timestep)
                                         : noise_level(static_cast<std::size_t>(found - run_.timesteps().begin()));
            return std::pair(level.signal, level.noise);
        });
    }
    [[nodiscard]] Tensor<T, B> add_noise(const Tensor<T, B>& clean, const Tensor<T, B>& noise, index_t timestep) const {
        return add_noise(clean, noise, std::span<const index_t>(&timestep, 1));
    }

protected:
    /// As many outputs are kept as `order` says, and `more`.
    struct Order {
        index_t order;
        index_t highest; ///< that there is
        index_t more = 0;
    };

    /// Throws Error, starting with `name`, for an order that there is not and thresholds without sense.
    ExponentialSolver(std::string_view name, const NoiseScheduleConfig& schedule, PredictionType prediction_type,
                      const Thresholding& threshold, const Order& solver)
        : VariancePreserving(schedule), name_(name), prediction_type_(prediction_type), threshold_(threshold),
          keep_(static_cast<std::size_t>(solver.order + solver.more)) {
        require(solver.order >= 1 && solver.order <= solver.highest, name, ": solver_order is ", solver.order,
                "; expected 1 to ", solver.highest);
        detail::check_thresholding(name, threshold);
    }

    void begin(const SolverRunOptions& options, index_t count) {
        require(options.steps_offset >= 0, name_, ": steps_offset is ", options.steps_offset, "; expected 0 or more");
        SolverRun run = make_solver_run(name_, schedule(), options, count);
        flow_ = options.use_flow_sigmas;
        run_.restart(std::move(run.timesteps));
        sigmas_ = std::move(run.sigmas);
        outputs_.clear();
    }

    [[nodiscard]] std::string_view name() const { return name_; }
    [[nodiscard]] std::size_t steps() const { return run_.size(); }
    [[nodiscard]] SolverLevel level(std::size_t position) const {
        return flow_ ? solver_level(noise_level(position)) : solver_level(sigmas_[position]);
    }
    [[nodiscard]] double lambda(std::size_t position) const { return level(position).lambda; }

    /// Position of the step to be taken; see RunPosition.
    [[nodiscard]] std::size_t find(const Tensor<T, B>& output, index_t timestep, const Tensor<T, B>& sample) const {
        detail::check_step(name_, output, sample);
        return run_.find(name_, timestep);
    }

    /// The clean sample (thresholded, if so configured) or the noise that an output stands for.
    [[nodiscard]] Tensor<T, B> convert(bool clean, const Tensor<T, B>& output, const Tensor<T, B>& sample,
                                       std::size_t position) const {
        const NoiseLevel here = noise_level(position);
        if (!threshold_.thresholding) {
            return mix(clean ? clean_mixture(prediction_type_, here) : noise_mixture(prediction_type_, here), sample,
                       output);
        }
        Tensor<T, B> bounded =
            dynamic_threshold(mix(clean_mixture(prediction_type_, here), sample, output), threshold_);
        return clean ? bounded : noise_beside(bounded, sample, position);
    }

    /// The noise in a sample beside a clean one.
    [[nodiscard]] Tensor<T, B> noise_beside(const Tensor<T, B>& clean, const Tensor<T, B>& sample,
                                            std::size_t position) const {
        return mix(noise_mixture(PredictionType::sample, noise_level(position)), sample, clean);
    }

    /// Adds a converted output to those of the last steps.
    void remember(Tensor<T, B> converted) {
        outputs_.insert(outputs_.begin(), std::move(converted));
        outputs_.resize(std::min(outputs_.size(), keep_));
    }

    /// The outputs that are kept, newest first.
    [[nodiscard]] const std::vector<Tensor<T, B>>& outputs() const { return outputs_; }

    /// Weights for a step from `at` with the polynomial through the last outputs; see multistep_weights().
    [[nodiscard]] OutputWeights history_weights(const ExponentialStep& step, std::size_t at, int order, double linear,
                                                double quadratic) const {
        const double h0 = order > 1 ? lambda(at) - lambda(at - 1) : 0;
        const double h1 = order > 2 ? lambda(at - 1) - lambda(at - 2) : 0;
        return multistep_weights(order, {step.h, h0, h1}, step.constant(), linear, quadratic);
    }

    /// The order of a step that may have `highest`: a run begins with lower ones.
    [[nodiscard]] int order_up_to(int highest) const { return std::min(static_cast<int>(outputs_.size()), highest); }

    /// To be called when the step has succeeded.
    void finish(std::size_t position) { run_.advance(position); }

    /// The noise of a step, undefined where it has none. To be called before anything changes: it may throw.
    template <class Noise>
    [[nodiscard]] Tensor<T, B> draw(const ExponentialStep& step, Noise& noise, const Tensor<T, B>& sample,
                                    index_t timestep) const {
        return step.noise != 0 ? take_noise(name_, noise, sample, timestep) : Tensor<T, B>{};
    }

    /// step.sample x - step.scale (sum of weights times outputs) + step.noise z
    [[nodiscard]] Tensor<T, B> evaluate(const ExponentialStep& step, const Tensor<T, B>& sample,
                                        std::span<const double> weights, const Tensor<T, B>& noise = {}) const {
        std::vector<WeightedTensor<T, B>> terms{{step.sample, &sample}, {step.noise, &noise}};
        for (std::size_t k = 0; k < weights.size() && k < outputs_.size(); ++k) {
            terms.push_back({-step.scale * weights[k], &outputs_[k]});
        }
        return linear_combination<T, B>(terms);
    }

private:
    [[nodiscard]] NoiseLevel noise_level(std::size_t position) const {
        return flow_ ? detail::level_of_flow_sigma(sigmas_[position]) : level_of_sigma(sigmas_[position]);
    }
    [[nodiscard]] NoiseLevel level_at(index_t timestep) const {
        return flow_
                   ? detail::level_of_flow_sigma(static_cast<double>(timestep) / static_cast<double>(schedule().size()))
                   : schedule().level(timestep);
    }

    std::string_view name_;
    PredictionType prediction_type_;
    Thresholding threshold_;
    std::size_t keep_;
    RunPosition run_;
    std::vector<double> sigmas_;
    bool flow_ = false; ///< what sigmas_ are
    std::vector<Tensor<T, B>> outputs_;
};

} // namespace reel
