#pragma once

#include <reel/backend/cuda/attention_rounded.cuh>

namespace reel::cuda {

/// What the gradients of attention on tensor cores share. Four warps have 16 rows each of two matrices that belong
/// together (queries and gradients of outputs, or keys and values), and go over tiles of the other two. All four are
/// kept as factors: see AttentionForwardRounded.
template <class T, int head_width>
struct BackwardTiles {
    using F = Factor<T>;
    static constexpr int warp_count = 4;
    static constexpr int threads = 32 * warp_count;
    static constexpr int side = 16;
    static constexpr int own_rows = side * warp_count;
    static constexpr int other_rows = 32;
    static constexpr int width = head_width;
    static constexpr int stride = width + 8; ///< 16 bytes on, in other banks
    static constexpr int score_stride = other_rows + 4;
    static constexpr int factor_stride = other_rows + 8;
    static constexpr int parts = width / side;
    static_assert(width % side == 0);
    /// Floats per warp: two tiles of scores.
    static constexpr int scratch_floats = 2 * side * score_stride;

    [[nodiscard]] static constexpr std::size_t shared_bytes() {
        return sizeof(float) * warp_count * scratch_floats +
               sizeof(F) * (2 * warp_count * side * factor_stride + 2 * (own_rows + other_rows) * stride);
    }

    using Out = nvcuda::wmma::fragment<nvcuda::wmma::accumulator, side, side, side, float>;
    using Left =
        nvcuda::wmma::fragment<nvcuda::wmma::matrix_a, side, side, side, UnitFactor<T>, nvcuda::wmma::row_major>;
    template <class Layout>
    using Right = nvcuda::wmma::fragment<nvcuda::wmma::matrix_b, side, side, side, UnitFactor<T>, Layout>;

    /// The block's shared memory, and this thread's place in it.
    struct Place {
        int warp;
        int row; ///< of the warp's 16; two lanes share one, taking columns by turns
        int turn;
        float* scores; ///< of the warp: two tiles [side, other_rows]
        float* slopes;
        F* weights; ///< of the warp: the same as factors
        F* weight_slopes;
        F* own[2];
        F* other[2];

        __device__ Place()
            : warp(static_cast<int>(threadIdx.x) / 32), row(static_cast<int>(threadIdx.x) % 32 / 2),
              turn(static_cast<int>(threadIdx.x) % 2) {
            auto* floats = shared_memory<float>();
            auto* factors = reinterpret_cast<F*>(floats + warp_count * scratch_floats);
            scores = floats + warp * scratch_floats;
            slopes = scores + side * score_stride;
            weights = factors + 2 * warp * side * factor_stride;
            weight_slopes = weights + side * factor_stride;
            own[0] = factors + 2 * warp_count * side * factor_stride;
            own[1] = own[0] + own_rows * stride;
            other[0] = own[1] + own_rows * stride;
            other[1] = other[0] + other_rows * stride;
        }
    };

    template <class E>
    static __device__ void load(const E* from, index_t row_stride, int rows, int count, int head_size, F* to) {
        load_factors<threads, width, stride>(from, row_stride, rows, count, head_size, to);
    }

    /// scores = own[0] other[0]^T and slopes = own[1] other[1]^T, of the warp's rows.
    static __device__ void multiply(const Place& at) {
        using namespace nvcuda;
        for (int which = 0; which < 2; ++which) {
            for (int column = 0; column < other_rows; column += side) {
                Out sum;
                wmma::fill_fragment(sum, 0.0F);
                for (int part = 0; part < parts; ++part) {
                    Left left;
                    Right<wmma::col_major> right;
                    wmma::load_matrix_sync(left, units(at.own[which] + at.warp * side * stride + part * side), stride);
                    wmma::load_matrix_sync(right, units(at.other[which] + column * stride + part * side), stride);
                    wmma::mma_sync(sum, left, right, sum);
                }
                wmma::store_matrix_sync((which == 0 ? at.scores : at.slopes) + column, sum, score_stride,
                                        wmma::mem_row_major);
            }
        }
        __syncwarp();
    }

    /// out += factors [side, other_rows] times others [other_rows, width].
    static __device__ void accumulate(const F* factors, const F* others, Out* out) {
        using namespace nvcuda;
        for (int first = 0; first < other_rows; first += side) {
            Left left;
            wmma::load_matrix_sync(left, units(factors + first), factor_stride);
            for (int part = 0; part < parts; ++part) {
                Right<wmma::row_major> right;
                wmma::load_matrix_sync(right, units(others + first * stride + part * side), stride);
                wmma::mma_sync(out[part], left, right, out[part]);
            }
        }
    }

    static __device__ void clear(Out* out) {
        for (int part = 0; part < parts; ++part) {
            nvcuda::wmma::fill_fragment(out[part], 0.0F);
        }
    }

    /// The block's rows of a head.
    struct Rows {
        float* to;
        index_t stride;
        int count; ///< that exist
        int head_size;
    };

    /// Adds `factor` times the warp's accumulators to rows, or writes them.
    static __device__ void store(const Place& at, const Out* out, float factor, bool add, const Rows& rows) {
        using namespace nvcuda;
        const int own_row = at.warp * side + at.row;
        for (int part = 0; part < parts; ++part) {
            __syncwarp(); // the part before is done with
            wmma::store_matrix_sync(at.scores, out[part], score_stride, wmma::mem_row_major);
            __syncwarp();
            for (int i = at.turn; i < side; i += 2) {
                const int column = part * side + i;
                if (own_row < rows.count && column < rows.head_size) {
                    float& element = rows.to[own_row * rows.stride + column];
                    const float value = factor * at.scores[at.row * score_stride + i];
                    element = add ? element + value : value;
                }
            }
        }
        __syncwarp();
    }
};

/// What a query's weights are made with.
struct QuerySoftmax {
    float scale;
    float normaliser; ///< log sum exp
    float delta;      ///< AttentionDelta's
};

/// A weight and its slope, where the place has score and slope number `score`, as factors number `factor` of the
/// products that follow. The slope is without the score's scale, which the result is multiplied by: in half it might
/// vanish.
template <class Place>
__device__ inline void make_factors(const Place& at, int score, int factor, const QuerySoftmax& query, bool visible) {
    using std::exp;
    using F = std::remove_reference_t<decltype(at.weights[0])>;
    const float w = visible ? exp(query.scale * at.scores[score] - query.normaliser) : 0.0F;
    at.weights[factor] = F(w);
    at.weight_slopes[factor] = F(w * (at.slopes[score] - query.delta));
}

/// The queries' gradient: a block per tile of queries, over all its keys.
template <class T, int head_width>
struct AttentionQueryGradientRounded {
    using Tiles = BackwardTiles<T, head_width>;
    static constexpr int threads = Tiles::threads;
    AttentionProblem<T> p;
    const float* delta;
    index_t tiles; ///< of queries

    __device__ void operator()() const {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800 // as in the forward pass
        constexpr int tile = Tiles::own_rows;
        constexpr int others = Tiles::other_rows;
        const typename Tiles::Place at;
        const int head_size = static_cast<int>(p.head_size);
        const index_t block = blockIdx.x;
        const index_t first = block % tiles * tile;
        const index_t head = block / tiles % p.heads;
        const index_t batch = block / tiles / p.heads;
        const int count = static_cast<int>(smaller(tile, p.queries - first));
        const index_t q_stride = p.query_layout.row_stride;
        const index_t k_stride = p.key_layout.row_stride;
        const index_t offset = p.query_layout.base(batch) + first * q_stride + head * p.head_size;
        Tiles::load(p.q + offset, q_stride, tile, count, head_size, at.own[0]);
        Tiles::load(p.out_gradient + offset, q_stride, tile, count, head_size, at.own[1]);
        const int own_row = at.warp * Tiles::side + at.row;
        const index_t own_index = (batch * p.heads + head) * p.queries + first + own_row;
        const float normaliser = own_row < count ? p.log_sum_exp[own_index] : 0.0F;
        const float shift = own_row < count ? delta[own_index] : 0.0F;

        typename Tiles::Out sums[Tiles::parts];
        Tiles::clear(sums);
        const index_t end = p.causal ? smaller(p.keys, first + count) : p.keys;
        for (index_t list = 0; list < p.lists; ++list) {
            const index_t key_batch = key_batch_of(p, batch, list);
            if (key_batch < 0) {
                continue; // the whole block
            }
            for (index_t first_key = 0; first_key < end; first_key += others) {
                const int here = static_cast<int>(smaller(others, end - first_key));
                const index_t from = p.key_layout.base(key_batch) + first_key * k_stride + head * p.head_size;
                __syncthreads(); // the tile before is done with
                Tiles::load(p.k + from, k_stride, others, here, head_size, at.other[0]);
                Tiles::load(p.v + from, k_stride, others, here, head_size, at.other[1]);
                __syncthreads();
                Tiles::multiply(at);
                for (int key = at.turn; key < others; key += 2) {
                    const bool visible =
                        own_row < count && key < here && (!p.causal || first_key + key <= first + own_row);
                    const int score = at.row * Tiles::score_stride + key;
                    const int factor = at.row * Tiles::factor_stride + key;
                    make_factors(at, score, factor, {p.scale, normaliser, shift}, visible);
                }
                __syncwarp();
                Tiles::accumulate(at.weight_slopes, at.other[0], sums);
            }
        }
        Tiles::store(at, sums, p.scale, false, {p.q_gradient + offset, q_stride, count, head_size});
#endif
    }
};

/// The keys' and values' gradients: a block per tile of keys, over all queries that see it, in order.
template <class T, int head_width>
struct AttentionKeyGradientRounded {
    using Tiles = BackwardTiles<T, head_width>;
    static constexpr int threads = Tiles::threads;
    AttentionProblem<T> p;
    const float* delta;
    index_t tiles; ///< of keys

    __device__ void operator()() const {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800 // as in the forward pass
        constexpr int tile = Tiles::own_rows;
        constexpr int others = Tiles::other_rows;
        const typename Tiles::Place at;
        const int head_size = static_cast<int>(p.head_size);
        const index_t block = blockIdx.x;
        const index_t first_key = block % tiles * tile;
        const index_t head = block / tiles % p.heads;
        const index_t key_batch = block / tiles / p.heads;
        const int here = static_cast<int>(smaller(tile, p.keys - first_key));
        const index_t q_stride = p.query_layout.row_stride;
        const index_t k_stride = p.key_layout.row_stride;
        const index_t offset = p.key_layout.base(key_batch) + first_key * k_stride + head * p.head_size;
        Tiles::load(p.k + offset, k_stride, tile, here, head_size, at.own[0]);
        Tiles::load(p.v + offset, k_stride, tile, here, head_size, at.own[1]);
        const int own_row = at.warp * Tiles::side + at.row;

        typename Tiles::Out key_sums[Tiles::parts];
        typename Tiles::Out value_sums[Tiles::parts];
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
            const index_t begin = p.causal ? first_key / others * others : 0; // those before see none of these keys
            for (index_t first = begin; first < p.queries; first += others) {
                const int count = static_cast<int>(smaller(others, p.queries - first));
                const index_t from = p.query_layout.base(batch) + first * q_stride + head * p.head_size;
                __syncthreads(); // the tile before is done with
                Tiles::load(p.q + from, q_stride, others, count, head_size, at.other[0]);
                Tiles::load(p.out_gradient + from, q_stride, others, count, head_size, at.other[1]);
                __syncthreads();
                Tiles::multiply(at);
                for (int query = at.turn; query < others; query += 2) {
                    const bool visible =
                        own_row < here && query < count && (!p.causal || first_key + own_row <= first + query);
                    const int score = at.row * Tiles::score_stride + query;
                    const int factor = at.row * Tiles::factor_stride + query;
                    const index_t index = row_index + first + query;
                    make_factors(at, score, factor,
                                 {p.scale, visible ? p.log_sum_exp[index] : 0.0F, visible ? delta[index] : 0.0F},
                                 visible);
                }
                __syncwarp();
                Tiles::accumulate(at.weights, at.other[1], value_sums);
                Tiles::accumulate(at.weight_slopes, at.other[0], key_sums);
            }
        }
        if (p.k_gradient != nullptr) {
            Tiles::store(at, key_sums, p.scale, true, {p.k_gradient + offset, k_stride, here, head_size});
        }
        if (p.v_gradient != nullptr) {
            Tiles::store(at, value_sums, 1.0F, true, {p.v_gradient + offset, k_stride, here, head_size});
        }
#endif
    }
};

template <int width, class T>
void attention_backward_rounded(Cuda& backend, const AttentionProblem<T>& p, const float* delta) {
    using Tiles = BackwardTiles<T, width>;
    static_assert(Tiles::shared_bytes() <= most_shared_bytes);
    if (p.q_gradient != nullptr) {
        const index_t tiles = (p.queries + Tiles::own_rows - 1) / Tiles::own_rows;
        backend.launch(AttentionQueryGradientRounded<T, width>{p, delta, tiles}, p.batches * p.heads * tiles,
                       Tiles::shared_bytes());
    }
    if (p.k_gradient != nullptr || p.v_gradient != nullptr) {
        const index_t tiles = (p.keys + Tiles::own_rows - 1) / Tiles::own_rows;
        backend.launch(AttentionKeyGradientRounded<T, width>{p, delta, tiles}, p.key_batch_count * p.heads * tiles,
                       Tiles::shared_bytes());
    }
}

/// Gradients on tensor cores, where takes_rounded() says so: the weights are those of that forward pass, made again.
/// `delta` is AttentionDelta's.
template <class T>
void attention_backward_rounded(Cuda& backend, const AttentionProblem<T>& p, const float* delta) {
    if (p.head_size <= 48) {
        attention_backward_rounded<48>(backend, p, delta);
    } else if (p.head_size <= 64) {
        attention_backward_rounded<64>(backend, p, delta);
    } else if (p.head_size <= 80) {
        attention_backward_rounded<80>(backend, p, delta);
    } else {
        attention_backward_rounded<160>(backend, p, delta);
    }
}

} // namespace reel::cuda
