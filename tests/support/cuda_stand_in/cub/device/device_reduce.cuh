#pragma once
// The one reduction of CUB's that reel asks for, on the processor: in order, and with memory that has to be given.

#include <cuda_runtime.h>

namespace cub {

struct DeviceReduce {
    template <class In, class Out, class Count>
    static cudaError_t Sum(void* memory, std::size_t& bytes, In in, Out out, Count count, cudaStream_t = nullptr) {
        constexpr std::size_t needed = 1000;
        if (memory == nullptr) {
            bytes = needed;
            return cudaSuccess;
        }
        if (bytes < needed) {
            return cudaErrorInvalidValue;
        }
        const cuda_stand_in::DeviceAccess access;
        ++cuda_stand_in::machine.launches;
        std::memset(memory, 0x77, needed);
        *out = {};
        for (Count i = 0; i < count; ++i) {
            *out += in[i];
        }
        return cudaSuccess;
    }
};

} // namespace cub
