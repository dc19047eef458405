// What the backend Cuda says and does when something is amiss, and what it asks of the runtime: with a machine that can
// be told what to be.

#include <cublas_v2.h>

#include <reel/ops/activation.hpp>
#include <reel/ops/linear.hpp>
#include <reel/ops/norm.hpp>

#include "backend/cuda_support.hpp"

using cuda_stand_in::machine;
using reel::Cuda;
using reel::index_t;
using reel::Tensor;

namespace {

/// Puts the machine back at the end of a test.
struct Restore {
    cuda_stand_in::Machine before = machine;
    ~Restore() { machine = before; }
};

} // namespace

TEST_CASE("what is missing is said in one sentence") {
    const Restore restore;
    const auto refused = [](const char* message) { CHECK_THROWS_WITH_AS(Cuda(0), message, reel::Error); };
    SUBCASE("no driver") {
        machine.driver_version = 0;
        refused("backend cuda: no NVIDIA driver was found (no libcuda.so.1); install the driver for your GPU, start a "
                "container with --gpus all, or use --backend cpu");
    }
    SUBCASE("an old driver") {
        machine.driver_version = 12040;
        refused("backend cuda: the NVIDIA driver supports CUDA 12.4 at most, but this program was built with CUDA "
                "runtime 13.0, and the driver's must be at least the runtime's; update the driver to 580 or newer, or "
                "use --backend cpu");
    }
    SUBCASE("no device") {
        machine.devices = 0;
        refused("backend cuda: the NVIDIA driver sees no GPU; see what `nvidia-smi` and the variable "
                "CUDA_VISIBLE_DEVICES say, or use --backend cpu");
    }
    SUBCASE("fewer devices") {
        CHECK_THROWS_WITH_AS(Cuda(3), "backend cuda: there is no CUDA device 3; expected 0 to 0", reel::Error);
    }
    SUBCASE("no pools") {
        machine.memory_pools = false;
        refused("backend cuda: CUDA device 0 has no stream-ordered memory (cudaMallocAsync), which reel needs");
    }
    SUBCASE("built for other GPUs") {
        machine.has_code = false;
        refused("backend cuda: this program has no code for CUDA device 0: no kernel image is available for execution "
                "on the device; build for this GPU: configure with -DCMAKE_CUDA_ARCHITECTURES=native on this machine");
    }
    CHECK(reel::cuda::device_problem(0).empty() ==
          (machine.driver_version == 13000 && machine.devices == 1 && machine.memory_pools && machine.has_code));
}

TEST_CASE("device memory is counted, and its end is an error that says what to do") {
    const Restore restore;
    machine.memory_bytes = std::size_t{1} << 20;
    Cuda cuda;
    cuda.memory().reset_peak();
    {
        const Tensor<float, Cuda> a(cuda, {1000});
        const Tensor<float, Cuda> b(cuda, {1000});
        CHECK(cuda.memory().statistics().in_use == 2 * 4096);
    }
    CHECK(cuda.memory().statistics().in_use == 0);
    CHECK(cuda.memory().statistics().peak == 2 * 4096);
    const Tensor<float, Cuda> kept(cuda, {1000});
    CHECK_THROWS_WITH_AS((Tensor<float, Cuda>(cuda, {1 << 20})),
                         "out of GPU memory: 4194304 bytes asked for with 4096 in use; device 0 has 1044480 of 1048576 "
                         "bytes free; use fewer frames, a smaller size or gradient checkpointing",
                         reel::Error);
    CHECK(kept.to_host().size() == 1000); // and nothing is broken
    const reel::MemoryProbe probe = probe_of(cuda.memory());
    CHECK(probe.peak() == 2 * 4096);
    probe.reset_peak();
    CHECK(probe.peak() == 4096);
}

TEST_CASE("operations wait for nothing; only copies to the host do") {
    Cuda cuda;
    const auto x = Tensor<float, Cuda>::full(cuda, {70, 32}, 1.0F);
    const auto weight = Tensor<float, Cuda>::full(cuda, {16, 32}, 0.5F);
    const auto bias = Tensor<float, Cuda>::full(cuda, {16}, 2.0F);
    const std::size_t before = machine.synchronizations;
    const auto y = reel::linear(x, weight, bias);
    const auto z = reel::activate(reel::Silu{}, reel::group_norm(y, bias, bias, {.sets = 2, .groups = 4}));
    const auto fresh = Tensor<float, Cuda>::from_host(cuda, {3}, {1.0F, 2.0F, 3.0F});
    CHECK(machine.synchronizations == before);
    CHECK(y.to_host() == std::vector<float>(70 * 16, 18.0F));
    CHECK(machine.synchronizations == before + 1);
    CHECK(fresh.to_host() == std::vector<float>{1, 2, 3});

    // Page-locked memory is read later, so its copy must be waited for.
    const Restore restore;
    machine.page_locked = true;
    const std::size_t start = machine.synchronizations;
    static_cast<void>(Tensor<float, Cuda>::from_host(cuda, {3}, {1.0F, 2.0F, 3.0F}));
    CHECK(machine.synchronizations == start + 1);
}

TEST_CASE("a call that CUDA refuses becomes an error that names it") {
    Cuda cuda;
    float host = 0;
    CHECK_THROWS_WITH_AS(cuda.copy(&host, &host, sizeof(host)),
                         "CUDA: cudaMemcpyAsync failed: invalid argument (cudaErrorInvalidValue)", reel::Error);
    CHECK_THROWS_WITH_AS(cuda.launch(reel::cuda::NothingProgram{}, 1, std::size_t{1} << 20),
                         "CUDA: asking for shared memory (cudaFuncSetAttribute) failed: invalid argument "
                         "(cudaErrorInvalidValue)",
                         reel::Error);
    CHECK_THROWS_WITH_AS(cuda.launch(reel::cuda::NothingProgram{}, index_t{1} << 31),
                         "CUDA: 2147483648 blocks in one launch; expected at most 2147483647: use fewer frames or a "
                         "smaller size",
                         reel::Error);
}

TEST_CASE("a bias is added by cuBLASLt, whose algorithm is asked for once per shape") {
    const Restore restore;
    machine.heuristics = machine.lt_products = 0;
    const auto product = [](Cuda& cuda, index_t rows, index_t in, bool with_bias, index_t offset = 0) {
        const auto x = Tensor<float, Cuda>::full(cuda, {rows * in + offset}, 1.0F);
        const auto weight = Tensor<float, Cuda>::full(cuda, {16, in}, 0.5F);
        const auto bias = Tensor<float, Cuda>::full(cuda, {16}, 2.0F);
        const Tensor<float, Cuda> y(cuda, {rows, 16});
        gemm(cuda, reel::GemmProblem<float>{.transpose_b = true,
                                            .m = rows,
                                            .n = 16,
                                            .k = in,
                                            .a = x.data() + offset,
                                            .lda = in,
                                            .b = weight.data(),
                                            .ldb = in,
                                            .c = y.data(),
                                            .ldc = 16,
                                            .bias = with_bias ? bias.data() : nullptr});
        const float expected = 0.5F * static_cast<float>(in) + (with_bias ? 2.0F : 0.0F);
        CHECK(y.to_host() == std::vector<float>(static_cast<std::size_t>(rows) * 16, expected));
    };
    Cuda cuda;
    product(cuda, 7, 8, true); // an odd number of rows: the stand-in wants a workspace
    product(cuda, 7, 8, true);
    CHECK(machine.heuristics == 1);
    CHECK(machine.lt_products == 2);
    product(cuda, 6, 8, true);
    CHECK(machine.heuristics == 2);
    CHECK(machine.lt_products == 3);
    // The rest is cuBLAS's: no bias, rows or addresses off the 16 bytes.
    product(cuda, 6, 8, false);
    product(cuda, 6, 7, true);
    product(cuda, 6, 8, true, 1);
    CHECK(machine.lt_products == 3);
    CHECK(machine.heuristics == 2);
    // So is what cuBLASLt cannot do, which is also asked for once.
    machine.has_algorithms = false;
    product(cuda, 5, 8, true);
    product(cuda, 5, 8, true);
    CHECK(machine.lt_products == 3);
    CHECK(machine.heuristics == 3);
    CHECK(cuda.memory().statistics().in_use == 0);
}

TEST_CASE("the stand-in's cuBLAS counts by columns") {
    Cuda cuda;
    // [1 3; 2 4] times [5 7; 6 8], both as they lie by columns, is [23 31; 34 46].
    const auto a = Tensor<double, Cuda>::from_host(cuda, {4}, {1, 2, 3, 4});
    const auto b = Tensor<double, Cuda>::from_host(cuda, {4}, {5, 6, 7, 8});
    const auto c = Tensor<double, Cuda>::zeros(cuda, {4});
    const double one = 1;
    const double zero = 0;
    cublasHandle_t handle = nullptr;
    REQUIRE(cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS);
    const auto multiply = [&](cublasOperation_t ta, cublasOperation_t tb, int lda) {
        return cublasGemmStridedBatchedEx(handle, ta, tb, 2, 2, 2, &one, a.data(), CUDA_R_64F, lda, 0, b.data(),
                                          CUDA_R_64F, 2, 0, &zero, c.data(), CUDA_R_64F, 2, 0, 1, CUBLAS_COMPUTE_64F,
                                          CUBLAS_GEMM_DEFAULT);
    };
    CHECK(multiply(CUBLAS_OP_N, CUBLAS_OP_N, 2) == CUBLAS_STATUS_SUCCESS);
    CHECK(c.to_host() == std::vector<double>{23, 34, 31, 46});
    CHECK(multiply(CUBLAS_OP_T, CUBLAS_OP_N, 2) == CUBLAS_STATUS_SUCCESS);
    CHECK(c.to_host() == std::vector<double>{17, 39, 23, 53});
    CHECK(multiply(CUBLAS_OP_N, CUBLAS_OP_N, 1) == CUBLAS_STATUS_INVALID_VALUE);
    cublasDestroy(handle);
}

namespace {

/// Every thread hands its value to the next through shared memory, then sums over its warp.
struct PassOn {
    static constexpr int threads = 64;
    float* out;
    __device__ void operator()() const {
        float* shared = reel::cuda::shared_memory<float>();
        shared[threadIdx.x] = static_cast<float>(threadIdx.x);
        __syncthreads();
        const float next = shared[(threadIdx.x + 1) % threads];
        out[blockIdx.x * threads + threadIdx.x] = reel::cuda::sum_over_lanes<32>(next);
    }
};

} // namespace

TEST_CASE("the stand-in's threads meet at barriers and in shuffles") {
    Cuda cuda;
    const auto out = Tensor<float, Cuda>::zeros(cuda, {128});
    cuda.launch(PassOn{out.data()}, 2, 64 * sizeof(float));
    const auto values = out.to_host();
    for (std::size_t i = 0; i < values.size(); ++i) {
        CHECK(values[i] == (i % 64 < 32 ? 528.0F : 1488.0F)); // 1 + ... + 32, and 33 + ... + 63 + 0
    }
}
