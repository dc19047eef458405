#pragma once
// cuBLAS as reel uses it: the one place that names its functions. For .cu files.

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

/// A cuBLAS handle on a stream, with memory of its own: cuBLAS never allocates while operations run, and the same call
/// gives the same bits.
class Blas {
public:
    explicit Blas(cudaStream_t stream) {
        check(cublasCreate(&handle_), "cublasCreate");
        try {
            check(cublasSetStream(handle_, stream), "cublasSetStream");
            check(cudaMalloc(&workspace_, workspace_bytes), "cudaMalloc");
            check(cublasSetWorkspace(handle_, workspace_, workspace_bytes), "cublasSetWorkspace");
        } catch (...) {
            release();
            throw;
        }
    }
    Blas(const Blas&) = delete;
    Blas& operator=(const Blas&) = delete;
    ~Blas() { release(); }

    /// All extents are positive. `tf32` lets float32 factors be rounded to TF32.
    template <class In, class Out>
    void multiply(const MatrixProduct<In, Out>& p, bool tf32 = false) {
        const cublasComputeType_t compute = std::same_as<In, double>          ? CUBLAS_COMPUTE_64F
                                            : std::same_as<In, float> && tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                                              : CUBLAS_COMPUTE_32F;
        const auto operation = [](bool transpose) { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; };
        // cuBLAS counts by columns: it sees every matrix transposed, and C^T = op(B)^T op(A)^T.
        check(cublasGemmStridedBatchedEx(handle_, operation(p.transpose_b), operation(p.transpose_a), extent(p.n),
                                         extent(p.m), extent(p.k), &p.alpha, p.b, data_type<In>, extent(p.ldb),
                                         p.stride_b, p.a, data_type<In>, extent(p.lda), p.stride_a, &p.beta, p.c,
                                         data_type<Out>, extent(p.ldc), p.stride_c, extent(p.batch), compute,
                                         CUBLAS_GEMM_DEFAULT),
              "cublasGemmStridedBatchedEx");
        operations_ += 2.0 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k) *
                       static_cast<double>(p.batch);
    }

    /// Multiplications and additions of all products so far, for measurements.
    [[nodiscard]] double operations() const { return operations_; }

private:
    static constexpr std::size_t workspace_bytes = std::size_t{32} << 20; // what NVIDIA recommends for Hopper

    static int extent(index_t value) {
        require(value <= 0x7fffffff, "cuBLAS: a matrix with an extent of ", value,
                "; expected less than 2^31: use fewer frames or a smaller size");
        return static_cast<int>(value);
    }

    void release() noexcept {
        static_cast<void>(cublasDestroy(handle_));
        static_cast<void>(cudaFree(workspace_));
    }

    cublasHandle_t handle_ = nullptr;
    void* workspace_ = nullptr;
    double operations_ = 0;
};

} // namespace reel::cuda
