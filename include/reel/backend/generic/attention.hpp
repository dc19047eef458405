#pragma once

#include <cmath>

#include <reel/backend/backend.hpp>

namespace reel::generic {

/// Calls visit(key_batch, key_row) for every key that a query row attends to, in order.
template <class T, class Visit>
constexpr void for_each_key(const AttentionProblem<T>& p, index_t batch, index_t query, const Visit& visit) {
    for (index_t list = 0; list < p.lists; ++list) {
        const index_t key_batch =
            p.key_batches != nullptr ? static_cast<index_t>(p.key_batches[batch * p.lists + list]) : batch;
        if (key_batch < 0) {
            continue;
        }
        const index_t end = p.causal && query + 1 < p.keys ? query + 1 : p.keys;
        for (index_t key = 0; key < end; ++key) {
            visit(key_batch, key);
        }
    }
}

/// a . b
template <class T>
[[nodiscard]] constexpr compute_t<T> dot(const T* a, const T* b, index_t count) {
    using C = compute_t<T>;
    C sum = C(0);
    for (index_t i = 0; i < count; ++i) {
        sum += static_cast<C>(a[i]) * static_cast<C>(b[i]);
    }
    return sum;
}

/// One query row of one head: two passes over the keys, no score kept.
template <class T>
struct AttentionForwardRow {
    using C = compute_t<T>;
    static constexpr index_t piece = 64;
    AttentionProblem<T> p;

    [[nodiscard]] constexpr index_t key_row(index_t batch, index_t key, index_t head) const {
        return p.key_layout.base(batch) + key * p.key_layout.row_stride + head * p.head_size;
    }

    constexpr void operator()(index_t index) const {
        using std::exp;
        using std::log;
        const index_t query = index % p.queries;
        const index_t head = index / p.queries % p.heads;
        const index_t batch = index / p.queries / p.heads;
        const index_t at = p.query_layout.base(batch) + query * p.query_layout.row_stride + head * p.head_size;
        C largest = C(0);
        bool any = false;
        for_each_key(p, batch, query, [&](index_t key_batch, index_t key) {
            const C score = p.scale * dot(p.q + at, p.k + key_row(key_batch, key, head), p.head_size);
            largest = !any || score > largest ? score : largest;
            any = true;
        });
        C sum = C(0);
        // Some of the head at a time, so that sums are rounded once, whatever T.
        for (index_t first = 0; first < p.head_size; first += piece) {
            const index_t count = p.head_size - first < piece ? p.head_size - first : piece;
            C out[piece] = {};
            sum = C(0);
            for_each_key(p, batch, query, [&](index_t key_batch, index_t key) {
                const index_t row = key_row(key_batch, key, head);
                const C weight = exp(p.scale * dot(p.q + at, p.k + row, p.head_size) - largest);
                sum += weight;
                for (index_t i = 0; i < count; ++i) {
                    out[i] += weight * static_cast<C>(p.v[row + first + i]);
                }
            });
            for (index_t i = 0; i < count; ++i) {
                p.out[at + first + i] = static_cast<T>(out[i] / sum);
            }
        }
        if (p.log_sum_exp != nullptr) {
            p.log_sum_exp[index] = largest + log(sum);
        }
    }
};

/// Scaled dot-product attention, Vaswani et al. 2017, arXiv:1706.03762, over key batches chosen by index.
template <Backend B, class T>
void attention_forward(B& backend, const AttentionProblem<T>& problem) {
    backend.for_each_index(problem.batches * problem.heads * problem.queries, AttentionForwardRow<T>{problem}, 1);
}

/// Everything that one head's queries send back, serially: key rows are shared between query batches.
template <class T>
struct AttentionBackwardHead {
    AttentionProblem<T> p;

    constexpr void operator()(index_t head) const {
        using std::exp;
        using C = compute_t<T>;
        const AttentionForwardRow<T> rows{p};
        for (index_t batch = 0; batch < p.batches; ++batch) {
            for (index_t query = 0; query < p.queries; ++query) {
                const index_t at = p.query_layout.base(batch) + query * p.query_layout.row_stride + head * p.head_size;
                const T* gradient = p.out_gradient + at;
                const C delta = dot(gradient, p.out + at, p.head_size);
                const C normaliser = p.log_sum_exp[(batch * p.heads + head) * p.queries + query];
                for (index_t i = 0; p.q_gradient != nullptr && i < p.head_size; ++i) {
                    p.q_gradient[at + i] = C(0);
                }
                for_each_key(p, batch, query, [&](index_t key_batch, index_t key) {
                    const index_t row = rows.key_row(key_batch, key, head);
                    const C weight = exp(p.scale * dot(p.q + at, p.k + row, p.head_size) - normaliser);
                    const C slope = weight * (dot(gradient, p.v + row, p.head_size) - delta) * p.scale;
                    for (index_t i = 0; i < p.head_size; ++i) {
                        if (p.q_gradient != nullptr) {
                            p.q_gradient[at + i] += slope * static_cast<C>(p.k[row + i]);
                        }
                        if (p.k_gradient != nullptr) {
                            p.k_gradient[row + i] += slope * static_cast<C>(p.q[at + i]);
                        }
                        if (p.v_gradient != nullptr) {
                            p.v_gradient[row + i] += weight * static_cast<C>(gradient[i]);
                        }
                    }
                });
            }
        }
    }
};

/// Gradients of attention_forward from its inputs, its output and the saved log-sum-exp: weights are recomputed.
template <Backend B, class T>
void attention_backward(B& backend, const AttentionProblem<T>& problem) {
    backend.for_each_index(problem.heads, AttentionBackwardHead<T>{problem}, 1);
}

} // namespace reel::generic
