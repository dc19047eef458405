#pragma once

#include <reel/backend/cuda/attention_backward_rounded.cuh>

namespace reel {

namespace cuda {

/// delta = the inner product of each query's output with that output's gradient, [batches, heads, queries].
template <class T>
struct AttentionDelta {
    AttentionProblem<T> p;
    compute_t<T>* delta;

    __host__ __device__ void operator()(index_t index) const {
        const index_t query = index % p.queries;
        const index_t head = index / p.queries % p.heads;
        const index_t batch = index / p.queries / p.heads;
        const index_t at = p.query_layout.base(batch) + query * p.query_layout.row_stride + head * p.head_size;
        delta[index] = generic::dot(p.out + at, p.out_gradient + at, p.head_size);
    }
};

/// A tile of queries and one of keys, of one head.
template <class C>
struct TilePair {
    const C* queries; ///< in shared memory, as are the next three
    const C* gradients;
    const C* keys;
    const C* values;
    const C* delta;    ///< AttentionDelta's of all queries
    index_t row_index; ///< of the head's first query in delta and log_sum_exp
    index_t first;     ///< query, of so many
    int count;
    index_t first_key;
    int here; ///< keys
};

/// A thread's weights and their slopes where a tile of queries meets one of keys: a weight is exp(score - log sum exp),
/// a slope its derivative's part scale * weight * (gradient . value - delta). Neither has to be kept.
template <class Tiles, class T>
__device__ inline void weights_and_slopes(const AttentionProblem<T>& p, const TilePair<compute_t<T>>& pair,
                                          typename Tiles::Scores& weights, typename Tiles::Scores& slopes) {
    using std::exp;
    using C = compute_t<T>;
    const int x = static_cast<int>(threadIdx.x) % Tiles::side;
    const int y = static_cast<int>(threadIdx.x) / Tiles::side;
    Tiles::multiply(pair.queries, pair.keys, weights);
    Tiles::multiply(pair.gradients, pair.values, slopes);
    for (int i = 0; i < Tiles::rows; ++i) {
        const int row = y + Tiles::side * i;
        const bool inside = row < pair.count;
        const index_t index = pair.row_index + pair.first + row;
        const C normaliser = inside ? p.log_sum_exp[index] : C(0);
        const C shift = inside ? pair.delta[index] : C(0);
        for (int j = 0; j < Tiles::rows; ++j) {
            const int key = x + Tiles::side * j;
            const bool visible = inside && key < pair.here && (!p.causal || pair.first_key + key <= pair.first + row);
            weights[i][j] = visible ? exp(p.scale * weights[i][j] - normaliser) : C(0);
            slopes[i][j] = p.scale * weights[i][j] * (slopes[i][j] - shift);
        }
    }
}

/// Writes a thread's part of a tile of scores to shared memory.
template <class Tiles, class C>
__device__ inline void store_scores(const typename Tiles::Scores& scores, C* to) {
    const int x = static_cast<int>(threadIdx.x) % Tiles::side;
    const int y = static_cast<int>(threadIdx.x) / Tiles::side;
    for (int i = 0; i < Tiles::rows; ++i) {
        for (int j = 0; j < Tiles::rows; ++j) {
            to[(y + Tiles::side * i) * Tiles::score_stride + x + Tiles::side * j] = scores[i][j];
        }
    }
}

/// The queries' gradient: a block per tile of queries, over all its keys.
template <class T, int head_width, int tile_rows>
struct AttentionQueryGradient {
    using C = compute_t<T>;
    using Tiles = AttentionTiles<C, head_width, tile_rows>;
    static constexpr int threads = Tiles::threads;
    AttentionProblem<T> p;
    const C* delta;
    index_t tiles; ///< of queries

    __device__ void operator()() const {
        constexpr int tile = Tiles::tile;
        C* queries = shared_memory<C>();
        C* gradients = queries + Tiles::tile_size;
        C* keys = gradients + Tiles::tile_size;
        C* values = keys + Tiles::tile_size;
        C* shared_slopes = values + Tiles::tile_size;
        const int x = static_cast<int>(threadIdx.x) % Tiles::side;
        const int y = static_cast<int>(threadIdx.x) / Tiles::side;
        const int head_size = static_cast<int>(p.head_size);
        const index_t block = blockIdx.x;
        const index_t first = block % tiles * tile;
        const index_t head = block / tiles % p.heads;
        const index_t batch = block / tiles / p.heads;
        const int count = static_cast<int>(smaller(tile, p.queries - first));
        const index_t q_stride = p.query_layout.row_stride;
        const index_t k_stride = p.key_layout.row_stride;
        const index_t offset = p.query_layout.base(batch) + first * q_stride + head * p.head_size;
        const index_t row_index = (batch * p.heads + head) * p.queries;
        Tiles::load(p.q + offset, q_stride, count, head_size, queries);
        Tiles::load(p.out_gradient + offset, q_stride, count, head_size, gradients);

        typename Tiles::Rows sums;
        Tiles::clear(sums);
        const index_t end = p.causal ? smaller(p.keys, first + count) : p.keys;
        for (index_t list = 0; list < p.lists; ++list) {
            const index_t key_batch = key_batch_of(p, batch, list);
            if (key_batch < 0) {
                continue; // the whole block
            }
            for (index_t first_key = 0; first_key < end; first_key += tile) {
                const int here = static_cast<int>(smaller(tile, end - first_key));
                const index_t at = p.key_layout.base(key_batch) + first_key * k_stride + head * p.head_size;
                __syncthreads(); // the tile before is done with
                Tiles::load(p.k + at, k_stride, here, head_size, keys);
                Tiles::load(p.v + at, k_stride, here, head_size, values);
                __syncthreads();
                typename Tiles::Scores weights;
                typename Tiles::Scores slopes;
                const TilePair<C> both{.queries = queries,
                                       .gradients = gradients,
                                       .keys = keys,
                                       .values = values,
                                       .delta = delta,
                                       .row_index = row_index,
                                       .first = first,
                                       .count = count,
                                       .first_key = first_key,
                                       .here = here};
                weights_and_slopes<Tiles>(p, both, weights, slopes);
                store_scores<Tiles>(slopes, shared_slopes);
                __syncthreads();
                Tiles::accumulate(shared_slopes, Tiles::score_stride, 1, keys, here, sums);
            }
        }
        for (int i = 0; i < Tiles::rows; ++i) {
            const int row = y + Tiles::side * i;
            for (int c = 0; c < Tiles::columns; ++c) {
                const int column = x + Tiles::side * c;
                if (row < count && column < head_size) {
                    p.q_gradient[offset + row * q_stride + column] = sums[i][c];
                }
            }
        }
    }
};

/// The keys' and values' gradients: a block per tile of keys, over all queries that see it, in order. Query batches
/// share keys, but a block owns its tile, so that nothing is added by two at once.
template <class T, int head_width, int tile_rows>
struct AttentionKeyGradient {
    using C = compute_t<T>;
    using Tiles = AttentionTiles<C, head_width, tile_rows>;
    static constexpr int threads = Tiles::threads;
    AttentionProblem<T> p;
    const C* delta;
    index_t tiles; ///< of keys

    __device__ void operator()() const {
        constexpr int tile = Tiles::tile;
        C* queries = shared_memory<C>();
        C* gradients = queries + Tiles::tile_size;
        C* keys = gradients + Tiles::tile_size;
        C* values = keys + Tiles::tile_size;
        C* scores = values + Tiles::tile_size;
        const int x = static_cast<int>(threadIdx.x) % Tiles::side;
        const int y = static_cast<int>(threadIdx.x) / Tiles::side;
        const int head_size = static_cast<int>(p.head_size);
        const index_t block = blockIdx.x;
        const index_t first_key = block % tiles * tile;
        const index_t head = block / tiles % p.heads;
        const index_t key_batch = block / tiles / p.heads;
        const int here = static_cast<int>(smaller(tile, p.keys - first_key));
        const index_t q_stride = p.query_layout.row_stride;
        const index_t k_stride = p.key_layout.row_stride;
        const index_t at = p.key_layout.base(key_batch) + first_key * k_stride + head * p.head_size;
        Tiles::load(p.k + at, k_stride, here, head_size, keys);
        Tiles::load(p.v + at, k_stride, here, head_size, values);

        typename Tiles::Rows key_sums;
        typename Tiles::Rows value_sums;
        Tiles::clear(key_sums);
        Tiles::clear(value_sums);
        // Without lists a key batch belongs to the query batch of its number.
        const bool listed = p.key_batches != nullptr;
        const index_t pairs_begin = listed ? 0 : key_batch;
        const index_t pairs_end = listed ? p.batches * p.lists : key_batch + 1;
        for (index_t pair = pairs_begin; pair < pairs_end; ++pair) {
            if (listed && static_cast<index_t>(p.key_batches[pair]) != key_batch) {
                continue; // the whole block
            }
            const index_t batch = listed ? pair / p.lists : pair;
            const index_t row_index = (batch * p.heads + head) * p.queries;
            const index_t begin = p.causal ? first_key / tile * tile : 0; // queries before see none of these keys
            for (index_t first = begin; first < p.queries; first += tile) {
                const int count = static_cast<int>(smaller(tile, p.queries - first));
                const index_t offset = p.query_layout.base(batch) + first * q_stride + head * p.head_size;
                __syncthreads(); // the tile before is done with
                Tiles::load(p.q + offset, q_stride, count, head_size, queries);
                Tiles::load(p.out_gradient + offset, q_stride, count, head_size, gradients);
                __syncthreads();
                typename Tiles::Scores weights;
                typename Tiles::Scores slopes;
                const TilePair<C> both{.queries = queries,
                                       .gradients = gradients,
                                       .keys = keys,
                                       .values = values,
                                       .delta = delta,
                                       .row_index = row_index,
                                       .first = first,
                                       .count = count,
                                       .first_key = first_key,
                                       .here = here};
                weights_and_slopes<Tiles>(p, both, weights, slopes);
                store_scores<Tiles>(weights, scores);
                __syncthreads();
                Tiles::accumulate(scores, 1, Tiles::score_stride, gradients, count, value_sums);
                __syncthreads();
                store_scores<Tiles>(slopes, scores);
                __syncthreads();
                Tiles::accumulate(scores, 1, Tiles::score_stride, queries, count, key_sums);
            }
        }
        for (int i = 0; i < Tiles::rows; ++i) {
            const int row = y + Tiles::side * i;
            for (int c = 0; c < Tiles::columns; ++c) {
                const int column = x + Tiles::side * c;
                if (row < here && column < head_size) {
                    const index_t element = at + row * k_stride + column;
                    if (p.k_gradient != nullptr) {
                        p.k_gradient[element] += key_sums[i][c];
                    }
                    if (p.v_gradient != nullptr) {
                        p.v_gradient[element] += value_sums[i][c];
                    }
                }
            }
        }
    }
};

template <int width, int tile, class T>
void attention_backward_tiled(Cuda& backend, const AttentionProblem<T>& p) {
    const index_t rows = p.batches * p.heads * p.queries;
    const Scratch<compute_t<T>> delta(backend, rows);
    backend.for_each_index(rows, AttentionDelta<T>{p, delta.data()});
    if (p.q_gradient != nullptr) {
        using Program = AttentionQueryGradient<T, width, tile>;
        const index_t tiles = (p.queries + tile - 1) / tile;
        backend.launch(Program{p, delta.data(), tiles}, p.batches * p.heads * tiles, Program::Tiles::shared_bytes(4));
    }
    if (p.k_gradient != nullptr || p.v_gradient != nullptr) {
        using Program = AttentionKeyGradient<T, width, tile>;
        const index_t tiles = (p.keys + tile - 1) / tile;
        backend.launch(Program{p, delta.data(), tiles}, p.key_batch_count * p.heads * tiles,
                       Program::Tiles::shared_bytes(4));
    }
}

} // namespace cuda

/// Gradients of attention_forward; weights are recomputed tile by tile and added up in a fixed order, on tensor cores
/// where the forward pass runs there. Heads of more than 256 channels (double: 160) go through generic/.
template <Scalar T>
void attention_backward(Cuda& backend, const AttentionProblem<T>& p) {
    if constexpr (!std::same_as<T, double>) {
        if (cuda::takes_rounded(backend, p)) {
            const index_t rows = p.batches * p.heads * p.queries;
            const cuda::Scratch<float> delta(backend, rows);
            backend.for_each_index(rows, cuda::AttentionDelta<T>{p, delta.data()});
            cuda::attention_backward_rounded(backend, p, delta.data());
            return;
        }
    }
    const bool tiled = cuda::with_head_width<T>(p.head_size, [&]<int width>() {
        constexpr int tile = cuda::largest_tile<compute_t<T>, width, 4>();
        if constexpr (tile > 32) {
            if (cuda::is_short(p)) {
                cuda::attention_backward_tiled<width, 32>(backend, p);
                return true;
            }
        }
        if constexpr (tile > 0) {
            cuda::attention_backward_tiled<width, tile>(backend, p);
        }
        return tile > 0;
    });
    if (!tiled) {
        generic::attention_backward(backend, p);
    }
}

} // namespace reel
