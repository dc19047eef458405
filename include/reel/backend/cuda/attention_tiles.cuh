#pragma once

#include <reel/backend/cuda/launch.cuh>
#include <reel/backend/cuda/scratch.cuh>
#include <reel/backend/generic/attention.hpp>

namespace reel::cuda {

/// What the attention programs share: 256 threads as 16 x 16; in a product of two tiles of `tile` rows, thread (y, x)
/// has the elements (y + 16 i, x + 16 j). Heads are padded with zeros to `width` elements. Rows of a tile in shared
/// memory lie one element further apart than they are long, so that neighbouring rows begin in different banks.
template <class T, int head_width, int tile_rows>
struct AttentionTiles {
    static constexpr int threads = 256;
    static constexpr int width = head_width;
    static constexpr int tile = tile_rows;
    static constexpr int side = 16;
    static constexpr int rows = tile / side;     ///< of a tile, per thread
    static constexpr int columns = width / side; ///< of a head, per thread
    static constexpr int stride = width + 1;
    static constexpr int score_stride = tile + 1;
    static constexpr int tile_size = tile * stride;
    static_assert(tile % side == 0 && width % side == 0);

    /// With `buffers` tiles of rows and one of scores.
    [[nodiscard]] static constexpr std::size_t shared_bytes(int buffers) {
        return sizeof(T) * static_cast<std::size_t>(buffers * tile_size + tile * score_stride);
    }

    /// A thread's part of a tile of scores, and of a tile of rows.
    using Scores = T[rows][rows];
    using Rows = T[rows][columns];

    /// Copies `count` rows of a head, `row_stride` apart, as what is computed in, and fills the tile up with zeros.
    template <class E>
    static __device__ void load(const E* from, index_t row_stride, int count, int head_size, T* to) {
        for (int i = static_cast<int>(threadIdx.x); i < tile * width; i += threads) {
            const int row = i / width;
            const int column = i % width;
            to[row * stride + column] =
                row < count && column < head_size ? static_cast<T>(from[row * row_stride + column]) : T(0);
        }
    }

    /// scores = a b^T
    static __device__ void multiply(const T* a, const T* b, Scores& scores) {
        const int x = static_cast<int>(threadIdx.x) % side;
        const int y = static_cast<int>(threadIdx.x) / side;
        for (int i = 0; i < rows; ++i) {
            for (int j = 0; j < rows; ++j) {
                scores[i][j] = T(0);
            }
        }
#pragma unroll 8
        for (int d = 0; d < width; ++d) {
            T left[rows];
            T right[rows];
            for (int i = 0; i < rows; ++i) {
                left[i] = a[(y + side * i) * stride + d];
                right[i] = b[(x + side * i) * stride + d];
            }
            for (int i = 0; i < rows; ++i) {
                for (int j = 0; j < rows; ++j) {
                    scores[i][j] += left[i] * right[j];
                }
            }
        }
    }

    /// sums[i] += sum over k < count of weight(y + 16 i, k) * from[k], where the weights lie in shared memory:
    /// weight(r, k) = weights[r * row_step + k * step].
    static __device__ void accumulate(const T* weights, int row_step, int step, const T* from, int count, Rows& sums) {
        const int x = static_cast<int>(threadIdx.x) % side;
        const int y = static_cast<int>(threadIdx.x) / side;
#pragma unroll 4
        for (int k = 0; k < count; ++k) {
            T weight[rows];
            for (int i = 0; i < rows; ++i) {
                weight[i] = weights[(y + side * i) * row_step + k * step];
            }
            for (int c = 0; c < columns; ++c) {
                const T value = from[k * stride + x + side * c];
                for (int i = 0; i < rows; ++i) {
                    sums[i][c] += weight[i] * value;
                }
            }
        }
    }

    static __device__ void clear(Rows& sums) {
        for (int i = 0; i < rows; ++i) {
            for (int c = 0; c < columns; ++c) {
                sums[i][c] = T(0);
            }
        }
    }
};

/// Shared memory that every GPU reel is built for gives a block, but the oldest (compute capability 7.5 has 64 KB).
inline constexpr std::size_t most_shared_bytes = 96 * 1024;

/// The largest tile of 64, 32 or 16 rows whose `buffers` fit; 0 where none does.
template <class T, int width, int buffers>
[[nodiscard]] consteval int largest_tile() {
    if (AttentionTiles<T, width, 64>::shared_bytes(buffers) <= most_shared_bytes && width <= 80) {
        return 64; // wider ones would need more registers than there are
    }
    if (AttentionTiles<T, width, 32>::shared_bytes(buffers) <= most_shared_bytes) {
        return 32;
    }
    return AttentionTiles<T, width, 16>::shared_bytes(buffers) <= most_shared_bytes ? 16 : 0;
}

/// Calls `run.operator()<width>()` with the smallest width that head_size fits in; false where there is none. Stable
/// Diffusion's heads have 40, 64, 80 and 160 channels; its autoencoder has one of 512. double is for tests, and most
/// heads of 16 bits go to the tensor cores: fewer kernels to compile.
template <class T, class Run>
[[nodiscard]] bool with_head_width(index_t head_size, const Run& run) {
    if constexpr (std::same_as<T, double>) {
        return head_size <= 48    ? run.template operator()<48>()
               : head_size <= 160 ? run.template operator()<160>()
                                  : false;
    } else {
        if constexpr (std::same_as<T, float>) {
            if (head_size > 48 && head_size <= 64) {
                return run.template operator()<64>();
            }
        }
        return head_size <= 48    ? run.template operator()<48>()
               : head_size <= 80  ? run.template operator()<80>()
               : head_size <= 160 ? run.template operator()<160>()
               : head_size <= 256 ? run.template operator()<256>()
               : head_size <= 512 ? run.template operator()<512>()
                                  : false;
    }
}

/// Tiles of a few rows waste less on the frames of a clip.
template <class T>
[[nodiscard]] bool is_short(const AttentionProblem<T>& p) {
    return p.queries <= 32 && p.keys <= 32;
}

/// Key batch number `list` of query batch `batch`, or -1.
template <class T>
[[nodiscard]] __device__ inline index_t key_batch_of(const AttentionProblem<T>& p, index_t batch, index_t list) {
    return p.key_batches == nullptr ? batch : static_cast<index_t>(p.key_batches[batch * p.lists + list]);
}

[[nodiscard]] __device__ inline index_t smaller(index_t a, index_t b) {
    return a < b ? a : b;
}

} // namespace reel::cuda
