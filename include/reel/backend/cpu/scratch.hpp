#pragma once

#include <reel/backend/cpu/cpu.hpp>

namespace reel::cpu {

/// Memory from the backend for the length of a scope.
template <class T>
class Scratch {
public:
    Scratch(Cpu& backend, index_t count)
        : backend_(backend), bytes_(static_cast<std::size_t>(count) * sizeof(T)),
          data_(static_cast<T*>(backend.allocate(bytes_))) {}
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() { backend_.deallocate(data_, bytes_); }
    [[nodiscard]] T* data() const { return data_; }

private:
    Cpu& backend_;
    std::size_t bytes_;
    T* data_;
};

} // namespace reel::cpu
