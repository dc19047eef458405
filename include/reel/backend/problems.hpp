#pragma once

#include <reel/core/scalar.hpp>

/// What a backend is asked to compute, as plain pointers and sizes: the seam between operations and backends.
/// All matrices are row-major; a leading dimension is the distance between rows in elements. Factors, statistics and
/// gradients are compute_t<T>: float where T has 16 bits.
namespace reel {

/// C = alpha * op(A) op(B) + beta * C (+ bias on every row), `batch` times with strides between the matrices.
/// op(A) is [m, k], op(B) is [k, n], C is [m, n]. With beta = 0, C's old content is not read.
template <class T>
struct GemmProblem {
    bool transpose_a = false; ///< A is stored as [k, m]
    bool transpose_b = false; ///< B is stored as [n, k]
    index_t m = 0;
    index_t n = 0;
    index_t k = 0;
    compute_t<T> alpha = 1;
    const T* a = nullptr;
    index_t lda = 0;
    const T* b = nullptr;
    index_t ldb = 0;
    compute_t<T> beta = 0;
    T* c = nullptr;
    index_t ldc = 0;
    const T* bias = nullptr; ///< [n] or null
    index_t batch = 1;
    index_t stride_a = 0;
    index_t stride_b = 0;
    index_t stride_c = 0;
};

/// A convolution over channels-last pictures. x [images, height, width, in_channels], kernel
/// [out_channels, kernel_h, kernel_w, in_channels], y [images, out_height, out_width, out_channels].
struct ConvGeometry {
    index_t images = 0;
    index_t height = 0;
    index_t width = 0;
    index_t in_channels = 0;
    index_t out_channels = 0;
    index_t kernel_h = 1;
    index_t kernel_w = 1;
    index_t stride = 1;
    index_t pad_top = 0;
    index_t pad_left = 0;
    index_t out_height = 0;
    index_t out_width = 0;
    index_t dilation_in = 1; ///< distance between input pixels; 2 in the input gradient of a stride-2 convolution

    [[nodiscard]] constexpr index_t patch() const { return kernel_h * kernel_w * in_channels; }
    [[nodiscard]] constexpr index_t out_rows() const { return images * out_height * out_width; }
};

/// Where the rows of batch n start: (n / inner) * outer_stride + (n % inner) * inner_stride; rows are row_stride apart.
struct RowLayout {
    index_t inner = 1;
    index_t outer_stride = 0;
    index_t inner_stride = 0;
    index_t row_stride = 0;

    [[nodiscard]] constexpr index_t base(index_t n) const {
        return (n / inner) * outer_stride + (n % inner) * inner_stride;
    }
};

/// softmax(scale * q k^T) v for every batch and head. Head h of a row is its elements [h*head_size, (h+1)*head_size).
/// Query batch n attends to the concatenated rows of the key batches key_batches[n*lists .. n*lists + lists), where a
/// negative entry stands for none; a null key_batches means n itself. Query i of a causal problem sees keys 0..i only.
template <class T>
struct AttentionProblem {
    index_t batches = 0;
    index_t heads = 1;
    index_t head_size = 0;
    index_t queries = 0;
    index_t keys = 0; ///< rows per key batch
    index_t key_batch_count = 0;
    index_t lists = 1;
    const std::int32_t* key_batches = nullptr; ///< in the backend's memory
    bool causal = false;
    compute_t<T> scale = 1;
    RowLayout query_layout;
    RowLayout key_layout;
    const T* q = nullptr;
    const T* k = nullptr;
    const T* v = nullptr;
    T* out = nullptr;                    ///< laid out like q
    compute_t<T>* log_sum_exp = nullptr; ///< [batches, heads, queries]; may be null in the forward pass
    const T* out_gradient = nullptr;
    compute_t<T>* q_gradient = nullptr; ///< laid out like q; written
    compute_t<T>* k_gradient = nullptr; ///< laid out like k; zero before the call, added to; null when not wanted
    compute_t<T>* v_gradient = nullptr; ///< as k_gradient
};

/// Normalisation of channels-last rows: x [sets * rows, channels]; statistics over the `rows` rows of a set and the
/// channels of a group. Layer norm is one row per set and one group.
template <class T>
struct NormProblem {
    index_t sets = 0;
    index_t rows = 1;
    index_t channels = 0;
    index_t groups = 1;
    compute_t<T> epsilon = 0;
    bool silu = false; ///< y = silu(norm(x))
    const T* x = nullptr;
    const T* gamma = nullptr; ///< [channels] or null
    const T* beta = nullptr;  ///< [channels] or null
    T* y = nullptr;
    compute_t<T>* mean = nullptr;        ///< [sets, groups]
    compute_t<T>* inverse_std = nullptr; ///< [sets, groups]
    const T* y_gradient = nullptr;
    T* x_gradient = nullptr;                ///< null when not wanted
    compute_t<T>* gamma_gradient = nullptr; ///< zero before the call, added to; null when not wanted
    compute_t<T>* beta_gradient = nullptr;  ///< as gamma_gradient
};

} // namespace reel
