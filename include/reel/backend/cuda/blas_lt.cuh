#pragma once
// cuBLASLt as reel uses it: products that add a bias before they are stored. For .cu files.

#include <array>
#include <map>
#include <optional>

#include <cublasLt.h>

#include <reel/backend/cuda/memory.cuh>
#include <reel/backend/cuda/products.cuh>

namespace reel::cuda {

/// A descriptor of cuBLASLt's, destroyed with its scope.
template <class D, cublasStatus_t (*destroy)(D)>
class Descriptor {
public:
    template <class Create>
    explicit Descriptor(const Create& create) {
        check(create(&descriptor_), "making a descriptor of cuBLASLt");
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() { static_cast<void>(destroy(descriptor_)); }
    [[nodiscard]] D get() const { return descriptor_; }

private:
    D descriptor_ = nullptr;
};

/// Products with a bias through cuBLASLt, which reads and writes the result once where cuBLAS needs another pass. The
/// algorithm for a shape is asked for once and kept, so that the same call gives the same bits and costs the host
/// little; its workspace comes from the stream's pool.
///
/// Of cuBLASLt's activations none is used: it has ReLU and GELU's approximation by tanh, and the models have SiLU,
/// exact GELU and CLIP's quick GELU. Nor are its bias gradients: they are summed as numbers of the gradient's type
/// come, and reel's column_sums are taken in double.
class BlasLt {
public:
    BlasLt(cudaStream_t stream, StreamPool& pool) : stream_(stream), pool_(pool) {
        check(cublasLtCreate(&handle_), "cublasLtCreate");
    }
    BlasLt(const BlasLt&) = delete;
    BlasLt& operator=(const BlasLt&) = delete;
    ~BlasLt() { static_cast<void>(cublasLtDestroy(handle_)); }

    /// Whether a product may be given to multiply(): one matrix of float32 or 16 bits, where all addresses and rows
    /// begin at multiples of 16 bytes, as the matrix units want them. cuBLASLt adds no bias to double.
    template <class In, class Out>
    [[nodiscard]] static bool takes(const MatrixProduct<In, Out>& p, const Out* bias) {
        const auto even = [](auto* data, index_t stride) {
            return reinterpret_cast<std::uintptr_t>(data) % alignment == 0 &&
                   stride * static_cast<index_t>(sizeof(*data)) % static_cast<index_t>(alignment) == 0;
        };
        return !std::same_as<In, double> && p.batch == 1 && even(p.a, p.lda) && even(p.b, p.ldb) && even(p.c, p.ldc) &&
               even(bias, 0);
    }

    /// C = alpha op(A) op(B) + beta C + bias on every row; false where cuBLASLt has no algorithm for it.
    template <class In, class Out>
    [[nodiscard]] bool multiply(const MatrixProduct<In, Out>& p, const Out* bias, cublasComputeType_t compute) {
        // As for cuBLAS, every matrix is seen transposed: C^T = op(B)^T op(A)^T, whose rows the bias runs along.
        const Operation operation_of(
            [&](cublasLtMatmulDesc_t* d) { return cublasLtMatmulDescCreate(d, compute, CUDA_R_32F); });
        set(operation_of, CUBLASLT_MATMUL_DESC_TRANSA, operation(p.transpose_b));
        set(operation_of, CUBLASLT_MATMUL_DESC_TRANSB, operation(p.transpose_a));
        set(operation_of, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
        const Layout b = layout(data_type<In>, p.transpose_b ? p.k : p.n, p.transpose_b ? p.n : p.k, p.ldb);
        const Layout a = layout(data_type<In>, p.transpose_a ? p.m : p.k, p.transpose_a ? p.k : p.m, p.lda);
        const Layout c = layout(data_type<Out>, p.n, p.m, p.ldc);
        const Key key{data_type<In>, data_type<Out>, compute, p.transpose_a, p.transpose_b, p.m, p.n,
                      p.k,           p.lda,          p.ldb,   p.ldc};
        auto found = algorithms_.find(key);
        if (found == algorithms_.end()) {
            found = algorithms_.emplace(key, best(operation_of, b, a, c)).first;
        }
        if (!found->second.has_value()) {
            return false;
        }
        set(operation_of, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(bias));
        const std::size_t bytes = found->second->workspaceSize;
        void* const workspace = bytes > 0 ? pool_.allocate(bytes) : nullptr;
        const cublasStatus_t status =
            cublasLtMatmul(handle_, operation_of.get(), &p.alpha, p.b, b.get(), p.a, a.get(), &p.beta, p.c, c.get(),
                           p.c, c.get(), &found->second->algo, workspace, bytes, stream_);
        if (workspace != nullptr) {
            pool_.deallocate(workspace, bytes); // used again in the stream's order
        }
        check(status, "cublasLtMatmul");
        return true;
    }

private:
    using Operation = Descriptor<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
    using Layout = Descriptor<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
    using Preference = Descriptor<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;
    using Key = std::array<index_t, 11>;
    using Algorithm = std::optional<cublasLtMatmulHeuristicResult_t>;
    static constexpr std::uint32_t alignment = 16;

    template <class Value>
    static void set(const Operation& operation_of, cublasLtMatmulDescAttributes_t attribute, const Value& value) {
        check(cublasLtMatmulDescSetAttribute(operation_of.get(), attribute, &value, sizeof(value)),
              "cublasLtMatmulDescSetAttribute");
    }

    static Layout layout(cudaDataType_t type, index_t rows, index_t columns, index_t stride) {
        return Layout([&](cublasLtMatrixLayout_t* d) {
            return cublasLtMatrixLayoutCreate(d, type, static_cast<std::uint64_t>(rows),
                                              static_cast<std::uint64_t>(columns), stride);
        });
    }

    /// What cuBLASLt thinks is the fastest algorithm for all matrices at multiples of 16 bytes.
    Algorithm best(const Operation& operation_of, const Layout& b, const Layout& a, const Layout& c) const {
        // The heuristic goes by the bias's alignment, too: by an address that has no more of it than is asked for.
        set(operation_of, CUBLASLT_MATMUL_DESC_BIAS_POINTER, reinterpret_cast<const void*>(std::uintptr_t{alignment}));
        const Preference preference([](cublasLtMatmulPreference_t* d) { return cublasLtMatmulPreferenceCreate(d); });
        const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
            check(cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof(value)),
                  "cublasLtMatmulPreferenceSetAttribute");
        };
        prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_bytes);
        for (const auto attribute :
             {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
              CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
            prefer(attribute, alignment);
        }
        cublasLtMatmulHeuristicResult_t result{};
        int count = 0;
        const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
            handle_, operation_of.get(), b.get(), a.get(), c.get(), c.get(), preference.get(), 1, &result, &count);
        if (status == CUBLAS_STATUS_NOT_SUPPORTED || (status == CUBLAS_STATUS_SUCCESS && count == 0)) {
            return std::nullopt;
        }
        check(status, "cublasLtMatmulAlgoGetHeuristic");
        return result;
    }

    cudaStream_t stream_;
    StreamPool& pool_;
    cublasLtHandle_t handle_ = nullptr;
    std::map<Key, Algorithm> algorithms_;
};

} // namespace reel::cuda
