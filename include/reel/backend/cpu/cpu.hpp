#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <tuple>
#include <type_traits>
#include <typeindex>
#include <utility>

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

class Cpu;

/// A parallel loop, as an observer of a Cpu sees it.
struct CpuLoop {
    std::type_index type; ///< of its body
    index_t count = 0;
    index_t grain = 0;       ///< least indices that a thread takes at once; 0: tasks, taken one by one; -1: one thread
    std::uint64_t shape = 0; ///< tells loops apart: what Cpu::Described said, or else what was allocated before them
    double work = 0;         ///< how much it does, in units of the loop's own, as Cpu::Described said; 0: unknown
    const void* body = nullptr;
    void (*call)(const void* body, index_t begin, index_t end) = nullptr;
};

/// Takes the place of a Cpu's work: see Rehearsal.
class CpuObserver {
public:
    virtual ~CpuObserver() = default;
    /// Called instead of every loop, but for those that run inside this call.
    virtual void loop(Cpu& cpu, const CpuLoop& loop) = 0;
};

/// The host processor. Owns its threads and its memory; must outlive the tensors made with it.
class Cpu {
public:
    /// `threads` = 0 means one per hardware thread.
    explicit Cpu(int threads = 0) : pool_(threads) {}

    /// With an observer, which must outlive it, a Cpu does no work: its memory is BlockKind::addresses, and it tells
    /// the observer of every loop. What is asked to be copied to the host comes as zeros. Null: an ordinary Cpu.
    Cpu(int threads, CpuObserver* observer)
        : memory_(observer == nullptr ? BlockKind::memory : BlockKind::addresses), observer_(observer), pool_(threads) {
    }

    [[nodiscard]] int threads() const { return pool_.threads(); }

    /// `medium` is used where oneDNN was found when reel was built and the processor multiplies bfloat16; elsewhere
    /// float32 is computed.
    Float32MatmulPrecision float32_matmul_precision = Float32MatmulPrecision::highest;

    /// Work on long clips that would take more than this for what is needed for a moment only goes in pieces that take
    /// about as much: see nn/pieces.hpp. Results do not depend on it beyond rounding.
    std::size_t piece_bytes = std::size_t{64} << 20;

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

    [[nodiscard]] void* allocate(std::size_t bytes) {
        if (observer_ != nullptr) {
            note_allocation(bytes);
        }
        return memory_.allocate(bytes);
    }
    void deallocate(void* block, std::size_t bytes) noexcept { memory_.deallocate(block, bytes); }
    [[nodiscard]] MemoryPool& memory() { return memory_; }

    void copy(void* to, const void* from, std::size_t bytes) {
        if (observed()) {
            const auto move = [=](index_t begin, index_t end) {
                std::memcpy(static_cast<char*>(to) + begin, static_cast<const char*>(from) + begin,
                            static_cast<std::size_t>(end - begin));
            };
            const auto count = static_cast<index_t>(bytes);
            observer_->loop(*this, seen(erased(count, -1, move)));
        } else if (bytes != 0) {
            std::memcpy(to, from, bytes);
        }
    }
    /// Is done even where work is not: indices say what work there is.
    void copy_from_host(void* to, const void* from, std::size_t bytes) {
        if (bytes != 0) {
            std::memcpy(to, from, bytes);
        }
    }
    void copy_to_host(void* to, const void* from, std::size_t bytes) {
        if (observer_ != nullptr && bytes != 0) {
            std::memset(to, 0, bytes);
        } else {
            copy(to, from, bytes);
        }
    }
    void synchronize() {}

    /// Says of the loops in its scope, to an observer alone, what tells them from others with the same body and count,
    /// and how much they do. Costs nothing else.
    class Described {
    public:
        Described(Cpu& cpu, double work, std::initializer_list<index_t> sizes) : cpu_(cpu) {
            if (cpu.observer_ != nullptr) {
                before_ = std::pair(cpu.shape_, cpu.work_);
                cpu.work_ = work;
                for (const index_t size : sizes) {
                    cpu.shape_ = mixed(cpu.shape_, static_cast<std::uint64_t>(size));
                }
            }
        }
        Described(const Described&) = delete;
        Described& operator=(const Described&) = delete;
        ~Described() {
            if (cpu_.observer_ != nullptr) {
                std::tie(cpu_.shape_, cpu_.work_) = before_;
            }
        }

    private:
        Cpu& cpu_;
        std::pair<std::uint64_t, double> before_;
    };

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
        run_ranges(erased(count, std::max<index_t>(grain, 1), body));
    }

    /// Calls `body(i)` for every i in [0, count), one by one as threads become free: for few, long pieces of work.
    template <class Body>
    void for_each_task(index_t count, const Body& body) {
        run_tasks(erased(count, 0, body));
    }

    /// For an observer: runs `call`, in which loops do their work.
    template <class Call>
    void unobserved(const Call& call) {
        working_ = true;
        call();
        working_ = false;
    }

    /// For an observer: the bytes that `call` asks for first, where it is left; nothing when it asks for none, and
    /// then it has run.
    template <class Call>
    [[nodiscard]] std::optional<std::size_t> first_wish(const Call& call) {
        wishing_ = true;
        std::optional<std::size_t> bytes;
        try {
            unobserved(call);
        } catch (const Wish& wish) {
            working_ = false;
            bytes = wish.bytes;
        }
        wishing_ = false;
        return bytes;
    }

private:
    struct Wish {
        std::size_t bytes;
    };

    void note_allocation(std::size_t bytes) {
        if (wishing_) {
            throw Wish{bytes};
        }
        if (!working_) {
            recent_ = {bytes, recent_[0], recent_[1]};
        }
    }

    [[nodiscard]] static std::uint64_t mixed(std::uint64_t hash, std::uint64_t value) {
        const std::uint64_t product = (hash ^ value) * 0x9e3779b97f4a7c15U;
        return product ^ product >> 29;
    }

    [[nodiscard]] bool observed() const { return observer_ != nullptr && !working_; }

    // What runs loops is compiled once, not once for every body.

    template <class Body>
    [[nodiscard]] static CpuLoop erased(index_t count, index_t grain, const Body& body) {
        return {.type = typeid(Body),
                .count = count,
                .grain = grain,
                .body = &body,
                .call = [](const void* given, index_t begin, index_t end) {
                    const Body& loop = *static_cast<const Body*>(given);
                    if constexpr (std::is_invocable_v<const Body&, index_t, index_t>) {
                        loop(begin, end);
                    } else {
                        for (index_t i = begin; i < end; ++i) {
                            loop(i);
                        }
                    }
                }};
    }

    /// A loop as its observer sees it.
    [[nodiscard]] CpuLoop seen(CpuLoop loop) const {
        loop.shape = work_ > 0 ? shape_ : mixed(mixed(mixed(shape_, recent_[0]), recent_[1]), recent_[2]);
        loop.work = work_;
        return loop;
    }

    void run_ranges(const CpuLoop& loop) {
        if (observed()) {
            observer_->loop(*this, seen(loop));
            return;
        }
        const index_t count = loop.count;
        const index_t pieces = std::clamp<index_t>(count / loop.grain, 1, index_t{4} * threads());
        if (pieces == 1) {
            if (count > 0) {
                loop.call(loop.body, 0, count);
            }
            return;
        }
        pool_.run(pieces,
                  [&](index_t piece) { loop.call(loop.body, count * piece / pieces, count * (piece + 1) / pieces); });
    }

    void run_tasks(const CpuLoop& loop) {
        if (observed()) {
            observer_->loop(*this, seen(loop));
            return;
        }
        pool_.run(loop.count, [&](index_t i) { loop.call(loop.body, i, i + 1); });
    }

    // Threads end first, and what libraries keep goes before the memory it may lie in.
    MemoryPool memory_;
    std::mutex extensions_mutex_;
    std::map<std::type_index, std::shared_ptr<void>> extensions_;
    CpuObserver* observer_ = nullptr;
    bool working_ = false;                  ///< inside unobserved()
    bool wishing_ = false;                  ///< inside first_wish()
    std::array<std::uint64_t, 3> recent_{}; ///< sizes of the last allocations
    std::uint64_t shape_ = 0;               ///< of Described
    double work_ = 0;
    ThreadPool pool_;
};

static_assert(Backend<Cpu>);

} // namespace reel
