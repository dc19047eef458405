#pragma once

#include <reel/backend/cpu/kernels.hpp>
#include <reel/backend/generic/gemm.hpp>
#include <reel/tensor.hpp>

namespace reel {

/// Runs a matrix product on the backend's own version, or the generic one where it has none.
template <Backend B, Scalar T>
void run_gemm(B& backend, const GemmProblem<T>& problem) {
    if constexpr (requires { gemm(backend, problem); }) {
        gemm(backend, problem);
    } else {
        generic::gemm(backend, problem);
    }
}

/// a [..., m, k] times b [..., k, n]: [..., m, n]; an argument is transposed first where its flag says so. The axes
/// before the last two are equal, or b is one matrix for all of a. torch.matmul, whose other broadcasts it has not.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> matmul(const Tensor<T, B>& a, const Tensor<T, B>& b, bool transpose_a = false,
                                  bool transpose_b = false) {
    require(a.rank() >= 2 && (b.rank() == 2 || b.rank() == a.rank()), "matmul: expected matrices or equal batches of ",
            "them, got ", a.shape(), " and ", b.shape());
    const index_t m = a.shape(transpose_a ? -1 : -2);
    const index_t k = a.shape(transpose_a ? -2 : -1);
    const index_t n = b.shape(transpose_b ? -2 : -1);
    require(b.shape(transpose_b ? -1 : -2) == k, "matmul: inner extents differ: ", a.shape(),
            transpose_a ? " transposed" : "", " times ", b.shape(), transpose_b ? " transposed" : "");
    index_t batch = 1;
    for (int axis = 0; axis < a.rank() - 2; ++axis) {
        require(b.rank() == 2 || a.shape(axis) == b.shape(axis), "matmul: batches differ: ", a.shape(), " times ",
                b.shape());
        batch *= a.shape(axis);
    }
    Tensor<T, B> c(a.backend(), a.shape().with(-2, m).with(-1, n));
    const bool one_product = b.rank() == 2 && !transpose_a; // all rows of all of a
    run_gemm(a.backend(), GemmProblem<T>{.transpose_a = transpose_a,
                                         .transpose_b = transpose_b,
                                         .m = one_product ? batch * m : m,
                                         .n = n,
                                         .k = k,
                                         .a = a.data(),
                                         .lda = a.shape(-1),
                                         .b = b.data(),
                                         .ldb = b.shape(-1),
                                         .c = c.data(),
                                         .ldc = n,
                                         .batch = one_product ? 1 : batch,
                                         .stride_a = m * k,
                                         .stride_b = b.rank() == 2 ? 0 : k * n,
                                         .stride_c = m * n});
    return c;
}

/// linear() into a tensor [..., out] that exists: a slice, usually.
template <Scalar T, Backend B>
void linear_into(const Tensor<T, B>& y, const Tensor<T, B>& x, const Tensor<T, B>& weight,
                 const Tensor<T, B>& bias = {}) {
    require(weight.rank() == 2 && x.rank() >= 1 && x.shape(-1) == weight.shape(1), "linear: input ", x.shape(),
            " with weight ", weight.shape(), "; expected the input's last extent to be the weight's second");
    require(!bias.defined() || bias.shape() == Shape{weight.shape(0)}, "linear: bias ", bias.shape(), " with weight ",
            weight.shape());
    const index_t in = weight.shape(1);
    const index_t out = weight.shape(0);
    require(y.shape() == x.shape().with(-1, out), "linear: input ", x.shape(), " with weight ", weight.shape(),
            " into ", y.shape(), "; expected ", x.shape().with(-1, out));
    run_gemm(x.backend(), GemmProblem<T>{.transpose_b = true,
                                         .m = in == 0 ? 0 : x.size() / in,
                                         .n = out,
                                         .k = in,
                                         .a = x.data(),
                                         .lda = in,
                                         .b = weight.data(),
                                         .ldb = in,
                                         .c = y.data(),
                                         .ldc = out,
                                         .bias = bias.defined() ? bias.data() : nullptr});
}

/// x [..., in] times weight [out, in] transposed, plus bias [out] unless it is undefined: [..., out].
/// torch.nn.functional.linear.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> linear(const Tensor<T, B>& x, const Tensor<T, B>& weight, const Tensor<T, B>& bias = {}) {
    require(weight.rank() == 2 && x.rank() >= 1, "linear: input ", x.shape(), " with weight ", weight.shape(),
            "; expected [..., in] and [out, in]");
    Tensor<T, B> y(x.backend(), x.shape().with(-1, weight.shape(0)));
    linear_into(y, x, weight, bias);
    return y;
}

/// Gradient of linear's input from that of its output.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> linear_input_gradient(const Tensor<T, B>& y_gradient, const Tensor<T, B>& weight) {
    const Tensor<T, B> flat = matmul(y_gradient.reshape({-1, weight.shape(0)}), weight);
    return flat.reshape(y_gradient.shape().with(-1, weight.shape(1)));
}

/// Gradient of linear's weight.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> linear_weight_gradient(const Tensor<T, B>& x, const Tensor<T, B>& y_gradient) {
    return matmul(y_gradient.reshape({-1, y_gradient.shape(-1)}), x.reshape({-1, x.shape(-1)}), true, false);
}

} // namespace reel
