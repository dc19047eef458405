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

} // namespace cuda

/// Matrix products through cuBLAS. bfloat16 and half matrices are summed in float32.
template <Scalar T>
void gemm(Cuda& backend, const GemmProblem<T>& p) {
    const index_t count = p.batch * p.m * p.n;
    if (count <= 0) {
        return;
    }
    const bool prepared = p.bias != nullptr || p.k == 0;
    if (prepared) {
        backend.for_each_index(count, cuda::PrepareSum<T>{.c = p.c,
                                                          .ldc = p.ldc,
                                                          .stride_c = p.stride_c,
                                                          .bias = p.bias,
                                                          .beta = static_cast<cuda::Sum<T>>(p.beta),
                                                          .m = p.m,
                                                          .n = p.n});
    }
    if (p.k == 0) {
        return;
    }
    backend.activate();
    backend.blas().multiply(
        cuda::MatrixProduct<T, T>{.transpose_a = p.transpose_a,
                                  .transpose_b = p.transpose_b,
                                  .m = p.m,
                                  .n = p.n,
                                  .k = p.k,
                                  .alpha = static_cast<cuda::Sum<T>>(p.alpha),
                                  .a = p.a,
                                  .lda = p.lda,
                                  .b = p.b,
                                  .ldb = p.ldb,
                                  .beta = prepared ? cuda::Sum<T>(1) : static_cast<cuda::Sum<T>>(p.beta),
                                  .c = p.c,
                                  .ldc = p.ldc,
                                  .batch = p.batch,
                                  .stride_a = p.stride_a,
                                  .stride_b = p.stride_b,
                                  .stride_c = p.stride_c},
        cuda::allows_tf32(backend));
}

} // namespace reel
