#pragma once

#include <limits>

#include <reel/backend/cpu/convolution.hpp>
#include <reel/backend/generic/attention.hpp>

namespace reel {

namespace cpu {

/// Rows of queries and of keys that meet in one tile of scores.
inline constexpr index_t query_tile = 128;
inline constexpr index_t key_tile = 512;

/// Key batch number `list` of query batch `batch`, or -1.
template <class T>
[[nodiscard]] index_t key_batch_of(const AttentionProblem<T>& p, index_t batch, index_t list) {
    return p.key_batches == nullptr ? batch : static_cast<index_t>(p.key_batches[batch * p.lists + list]);
}

/// Calls visit(key_offset, first_key, count) for every tile of keys that queries [0, query_end) may see.
template <class T, class Visit>
void for_each_key_tile(const AttentionProblem<T>& p, index_t batch, index_t head, index_t query_end,
                       const Visit& visit) {
    for (index_t list = 0; list < p.lists; ++list) {
        const index_t key_batch = key_batch_of(p, batch, list);
        if (key_batch < 0) {
            continue;
        }
        const index_t keys = p.causal ? std::min(p.keys, query_end) : p.keys;
        for (index_t first = 0; first < keys; first += key_tile) {
            const index_t offset = p.key_layout.base(key_batch) + first * p.key_layout.row_stride + head * p.head_size;
            visit(offset, first, std::min(key_tile, keys - first));
        }
    }
}

template <class T>
[[nodiscard]] GemmProblem<T> product(bool transpose_a, bool transpose_b, index_t m, index_t n, index_t k, T alpha,
                                     const T* a, index_t lda, const T* b, index_t ldb, T beta, T* c, index_t ldc) {
    return {.transpose_a = transpose_a,
            .transpose_b = transpose_b,
            .m = m,
            .n = n,
            .k = k,
            .alpha = alpha,
            .a = a,
            .lda = lda,
            .b = b,
            .ldb = ldb,
            .beta = beta,
            .c = c,
            .ldc = ldc};
}

/// A tile of queries against all its keys, with a running maximum and sum (Milakov & Gimelshein 2018,
/// arXiv:1805.02867; Dao et al. 2022, arXiv:2205.14135).
template <class T>
void attention_forward_tile(const AttentionProblem<T>& p, index_t batch, index_t head, index_t first, index_t count,
                            T* scores, T* state) {
    T* largest = state;
    T* sum = state + count;
    std::fill_n(largest, count, -std::numeric_limits<T>::infinity());
    std::fill_n(sum, count, T(0));
    const index_t q_stride = p.query_layout.row_stride;
    const index_t offset = p.query_layout.base(batch) + first * q_stride + head * p.head_size;
    T* out = p.out + offset;
    bool written = false;
    for_each_key_tile(p, batch, head, first + count, [&](index_t key_offset, index_t first_key, index_t keys) {
        gemm_serial(product(false, true, count, keys, p.head_size, p.scale, p.q + offset, q_stride, p.k + key_offset,
                            p.key_layout.row_stride, T(0), scores, keys));
        for (index_t i = 0; i < count; ++i) {
            const index_t visible = p.causal ? std::clamp<index_t>(first + i + 1 - first_key, 0, keys) : keys;
            ArrayMap<T> row(scores + i * keys, visible);
            std::fill_n(scores + i * keys + visible, keys - visible, T(0));
            if (visible == 0) {
                continue;
            }
            const T top = std::max(largest[i], row.maxCoeff());
            const T correction = std::exp(largest[i] - top);
            row = (row - top).exp();
            sum[i] = sum[i] * correction + row.sum();
            largest[i] = top;
            if (written && correction != T(1)) {
                ArrayMap<T>(out + i * q_stride, p.head_size) *= correction;
            }
        }
        gemm_serial(product(false, false, count, p.head_size, keys, T(1), scores, keys, p.v + key_offset,
                            p.key_layout.row_stride, written ? T(1) : T(0), out, q_stride));
        written = true;
    });
    for (index_t i = 0; i < count; ++i) {
        ArrayMap<T>(out + i * q_stride, p.head_size) /= sum[i];
        if (p.log_sum_exp != nullptr) {
            p.log_sum_exp[(batch * p.heads + head) * p.queries + first + i] = largest[i] + std::log(sum[i]);
        }
    }
}

/// Few queries and keys, as over the frames of a clip: straight loops beat matrix products.
template <class T>
[[nodiscard]] bool is_short(const AttentionProblem<T>& p) {
    return p.queries <= 32 && p.keys <= 32 && p.lists == 1 && p.key_batches == nullptr;
}

template <class T>
void attention_forward_short(const AttentionProblem<T>& p, index_t batch, index_t head, T* weights) {
    const index_t q_stride = p.query_layout.row_stride;
    const index_t k_stride = p.key_layout.row_stride;
    const index_t at = p.query_layout.base(batch) + head * p.head_size;
    const index_t from = p.key_layout.base(batch) + head * p.head_size;
    for (index_t i = 0; i < p.queries; ++i) {
        const index_t keys = p.causal ? std::min(i + 1, p.keys) : p.keys;
        const ConstArrayMap<T> q(p.q + at + i * q_stride, p.head_size);
        for (index_t j = 0; j < keys; ++j) {
            weights[j] = p.scale * (q * ConstArrayMap<T>(p.k + from + j * k_stride, p.head_size)).sum();
        }
        ArrayMap<T> row(weights, keys);
        const T top = row.maxCoeff();
        row = (row - top).exp();
        const T sum = row.sum();
        ArrayMap<T> out(p.out + at + i * q_stride, p.head_size);
        out = weights[0] / sum * ConstArrayMap<T>(p.v + from, p.head_size);
        for (index_t j = 1; j < keys; ++j) {
            out += weights[j] / sum * ConstArrayMap<T>(p.v + from + j * k_stride, p.head_size);
        }
        if (p.log_sum_exp != nullptr) {
            p.log_sum_exp[(batch * p.heads + head) * p.queries + i] = top + std::log(sum);
        }
    }
}

/// All that one query batch and head send back. `scores` holds two tiles.
template <class T>
void attention_backward_head(const AttentionProblem<T>& p, index_t batch, index_t head, T* scores) {
    const index_t q_stride = p.query_layout.row_stride;
    const index_t k_stride = p.key_layout.row_stride;
    const index_t tile = is_short(p) ? p.queries : query_tile;
    for (index_t first = 0; first < p.queries; first += tile) {
        const index_t count = std::min(tile, p.queries - first);
        const index_t offset = p.query_layout.base(batch) + first * q_stride + head * p.head_size;
        const T* normaliser = p.log_sum_exp + (batch * p.heads + head) * p.queries + first;
        bool written = false;
        for_each_key_tile(p, batch, head, first + count, [&](index_t key_offset, index_t first_key, index_t keys) {
            T* slopes = scores + count * keys;
            gemm_serial(product(false, true, count, keys, p.head_size, p.scale, p.q + offset, q_stride,
                                p.k + key_offset, k_stride, T(0), scores, keys));
            gemm_serial(product(false, true, count, keys, p.head_size, T(1), p.out_gradient + offset, q_stride,
                                p.v + key_offset, k_stride, T(0), slopes, keys));
            for (index_t i = 0; i < count; ++i) {
                const index_t visible = p.causal ? std::clamp<index_t>(first + i + 1 - first_key, 0, keys) : keys;
                ArrayMap<T> weights(scores + i * keys, visible);
                ArrayMap<T> slope(slopes + i * keys, visible);
                const T delta = (ConstArrayMap<T>(p.out_gradient + offset + i * q_stride, p.head_size) *
                                 ConstArrayMap<T>(p.out + offset + i * q_stride, p.head_size))
                                    .sum();
                weights = (weights - normaliser[i]).exp();
                slope = weights * (slope - delta) * p.scale;
                std::fill_n(scores + i * keys + visible, keys - visible, T(0));
                std::fill_n(slopes + i * keys + visible, keys - visible, T(0));
            }
            if (p.q_gradient != nullptr) {
                gemm_serial(product(false, false, count, p.head_size, keys, T(1), slopes, keys, p.k + key_offset,
                                    k_stride, written ? T(1) : T(0), p.q_gradient + offset, q_stride));
            }
            if (p.k_gradient != nullptr) {
                gemm_serial(product(true, false, keys, p.head_size, count, T(1), slopes, keys, p.q + offset, q_stride,
                                    T(1), p.k_gradient + key_offset, k_stride));
            }
            if (p.v_gradient != nullptr) {
                gemm_serial(product(true, false, keys, p.head_size, count, T(1), scores, keys, p.out_gradient + offset,
                                    q_stride, T(1), p.v_gradient + key_offset, k_stride));
            }
            written = true;
        });
    }
}

} // namespace cpu

/// AttentionProblem on the CPU, without scores in memory: tiles of queries against tiles of keys.
template <class T>
void attention_forward(Cpu& backend, const AttentionProblem<T>& p) {
    if (cpu::is_short(p)) {
        backend.for_each_range(
            p.batches,
            [&](index_t begin, index_t end) {
                // Eigen sums in an order that depends on alignment; a stack's differs from thread to thread.
                alignas(64) std::array<T, 32> weights{};
                for (index_t n = begin * p.heads; n < end * p.heads; ++n) {
                    cpu::attention_forward_short(p, n / p.heads, n % p.heads, weights.data());
                }
            },
            4);
        return;
    }
    const index_t tiles = (p.queries + cpu::query_tile - 1) / cpu::query_tile;
    const index_t tile = (p.queries + tiles - 1) / std::max<index_t>(tiles, 1);
    backend.for_each_task(p.batches * p.heads * tiles, [&](index_t task) {
        const index_t first = task % tiles * tile;
        const index_t count = std::min(tile, p.queries - first);
        const cpu::Scratch<T> scratch(backend, count * (std::min(cpu::key_tile, p.keys) + 2));
        cpu::attention_forward_tile(p, task / tiles / p.heads, task / tiles % p.heads, first, count,
                                    scratch.data() + 2 * count, scratch.data());
    });
}

/// Gradients of AttentionProblem on the CPU; scores are computed anew, tile by tile.
template <class T>
void attention_backward(Cpu& backend, const AttentionProblem<T>& p) {
    const index_t tile = std::min(p.queries, cpu::query_tile) * std::min(p.keys, cpu::key_tile);
    const bool shared_keys = p.key_batches != nullptr && (p.k_gradient != nullptr || p.v_gradient != nullptr);
    if (!shared_keys) {
        backend.for_each_range(
            p.batches,
            [&](index_t begin, index_t end) {
                const cpu::Scratch<T> scores(backend, 2 * tile);
                for (index_t n = begin * p.heads; n < end * p.heads; ++n) {
                    cpu::attention_backward_head(p, n / p.heads, n % p.heads, scores.data());
                }
            },
            1);
        return;
    }
    // Query batches add to the same keys, heads never do.
    backend.for_each_task(p.heads, [&](index_t head) {
        const cpu::Scratch<T> scores(backend, 2 * tile);
        for (index_t batch = 0; batch < p.batches; ++batch) {
            cpu::attention_backward_head(p, batch, head, scores.data());
        }
    });
}

} // namespace reel
