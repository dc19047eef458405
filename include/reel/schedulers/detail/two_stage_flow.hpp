#pragma once

#include <limits>
#include <optional>

#include <reel/schedulers/schedule/prediction.hpp>

namespace reel {

namespace functors {

/// The flow x - clean of one element, with clean = clean_x x + clean_o o clamped to [-limit, limit].
struct Flow {
    double clean_x;
    double clean_o;
    double limit;
    constexpr double operator()(double x, double o) const {
        const double clean = clean_x * x + clean_o * o;
        return x - (clean < -limit ? -limit : (clean > limit ? limit : clean));
    }
};

/// z = exact = x + to_stage flow, kept = x + to_keep flow
template <class T>
struct StartFlow {
    Flow flow;
    double to_stage;
    double to_keep;
    const T* x;
    const T* o;
    double* exact;
    double* kept;
    T* z;
    constexpr void operator()(index_t i) const {
        const double value = static_cast<double>(x[i]);
        const double change = flow(value, static_cast<double>(o[i]));
        exact[i] = value + to_stage * change;
        kept[i] = value + to_keep * change;
        z[i] = static_cast<T>(exact[i]);
    }
};

/// z = kept + distance flow + noise_weight e; e may be null.
template <class T>
struct FinishFlow {
    Flow flow;
    double distance;
    double noise_weight;
    const T* x;
    const T* o;
    const double* exact;
    const double* kept;
    const T* e;
    T* z;
    constexpr void operator()(index_t i) const {
        const double value = static_cast<T>(exact[i]) == x[i] ? exact[i] : static_cast<double>(x[i]);
        const double sum = kept[i] + distance * flow(value, static_cast<double>(o[i]));
        z[i] = static_cast<T>(e == nullptr ? sum : sum + noise_weight * static_cast<double>(e[i]));
    }
};

} // namespace functors

/// A step of the flow (x - clean) / sigma by two model calls. What is left of a high sigma is a small difference of
/// large numbers, so the first call's result is kept in double: the second uses that, unless the caller has changed the
/// sample in between.
template <Real T, Backend B>
class TwoStageFlow {
public:
    /// The clean sample, clamped to [-clip, clip] if that is given.
    struct Clean {
        Mixture mixture;
        std::optional<double> clip{};
    };

    void reset() {
        exact_ = {};
        kept_ = {};
    }

    /// The sample for the second call, x + to_stage (x - clean). Keeps x + to_keep (x - clean). Both weights have the
    /// flow's 1 / sigma in them.
    [[nodiscard]] Tensor<T, B> start(const Tensor<T, B>& sample, const Tensor<T, B>& output, const Clean& clean,
                                     double to_stage, double to_keep) {
        exact_ = Tensor<double, B>(sample.backend(), sample.shape());
        kept_ = Tensor<double, B>(sample.backend(), sample.shape());
        Tensor<T, B> result(sample.backend(), sample.shape());
        sample.backend().for_each_index(
            sample.size(), functors::StartFlow<T>{flow(clean), to_stage, to_keep, sample.data(), output.data(),
                                                  exact_.data(), kept_.data(), result.data()});
        return result;
    }

    /// What was kept + distance (x - clean) + noise_weight noise, with x the sample that start() gave. `noise` may be
    /// undefined. Throws Error when the shape is not start()'s.
    [[nodiscard]] Tensor<T, B> finish(const Tensor<T, B>& sample, const Tensor<T, B>& output, const Clean& clean,
                                      double distance, double noise_weight = 0, const Tensor<T, B>& noise = {}) {
        require(exact_.defined() && exact_.shape() == sample.shape(), "scheduler: a sample of shape ", sample.shape(),
                " for the second half of a step that began with ", exact_.shape());
        Tensor<T, B> result(sample.backend(), sample.shape());
        sample.backend().for_each_index(
            sample.size(),
            functors::FinishFlow<T>{flow(clean), distance, noise_weight, sample.data(), output.data(), exact_.data(),
                                    kept_.data(), noise.defined() ? noise.data() : nullptr, result.data()});
        reset();
        return result;
    }

private:
    [[nodiscard]] static functors::Flow flow(const Clean& clean) {
        return {clean.mixture.sample, clean.mixture.output,
                clean.clip.value_or(std::numeric_limits<double>::infinity())};
    }

    Tensor<double, B> exact_;
    Tensor<double, B> kept_;
};

} // namespace reel
