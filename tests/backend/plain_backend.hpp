#pragma once

#include <cstdlib>
#include <cstring>

#include <reel/backend/backend.hpp>

/// The smallest backend there can be: the required vocabulary and nothing else. Everything runs through reel/generic.
class Plain {
public:
    void* allocate(std::size_t bytes) {
        ++blocks;
        return std::malloc(bytes + 1);
    }
    void deallocate(void* block, std::size_t) noexcept {
        --blocks;
        std::free(block);
    }
    void copy(void* to, const void* from, std::size_t bytes) { bytes == 0 ? to : std::memcpy(to, from, bytes); }
    void copy_from_host(void* to, const void* from, std::size_t bytes) { copy(to, from, bytes); }
    void copy_to_host(void* to, const void* from, std::size_t bytes) { copy(to, from, bytes); }
    void for_each_index(reel::index_t count, auto functor, reel::index_t = 1) {
        for (reel::index_t i = 0; i < count; ++i) {
            functor(i);
        }
    }
    void synchronize() {}

    int blocks = 0; ///< allocated and not freed
};

static_assert(reel::Backend<Plain>);
