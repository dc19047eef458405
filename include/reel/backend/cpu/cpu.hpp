#pragma once

#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <typeindex>

#include <reel/backend/backend.hpp>
#include <reel/core/memory_pool.hpp>
#include <reel/core/thread_pool.hpp>

namespace reel {

/// What products and convolutions of float32 values may do inside; torch.set_float32_matmul_precision.
enum class Float32MatmulPrecision {
    highest, ///< float32 throughout
    high,    ///< factors rounded to TF32, 10 bits after the point, sums in float32: on GPUs; elsewhere as highest
    medium,  ///< factors rounded to bfloat16, sums in float32, where the library and the processor multiply it faster
};

/// The host processor. Owns its threads and its memory; must outlive the tensors made with it.
class Cpu {
public:
    /// `threads` = 0 means one per hardware thread.
    explicit Cpu(int threads = 0) : pool_(threads) {}

    [[nodiscard]] int threads() const { return pool_.threads(); }

    /// `medium` is used where oneDNN was found when reel was built and the processor multiplies bfloat16; elsewhere
    /// float32 is computed.
    Float32MatmulPrecision float32_matmul_precision = Float32MatmulPrecision::highest;

    /// The one object of a type that this backend keeps for a library, made at first use. Thread-safe.
    template <class X>
    [[nodiscard]] X& extension() {
        const std::lock_guard lock(extensions_mutex_);
        std::shared_ptr<void>& slot = extensions_[std::type_index(typeid(X))];
        if (!slot) {
            slot = std::make_shared<X>();
        }
        return *static_cast<X*>(slot.get());
    }

    [[nodiscard]] void* allocate(std::size_t bytes) { return memory_.allocate(bytes); }
    void deallocate(void* block, std::size_t bytes) noexcept { memory_.deallocate(block, bytes); }
    [[nodiscard]] MemoryPool& memory() { return memory_; }

    void copy(void* to, const void* from, std::size_t bytes) {
        if (bytes != 0) {
            std::memcpy(to, from, bytes);
        }
    }
    void copy_from_host(void* to, const void* from, std::size_t bytes) { copy(to, from, bytes); }
    void copy_to_host(void* to, const void* from, std::size_t bytes) { copy(to, from, bytes); }
    void synchronize() {}

    /// Calls `functor(i)` for every i in [0, count), in contiguous runs of at least `grain` per thread.
    template <class Functor>
    void for_each_index(index_t count, const Functor& functor, index_t grain = 4096) {
        for_each_range(
            count,
            [&functor](index_t begin, index_t end) {
                for (index_t i = begin; i < end; ++i) {
                    functor(i);
                }
            },
            grain);
    }

    /// Calls `body(begin, end)` on disjoint ranges that cover [0, count).
    template <class Body>
    void for_each_range(index_t count, const Body& body, index_t grain) {
        const index_t pieces = std::clamp<index_t>(count / std::max<index_t>(grain, 1), 1, index_t{4} * threads());
        if (pieces == 1) {
            if (count > 0) {
                body(index_t{0}, count);
            }
            return;
        }
        pool_.run(pieces, [&](index_t piece) { body(count * piece / pieces, count * (piece + 1) / pieces); });
    }

    /// Calls `body(i)` for every i in [0, count), one by one as threads become free: for few, long pieces of work.
    template <class Body>
    void for_each_task(index_t count, const Body& body) {
        pool_.run(count, body);
    }

private:
    // Threads end first, and what libraries keep goes before the memory it may lie in.
    MemoryPool memory_;
    std::mutex extensions_mutex_;
    std::map<std::type_index, std::shared_ptr<void>> extensions_;
    ThreadPool pool_;
};

static_assert(Backend<Cpu>);

} // namespace reel
