#pragma once
// A matrix product as cuBLAS and cuBLASLt are asked for it. For .cu files.

#include <cublas_v2.h>

#include <reel/backend/cuda/runtime.cuh>

namespace reel::cuda {

inline void check(cublasStatus_t status, std::string_view call) {
    if (status != CUBLAS_STATUS_SUCCESS) [[unlikely]] {
        fail("cuBLAS: ", call, " failed: ", cublasGetStatusString(status),
             status == CUBLAS_STATUS_ALLOC_FAILED ? advice(cudaErrorMemoryAllocation)
             : status == CUBLAS_STATUS_ARCH_MISMATCH || status == CUBLAS_STATUS_NOT_SUPPORTED
                 ? std::string_view("; this GPU does not multiply numbers of this kind")
                 : advice(cudaErrorLaunchFailure));
    }
}

/// cuBLAS's name for an element type.
template <Scalar T>
inline constexpr cudaDataType_t data_type = std::same_as<T, double>     ? CUDA_R_64F
                                            : std::same_as<T, float>    ? CUDA_R_32F
                                            : std::same_as<T, bfloat16> ? CUDA_R_16BF
                                                                        : CUDA_R_16F;

/// What sums are kept in: float32 for the 16-bit types.
template <Scalar T>
using Sum = std::conditional_t<std::same_as<T, double>, double, float>;

/// C = alpha op(A) op(B) + beta C of row-major matrices, `batch` times; in and out may differ in type.
template <Scalar In, Scalar Out>
struct MatrixProduct {
    bool transpose_a = false;
    bool transpose_b = false;
    index_t m = 0;
    index_t n = 0;
    index_t k = 0;
    Sum<Out> alpha = 1;
    const In* a = nullptr;
    index_t lda = 0;
    const In* b = nullptr;
    index_t ldb = 0;
    Sum<Out> beta = 0;
    Out* c = nullptr;
    index_t ldc = 0;
    index_t batch = 1;
    index_t stride_a = 0;
    index_t stride_b = 0;
    index_t stride_c = 0;
};

/// Precision of a product's factors and sums. `tf32` lets float32 factors be rounded to TF32.
template <Scalar In>
[[nodiscard]] constexpr cublasComputeType_t compute_type(bool tf32) {
    return std::same_as<In, double>          ? CUBLAS_COMPUTE_64F
           : std::same_as<In, float> && tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                             : CUBLAS_COMPUTE_32F;
}

[[nodiscard]] constexpr cublasOperation_t operation(bool transpose) {
    return transpose ? CUBLAS_OP_T : CUBLAS_OP_N;
}

/// Bytes that a product may use beside its matrices: what NVIDIA recommends for Hopper.
inline constexpr std::size_t workspace_bytes = std::size_t{32} << 20;

} // namespace reel::cuda
