#pragma once

#include <algorithm>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <reel/optim/parameters.hpp>

namespace reel {

namespace functors {

template <class T>
struct MoveTowards {
    const T* target;
    T* x;
    T share;
    constexpr void operator()(index_t i) const { x[i] += share * (target[i] - x[i]); }
};

} // namespace functors

/// Moving averages of parameters, which make better models than the parameters of any one step (Polyak averaging).
/// After the update number k, counted from 1, average <- d average + (1 - d) parameter with d = min(decay, k / (9 +
/// k)): diffusers' EMAModel without warm-up options; the first update copies.
template <Real T, Backend B = Cpu>
class EMAModel {
public:
    using Averages = std::map<std::string, Tensor<T, B>, std::less<>>;

    explicit EMAModel(double decay = 0.9999) : decay_(decay) {
        require(decay >= 0 && decay < 1, "EMAModel: decay is ", decay, "; expected 0 or more and less than 1");
    }

    [[nodiscard]] index_t step_count() const { return steps_; }
    [[nodiscard]] const Averages& averages() const { return averages_; }

    /// The share of the old average that the update number `step` (from 1) keeps.
    [[nodiscard]] double decay_at(index_t step) const {
        const auto k = static_cast<double>(step - 1);
        return step <= 1 ? 0 : std::min(decay_, (1 + k) / (10 + k));
    }

    /// Takes the parameters' values in. Throws Error for a parameter that changed its shape.
    void step(std::span<const NamedParameter<T, B>> parameters) {
        const auto share = static_cast<T>(1 - decay_at(++steps_));
        for (const auto& parameter : parameters) {
            const auto found = averages_.find(parameter.name);
            if (found == averages_.end()) {
                averages_.emplace(parameter.name, parameter.value.clone());
                continue;
            }
            const Tensor<T, B>& average = found->second;
            require(average.shape() == parameter.value.shape(), "EMAModel: \"", parameter.name, "\" has shape ",
                    parameter.value.shape(), ", its average ", average.shape());
            average.backend().for_each_index(average.size(),
                                             functors::MoveTowards<T>{parameter.value.data(), average.data(), share});
        }
    }
    void step(const std::vector<NamedParameter<T, B>>& parameters) {
        step(std::span<const NamedParameter<T, B>>(parameters));
    }

    /// Continues from saved averages.
    void restore(Averages averages, index_t steps) {
        averages_ = std::move(averages);
        steps_ = steps;
    }

private:
    double decay_;
    index_t steps_ = 0;
    Averages averages_;
};

} // namespace reel
