#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>
#include <vector>

#include <reel/backend/cpu/cpu.hpp>
#include <reel/core/stage_timer.hpp>

namespace reel {

/// Predicts what work on a Cpu will take, by running the code that would do it on a Cpu that does none:
///
///     Rehearsal rehearsal;
///     Cpu cpu(threads, rehearsal);
///     ... // load models, tune, sample: nothing is computed
///     cpu.memory().statistics(); // as it would have been
///     rehearsal.seconds();       // that the loops would have taken
///
/// Memory is exact, because what asks for it is the same code, in the same order, of the same pool: with one thread to
/// the byte, with more as if all were inside a loop's body at once. For time, each loop that differs from all before
/// is run, or a part of it that takes some milliseconds, on memory of zeros; later ones like it are counted. A kind of
/// loop that has been measured for `patience` seconds is measured no more: others of the kind are taken to be as fast
/// for what they do. Use from one thread.
class Rehearsal final : public CpuObserver {
public:
    /// patience 0: memory alone.
    explicit Rehearsal(double patience = 0.5) : patience_(patience) {}

    /// Predicted seconds of the loops so far.
    [[nodiscard]] double seconds() const { return seconds_; }

    /// Seconds that measuring has taken so far.
    [[nodiscard]] double measuring() const { return measuring_; }

    /// What to add to the time that passes to get the time that the work would take.
    [[nodiscard]] double more_seconds() const { return seconds_ - measuring_; }

    /// Rehearses `steps` calls of `step`, which are alike from the second on: calls it a few times, and adds the time
    /// that the last of them would take for the others.
    template <class Step>
    void repeat(index_t steps, const Step& step) {
        constexpr index_t few = 3;
        for (index_t i = 0; i < std::min(steps, few); ++i) {
            const Stopwatch watch;
            const double before = more_seconds();
            step();
            if (i + 1 == few) {
                seconds_ += static_cast<double>(steps - few) * (watch.seconds() + more_seconds() - before);
            }
        }
    }

    void loop(Cpu& cpu, const CpuLoop& loop) override {
        if (loop.count <= 0) {
            return;
        }
        const Key key{loop.type, loop.shape, loop.count, loop.grain};
        auto found = known_.find(key);
        const Stopwatch watch;
        if (patience_ > 0 && found == known_.end()) {
            found = known_.emplace(key, once(cpu, loop)).first;
        }
        if (found != known_.end()) {
            seconds_ += found->second;
        }
        take_scratch(cpu, loop);
        if (++loops_ % 64 == 0) {
            forget(cpu);
        }
        measuring_ += watch.seconds();
    }

private:
    using Key = std::tuple<std::type_index, std::uint64_t, index_t, index_t>; ///< type, shape, count and grain
    /// What is known of the loops with one body.
    struct Kind {
        double seconds = 0; ///< of those that were measured
        double work = 0;
        double spent = 0; ///< on measuring them
    };

    static constexpr double enough = 3e-3;              ///< seconds that tell how fast a loop is
    static constexpr std::size_t too_much = 64U << 20U; ///< bytes that may be left written

    [[nodiscard]] static double work_of(const CpuLoop& loop) {
        return loop.work > 0 ? loop.work : static_cast<double>(loop.count);
    }

    /// Cpu::copy(), of bytes.
    [[nodiscard]] static bool is_copy(const CpuLoop& loop) { return loop.grain < 0; }

    /// Seconds of one loop, measured or concluded from others of its kind.
    [[nodiscard]] double once(Cpu& cpu, const CpuLoop& loop) {
        Kind& kind = kinds_[loop.type];
        if (kind.spent > patience_ && kind.work > 0) {
            return kind.seconds / kind.work * work_of(loop);
        }
        const Stopwatch watch;
        double seconds = 0;
        cpu.unobserved([&] { seconds = measured(cpu, loop); });
        kind.spent += watch.seconds();
        kind.seconds += seconds;
        kind.work += work_of(loop);
        forget(cpu);
        return seconds;
    }

    /// Gives back what was written to memory that should not have been taken.
    void forget(Cpu& cpu) {
        if (resident_bytes() > least_resident_ + too_much) {
            cpu.memory().forget_contents();
            least_resident_ = resident_bytes();
        }
    }

    /// Runs more and more of a loop until that takes long enough, each part first to have its memory, then for the
    /// time.
    [[nodiscard]] static double measured(Cpu& cpu, const CpuLoop& loop) {
        const index_t threads = cpu.threads();
        const index_t least = loop.grain == 0 ? threads : is_copy(loop) ? index_t{4096} : loop.grain * threads;
        index_t part = std::min(loop.count, least);
        for (;;) {
            double seconds = run(cpu, loop, part);
            if (seconds < 10 * enough) { // longer ones are not disturbed by fresh memory
                seconds = run(cpu, loop, part);
                double all = seconds;
                for (int again = 0; again < 4 && all < enough; ++again) { // other programs slow some runs down
                    const double next = run(cpu, loop, part);
                    all += next;
                    seconds = std::min(seconds, next);
                }
            }
            if (part == loop.count) {
                return seconds;
            }
            if (seconds > enough) {
                if (loop.grain == 0) { // in rounds, one task for each thread
                    const auto rounds = [&](index_t tasks) { return (tasks + threads - 1) / threads; };
                    return seconds * static_cast<double>(rounds(loop.count)) / static_cast<double>(rounds(part));
                }
                return seconds * static_cast<double>(loop.count) / static_cast<double>(part);
            }
            const double factor = std::clamp(1.3 * enough / std::max(seconds, 1e-9), 2.0, 16.0);
            part = static_cast<index_t>(
                std::min(static_cast<double>(loop.count), std::ceil(static_cast<double>(part) * factor)));
        }
    }

    /// Seconds of a part of a loop: the first indices, or tasks from all over it, which need not be alike.
    [[nodiscard]] static double run(Cpu& cpu, const CpuLoop& loop, index_t part) {
        const Stopwatch watch;
        if (loop.grain == 0) {
            cpu.for_each_task(part, [&](index_t i) {
                const index_t task = loop.count * i / part;
                loop.call(loop.body, task, task + 1);
            });
        } else {
            cpu.for_each_range(
                part, [&](index_t begin, index_t end) { loop.call(loop.body, begin, end); },
                is_copy(loop) ? loop.count + 1 : loop.grain);
        }
        return watch.seconds();
    }

    /// Asks for what the bodies that run at once ask for: each for one block, as the first of them does.
    void take_scratch(Cpu& cpu, const CpuLoop& loop) {
        if (is_copy(loop)) {
            return;
        }
        const auto known = takes_.find(loop.type);
        if (known != takes_.end() && !known->second) {
            return;
        }
        const index_t first = std::clamp<index_t>(loop.grain, 1, loop.count);
        const auto bytes = cpu.first_wish([&] { loop.call(loop.body, 0, first); });
        takes_.emplace(loop.type, bytes.has_value());
        if (bytes) {
            const index_t pieces = loop.grain == 0 ? loop.count : std::max<index_t>(loop.count / loop.grain, 1);
            std::vector<void*> blocks(static_cast<std::size_t>(std::min<index_t>(pieces, cpu.threads())));
            cpu.unobserved([&] {
                for (void*& block : blocks) {
                    block = cpu.allocate(*bytes);
                }
            });
            for (void* block : blocks) {
                cpu.deallocate(block, *bytes);
            }
        }
    }

    std::map<std::type_index, bool> takes_; ///< whether bodies of a type ask for memory
    double patience_;
    double seconds_ = 0;
    double measuring_ = 0;
    std::size_t loops_ = 0;
    std::size_t least_resident_ = resident_bytes();
    std::map<Key, double> known_;
    std::map<std::type_index, Kind> kinds_;
};

} // namespace reel
