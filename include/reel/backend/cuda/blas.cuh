#pragma once
// cuBLAS as reel uses it: the one place that names its functions, as blas_lt.cuh is for cuBLASLt. For .cu files.

#include <reel/backend/cuda/blas_lt.cuh>

namespace reel::cuda {

/// A cuBLAS handle on a stream, with memory of its own: cuBLAS never allocates while operations run, and the same call
/// gives the same bits.
class Blas {
public:
    Blas(cudaStream_t stream, StreamPool& pool) : lt_(stream, pool) {
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
        // cuBLAS counts by columns: it sees every matrix transposed, and C^T = op(B)^T op(A)^T.
        check(cublasGemmStridedBatchedEx(handle_, operation(p.transpose_b), operation(p.transpose_a), extent(p.n),
                                         extent(p.m), extent(p.k), &p.alpha, p.b, data_type<In>, extent(p.ldb),
                                         p.stride_b, p.a, data_type<In>, extent(p.lda), p.stride_a, &p.beta, p.c,
                                         data_type<Out>, extent(p.ldc), p.stride_c, extent(p.batch),
                                         compute_type<In>(tf32), CUBLAS_GEMM_DEFAULT),
              "cublasGemmStridedBatchedEx");
        count(p);
    }

    /// C = alpha op(A) op(B) + beta C + bias on every row, in one pass through cuBLASLt; false, and nothing done, where
    /// BlasLt::takes() refuses it or cuBLASLt has no algorithm for it.
    template <class In, class Out>
    [[nodiscard]] bool multiply_with_bias(const MatrixProduct<In, Out>& p, const Out* bias, bool tf32 = false) {
        if (!BlasLt::takes(p, bias) || !lt_.multiply(p, bias, compute_type<In>(tf32))) {
            return false;
        }
        count(p);
        return true;
    }

    /// Multiplications and additions of all products so far, for measurements.
    [[nodiscard]] double operations() const { return operations_; }

private:
    template <class In, class Out>
    void count(const MatrixProduct<In, Out>& p) {
        operations_ += 2.0 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k) *
                       static_cast<double>(p.batch);
    }

    static int extent(index_t value) {
        require(value <= 0x7fffffff, "cuBLAS: a matrix with an extent of ", value,
                "; expected less than 2^31: use fewer frames or a smaller size");
        return static_cast<int>(value);
    }

    void release() noexcept {
        static_cast<void>(cublasDestroy(handle_));
        static_cast<void>(cudaFree(workspace_));
    }

    BlasLt lt_;
    cublasHandle_t handle_ = nullptr;
    void* workspace_ = nullptr;
    double operations_ = 0;
};

} // namespace reel::cuda
