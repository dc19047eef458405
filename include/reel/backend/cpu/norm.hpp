#pragma once

#include <reel/backend/cpu/convolution.hpp>
#include <reel/backend/cpu/widen.hpp>
#include <reel/backend/generic/norm.hpp>

namespace reel {

namespace cpu {

/// Rows of one set that one task handles.
struct RowBlock {
    index_t set;
    index_t begin; ///< row within the set
    index_t end;
};

/// How the rows of a NormProblem are cut into tasks: never across sets.
template <class T>
struct RowBlocks {
    static constexpr index_t rows_per_block = 64;
    index_t rows;
    index_t per_set;
    index_t count;

    explicit RowBlocks(const NormProblem<T>& p)
        : rows(p.rows), per_set((p.rows + rows_per_block - 1) / rows_per_block), count(p.sets * per_set) {}

    [[nodiscard]] RowBlock operator[](index_t i) const {
        const index_t begin = i % per_set * rows_per_block;
        return {i / per_set, begin, std::min(begin + rows_per_block, rows)};
    }
};

/// Adds each block's row of `partial` [blocks, width] up to one double per set and group of width/groups columns.
template <class T>
void sum_groups(const RowBlocks<T>& blocks, const compute_t<T>* partial, index_t width, index_t groups, index_t set,
                std::vector<double>& sums) {
    std::fill(sums.begin(), sums.end(), 0.0);
    const index_t per_group = width / groups;
    for (index_t b = set * blocks.per_set; b < (set + 1) * blocks.per_set; ++b) {
        for (index_t c = 0; c < width; ++c) {
            sums[static_cast<std::size_t>(c / per_group)] += static_cast<double>(partial[b * width + c]);
        }
    }
}

template <class T>
void silu_in_place(T* y, index_t count) {
    ArrayMap<T> values(y, count);
    values = values / (T(1) + (-values).exp());
}

template <class T>
void layer_norm_row(const NormProblem<T>& p, index_t row) {
    const ConstArrayMap<T> x(p.x + row * p.channels, p.channels);
    ArrayMap<T> y(p.y + row * p.channels, p.channels);
    const T mean = x.mean();
    const T inverse = T(1) / std::sqrt((x - mean).square().mean() + p.epsilon);
    if (p.mean != nullptr) {
        p.mean[row] = mean;
        p.inverse_std[row] = inverse;
    }
    y = (x - mean) * inverse;
    if (p.gamma != nullptr) {
        y *= ConstArrayMap<T>(p.gamma, p.channels);
    }
    if (p.beta != nullptr) {
        y += ConstArrayMap<T>(p.beta, p.channels);
    }
    if (p.silu) {
        silu_in_place(p.y + row * p.channels, p.channels);
    }
}

/// Layer norm of 16-bit rows, each by way of a float copy.
template <class T>
void narrow_layer_norm(Cpu& backend, const NormProblem<T>& p, index_t grain) {
    using C = compute_t<T>;
    const Widened<T> gamma(backend, p.gamma, p.channels);
    const Widened<T> beta(backend, p.beta, p.channels);
    backend.for_each_range(
        p.sets,
        [&](index_t begin, index_t end) {
            const Scratch<C> wide(backend, p.channels); // aligned: that decides how Eigen groups a sum's terms
            for (index_t row = begin; row < end; ++row) {
                widen(p.x + row * p.channels, p.channels, wide.data());
                layer_norm_row(NormProblem<C>{.channels = p.channels,
                                              .epsilon = p.epsilon,
                                              .silu = p.silu,
                                              .x = wide.data(),
                                              .gamma = gamma.data(),
                                              .beta = beta.data(),
                                              .y = wide.data(),
                                              .mean = p.mean != nullptr ? p.mean + row : nullptr,
                                              .inverse_std = p.mean != nullptr ? p.inverse_std + row : nullptr},
                               0);
                narrow(wide.data(), p.channels, p.y + row * p.channels);
            }
        },
        grain);
}

/// mean and inverse_std of every group, [sets * groups] each.
template <class T>
void group_statistics(Cpu& backend, const NormProblem<T>& p, compute_t<T>* mean, compute_t<T>* inverse_std) {
    using C = compute_t<T>;
    const RowBlocks<T> blocks(p);
    const index_t channels = p.channels;
    const index_t width = channels / p.groups;
    const double count = static_cast<double>(p.rows * width);
    const Scratch<C> partial(backend, blocks.count * channels);
    backend.for_each_range(
        blocks.count,
        [&](index_t first, index_t last) {
            for (index_t b = first; b < last; ++b) {
                const auto [set, begin, end] = blocks[b];
                C* sums = partial.data() + b * channels;
                std::fill_n(sums, channels, C(0));
                for (index_t row = set * p.rows + begin; row < set * p.rows + end; ++row) {
                    const T* x = p.x + row * channels;
                    for (index_t c = 0; c < channels; ++c) {
                        sums[c] += static_cast<C>(x[c]);
                    }
                }
            }
        },
        1);
    std::vector<double> sums(static_cast<std::size_t>(p.groups));
    for (index_t set = 0; set < p.sets; ++set) {
        sum_groups(blocks, partial.data(), channels, p.groups, set, sums);
        for (index_t g = 0; g < p.groups; ++g) {
            mean[set * p.groups + g] = static_cast<C>(sums[static_cast<std::size_t>(g)] / count);
        }
    }
    backend.for_each_range(
        blocks.count,
        [&](index_t first, index_t last) {
            std::vector<C> center(static_cast<std::size_t>(channels));
            for (index_t b = first; b < last; ++b) {
                const auto [set, begin, end] = blocks[b];
                for (index_t c = 0; c < channels; ++c) {
                    center[static_cast<std::size_t>(c)] = mean[set * p.groups + c / width];
                }
                const C* middle = center.data();
                C* squares = partial.data() + b * channels;
                std::fill_n(squares, channels, C(0));
                for (index_t row = set * p.rows + begin; row < set * p.rows + end; ++row) {
                    const T* x = p.x + row * channels;
                    for (index_t c = 0; c < channels; ++c) {
                        const C d = static_cast<C>(x[c]) - middle[c];
                        squares[c] += d * d;
                    }
                }
            }
        },
        1);
    for (index_t set = 0; set < p.sets; ++set) {
        sum_groups(blocks, partial.data(), channels, p.groups, set, sums);
        for (index_t g = 0; g < p.groups; ++g) {
            inverse_std[set * p.groups + g] = static_cast<C>(
                1.0 / std::sqrt(sums[static_cast<std::size_t>(g)] / count + static_cast<double>(p.epsilon)));
        }
    }
}

/// Per-channel scale and shift of one set: y = x * scale + shift.
template <class T>
void channel_affine(const NormProblem<T>& p, const compute_t<T>* mean, const compute_t<T>* inverse_std, index_t set,
                    compute_t<T>* scale, compute_t<T>* shift) {
    using C = compute_t<T>;
    const index_t width = p.channels / p.groups;
    for (index_t c = 0; c < p.channels; ++c) {
        const index_t group = set * p.groups + c / width;
        scale[c] = inverse_std[group] * (p.gamma != nullptr ? static_cast<C>(p.gamma[c]) : C(1));
        shift[c] = (p.beta != nullptr ? static_cast<C>(p.beta[c]) : C(0)) - mean[group] * scale[c];
    }
}

} // namespace cpu

/// Mean and inverse deviation of every group, into p.mean and p.inverse_std.
template <class T>
void norm_statistics(Cpu& backend, const NormProblem<T>& p) {
    cpu::group_statistics(backend, p, p.mean, p.inverse_std);
}

/// y from x, the statistics given in p.mean and p.inverse_std: a part of the rows that they were taken of, maybe.
template <class T>
void norm_apply(Cpu& backend, const NormProblem<T>& p) {
    using C = compute_t<T>;
    const cpu::RowBlocks<T> blocks(p);
    backend.for_each_range(
        blocks.count,
        [&](index_t first, index_t last) {
            // Aligned: Eigen takes the exponentials before the first full vector by another function.
            const cpu::Scratch<C> affine(backend, 2 * p.channels);
            const cpu::Scratch<C> line(backend, cpu::is_narrow<T> ? p.channels : 0);
            C* scale = affine.data();
            C* shift = scale + p.channels;
            index_t ready = -1;
            for (index_t b = first; b < last; ++b) {
                const auto [set, begin, end] = blocks[b];
                if (set != ready) {
                    cpu::channel_affine(p, p.mean, p.inverse_std, set, scale, shift);
                    ready = set;
                }
                for (index_t row = set * p.rows + begin; row < set * p.rows + end; ++row) {
                    const T* x = p.x + row * p.channels;
                    T* y = p.y + row * p.channels;
                    if constexpr (cpu::is_narrow<T>) {
                        C* wide = line.data();
                        for (index_t c = 0; c < p.channels; ++c) {
                            wide[c] = static_cast<C>(x[c]) * scale[c] + shift[c];
                        }
                        if (p.silu) {
                            cpu::silu_in_place(wide, p.channels);
                        }
                        cpu::narrow(wide, p.channels, y);
                    } else {
                        for (index_t c = 0; c < p.channels; ++c) {
                            y[c] = x[c] * scale[c] + shift[c];
                        }
                    }
                }
                if constexpr (!cpu::is_narrow<T>) {
                    if (p.silu) {
                        cpu::silu_in_place(p.y + (set * p.rows + begin) * p.channels, (end - begin) * p.channels);
                    }
                }
            }
        },
        1);
}

/// NormProblem on the CPU.
template <class T>
void norm_forward(Cpu& backend, const NormProblem<T>& p) {
    if (p.rows == 1 && p.groups == 1) {
        const index_t grain = std::max<index_t>(8192 / std::max<index_t>(p.channels, 1), 1);
        if constexpr (cpu::is_narrow<T>) {
            cpu::narrow_layer_norm(backend, p, grain);
        } else {
            backend.for_each_range(
                p.sets,
                [&](index_t begin, index_t end) {
                    for (index_t row = begin; row < end; ++row) {
                        cpu::layer_norm_row(p, row);
                    }
                },
                grain);
        }
        return;
    }
    using C = compute_t<T>;
    const cpu::Scratch<C> own(backend, 2 * p.sets * p.groups);
    C* mean = p.mean != nullptr ? p.mean : own.data();
    C* inverse_std = p.mean != nullptr ? p.inverse_std : own.data() + p.sets * p.groups;
    cpu::group_statistics(backend, p, mean, inverse_std);
    NormProblem<T> with_statistics = p;
    with_statistics.mean = mean;
    with_statistics.inverse_std = inverse_std;
    norm_apply(backend, with_statistics);
}

} // namespace reel
