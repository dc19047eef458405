#pragma once

#include <reel/backend/cuda/context.cuh>

namespace reel {

namespace cuda {

/// c = bias + beta * c, before a product is added: where cuBLAS has no such thing, or no product to add.
template <class T>
struct PrepareSum {
    T* c;
    index_t ldc;
    index_t stride_c;
    const T* bias; ///< [n] or null
    Sum<T> beta;   ///< with 0, c's old content is not read
    index_t m;
    index_t n;

    __host__ __device__ void operator()(index_t index) const {
        const index_t column = index % n;
        T& sum = c[index / (m * n) * stride_c + index / n % m * ldc + column];
        const Sum<T> start = bias != nullptr ? static_cast<Sum<T>>(bias[column]) : Sum<T>(0);
        sum = static_cast<T>(beta == Sum<T>(0) ? start : start + beta * static_cast<Sum<T>>(sum));
    }
};

/// Whether float32 factors may be rounded to TF32.
[[nodiscard]] inline bool allows_tf32(const Cuda& backend) {
    return backend.float32_matmul_precision != Float32MatmulPrecision::highest;
}

/// C = alpha op(A) op(B) + beta C, and bias [n] on every row unless it is null: with a bias in one pass through
/// cuBLASLt where that takes it (see BlasLt), else C is prepared and cuBLAS adds the product. k may be 0.
template <class In, class Out>
void multiply(Cuda& backend, MatrixProduct<In, Out> p, const Out* bias) {
    const bool tf32 = allows_tf32(backend);
    backend.activate();
    if (bias != nullptr && p.k > 0 && backend.blas().multiply_with_bias(p, bias, tf32)) {
        return;
    }
    if (bias != nullptr || p.k == 0) {
        backend.for_each_index(
            p.batch * p.m * p.n,
            PrepareSum<Out>{
                .c = p.c, .ldc = p.ldc, .stride_c = p.stride_c, .bias = bias, .beta = p.beta, .m = p.m, .n = p.n});
        p.beta = Sum<Out>(1);
    }
    if (p.k > 0) {
        backend.blas().multiply(p, tf32);
    }
}

} // namespace cuda

/// Matrix products through cuBLAS and cuBLASLt. bfloat16 and half matrices are summed in float32.
template <Scalar T>
void gemm(Cuda& backend, const GemmProblem<T>& p) {
    if (p.batch * p.m * p.n <= 0) {
        return;
    }
    cuda::multiply(backend,
                   cuda::MatrixProduct<T, T>{.transpose_a = p.transpose_a,
                                             .transpose_b = p.transpose_b,
                                             .m = p.m,
                                             .n = p.n,
                                             .k = p.k,
                                             .alpha = p.alpha,
                                             .a = p.a,
                                             .lda = p.lda,
                                             .b = p.b,
                                             .ldb = p.ldb,
                                             .beta = p.beta,
                                             .c = p.c,
                                             .ldc = p.ldc,
                                             .batch = p.batch,
                                             .stride_a = p.stride_a,
                                             .stride_b = p.stride_b,
                                             .stride_c = p.stride_c},
                   p.bias);
}

} // namespace reel
