#pragma once

#include <algorithm>

#include <reel/backend/problems.hpp>

namespace reel::cpu {

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

} // namespace reel::cpu
