#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>

#include <reel/backend/cuda/attention_tiles.cuh>
#include <reel/backend/cuda/packs.cuh>

namespace reel::cuda {

/// What tensor cores multiply for tensors of T: half as it is, all others as bfloat16; and the toolkit's name for it.
template <class T>
using Factor = std::conditional_t<std::same_as<T, half>, half, bfloat16>;
template <class T>
using UnitFactor = std::conditional_t<std::same_as<T, half>, __half, __nv_bfloat16>;

/// The same 16 bits as the matrix units name them.
[[nodiscard]] __device__ inline const __nv_bfloat16* units(const bfloat16* data) {
    return reinterpret_cast<const __nv_bfloat16*>(data);
}
[[nodiscard]] __device__ inline const __half* units(const half* data) {
    return reinterpret_cast<const __half*>(data);
}

/// Copies `count` of `rows` rows of a head, rounded where they are wider, and fills up with zeros.
template <int threads, int width, int stride, class T, class F>
__device__ inline void load_factors(const T* from, index_t row_stride, int rows, int count, int head_size, F* to) {
    for (int i = static_cast<int>(threadIdx.x); i < rows * width; i += threads) {
        const int row = i / width;
        const int column = i % width;
        const bool inside = row < count && column < head_size;
        to[row * stride + column] = inside ? converted<F>(from[row * row_stride + column]) : F(0.0F);
    }
}

/// Attention on tensor cores: float32 tensors are rounded to bfloat16 for the products, 16-bit ones are multiplied as
/// they are; sums and softmax are float32. A warp has 16 queries of a tile to itself and waits for others only when
/// keys and values change.
///
/// The matrix units' registers cannot be scaled row by row, so the accumulators pass through shared memory when a
/// maximum rises. It is let rise by `slack` first, which float32 and bfloat16 have room for: that happens in the first
/// tiles alone (the idea is FlashAttention-4's).
template <class T, int head_width, int warp_count, int key_tile>
struct AttentionForwardRounded {
    using F = Factor<T>;
    static constexpr int threads = 32 * warp_count;
    static constexpr int side = 16; ///< of the matrices that a warp multiplies at once
    static constexpr int tile = side * warp_count;
    static constexpr int width = head_width;
    static constexpr int stride = width + 8; ///< of rows of factors: 16 bytes on, in other banks
    static constexpr int score_stride = key_tile + 4;
    static constexpr int weight_stride = key_tile + 8;
    static constexpr int out_stride = width + 4;
    static constexpr int parts = width / side;
    static constexpr float slack = 6;
    static_assert(width % side == 0 && key_tile % side == 0);

    /// Per warp: scores, or the accumulators on their way through.
    static constexpr int scratch_floats = side * (score_stride > out_stride ? score_stride : out_stride);
    [[nodiscard]] static constexpr std::size_t shared_bytes() {
        return sizeof(float) * warp_count * scratch_floats +
               sizeof(F) * (warp_count * side * weight_stride + tile * stride + 2 * key_tile * stride);
    }

    using Out = nvcuda::wmma::fragment<nvcuda::wmma::accumulator, side, side, side, float>;
    template <class Layout>
    using Left = nvcuda::wmma::fragment<nvcuda::wmma::matrix_a, side, side, side, UnitFactor<T>, Layout>;
    template <class Layout>
    using Right = nvcuda::wmma::fragment<nvcuda::wmma::matrix_b, side, side, side, UnitFactor<T>, Layout>;

    AttentionProblem<T> p;
    index_t tiles; ///< of queries

    template <class E>
    static __device__ void load(const E* from, index_t row_stride, int rows, int count, int head_size, F* to) {
        load_factors<threads, width, stride>(from, row_stride, rows, count, head_size, to);
    }

    __device__ void operator()() const {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800 // the first with bfloat16; others are never asked
        using namespace nvcuda;
        using std::exp;
        using std::log;
        const float none = -std::numeric_limits<float>::infinity();
        const int warp = static_cast<int>(threadIdx.x) / 32;
        const int lane = static_cast<int>(threadIdx.x) % 32;
        const int row = lane / 2; ///< two lanes share a query's row, taking columns by turns
        const int turn = lane % 2;
        const int head_size = static_cast<int>(p.head_size);
        const index_t block = blockIdx.x;
        const index_t first = block % tiles * tile;
        const index_t head = block / tiles % p.heads;
        const index_t batch = block / tiles / p.heads;
        const int count = static_cast<int>(smaller(tile, p.queries - first));
        const index_t own_query = first + warp * side + row;

        float* scratch = shared_memory<float>();
        auto* all_weights = reinterpret_cast<F*>(scratch + warp_count * scratch_floats);
        F* queries = all_weights + warp_count * side * weight_stride;
        F* keys = queries + tile * stride;
        F* values = keys + key_tile * stride;
        scratch += warp * scratch_floats;
        F* weights = all_weights + warp * side * weight_stride;
        const index_t offset = p.query_layout.base(batch) + first * p.query_layout.row_stride + head * p.head_size;
        load(p.q + offset, p.query_layout.row_stride, tile, count, head_size, queries);

        Out out[parts];
        for (int part = 0; part < parts; ++part) {
            wmma::fill_fragment(out[part], 0.0F);
        }
        float largest = none;
        float sum = 0; ///< of this lane's columns
        const index_t end = p.causal ? smaller(p.keys, first + count) : p.keys;
        for (index_t list = 0; list < p.lists; ++list) {
            const index_t key_batch = key_batch_of(p, batch, list);
            if (key_batch < 0) {
                continue; // the whole block
            }
            for (index_t first_key = 0; first_key < end; first_key += key_tile) {
                const int here = static_cast<int>(smaller(key_tile, end - first_key));
                const index_t at =
                    p.key_layout.base(key_batch) + first_key * p.key_layout.row_stride + head * p.head_size;
                __syncthreads(); // the tile before is done with
                load(p.k + at, p.key_layout.row_stride, key_tile, here, head_size, keys);
                load(p.v + at, p.key_layout.row_stride, key_tile, here, head_size, values);
                __syncthreads();

                for (int column = 0; column < key_tile; column += side) {
                    Out score;
                    wmma::fill_fragment(score, 0.0F);
                    for (int part = 0; part < parts; ++part) {
                        Left<wmma::row_major> left;
                        Right<wmma::col_major> right;
                        wmma::load_matrix_sync(left, units(queries + warp * side * stride + part * side), stride);
                        wmma::load_matrix_sync(right, units(keys + column * stride + part * side), stride);
                        wmma::mma_sync(score, left, right, score);
                    }
                    wmma::store_matrix_sync(scratch + column, score, score_stride, wmma::mem_row_major);
                }
                __syncwarp();

                // Keys that this lane's query sees: the first `visible` of the tile.
                const index_t seen = p.causal ? smaller(own_query + 1 - first_key, here) : here;
                const int visible = seen > 0 ? static_cast<int>(seen) : 0;
                float top = none;
                for (int key = turn; key < visible; key += 2) {
                    const float score = p.scale * scratch[row * score_stride + key];
                    top = score > top ? score : top;
                }
                top = max_over_lanes<2>(top);
                float correction = 1;
                if (top > largest + slack || largest == none) {
                    // Nothing to correct before the first key; key 0 is seen by every query.
                    correction = sum > 0 ? exp(largest - top) : 1.0F;
                    largest = top;
                }
                sum *= correction;
                for (int key = turn; key < key_tile; key += 2) {
                    const float weight =
                        key < visible ? exp(p.scale * scratch[row * score_stride + key] - largest) : 0.0F;
                    const F rounded(weight);
                    weights[row * weight_stride + key] = rounded;
                    sum += static_cast<float>(rounded); // what is divided by is what was multiplied
                }
                if (max_over_lanes<32>(correction < 1.0F ? 1 : 0) == 1) { // the whole warp
                    pass_through(out, scratch, row, turn, correction);
                }
                __syncwarp();
                for (int key = 0; key < key_tile; key += side) {
                    Left<wmma::row_major> left;
                    wmma::load_matrix_sync(left, units(weights + key), weight_stride);
                    for (int part = 0; part < parts; ++part) {
                        Right<wmma::row_major> right;
                        wmma::load_matrix_sync(right, units(values + key * stride + part * side), stride);
                        wmma::mma_sync(out[part], left, right, out[part]);
                    }
                }
                __syncwarp(); // the weights are done with
            }
        }
        sum = sum_over_lanes<2>(sum);
        pass_through(out, scratch, row, turn, 1 / sum);
        if (own_query < first + count) {
            T* to = p.out + offset + (warp * side + row) * p.query_layout.row_stride;
            for (int column = turn; column < head_size; column += 2) {
                to[column] = static_cast<T>(scratch[row * out_stride + column]);
            }
            if (p.log_sum_exp != nullptr && turn == 0) {
                p.log_sum_exp[(batch * p.heads + head) * p.queries + own_query] = largest + log(sum);
            }
        }
#endif
    }

    /// Multiplies every row of the accumulators by its lanes' factor, and leaves a copy in the warp's scratch.
    static __device__ void pass_through(Out* out, float* scratch, int row, int turn, float factor) {
        using namespace nvcuda;
        __syncwarp(); // scores are done with
        for (int part = 0; part < parts; ++part) {
            wmma::store_matrix_sync(scratch + part * side, out[part], out_stride, wmma::mem_row_major);
        }
        __syncwarp();
        for (int column = turn; column < width; column += 2) {
            scratch[row * out_stride + column] *= factor;
        }
        __syncwarp();
        for (int part = 0; part < parts; ++part) {
            wmma::load_matrix_sync(out[part], scratch + part * side, out_stride, wmma::mem_row_major);
        }
        __syncwarp();
    }
};

template <int width, int warps, int key_tile, class T>
void attention_forward_rounded(Cuda& backend, const AttentionProblem<T>& p) {
    using Program = AttentionForwardRounded<T, width, warps, key_tile>;
    static_assert(Program::shared_bytes() <= most_shared_bytes);
    const index_t tiles = (p.queries + Program::tile - 1) / Program::tile;
    backend.launch(Program{p, tiles}, p.batches * p.heads * tiles, Program::shared_bytes());
}

/// Whether tensor cores may be used, and repay it: 16-bit tensors, or float32 ones where float32_matmul_precision is
/// medium, on compute capability 8.0 or newer, in heads of up to 160 channels; few queries and keys do not fill a tile.
template <class T>
[[nodiscard]] bool takes_rounded(const Cuda& backend, const AttentionProblem<T>& p) {
    return (!Real<T> ||
            (std::same_as<T, float> && backend.float32_matmul_precision == Float32MatmulPrecision::medium)) &&
           backend.multiplies_bfloat16() && !is_short(p) && p.head_size <= 160;
}

/// With the sizes of Stable Diffusion's heads.
template <class T>
void attention_forward_rounded(Cuda& backend, const AttentionProblem<T>& p) {
    if (p.head_size <= 48) {
        attention_forward_rounded<48, 8, 64>(backend, p);
    } else if (p.head_size <= 64) {
        attention_forward_rounded<64, 8, 64>(backend, p);
    } else if (p.head_size <= 80) {
        attention_forward_rounded<80, 4, 64>(backend, p);
    } else {
        attention_forward_rounded<160, 4, 32>(backend, p);
    }
}

} // namespace reel::cuda
