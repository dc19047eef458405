#pragma once

#include <reel/backend/cuda/context.cuh>

namespace reel::cuda {

/// Uninitialised memory of a device, given back at the end of the scope; operations already asked for may still use
/// it, since memory is handed out in the order of their stream.
template <class T>
class Scratch {
public:
    Scratch(Cuda& backend, index_t count)
        : backend_(backend), bytes_(static_cast<std::size_t>(count) * sizeof(T)),
          data_(count > 0 ? static_cast<T*>(backend.allocate(bytes_)) : nullptr) {}
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() {
        if (data_ != nullptr) {
            backend_.deallocate(data_, bytes_);
        }
    }

    [[nodiscard]] T* data() const { return data_; }

private:
    Cuda& backend_;
    std::size_t bytes_;
    T* data_;
};

} // namespace reel::cuda
