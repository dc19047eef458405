#undef _FORTIFY_SOURCE // its longjmp refuses to change stacks
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <vector>

#include <csetjmp>
#include <sys/mman.h>
#include <ucontext.h>

#include <cublas_v2.h>

#include <reel/core/scalar.hpp>

namespace reel::cuda {
constexpr std::size_t shared_words = 228 * 1024 / sizeof(float4);
extern __align__(128) float4 reel_shared_memory[];
__align__(128) float4 reel_shared_memory[shared_words];
} // namespace reel::cuda

namespace cuda_stand_in {

namespace {

[[noreturn]] void stop(const char* what) {
    std::fprintf(stderr, "CUDA stand-in: %s\n", what);
    std::abort();
}

// ---- device memory ----

/// One range of addresses, closed unless device code runs. First fit; blocks by their offset.
class DeviceMemory {
public:
    DeviceMemory() {
        void* range = mmap(nullptr, capacity, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (range == MAP_FAILED) {
            stop("no address range for device memory");
        }
        base_ = static_cast<unsigned char*>(range);
    }

    void* allocate(std::size_t bytes) {
        const std::size_t size = std::max<std::size_t>((bytes + step - 1) / step * step, step);
        std::size_t at = 0;
        for (const auto& [offset, taken] : blocks_) {
            if (offset - at >= size + step) {
                break;
            }
            at = offset + taken + step; // a gap between blocks stays unused, and is looked at when one is freed
        }
        if (at + size + step > std::min(capacity, machine.memory_bytes)) {
            return nullptr;
        }
        blocks_.emplace(at, size);
        used_ += size;
        const DeviceAccess access;
        std::memset(base_ + at, 0xff, size); // NaN in every floating-point type
        std::memset(base_ + at + size, gap, step);
        return base_ + at;
    }

    bool release(void* pointer) {
        const auto found = blocks_.find(static_cast<std::size_t>(static_cast<unsigned char*>(pointer) - base_));
        if (found == blocks_.end()) {
            return false;
        }
        {
            const DeviceAccess access;
            const unsigned char* end = base_ + found->first + found->second;
            if (std::any_of(end, end + step, [](unsigned char byte) { return byte != gap; })) {
                stop("something was written behind the end of a block of device memory");
            }
        }
        used_ -= found->second;
        blocks_.erase(found);
        return true;
    }

    [[nodiscard]] bool holds(const void* pointer) const {
        const auto* byte = static_cast<const unsigned char*>(pointer);
        return byte >= base_ && byte < base_ + capacity;
    }
    [[nodiscard]] std::size_t used() const { return used_; }

    void open() {
        if (depth_++ == 0) {
            protect(PROT_READ | PROT_WRITE);
        }
    }
    void close() {
        if (--depth_ == 0) {
            protect(PROT_NONE);
        }
    }

private:
    static constexpr std::size_t capacity = std::size_t{4} << 30;
    static constexpr std::size_t step = 512;
    static constexpr unsigned char gap = 0xa5;

    void protect(int rights) {
        if (rights != PROT_NONE) {
            const std::size_t top = blocks_.empty() ? 0 : blocks_.rbegin()->first + blocks_.rbegin()->second + step;
            opened_ = (top + 4095) / 4096 * 4096;
        }
        if (opened_ != 0 && mprotect(base_, opened_, rights) != 0) {
            stop("mprotect failed");
        }
    }

    unsigned char* base_ = nullptr;
    std::map<std::size_t, std::size_t> blocks_;
    std::size_t used_ = 0;
    std::size_t opened_ = 0;
    int depth_ = 0;
};

DeviceMemory& memory() {
    static DeviceMemory all;
    return all;
}

// ---- threads ----

constexpr std::size_t stack_bytes = 64 * 1024;
constexpr unsigned warp_size = 32;

struct Fiber {
    ucontext_t start{};
    std::jmp_buf resume{};
    std::unique_ptr<unsigned char[]> stack = std::make_unique<unsigned char[]>(stack_bytes);
    bool started = false; ///< its context is made, and `resume` says where it is
    bool done = false;
    const unsigned* waits_for = nullptr; ///< a barrier's count of completed rounds ...
    unsigned round = 0;                  ///< ... and what it was on arrival
};

struct Barrier {
    unsigned arrived = 0;
    unsigned rounds = 0;
};

struct Warp {
    Barrier barrier;
    unsigned char slots[2][warp_size][16] = {};
};

struct Block {
    unsigned threads = 0;
    unsigned alive = 0;
    unsigned current = 0;
    Barrier barrier;
    std::vector<Warp> warps;
    std::vector<std::unique_ptr<Fiber>> fibers; ///< kept for the next block
    std::jmp_buf scheduler{};
    ucontext_t entry{};
    const std::function<void()>* body = nullptr;
};

Block block;

void yield() {
    Fiber& fiber = *block.fibers[block.current];
    if (_setjmp(fiber.resume) == 0) {
        _longjmp(block.scheduler, 1);
    }
}

/// A fiber's life: one thread of every block that there will be. Its context is made once, which takes two system calls.
[[noreturn]] void run_fiber() {
    for (;;) {
        (*block.body)();
        block.fibers[block.current]->done = true;
        --block.alive;
        if (block.barrier.arrived > 0 && block.barrier.arrived == block.alive) { // ended threads hold up no barrier
            block.barrier.arrived = 0;
            ++block.barrier.rounds;
        }
        yield();
    }
}

void arrive(Barrier& barrier, unsigned expected) {
    if (++barrier.arrived == expected) {
        barrier.arrived = 0;
        ++barrier.rounds;
        return;
    }
    Fiber& fiber = *block.fibers[block.current];
    fiber.waits_for = &barrier.rounds;
    fiber.round = barrier.rounds;
    yield();
    fiber.waits_for = nullptr;
}

/// Runs a fiber until it waits or ends.
void enter(unsigned index) {
    Fiber& fiber = *block.fibers[index];
    block.current = index;
    threadIdx.x = index;
    if (_setjmp(block.scheduler) != 0) {
        return;
    }
    if (fiber.started) {
        _longjmp(fiber.resume, 1);
    }
    fiber.started = true;
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = fiber.stack.get();
    fiber.start.uc_stack.ss_size = stack_bytes;
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, run_fiber, 0);
    setcontext(&fiber.start);
}

void run_block() {
    block.alive = block.threads;
    block.barrier = {};
    block.warps.assign((block.threads + warp_size - 1) / warp_size, {});
    for (unsigned i = 0; i < block.threads; ++i) {
        Fiber& fiber = *block.fibers[i];
        fiber.done = false;
        fiber.waits_for = nullptr;
    }
    for (bool forward = true; block.alive > 0;
         forward = !forward) { // a missing barrier shows in one order or the other
        bool progress = false;
        for (unsigned i = 0; i < block.threads; ++i) {
            const unsigned index = forward ? i : block.threads - 1 - i;
            const Fiber& fiber = *block.fibers[index];
            if (!fiber.done && (fiber.waits_for == nullptr || *fiber.waits_for != fiber.round)) {
                enter(index);
                progress = true;
            }
        }
        if (!progress) {
            stop("some threads of a block wait for others that do not come to the same barrier");
        }
    }
}

std::map<const void*, std::size_t>& shared_limits() {
    static std::map<const void*, std::size_t> limits;
    return limits;
}

cudaError_t last_error = cudaSuccess;
int current_device = 0;

cudaError_t remember(cudaError_t status) {
    last_error = status == cudaSuccess ? last_error : status;
    return status;
}

} // namespace

DeviceAccess::DeviceAccess() {
    memory().open();
}
DeviceAccess::~DeviceAccess() {
    memory().close();
}

void refuse(const char* what) {
    stop(what);
}

void block_barrier() {
    arrive(block.barrier, block.alive);
}

void warp_barrier() {
    arrive(block.warps[block.current / warp_size].barrier, warp_size);
}

void exchange(const void* given, void* received, std::size_t size, unsigned from) {
    if (size > 16 || block.threads % warp_size != 0) {
        stop("a shuffle of a partial warp or of more than 16 bytes");
    }
    Warp& warp = block.warps[block.current / warp_size];
    auto& slots = warp.slots[warp.barrier.rounds % 2]; // the next exchange begins before all have read this one
    std::memcpy(slots[block.current % warp_size], given, size);
    arrive(warp.barrier, warp_size);
    std::memcpy(received, slots[from], size);
}

cudaError_t allow_shared_bytes(const void* kernel, int bytes) {
    constexpr int limit = 99 * 1024; // compute capability 8.6, 8.9 and 12.0; the others have more
    if (bytes < 0 || bytes > limit) {
        return remember(cudaErrorInvalidValue);
    }
    shared_limits()[kernel] = static_cast<std::size_t>(bytes);
    return cudaSuccess;
}

cudaError_t run(const cudaLaunchConfig_t& config, const void* kernel, const std::function<void()>& thread) {
    const auto limit = shared_limits().find(kernel);
    const std::size_t shared = limit == shared_limits().end() ? 48 * 1024 : limit->second;
    const unsigned threads = config.blockDim.x;
    if (threads == 0 || threads > 1024 || config.gridDim.x == 0 || config.gridDim.x > 0x7fffffffU ||
        config.dynamicSmemBytes > std::max<std::size_t>(shared, 48 * 1024)) {
        return remember(cudaErrorInvalidValue);
    }
    ++machine.launches;
    const DeviceAccess access;
    block.threads = threads;
    block.body = &thread;
    while (block.fibers.size() < threads) {
        block.fibers.push_back(std::make_unique<Fiber>());
    }
    auto* bytes = reinterpret_cast<unsigned char*>(reel::cuda::reel_shared_memory);
    constexpr std::size_t guard = 4096;
    for (unsigned i = 0; i < config.gridDim.x; ++i) {
        blockIdx.x = i;
        std::memset(bytes, 0xff, config.dynamicSmemBytes); // what was left there by another block means nothing
        std::memset(bytes + config.dynamicSmemBytes, 0x5a, guard);
        run_block();
        if (std::any_of(bytes + config.dynamicSmemBytes, bytes + config.dynamicSmemBytes + guard,
                        [](unsigned char byte) { return byte != 0x5a; })) {
            stop("a kernel wrote behind the end of its shared memory");
        }
    }
    return cudaSuccess;
}

} // namespace cuda_stand_in

using namespace cuda_stand_in;

cudaError_t cudaGetLastError() {
    return std::exchange(last_error, cudaSuccess);
}
const char* cudaGetErrorString(cudaError_t status) {
    return status == cudaErrorMemoryAllocation         ? "out of memory"
           : status == cudaErrorInvalidValue           ? "invalid argument"
           : status == cudaErrorNoKernelImageForDevice ? "no kernel image is available for execution on the device"
                                                       : "another error";
}
const char* cudaGetErrorName(cudaError_t status) {
    return status == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation"
           : status == cudaErrorInvalidValue   ? "cudaErrorInvalidValue"
                                               : "cudaError";
}
cudaError_t cudaDriverGetVersion(int* version) {
    *version = machine.driver_version;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
    *count = machine.devices;
    return remember(machine.driver_version < CUDART_VERSION ? cudaErrorInsufficientDriver
                    : machine.devices == 0                  ? cudaErrorNoDevice
                                                            : cudaSuccess);
}
cudaError_t cudaGetDevice(int* device) {
    *device = current_device;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
    if (device < 0 || device >= machine.devices) {
        return remember(cudaErrorInvalidDevice);
    }
    current_device = device;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
    *value = attribute == cudaDevAttrComputeCapabilityMajor ? machine.capability : machine.memory_pools ? 1 : 0;
    return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* available, std::size_t* all) {
    *all = machine.memory_bytes;
    *available = machine.memory_bytes - memory().used();
    return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
    *stream = reinterpret_cast<cudaStream_t>(new int(0));
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    delete reinterpret_cast<int*>(stream);
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) {
    ++machine.synchronizations;
    return cudaSuccess;
}
cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
    *pointer = std::malloc(bytes); // cuBLAS's own; nobody looks at it
    return remember(*pointer == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}
cudaError_t cudaFree(void* pointer) {
    std::free(pointer);
    return cudaSuccess;
}
cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties) {
    if (properties->allocType != cudaMemAllocationTypePinned ||
        properties->location.type != cudaMemLocationTypeDevice) {
        return remember(cudaErrorInvalidValue);
    }
    *pool = reinterpret_cast<cudaMemPool_t>(new std::uint64_t(0)); // bytes in use
    return cudaSuccess;
}
cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool) {
    delete reinterpret_cast<std::uint64_t*>(pool);
    return cudaSuccess;
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) {
    return cudaSuccess;
}
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, cudaMemPoolAttr, void* value) {
    *static_cast<std::uint64_t*>(value) = memory().used();
    return cudaSuccess;
}
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, std::size_t) {
    return cudaSuccess;
}
cudaError_t cudaMallocFromPoolAsync(void** pointer, std::size_t bytes, cudaMemPool_t, cudaStream_t) {
    *pointer = memory().allocate(bytes);
    return remember(*pointer == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t) {
    if (pointer == nullptr || !memory().release(pointer)) {
        stop("cudaFreeAsync of what cudaMallocFromPoolAsync did not give");
    }
    return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t) {
    const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (memory().holds(to) != to_device || memory().holds(from) != from_device) {
        return remember(cudaErrorInvalidValue);
    }
    const DeviceAccess access;
    std::memmove(to, from, bytes);
    return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
    *attributes = {memory().holds(pointer) ? cudaMemoryTypeDevice
                   : machine.page_locked   ? cudaMemoryTypeHost
                                           : cudaMemoryTypeUnregistered,
                   0};
    return cudaSuccess;
}

// ---- cuBLAS ----

cublasStatus_t cublasCreate(cublasHandle_t* handle) {
    *handle = reinterpret_cast<cublasHandle_t>(new int(0));
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy(cublasHandle_t handle) {
    delete reinterpret_cast<int*>(handle);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetStream(cublasHandle_t, cudaStream_t) {
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetWorkspace(cublasHandle_t, void*, std::size_t) {
    return CUBLAS_STATUS_SUCCESS;
}
const char* cublasGetStatusString(cublasStatus_t status) {
    return status == CUBLAS_STATUS_INVALID_VALUE ? "CUBLAS_STATUS_INVALID_VALUE" : "CUBLAS_STATUS";
}

namespace {

std::size_t size_of(cudaDataType_t type) {
    return type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2;
}

/// Element `at`; float32 factors with 10 bits after the point where `tf32` asks for it.
double element(const void* data, cudaDataType_t type, std::size_t at, bool tf32) {
    const auto* bytes = static_cast<const unsigned char*>(data) + at * size_of(type);
    double wide = 0;
    float single = 0;
    std::uint16_t bits = 0;
    switch (type) {
    case CUDA_R_64F:
        std::memcpy(&wide, bytes, 8);
        return wide;
    case CUDA_R_32F:
        std::memcpy(&single, bytes, 4);
        if (tf32) {
            const auto word = std::bit_cast<std::uint32_t>(single);
            single = std::bit_cast<float>((word + 0xfffU + ((word >> 13) & 1U)) & ~0x1fffU);
        }
        return static_cast<double>(single);
    case CUDA_R_16F:
    case CUDA_R_16BF:
        std::memcpy(&bits, bytes, 2);
        break;
    }
    reel::half half;
    reel::bfloat16 brain;
    half.bits = brain.bits = bits;
    return static_cast<double>(type == CUDA_R_16F ? static_cast<float>(half) : static_cast<float>(brain));
}

void store(void* data, cudaDataType_t type, std::size_t at, double value) {
    auto* bytes = static_cast<unsigned char*>(data) + at * size_of(type);
    const auto single = static_cast<float>(value);
    const std::uint16_t bits = type == CUDA_R_16F ? reel::half(single).bits : reel::bfloat16(single).bits;
    const void* source = type == CUDA_R_64F   ? static_cast<const void*>(&value)
                         : type == CUDA_R_32F ? static_cast<const void*>(&single)
                                              : static_cast<const void*>(&bits);
    std::memcpy(bytes, source, size_of(type));
}

} // namespace

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t a_operation,
                                          cublasOperation_t b_operation, int m, int n, int k, const void* alpha,
                                          const void* a, cudaDataType_t a_type, int lda, long long stride_a,
                                          const void* b, cudaDataType_t b_type, int ldb, long long stride_b,
                                          const void* beta, void* c, cudaDataType_t c_type, int ldc, long long stride_c,
                                          int batch, cublasComputeType_t compute, cublasGemmAlgo_t) {
    const int a_rows = a_operation == CUBLAS_OP_N ? m : k; // as it lies, by columns
    const int b_rows = b_operation == CUBLAS_OP_N ? k : n;
    const bool wide = compute == CUBLAS_COMPUTE_64F;
    const bool known_types = wide ? a_type == CUDA_R_64F && c_type == CUDA_R_64F
                                  : a_type != CUDA_R_64F && (c_type == CUDA_R_32F || c_type == a_type);
    if (handle == nullptr || m < 0 || n < 0 || k < 0 || batch < 0 || lda < std::max(1, a_rows) ||
        ldb < std::max(1, b_rows) || ldc < std::max(1, m)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (!known_types || a_type != b_type || (compute == CUBLAS_COMPUTE_32F_FAST_TF32 && a_type != CUDA_R_32F)) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    const bool tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    const cudaDataType_t scalar = wide ? CUDA_R_64F : CUDA_R_32F;
    const double factor = element(alpha, scalar, 0, false);
    const double kept = element(beta, scalar, 0, false);
    const DeviceAccess access;
    ++machine.launches;
    // Factors as plain matrices once: the loops below are then fast enough for a whole model.
    std::vector<double> left(static_cast<std::size_t>(m) * static_cast<std::size_t>(k));
    std::vector<double> right(static_cast<std::size_t>(n) * static_cast<std::size_t>(k));
    for (long long i = 0; i < batch; ++i) {
        for (int inner = 0; inner < k; ++inner) {
            for (int row = 0; row < m; ++row) {
                const long long at = a_operation == CUBLAS_OP_N ? row + static_cast<long long>(inner) * lda
                                                                : inner + static_cast<long long>(row) * lda;
                left[static_cast<std::size_t>(row) * static_cast<std::size_t>(k) + static_cast<std::size_t>(inner)] =
                    element(a, a_type, static_cast<std::size_t>(i * stride_a + at), tf32);
            }
            for (int column = 0; column < n; ++column) {
                const long long at = b_operation == CUBLAS_OP_N ? inner + static_cast<long long>(column) * ldb
                                                                : column + static_cast<long long>(inner) * ldb;
                right[static_cast<std::size_t>(column) * static_cast<std::size_t>(k) +
                      static_cast<std::size_t>(inner)] =
                    element(b, b_type, static_cast<std::size_t>(i * stride_b + at), tf32);
            }
        }
        for (int column = 0; column < n; ++column) {
            for (int row = 0; row < m; ++row) {
                const double* x = left.data() + static_cast<std::size_t>(row) * static_cast<std::size_t>(k);
                const double* y = right.data() + static_cast<std::size_t>(column) * static_cast<std::size_t>(k);
                double sum = 0;
                for (int inner = 0; inner < k; ++inner) {
                    sum += x[inner] * y[inner];
                }
                const auto at = static_cast<std::size_t>(i * stride_c + row + static_cast<long long>(column) * ldc);
                store(c, c_type, at, factor * sum + (kept == 0 ? 0 : kept * element(c, c_type, at, false)));
            }
        }
    }
    return CUBLAS_STATUS_SUCCESS;
}
