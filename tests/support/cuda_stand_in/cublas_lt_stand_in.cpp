// cuBLASLt of the stand-in: products through its cuBLAS, then the bias. What a caller promises when asking for an
// algorithm is remembered in the algorithm, and held against what it then does.

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include <cublasLt.h>

#include <reel/core/scalar.hpp>

using cuda_stand_in::machine;

struct cublasLtMatmulDescOpaque {
    cublasComputeType_t compute;
    cublasOperation_t a = CUBLAS_OP_N;
    cublasOperation_t b = CUBLAS_OP_N;
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    const void* bias = nullptr;
};
struct cublasLtMatrixLayoutOpaque {
    cudaDataType_t type;
    std::uint64_t rows;
    std::uint64_t columns;
    std::int64_t stride;
};
struct cublasLtMatmulPreferenceOpaque {
    std::size_t workspace_bytes = 0;
    std::array<std::uint32_t, 4> alignments{256, 256, 256, 256};
};

namespace {

std::size_t alignment_of(const void* data) {
    const auto address = reinterpret_cast<std::uintptr_t>(data);
    return std::min<std::size_t>(address & (~address + 1), 256);
}

/// Products of an odd number of rows need memory, so that both ways are tried.
std::size_t workspace_of(const cublasLtMatrixLayoutOpaque& c) {
    return c.columns % 2 == 1 ? 4096 : 0;
}

/// What tells one problem from another.
std::uint64_t mark_of(const cublasLtMatmulDescOpaque& d, const cublasLtMatrixLayoutOpaque& a,
                      const cublasLtMatrixLayoutOpaque& b, const cublasLtMatrixLayoutOpaque& c) {
    std::uint64_t mark = static_cast<std::uint64_t>(d.compute) * 64 + static_cast<std::uint64_t>(d.a) * 8 +
                         static_cast<std::uint64_t>(d.b) * 4 + static_cast<std::uint64_t>(d.epilogue);
    for (const auto& m : {a, b, c}) {
        for (const std::uint64_t part :
             {static_cast<std::uint64_t>(m.type), m.rows, m.columns, static_cast<std::uint64_t>(m.stride)}) {
            mark = (mark ^ part) * 0x100000001b3U;
        }
    }
    return mark;
}

float element(const void* data, cudaDataType_t type, std::uint64_t at) {
    switch (type) {
    case CUDA_R_16F:
        return static_cast<float>(static_cast<const reel::half*>(data)[at]);
    case CUDA_R_16BF:
        return static_cast<float>(static_cast<const reel::bfloat16*>(data)[at]);
    default:
        return static_cast<const float*>(data)[at];
    }
}

void store(void* data, cudaDataType_t type, std::uint64_t at, float value) {
    switch (type) {
    case CUDA_R_16F:
        static_cast<reel::half*>(data)[at] = reel::half(value);
        break;
    case CUDA_R_16BF:
        static_cast<reel::bfloat16*>(data)[at] = reel::bfloat16(value);
        break;
    default:
        static_cast<float*>(data)[at] = value;
    }
}

} // namespace

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
    *handle = reinterpret_cast<cublasLtHandle_t>(new int(0));
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
    delete reinterpret_cast<int*>(handle);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* d, cublasComputeType_t compute, cudaDataType_t scale) {
    *d = new cublasLtMatmulDescOpaque{.compute = compute};
    return scale == CUDA_R_32F ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) {
    delete d;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, std::size_t bytes) {
    const auto take = [&](auto& to) {
        if (bytes != sizeof(to)) {
            return CUBLAS_STATUS_INVALID_VALUE;
        }
        std::memcpy(&to, value, bytes);
        return CUBLAS_STATUS_SUCCESS;
    };
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return take(d->a);
    case CUBLASLT_MATMUL_DESC_TRANSB:
        return take(d->b);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return take(d->epilogue);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return take(d->bias);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType_t type, std::uint64_t rows,
                                          std::uint64_t columns, std::int64_t stride) {
    *layout = new cublasLtMatrixLayoutOpaque{type, rows, columns, stride};
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
    *preference = new cublasLtMatmulPreferenceOpaque;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
    delete preference;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    std::size_t bytes) {
    if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) {
        std::memcpy(&preference->workspace_bytes, value, sizeof(std::size_t));
        return bytes == sizeof(std::size_t) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
    }
    const auto matrix = static_cast<std::size_t>(attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES);
    std::memcpy(&preference->alignments.at(matrix), value, sizeof(std::uint32_t));
    return bytes == sizeof(std::uint32_t) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                              cublasLtMatrixLayout_t, cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t* result, int* found) {
    ++machine.heuristics;
    if (handle == nullptr || wanted < 1) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    *found = 0;
    if (!machine.has_algorithms || workspace_of(*c) > preference->workspace_bytes) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    *found = 1;
    *result = {};
    result->workspaceSize = workspace_of(*c);
    result->algo.data[0] = mark_of(*d, *a, *b, *c);
    std::copy(preference->alignments.begin(), preference->alignments.end(), result->algo.data + 1);
    result->algo.data[5] = alignment_of(d->bias);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t d, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
                              const void* beta, const void* c, cublasLtMatrixLayout_t c_layout, void* to,
                              cublasLtMatrixLayout_t, const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              std::size_t workspace_bytes, cudaStream_t) {
    if (handle == nullptr || c != to || d->epilogue != CUBLASLT_EPILOGUE_BIAS || d->bias == nullptr ||
        algorithm->data[0] != mark_of(*d, *a_layout, *b_layout, *c_layout)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    const std::array<const void*, 5> addresses{a, b, c, to, d->bias};
    for (std::size_t i = 0; i < addresses.size(); ++i) {
        if (alignment_of(addresses[i]) < algorithm->data[i + 1]) {
            return CUBLAS_STATUS_INVALID_VALUE;
        }
    }
    const std::size_t needed = workspace_of(*c_layout);
    if (workspace_bytes < needed) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    const cuda_stand_in::DeviceAccess access;
    if (needed > 0) {
        std::memset(workspace, 0x77, needed); // it has to be there
    }
    if (c_layout->type == CUDA_R_64F) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    // The product in float32, dense, so that the sum with the bias is rounded once.
    const std::uint64_t rows = c_layout->rows;
    const auto at = [&](std::uint64_t row, std::uint64_t column) {
        return column * static_cast<std::uint64_t>(c_layout->stride) + row;
    };
    std::vector<float> sums(rows * c_layout->columns, 0.0F);
    const bool reads = *static_cast<const float*>(beta) != 0.0F;
    for (std::uint64_t i = 0; i < sums.size() && reads; ++i) {
        sums[i] = element(c, c_layout->type, at(i % rows, i / rows));
    }
    const auto inner = static_cast<int>(d->a == CUBLAS_OP_N ? a_layout->columns : a_layout->rows);
    int any = 0;
    const cublasStatus_t status = cublasGemmStridedBatchedEx(
        reinterpret_cast<cublasHandle_t>(&any), d->a, d->b, static_cast<int>(rows), static_cast<int>(c_layout->columns),
        inner, alpha, a, a_layout->type, static_cast<int>(a_layout->stride), 0, b, b_layout->type,
        static_cast<int>(b_layout->stride), 0, beta, sums.data(), CUDA_R_32F, static_cast<int>(rows), 0, 1, d->compute,
        CUBLAS_GEMM_DEFAULT);
    if (status != CUBLAS_STATUS_SUCCESS) {
        return status;
    }
    ++machine.lt_products;
    for (std::uint64_t i = 0; i < sums.size(); ++i) {
        store(to, c_layout->type, at(i % rows, i / rows), sums[i] + element(d->bias, c_layout->type, i % rows));
    }
    return CUBLAS_STATUS_SUCCESS;
}
