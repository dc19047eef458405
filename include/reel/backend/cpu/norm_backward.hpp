#pragma once

#include <reel/backend/cpu/norm.hpp>

namespace reel {

namespace cpu {

/// What a normal row became the output by, for every channel.
template <class C>
struct ScaleAndShift {
    const C* scale;
    const C* shift;
};

/// The gradient of the affine output, y' or y' times the slope of silu, of `rows` rows that share their scale and
/// shift. Elements lie one after the other, so that the exponentials are taken many at once.
template <class T>
void affine_gradient(const NormProblem<T>& p, const T* x, const T* y_gradient, index_t rows,
                     const ScaleAndShift<compute_t<T>>& affine, compute_t<T>* gradient) {
    using C = compute_t<T>;
    const index_t count = rows * p.channels;
    if (!p.silu) {
        widen(y_gradient, count, gradient);
        return;
    }
    for (index_t row = 0; row < rows; ++row) {
        for (index_t c = 0; c < p.channels; ++c) {
            gradient[row * p.channels + c] =
                static_cast<C>(x[row * p.channels + c]) * affine.scale[c] + affine.shift[c];
        }
    }
    ArrayMap<C> z(gradient, count);
    constexpr index_t tile = 256; // what the expression reads twice stays in the first cache
    for (index_t at = 0; at < count; at += tile) {
        const index_t length = std::min(tile, count - at);
        Eigen::Array<C, tile, 1> sigmoid;
        auto part = z.segment(at, length);
        sigmoid.head(length) = C(1) / (C(1) + (-part).exp());
        if constexpr (is_narrow<T>) {
            Eigen::Array<C, tile, 1> dy;
            widen(y_gradient + at, length, dy.data());
            part = dy.head(length) * sigmoid.head(length) * (C(1) + part * (C(1) - sigmoid.head(length)));
        } else {
            const ConstArrayMap<T> dy(y_gradient + at, length);
            part = dy * sigmoid.head(length) * (C(1) + part * (C(1) - sigmoid.head(length)));
        }
    }
}

/// Layer norm: every row by itself. Sums for gamma and beta are kept per run of rows, so that they do not depend on the
/// number of threads.
template <class T>
void layer_norm_backward(Cpu& backend, const NormProblem<T>& p) {
    using C = compute_t<T>;
    constexpr index_t run = 128;
    const index_t channels = p.channels;
    const Widened<T> narrow_gamma(backend, is_narrow<T> ? p.gamma : nullptr, channels);
    const C* gamma = narrow_gamma.data();
    if constexpr (!is_narrow<T>) {
        gamma = p.gamma;
    }
    const index_t runs = (p.sets + run - 1) / run;
    const bool sums = p.gamma_gradient != nullptr || p.beta_gradient != nullptr;
    const Scratch<C> partial(backend, sums ? 2 * runs * channels : 0);
    backend.for_each_range(
        runs,
        [&](index_t first, index_t last) {
            // Aligned: where a sum over a row begins to be vectorised decides its rounding.
            Eigen::Array<C, Eigen::Dynamic, 1> normal(channels);
            Eigen::Array<C, Eigen::Dynamic, 1> gradient(channels);
            std::vector<C> affine(static_cast<std::size_t>((is_narrow<T> ? 3 : 2) * channels));
            C* scale = affine.data();
            C* shift = scale + channels;
            for (index_t i = first; i < last; ++i) {
                C* gradients = partial.data() + 2 * i * channels;
                if (sums) {
                    std::fill_n(gradients, 2 * channels, C(0));
                }
                for (index_t row = i * run; row < std::min((i + 1) * run, p.sets); ++row) {
                    const T* x = p.x + row * channels;
                    const C inverse = p.inverse_std[row];
                    const auto wide = wide_rows(x, channels, 1, channels, shift + channels);
                    normal = (ConstArrayMap<C>(wide.data, channels) - p.mean[row]) * inverse;
                    if (p.silu) {
                        channel_affine(p, p.mean, p.inverse_std, row, scale, shift);
                    }
                    affine_gradient(p, x, p.y_gradient + row * channels, 1, {scale, shift}, gradient.data());
                    if (sums) {
                        ArrayMap<C>(gradients, channels) += gradient;
                        ArrayMap<C>(gradients + channels, channels) += gradient * normal;
                    }
                    if (p.x_gradient != nullptr) {
                        if (gamma != nullptr) {
                            gradient *= ConstArrayMap<C>(gamma, channels);
                        }
                        if constexpr (is_narrow<T>) {
                            const C mean = gradient.mean();
                            const C slope = (gradient * normal).mean();
                            gradient = inverse * (gradient - mean - normal * slope);
                            narrow(gradient.data(), channels, p.x_gradient + row * channels);
                        } else {
                            ArrayMap<T>(p.x_gradient + row * channels, channels) =
                                inverse * (gradient - gradient.mean() - normal * (gradient * normal).mean());
                        }
                    }
                }
            }
        },
        1);
    for (index_t i = 0; sums && i < runs; ++i) {
        const C* gradients = partial.data() + 2 * i * channels;
        if (p.beta_gradient != nullptr) {
            ArrayMap<C>(p.beta_gradient, channels) += ConstArrayMap<C>(gradients, channels);
        }
        if (p.gamma_gradient != nullptr) {
            ArrayMap<C>(p.gamma_gradient, channels) += ConstArrayMap<C>(gradients + channels, channels);
        }
    }
}

/// Adds per-block, per-channel sums to the gradients of gamma and beta, and leaves in `group_means` two numbers per set
/// and group: the means of gamma * gradient, and of that times the normalised input.
template <class T>
void finish_sums(const NormProblem<T>& p, const RowBlocks<T>& blocks, const compute_t<T>* gradient_sums,
                 const compute_t<T>* normal_sums, std::vector<compute_t<T>>& group_means) {
    using C = compute_t<T>;
    const index_t channels = p.channels;
    const index_t width = channels / p.groups;
    for (index_t b = 0; b < blocks.count; ++b) {
        const index_t set = blocks[b].set;
        for (index_t c = 0; c < channels; ++c) {
            const C gradient = gradient_sums[b * channels + c];
            const C normal = normal_sums[b * channels + c];
            if (p.gamma_gradient != nullptr) {
                p.gamma_gradient[c] += normal;
            }
            if (p.beta_gradient != nullptr) {
                p.beta_gradient[c] += gradient;
            }
            const C gamma = p.gamma != nullptr ? static_cast<C>(p.gamma[c]) : C(1);
            const auto group = static_cast<std::size_t>(2 * (set * p.groups + c / width));
            group_means[group] += gamma * gradient;
            group_means[group + 1] += gamma * normal;
        }
    }
    for (C& value : group_means) {
        value /= static_cast<C>(p.rows * width);
    }
}

} // namespace cpu

/// One pass sums, per channel, the gradient and the gradient times the normalised input; a second writes x_gradient,
/// where the first has left the gradient of the affine output.
template <class T>
void norm_backward(Cpu& backend, const NormProblem<T>& p) {
    if (p.rows == 1 && p.groups == 1) {
        cpu::layer_norm_backward(backend, p);
        return;
    }
    const cpu::RowBlocks<T> blocks(p);
    const index_t channels = p.channels;
    const index_t width = channels / p.groups;
    using C = compute_t<T>;
    const cpu::Scratch<C> partial(backend, 2 * blocks.count * channels);
    C* gradient_sums = partial.data();
    C* normal_sums = gradient_sums + blocks.count * channels;
    const bool apart = cpu::is_narrow<T> || p.x_gradient == nullptr;
    const cpu::Scratch<C> own(backend, apart ? p.sets * p.rows * channels : 0);
    C* gradients = own.data();
    if constexpr (!cpu::is_narrow<T>) {
        gradients = apart ? own.data() : p.x_gradient;
    }
    backend.for_each_range(
        blocks.count,
        [&](index_t first, index_t last) {
            std::vector<C> rows(static_cast<std::size_t>(4 * channels));
            C* scale = rows.data();
            C* shift = scale + channels;
            C* mean = shift + channels;
            C* inverse = mean + channels;
            for (index_t b = first; b < last; ++b) {
                const auto [set, begin, end] = blocks[b];
                cpu::channel_affine(p, p.mean, p.inverse_std, set, scale, shift);
                for (index_t c = 0; c < channels; ++c) {
                    mean[c] = p.mean[set * p.groups + c / width];
                    inverse[c] = p.inverse_std[set * p.groups + c / width];
                }
                const index_t at = (set * p.rows + begin) * channels;
                cpu::affine_gradient(p, p.x + at, p.y_gradient + at, end - begin, {scale, shift}, gradients + at);
                C* gradient_sum = gradient_sums + b * channels;
                C* normal_sum = normal_sums + b * channels;
                std::fill_n(gradient_sum, channels, C(0));
                std::fill_n(normal_sum, channels, C(0));
                for (index_t row = 0; row < end - begin; ++row) {
                    const T* x = p.x + at + row * channels;
                    const C* gradient = gradients + at + row * channels;
                    for (index_t c = 0; c < channels; ++c) {
                        gradient_sum[c] += gradient[c];
                        normal_sum[c] += gradient[c] * (static_cast<C>(x[c]) - mean[c]);
                    }
                }
                for (index_t c = 0; c < channels; ++c) {
                    normal_sum[c] *= inverse[c];
                }
            }
        },
        1);
    std::vector<C> group_means(static_cast<std::size_t>(2 * p.sets * p.groups));
    cpu::finish_sums(p, blocks, gradient_sums, normal_sums, group_means);
    if (p.x_gradient == nullptr) {
        return;
    }
    backend.for_each_range(
        blocks.count,
        [&](index_t first, index_t last) {
            // x' = inverse (gamma g - m - normal n) with normal = (x - mean) inverse: a line in g and x - mean.
            std::vector<C> rows(static_cast<std::size_t>(4 * channels));
            C* of_gradient = rows.data();
            C* of_x = of_gradient + channels;
            C* mean = of_x + channels;
            C* constant = mean + channels;
            for (index_t b = first; b < last; ++b) {
                const auto [set, begin, end] = blocks[b];
                for (index_t c = 0; c < channels; ++c) {
                    const index_t group = set * p.groups + c / width;
                    const C inverse = p.inverse_std[group];
                    const C* means = group_means.data() + 2 * group;
                    of_gradient[c] = inverse * (p.gamma != nullptr ? static_cast<C>(p.gamma[c]) : C(1));
                    of_x[c] = -inverse * inverse * means[1];
                    mean[c] = p.mean[group];
                    constant[c] = -inverse * means[0];
                }
                for (index_t row = set * p.rows + begin; row < set * p.rows + end; ++row) {
                    const T* x = p.x + row * channels;
                    C* gradient = gradients + row * channels;
                    for (index_t c = 0; c < channels; ++c) {
                        gradient[c] =
                            of_gradient[c] * gradient[c] + of_x[c] * (static_cast<C>(x[c]) - mean[c]) + constant[c];
                    }
                    if constexpr (cpu::is_narrow<T>) {
                        cpu::narrow(gradient, channels, p.x_gradient + row * channels);
                    }
                }
            }
        },
        1);
}

} // namespace reel
