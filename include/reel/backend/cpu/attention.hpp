#pragma once

#include <limits>

#include <reel/backend/cpu/attention_tiles.hpp>
#include <reel/backend/cpu/gemm_serial.hpp>
#include <reel/backend/cpu/widen.hpp>
#include <reel/backend/generic/attention.hpp>
#ifdef REEL_ONEDNN
#include <reel/backend/cpu/onednn/attention.hpp>
#endif

namespace reel {

namespace cpu {

/// Working memory of one thread: a row of state per query, tiles of scores, and float copies of 16-bit rows.
template <class T>
class AttentionScratch {
public:
    using C = compute_t<T>;

    /// `score_tiles`: how many tiles of scores; `query_copies`: of how many matrices of queries there are copies.
    AttentionScratch(Cpu& backend, const AttentionProblem<T>& p, index_t queries, index_t score_tiles,
                     index_t query_copies)
        : state_(2 * queries), tile_(queries * std::min(key_tile, p.keys)), score_tiles_(score_tiles),
          query_rows_(queries * p.head_size), query_copies_(query_copies),
          key_rows_(std::min(key_tile, p.keys) * p.head_size),
          memory_(backend,
                  state_ + score_tiles * tile_ + (is_narrow<T> ? query_copies * query_rows_ + 2 * key_rows_ : 0)) {}

    [[nodiscard]] C* state() const { return memory_.data(); }
    [[nodiscard]] C* scores() const { return memory_.data() + state_; }
    [[nodiscard]] C* queries(index_t copy) const { return scores() + score_tiles_ * tile_ + copy * query_rows_; }
    [[nodiscard]] C* keys(index_t copy) const { return queries(query_copies_) + copy * key_rows_; }

private:
    index_t state_;
    index_t tile_;
    index_t score_tiles_;
    index_t query_rows_;
    index_t query_copies_;
    index_t key_rows_;
    Scratch<C> memory_;
};

/// A tile of queries against all its keys, with a running maximum and sum (Milakov & Gimelshein 2018,
/// arXiv:1805.02867; Dao et al. 2022, arXiv:2205.14135).
template <class T>
void attention_forward_tile(const AttentionProblem<T>& p, index_t batch, index_t head, index_t first, index_t count,
                            const AttentionScratch<T>& scratch) {
    using C = compute_t<T>;
    C* scores = scratch.scores();
    C* largest = scratch.state();
    C* sum = largest + count;
    std::fill_n(largest, count, -std::numeric_limits<C>::infinity());
    std::fill_n(sum, count, C(0));
    const index_t q_stride = p.query_layout.row_stride;
    const index_t k_stride = p.key_layout.row_stride;
    const index_t offset = p.query_layout.base(batch) + first * q_stride + head * p.head_size;
    const auto q = wide_rows(p.q + offset, q_stride, count, p.head_size, scratch.queries(0));
    C* out = scratch.queries(1);
    index_t out_stride = p.head_size;
    if constexpr (!is_narrow<T>) {
        out = p.out + offset;
        out_stride = q_stride;
    }
    bool written = false;
    for_each_key_tile(p, batch, head, first + count, [&](index_t key_offset, index_t first_key, index_t keys) {
        const auto k = wide_rows(p.k + key_offset, k_stride, keys, p.head_size, scratch.keys(0));
        const auto v = wide_rows(p.v + key_offset, k_stride, keys, p.head_size, scratch.keys(1));
        gemm_serial(GemmProblem<C>{.transpose_b = true,
                                   .m = count,
                                   .n = keys,
                                   .k = p.head_size,
                                   .alpha = p.scale,
                                   .a = q.data,
                                   .lda = q.stride,
                                   .b = k.data,
                                   .ldb = k.stride,
                                   .c = scores,
                                   .ldc = keys});
        for (index_t i = 0; i < count; ++i) {
            const index_t visible = p.causal ? std::clamp<index_t>(first + i + 1 - first_key, 0, keys) : keys;
            ArrayMap<C> row(scores + i * keys, visible);
            std::fill_n(scores + i * keys + visible, keys - visible, C(0));
            if (visible == 0) {
                continue;
            }
            const C top = std::max(largest[i], row.maxCoeff());
            const C correction = std::exp(largest[i] - top);
            row = (row - top).exp();
            sum[i] = sum[i] * correction + row.sum();
            largest[i] = top;
            if (written && correction != C(1)) {
                ArrayMap<C>(out + i * out_stride, p.head_size) *= correction;
            }
        }
        gemm_serial(GemmProblem<C>{.m = count,
                                   .n = p.head_size,
                                   .k = keys,
                                   .a = scores,
                                   .lda = keys,
                                   .b = v.data,
                                   .ldb = v.stride,
                                   .beta = written ? C(1) : C(0),
                                   .c = out,
                                   .ldc = out_stride});
        written = true;
    });
    for (index_t i = 0; i < count; ++i) {
        ArrayMap<C>(out + i * out_stride, p.head_size) /= sum[i];
        if constexpr (is_narrow<T>) {
            narrow(out + i * out_stride, p.head_size, p.out + offset + i * q_stride);
        }
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
void attention_forward_short(const AttentionProblem<T>& p, index_t batch, index_t head, compute_t<T>* weights,
                             const AttentionScratch<T>& scratch) {
    using C = compute_t<T>;
    const index_t q_stride = p.query_layout.row_stride;
    const index_t k_stride = p.key_layout.row_stride;
    const index_t at = p.query_layout.base(batch) + head * p.head_size;
    const index_t from = p.key_layout.base(batch) + head * p.head_size;
    const auto q = wide_rows(p.q + at, q_stride, p.queries, p.head_size, scratch.queries(0));
    const auto k = wide_rows(p.k + from, k_stride, p.keys, p.head_size, scratch.keys(0));
    const auto v = wide_rows(p.v + from, k_stride, p.keys, p.head_size, scratch.keys(1));
    for (index_t i = 0; i < p.queries; ++i) {
        const index_t keys = p.causal ? std::min(i + 1, p.keys) : p.keys;
        const ConstArrayMap<C> query(q.data + i * q.stride, p.head_size);
        for (index_t j = 0; j < keys; ++j) {
            weights[j] = p.scale * (query * ConstArrayMap<C>(k.data + j * k.stride, p.head_size)).sum();
        }
        ArrayMap<C> row(weights, keys);
        const C top = row.maxCoeff();
        row = (row - top).exp();
        const C sum = row.sum();
        C* to = scratch.queries(1);
        if constexpr (!is_narrow<T>) {
            to = p.out + at + i * q_stride;
        }
        ArrayMap<C> out(to, p.head_size);
        out = weights[0] / sum * ConstArrayMap<C>(v.data, p.head_size);
        for (index_t j = 1; j < keys; ++j) {
            out += weights[j] / sum * ConstArrayMap<C>(v.data + j * v.stride, p.head_size);
        }
        if constexpr (is_narrow<T>) {
            narrow(to, p.head_size, p.out + at + i * q_stride);
        }
        if (p.log_sum_exp != nullptr) {
            p.log_sum_exp[(batch * p.heads + head) * p.queries + i] = top + std::log(sum);
        }
    }
}

/// All that one query batch and head send back. `scratch` holds two tiles of scores and copies of three of queries.
template <class T>
void attention_backward_head(const AttentionProblem<T>& p, index_t batch, index_t head,
                             const AttentionScratch<T>& scratch) {
    using C = compute_t<T>;
    const index_t q_stride = p.query_layout.row_stride;
    const index_t k_stride = p.key_layout.row_stride;
    const index_t tile = is_short(p) ? p.queries : query_tile;
    C* scores = scratch.scores();
    for (index_t first = 0; first < p.queries; first += tile) {
        const index_t count = std::min(tile, p.queries - first);
        const index_t offset = p.query_layout.base(batch) + first * q_stride + head * p.head_size;
        const C* normaliser = p.log_sum_exp + (batch * p.heads + head) * p.queries + first;
        const auto q = wide_rows(p.q + offset, q_stride, count, p.head_size, scratch.queries(0));
        const auto gradient = wide_rows(p.out_gradient + offset, q_stride, count, p.head_size, scratch.queries(1));
        const auto out = wide_rows<T>(p.out + offset, q_stride, count, p.head_size, scratch.queries(2));
        bool written = false;
        for_each_key_tile(p, batch, head, first + count, [&](index_t key_offset, index_t first_key, index_t keys) {
            C* slopes = scores + count * keys;
            const auto k = wide_rows(p.k + key_offset, k_stride, keys, p.head_size, scratch.keys(0));
            const auto v = wide_rows(p.v + key_offset, k_stride, keys, p.head_size, scratch.keys(1));
            gemm_serial(GemmProblem<C>{.transpose_b = true,
                                       .m = count,
                                       .n = keys,
                                       .k = p.head_size,
                                       .alpha = p.scale,
                                       .a = q.data,
                                       .lda = q.stride,
                                       .b = k.data,
                                       .ldb = k.stride,
                                       .c = scores,
                                       .ldc = keys});
            gemm_serial(GemmProblem<C>{.transpose_b = true,
                                       .m = count,
                                       .n = keys,
                                       .k = p.head_size,
                                       .a = gradient.data,
                                       .lda = gradient.stride,
                                       .b = v.data,
                                       .ldb = v.stride,
                                       .c = slopes,
                                       .ldc = keys});
            for (index_t i = 0; i < count; ++i) {
                const index_t visible = p.causal ? std::clamp<index_t>(first + i + 1 - first_key, 0, keys) : keys;
                ArrayMap<C> weights(scores + i * keys, visible);
                ArrayMap<C> slope(slopes + i * keys, visible);
                const C delta = (ConstArrayMap<C>(gradient.data + i * gradient.stride, p.head_size) *
                                 ConstArrayMap<C>(out.data + i * out.stride, p.head_size))
                                    .sum();
                weights = (weights - normaliser[i]).exp();
                slope = weights * (slope - delta) * p.scale;
                std::fill_n(scores + i * keys + visible, keys - visible, C(0));
                std::fill_n(slopes + i * keys + visible, keys - visible, C(0));
            }
            if (p.q_gradient != nullptr) {
                gemm_serial(GemmProblem<C>{.m = count,
                                           .n = p.head_size,
                                           .k = keys,
                                           .a = slopes,
                                           .lda = keys,
                                           .b = k.data,
                                           .ldb = k.stride,
                                           .beta = written ? C(1) : C(0),
                                           .c = p.q_gradient + offset,
                                           .ldc = q_stride});
            }
            if (p.k_gradient != nullptr) {
                gemm_serial(GemmProblem<C>{.transpose_a = true,
                                           .m = keys,
                                           .n = p.head_size,
                                           .k = count,
                                           .a = slopes,
                                           .lda = keys,
                                           .b = q.data,
                                           .ldb = q.stride,
                                           .beta = C(1),
                                           .c = p.k_gradient + key_offset,
                                           .ldc = k_stride});
            }
            if (p.v_gradient != nullptr) {
                gemm_serial(GemmProblem<C>{.transpose_a = true,
                                           .m = keys,
                                           .n = p.head_size,
                                           .k = count,
                                           .a = scores,
                                           .lda = keys,
                                           .b = gradient.data,
                                           .ldb = gradient.stride,
                                           .beta = C(1),
                                           .c = p.v_gradient + key_offset,
                                           .ldc = k_stride});
            }
            written = true;
        });
    }
}

} // namespace cpu

/// AttentionProblem on the CPU, without scores in memory: tiles of queries against tiles of keys. Tiles of bfloat16 are
/// multiplied through oneDNN where it and the processor can, others as floats through Eigen.
template <class T>
void attention_forward(Cpu& backend, const AttentionProblem<T>& p) {
    if (cpu::is_short(p)) {
        backend.for_each_range(
            p.batches,
            [&](index_t begin, index_t end) {
                // Eigen sums in an order that depends on alignment; a stack's differs from thread to thread.
                alignas(64) std::array<compute_t<T>, 32> weights{};
                const cpu::AttentionScratch<T> scratch(backend, p, p.queries, 0, 2);
                for (index_t n = begin * p.heads; n < end * p.heads; ++n) {
                    cpu::attention_forward_short(p, n / p.heads, n % p.heads, weights.data(), scratch);
                }
            },
            4);
        return;
    }
    const index_t tiles = (p.queries + cpu::query_tile - 1) / cpu::query_tile;
    const index_t tile = (p.queries + tiles - 1) / std::max<index_t>(tiles, 1);
#ifdef REEL_ONEDNN
    if constexpr (std::same_as<T, bfloat16>) {
        if (cpu::onednn::suits(p) && cpu::onednn::multiplies<bfloat16>()) {
            cpu::onednn::attention_forward(backend, p, tile, tiles);
            return;
        }
    }
#endif
    backend.for_each_task(p.batches * p.heads * tiles, [&](index_t task) {
        const index_t first = task % tiles * tile;
        const index_t count = std::min(tile, p.queries - first);
        const cpu::AttentionScratch<T> scratch(backend, p, count, 1, 2);
        cpu::attention_forward_tile(p, task / tiles / p.heads, task / tiles % p.heads, first, count, scratch);
    });
}

/// Gradients of AttentionProblem on the CPU; scores are computed anew, tile by tile.
template <class T>
void attention_backward(Cpu& backend, const AttentionProblem<T>& p) {
    const index_t tile = std::min(p.queries, cpu::query_tile);
    const bool shared_keys = p.key_batches != nullptr && (p.k_gradient != nullptr || p.v_gradient != nullptr);
    if (!shared_keys) {
        backend.for_each_range(
            p.batches,
            [&](index_t begin, index_t end) {
                const cpu::AttentionScratch<T> scratch(backend, p, tile, 2, 3);
                for (index_t n = begin * p.heads; n < end * p.heads; ++n) {
                    cpu::attention_backward_head(p, n / p.heads, n % p.heads, scratch);
                }
            },
            1);
        return;
    }
    // Query batches add to the same keys, heads never do.
    backend.for_each_task(p.heads, [&](index_t head) {
        const cpu::AttentionScratch<T> scratch(backend, p, tile, 2, 3);
        for (index_t batch = 0; batch < p.batches; ++batch) {
            cpu::attention_backward_head(p, batch, head, scratch);
        }
    });
}

} // namespace reel
