#pragma once

#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include <reel/backend/cpu/kernels.hpp>
#include <reel/backend/generic/norm.hpp>
#include <reel/ops/elementwise.hpp>

namespace reel {

/// What a normalisation looks at: x is seen as [sets, rows, channels] and the channels as `groups` equal runs; mean and
/// variance are taken over the rows and channels of each set and group.
struct NormOptions {
    index_t sets = 1;
    index_t groups = 1;
    double epsilon = 1e-5;
    bool silu = false; ///< followed by x * sigmoid(x)
};

/// A normalised tensor with what its gradient needs.
template <class T, Backend B>
struct NormResult {
    Tensor<T, B> y;
    Tensor<compute_t<T>, B> mean;        ///< [sets, groups]
    Tensor<compute_t<T>, B> inverse_std; ///< [sets, groups]
};

namespace detail {

template <class T, Backend B>
[[nodiscard]] NormProblem<T> norm_problem(const Tensor<T, B>& x, const Tensor<T, B>& gamma, const Tensor<T, B>& beta,
                                          const NormOptions& options) {
    const index_t channels = x.shape(-1);
    require(options.groups > 0 && channels % options.groups == 0, "norm: ", channels, " channels in ", options.groups,
            " groups; expected a multiple");
    require((!gamma.defined() || gamma.shape() == Shape{channels}) &&
                (!beta.defined() || beta.shape() == Shape{channels}),
            "norm: weight ", gamma.shape(), " and bias ", beta.shape(), " for ", channels, " channels");
    const index_t rows = channels == 0 ? 0 : x.size() / channels;
    require(options.sets > 0 && rows % options.sets == 0, "norm: ", rows, " rows in ", options.sets,
            " sets; expected a multiple");
    return {.sets = options.sets,
            .rows = rows / options.sets,
            .channels = channels,
            .groups = options.groups,
            .epsilon = static_cast<compute_t<T>>(options.epsilon),
            .silu = options.silu,
            .x = x.data(),
            .gamma = gamma.defined() ? gamma.data() : nullptr,
            .beta = beta.defined() ? beta.data() : nullptr};
}

} // namespace detail

/// Group norm of channels-last x [..., channels] with optional weight and bias [channels]; statistics in `result` are
/// kept only when `keep_statistics`. Wu & He 2018, arXiv:1803.08494. Layer norm is one set per row and one group.
template <Scalar T, Backend B>
[[nodiscard]] NormResult<T, B> norm(const Tensor<T, B>& x, const Tensor<T, B>& gamma, const Tensor<T, B>& beta,
                                    const NormOptions& options, bool keep_statistics = false) {
    NormProblem<T> problem = detail::norm_problem(x, gamma, beta, options);
    NormResult<T, B> result{Tensor<T, B>(x.backend(), x.shape()), {}, {}};
    if (keep_statistics) {
        result.mean = Tensor<compute_t<T>, B>(x.backend(), {problem.sets, problem.groups});
        result.inverse_std = Tensor<compute_t<T>, B>(x.backend(), {problem.sets, problem.groups});
        problem.mean = result.mean.data();
        problem.inverse_std = result.inverse_std.data();
    }
    problem.y = result.y.data();
    if constexpr (requires { norm_forward(x.backend(), problem); }) {
        norm_forward(x.backend(), problem);
    } else {
        generic::norm_forward(x.backend(), problem);
    }
    return result;
}

/// The normalised tensor alone.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> group_norm(const Tensor<T, B>& x, const Tensor<T, B>& gamma, const Tensor<T, B>& beta,
                                      const NormOptions& options) {
    return norm(x, gamma, beta, options).y;
}

/// Mean and inverse deviation of the sets and groups of a tensor.
template <class T, Backend B>
struct NormStatistics {
    Tensor<compute_t<T>, B> mean;        ///< [sets, groups]
    Tensor<compute_t<T>, B> inverse_std; ///< [sets, groups]

    /// Those of sets [begin, end).
    [[nodiscard]] NormStatistics slice(index_t begin, index_t end) const {
        return {mean.slice(begin, end), inverse_std.slice(begin, end)};
    }
};

/// A backend that takes a norm's statistics and normalises by them in two steps, the second maybe for a part of the
/// rows at a time.
template <class B, class T>
concept NormsInPieces = Backend<B> && requires(B& backend, const NormProblem<T>& problem) {
    norm_statistics(backend, problem);
    norm_apply(backend, problem);
};

/// What norm() would normalise x by.
template <Scalar T, Backend B>
requires NormsInPieces<B, T>
[[nodiscard]] NormStatistics<T, B> norm_statistics(const Tensor<T, B>& x, const NormOptions& options) {
    NormProblem<T> problem = detail::norm_problem(x, Tensor<T, B>{}, Tensor<T, B>{}, options);
    NormStatistics<T, B> result{Tensor<compute_t<T>, B>(x.backend(), {problem.sets, problem.groups}),
                                Tensor<compute_t<T>, B>(x.backend(), {problem.sets, problem.groups})};
    problem.mean = result.mean.data();
    problem.inverse_std = result.inverse_std.data();
    norm_statistics(x.backend(), problem);
    return result;
}

/// What norm() would normalise concat_channels(x, y) by, without joining them: each channel's mean and variance, put
/// together to groups, which may lie across the border.
template <Scalar T, Backend B>
requires NormsInPieces<B, T>
[[nodiscard]] NormStatistics<T, B> joined_norm_statistics(const Tensor<T, B>& x, const Tensor<T, B>& y,
                                                          const NormOptions& options) {
    const index_t channels = x.shape(-1) + y.shape(-1);
    require(options.groups > 0 && channels % options.groups == 0, "norm: ", channels, " channels in ", options.groups,
            " groups; expected a multiple");
    const auto of_channels = [&](const Tensor<T, B>& part) {
        NormOptions each = options;
        each.groups = part.shape(-1);
        const NormStatistics<T, B> found = norm_statistics(part, each);
        return std::pair{found.mean.to_host(), found.inverse_std.to_host()};
    };
    const auto parts = std::array{of_channels(x), of_channels(y)};
    const auto at = [&](index_t set, index_t channel) { // mean and variance
        const bool first = channel < x.shape(-1);
        const auto& [means, inverse_stds] = parts[first ? 0 : 1];
        const auto i =
            static_cast<std::size_t>(first ? set * x.shape(-1) + channel : set * y.shape(-1) + channel - x.shape(-1));
        const auto inverse_std = static_cast<double>(inverse_stds[i]);
        return std::pair{static_cast<double>(means[i]), 1 / (inverse_std * inverse_std) - options.epsilon};
    };
    using C = compute_t<T>;
    const index_t width = channels / options.groups;
    std::vector<C> means;
    std::vector<C> inverse_stds;
    for (index_t group = 0; group < options.sets * options.groups; ++group) {
        const index_t begin = group % options.groups * width;
        double mean = 0;
        for (index_t c = begin; c < begin + width; ++c) {
            mean += at(group / options.groups, c).first / static_cast<double>(width);
        }
        double variance = 0;
        for (index_t c = begin; c < begin + width; ++c) {
            const auto [own, spread] = at(group / options.groups, c);
            variance += (spread + (own - mean) * (own - mean)) / static_cast<double>(width);
        }
        means.push_back(static_cast<C>(mean));
        inverse_stds.push_back(static_cast<C>(1 / std::sqrt(std::max(variance, 0.0) + options.epsilon)));
    }
    const Shape shape{options.sets, options.groups};
    return {Tensor<C, B>::from_host(x.backend(), shape, means),
            Tensor<C, B>::from_host(x.backend(), shape, inverse_stds)};
}

/// x, whole sets or equal parts of sets, normalised by statistics that were taken before.
template <Scalar T, Backend B>
requires NormsInPieces<B, T>
[[nodiscard]] Tensor<T, B> normalised(const Tensor<T, B>& x, const NormStatistics<T, B>& statistics,
                                      const Tensor<T, B>& gamma, const Tensor<T, B>& beta, const NormOptions& options) {
    NormProblem<T> problem = detail::norm_problem(x, gamma, beta, options);
    const Shape expected{problem.sets, problem.groups};
    require(statistics.mean.shape() == expected, "normalised: statistics ", statistics.mean.shape(), "; expected ",
            expected);
    Tensor<T, B> y(x.backend(), x.shape());
    problem.mean = statistics.mean.data();
    problem.inverse_std = statistics.inverse_std.data();
    problem.y = y.data();
    norm_apply(x.backend(), problem);
    return y;
}

/// Gradients of norm; members not asked for are undefined.
template <class T, Backend B>
struct NormGradients {
    Tensor<T, B> x;
    Tensor<T, B> gamma;
    Tensor<T, B> beta;
};

/// What a norm is computed of; gamma and beta may be undefined.
template <class T, Backend B>
struct NormInputs {
    Tensor<T, B> x;
    Tensor<T, B> gamma;
    Tensor<T, B> beta;
};

/// Which of a norm's gradients are wanted.
struct NormWants {
    bool x = false;
    bool gamma = false;
    bool beta = false;
};

/// Gradients of a norm from that of its result; those that are not wanted stay empty.
template <Scalar T, Backend B>
[[nodiscard]] NormGradients<T, B> norm_gradients(const NormInputs<T, B>& inputs, const NormOptions& options,
                                                 const NormStatistics<T, B>& statistics, const Tensor<T, B>& y_gradient,
                                                 const NormWants& wants) {
    const Tensor<T, B>& x = inputs.x; // clang 14 knows no structured binding in a requirement
    NormProblem<T> problem = detail::norm_problem(x, inputs.gamma, inputs.beta, options);
    require(y_gradient.shape() == x.shape(), "norm_gradients: gradient ", y_gradient.shape(), " for input ", x.shape());
    problem.mean = statistics.mean.data();
    problem.inverse_std = statistics.inverse_std.data();
    problem.y_gradient = y_gradient.data();
    NormGradients<T, B> result;
    Tensor<compute_t<T>, B> gamma_sums;
    Tensor<compute_t<T>, B> beta_sums;
    if (wants.x) {
        result.x = Tensor<T, B>(x.backend(), x.shape());
        problem.x_gradient = result.x.data();
    }
    if (wants.gamma) {
        gamma_sums = Tensor<compute_t<T>, B>::zeros(x.backend(), {problem.channels});
        problem.gamma_gradient = gamma_sums.data();
    }
    if (wants.beta) {
        beta_sums = Tensor<compute_t<T>, B>::zeros(x.backend(), {problem.channels});
        problem.beta_gradient = beta_sums.data();
    }
    if constexpr (requires { norm_backward(x.backend(), problem); }) {
        norm_backward(x.backend(), problem);
    } else {
        generic::norm_backward(x.backend(), problem);
    }
    result.gamma = detail::stored_as<T>(std::move(gamma_sums));
    result.beta = detail::stored_as<T>(std::move(beta_sums));
    return result;
}

} // namespace reel
