#pragma once

#include <cmath>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <reel/optim/parameters.hpp>

namespace reel {

namespace functors {

/// One AdamW update of one element; the weights are named as in the paper.
template <class T>
struct AdamWUpdate {
    T decay; ///< 1 - learning rate * weight decay
    T beta1;
    T beta2;
    T rate;     ///< learning rate / (1 - beta1^step)
    T widening; ///< 1 / sqrt(1 - beta2^step)
    T epsilon;
    const T* g;
    T* p;
    T* m;
    T* v;
    constexpr void operator()(index_t i) const {
        using std::sqrt;
        m[i] += (T(1) - beta1) * (g[i] - m[i]);
        v[i] = beta2 * v[i] + (T(1) - beta2) * g[i] * g[i];
        p[i] = decay * p[i] - rate * m[i] / (sqrt(v[i]) * widening + epsilon);
    }
};

} // namespace functors

/// Names and defaults are torch.optim.AdamW's.
struct AdamWOptions {
    double learning_rate = 1e-3;
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
    double weight_decay = 1e-2;
};

/// What AdamW remembers of one parameter. Moments have the parameter's shape.
template <Real T, Backend B = Cpu>
struct AdamWState {
    Tensor<T, B> exp_avg;    ///< running mean of the gradient
    Tensor<T, B> exp_avg_sq; ///< running mean of its square
    index_t step = 0;        ///< updates so far
};

/// Adam with weight decay apart from the gradient (Loshchilov & Hutter 2017, arXiv:1711.05101), as torch.optim.AdamW:
///
///     p <- (1 - lr wd) p;  m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2
///     p <- p - lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps)
///
/// A parameter without a gradient is skipped entirely: no decay, no state, its own t does not advance. Gradients are
/// read only; setting them to nothing before the next backward is the caller's part, as is accumulating them.
template <Real T, Backend B = Cpu>
class AdamW {
public:
    using State = AdamWState<T, B>;
    using States = std::map<std::string, State, std::less<>>;

    /// Throws Error naming an option that makes no sense.
    explicit AdamW(const AdamWOptions& options = {}) : options_(options) {
        const auto check = [](bool fits, std::string_view name, double value, std::string_view expected) {
            require(fits, "AdamW: ", name, " is ", value, "; expected ", expected);
        };
        check(options.learning_rate >= 0, "learning_rate", options.learning_rate, "0 or more");
        check(options.beta1 >= 0 && options.beta1 < 1, "beta1", options.beta1, "0 or more and less than 1");
        check(options.beta2 >= 0 && options.beta2 < 1, "beta2", options.beta2, "0 or more and less than 1");
        check(options.epsilon >= 0, "epsilon", options.epsilon, "0 or more");
        check(options.weight_decay >= 0, "weight_decay", options.weight_decay, "0 or more");
    }

    [[nodiscard]] const AdamWOptions& options() const { return options_; }

    /// Updates the elements of every parameter that has a gradient, in place, with this step's learning rate (see
    /// LrSchedule). Throws Error naming the parameter when a name comes twice or a gradient, or the state that
    /// was restored, has another shape; then nothing was updated.
    void step(std::span<const NamedParameter<T, B>> parameters, double learning_rate) {
        require(learning_rate >= 0, "AdamW: the learning rate is ", learning_rate, "; expected 0 or more");
        std::set<std::string_view> names;
        for (const auto& parameter : parameters) {
            check(parameter);
            require(names.insert(parameter.name).second, "AdamW: two parameters named \"", parameter.name, "\"");
        }
        for (const auto& parameter : parameters) {
            if (parameter.gradient.defined()) {
                update(parameter, state_of(parameter), learning_rate);
            }
        }
    }
    void step(const std::vector<NamedParameter<T, B>>& parameters, double learning_rate) {
        step(std::span<const NamedParameter<T, B>>(parameters), learning_rate);
    }
    /// With the learning rate of the options.
    void step(const std::vector<NamedParameter<T, B>>& parameters) { step(parameters, options_.learning_rate); }

    /// State by parameter name, of those updated at least once: save it to resume.
    [[nodiscard]] const States& states() const { return states_; }

    /// Continues from saved states. Throws Error naming the parameter when a state is incomplete.
    void restore(States states) {
        for (const auto& [name, state] : states) {
            require(state.exp_avg.defined() && state.exp_avg_sq.defined() && state.step >= 1 &&
                        state.exp_avg.shape() == state.exp_avg_sq.shape(),
                    "AdamW: the state of \"", name, "\" is incomplete: exp_avg ", state.exp_avg.shape(),
                    ", exp_avg_sq ", state.exp_avg_sq.shape(), ", step ", state.step);
        }
        states_ = std::move(states);
    }

private:
    void check(const NamedParameter<T, B>& parameter) const {
        if (!parameter.gradient.defined()) {
            return;
        }
        require(parameter.value.defined() && parameter.value.shape() == parameter.gradient.shape(),
                "AdamW: the gradient of \"", parameter.name, "\" has shape ", parameter.gradient.shape(),
                ", but the parameter ", parameter.value.shape());
        const auto found = states_.find(parameter.name);
        require(found == states_.end() || found->second.exp_avg.shape() == parameter.value.shape(),
                "AdamW: the restored state of \"", parameter.name, "\" has shape ",
                found == states_.end() ? Shape{} : found->second.exp_avg.shape(), ", but the parameter ",
                parameter.value.shape());
    }

    State& state_of(const NamedParameter<T, B>& parameter) {
        State& state = states_[parameter.name];
        if (!state.exp_avg.defined()) {
            state.exp_avg = Tensor<T, B>::zeros(parameter.value.backend(), parameter.value.shape());
            state.exp_avg_sq = Tensor<T, B>::zeros(parameter.value.backend(), parameter.value.shape());
        }
        return state;
    }

    void update(const NamedParameter<T, B>& parameter, State& state, double learning_rate) const {
        ++state.step;
        const auto steps = static_cast<double>(state.step);
        const double rate = learning_rate / (1 - std::pow(options_.beta1, steps));
        const double widening = 1 / std::sqrt(1 - std::pow(options_.beta2, steps));
        const double decay = 1 - learning_rate * options_.weight_decay;
        parameter.value.backend().for_each_index(
            parameter.value.size(),
            functors::AdamWUpdate<T>{static_cast<T>(decay), static_cast<T>(options_.beta1),
                                     static_cast<T>(options_.beta2), static_cast<T>(rate), static_cast<T>(widening),
                                     static_cast<T>(options_.epsilon), parameter.gradient.data(),
                                     parameter.value.data(), state.exp_avg.data(), state.exp_avg_sq.data()});
    }

    AdamWOptions options_;
    States states_;
};

} // namespace reel
