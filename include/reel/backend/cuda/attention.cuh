#pragma once

#include <reel/backend/cuda/attention_rounded.cuh>

namespace reel {

namespace cuda {

/// A tile of queries of one head against all its keys, with a running maximum and sum (Milakov & Gimelshein 2018,
/// arXiv:1805.02867; Dao et al. 2022, arXiv:2205.14135). No score leaves the block.
template <class T, int head_width, int tile_rows>
struct AttentionForward {
    using C = compute_t<T>;
    using Tiles = AttentionTiles<C, head_width, tile_rows>;
    static constexpr int threads = Tiles::threads;
    static constexpr int buffers = 2; ///< queries; keys, then values
    AttentionProblem<T> p;
    index_t tiles; ///< of queries

    __device__ void operator()() const {
        using std::exp;
        using std::log;
        constexpr int tile = Tiles::tile;
        const C none = -std::numeric_limits<C>::infinity();
        C* queries = shared_memory<C>();
        C* others = queries + Tiles::tile_size;
        C* weights = others + Tiles::tile_size;
        const int x = static_cast<int>(threadIdx.x) % Tiles::side;
        const int y = static_cast<int>(threadIdx.x) / Tiles::side;
        const int head_size = static_cast<int>(p.head_size);
        const index_t block = blockIdx.x;
        const index_t first = block % tiles * tile;
        const index_t head = block / tiles % p.heads;
        const index_t batch = block / tiles / p.heads;
        const int count = static_cast<int>(smaller(tile, p.queries - first));
        const index_t offset = p.query_layout.base(batch) + first * p.query_layout.row_stride + head * p.head_size;
        Tiles::load(p.q + offset, p.query_layout.row_stride, count, head_size, queries);

        typename Tiles::Rows out;
        Tiles::clear(out);
        C largest[Tiles::rows];
        C sum[Tiles::rows];
        for (int i = 0; i < Tiles::rows; ++i) {
            largest[i] = none;
            sum[i] = C(0);
        }
        const index_t keys = p.causal ? smaller(p.keys, first + count) : p.keys;
        for (index_t list = 0; list < p.lists; ++list) {
            const index_t key_batch = key_batch_of(p, batch, list);
            if (key_batch < 0) {
                continue; // the whole block
            }
            const index_t key_offset = p.key_layout.base(key_batch) + head * p.head_size;
            for (index_t first_key = 0; first_key < keys; first_key += tile) {
                const int here = static_cast<int>(smaller(tile, keys - first_key));
                const index_t at = key_offset + first_key * p.key_layout.row_stride;
                __syncthreads(); // values of the tile before are done with
                Tiles::load(p.k + at, p.key_layout.row_stride, here, head_size, others);
                __syncthreads();
                typename Tiles::Scores scores;
                Tiles::multiply(queries, others, scores);
                for (int i = 0; i < Tiles::rows; ++i) {
                    const int row = y + Tiles::side * i;
                    C top = none;
                    for (int j = 0; j < Tiles::rows; ++j) {
                        const int key = x + Tiles::side * j;
                        const bool visible = key < here && (!p.causal || first_key + key <= first + row);
                        scores[i][j] = visible ? p.scale * scores[i][j] : none;
                        top = scores[i][j] > top ? scores[i][j] : top;
                    }
                    top = max_over_lanes<Tiles::side>(top);
                    // Key 0 of the first list is seen by every query, so from then on the maximum is finite.
                    top = largest[i] > top ? largest[i] : top;
                    const C correction = exp(largest[i] - top);
                    C total = C(0);
                    for (int j = 0; j < Tiles::rows; ++j) {
                        const C weight = exp(scores[i][j] - top);
                        weights[row * Tiles::score_stride + x + Tiles::side * j] = weight;
                        total += weight;
                    }
                    sum[i] = sum[i] * correction + sum_over_lanes<Tiles::side>(total);
                    largest[i] = top;
                    for (int c = 0; c < Tiles::columns; ++c) {
                        out[i][c] *= correction;
                    }
                }
                __syncthreads(); // keys are done with, weights are there
                Tiles::load(p.v + at, p.key_layout.row_stride, here, head_size, others);
                __syncthreads();
                Tiles::accumulate(weights, Tiles::score_stride, 1, others, here, out);
            }
        }
        for (int i = 0; i < Tiles::rows; ++i) {
            const int row = y + Tiles::side * i;
            if (row >= count) {
                continue;
            }
            for (int c = 0; c < Tiles::columns; ++c) {
                const int column = x + Tiles::side * c;
                if (column < head_size) {
                    p.out[offset + row * p.query_layout.row_stride + column] = static_cast<T>(out[i][c] / sum[i]);
                }
            }
            if (p.log_sum_exp != nullptr && x == 0) {
                p.log_sum_exp[(batch * p.heads + head) * p.queries + first + row] = largest[i] + log(sum[i]);
            }
        }
    }
};

template <int width, int tile, class T>
void attention_forward_tiled(Cuda& backend, const AttentionProblem<T>& p) {
    using Program = AttentionForward<T, width, tile>;
    const index_t tiles = (p.queries + tile - 1) / tile;
    backend.launch(Program{p, tiles}, p.batches * p.heads * tiles, Program::Tiles::shared_bytes(Program::buffers));
}

} // namespace cuda

/// Tiled attention: on tensor cores where cuda::takes_rounded() says so, else in compute_t<T> throughout. Heads of more
/// than 512 channels (double: 160) go through generic/.
template <Scalar T>
void attention_forward(Cuda& backend, const AttentionProblem<T>& p) {
    if constexpr (!std::same_as<T, double>) {
        if (cuda::takes_rounded(backend, p)) {
            cuda::attention_forward_rounded(backend, p);
            return;
        }
    }
    const bool tiled = cuda::with_head_width<T>(p.head_size, [&]<int width>() {
        constexpr int tile = cuda::largest_tile<compute_t<T>, width, 2>();
        if constexpr (tile > 32) {
            if (cuda::is_short(p)) {
                cuda::attention_forward_tiled<width, 32>(backend, p);
                return true;
            }
        }
        if constexpr (tile > 0) {
            cuda::attention_forward_tiled<width, tile>(backend, p);
        }
        return tile > 0;
    });
    if (!tiled) {
        generic::attention_forward(backend, p);
    }
}

} // namespace reel
