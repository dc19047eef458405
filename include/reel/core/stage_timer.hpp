#pragma once
// Time and peak memory of the stages of a run. Needs POSIX; no other library.

#include <reel/core/memory_pool.hpp>
#include <reel/core/stopwatch.hpp>
#include <reel/core/system/memory_use.hpp>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace reel {

/// What a stage took.
struct StageRecord {
    std::string name;
    double seconds = 0;
    std::size_t peak_backend_bytes = 0;  ///< counted by the backend's memory pool; 0 without one
    std::size_t peak_resident_bytes = 0; ///< of the whole process during this stage
};

/// How to ask a backend for the peak of its counted memory, and to start that peak anew.
struct MemoryProbe {
    std::function<std::size_t()> peak;
    std::function<void()> reset_peak;
    /// Seconds so far to add to those that pass: of work that is predicted instead of done. May be negative.
    std::function<double()> more_seconds{};
    /// Bytes to add to the process's resident peak: of memory that is predicted instead of taken. Like `peak`, since
    /// the last reset_peak().
    std::function<std::size_t()> more_resident{};
};

/// The probe of a memory pool, which must outlive it.
[[nodiscard]] inline MemoryProbe probe_of(MemoryPool& pool) {
    return {[&pool] { return pool.statistics().peak; }, [&pool] { pool.reset_peak(); }};
}

/// Measures the stages of a run, one inside another if need be.
///
///     StageTimer timer(probe_of(backend.memory()));
///     { auto stage = timer.start("tune"); ... }
///     timer.stages(); // one record per stage that ended, in the order they began
///
/// It resets the process's and the pool's peak when a stage begins and ends. Use from one thread.
class StageTimer {
public:
    /// Ends its stage when it goes out of scope, or with done().
    class Stage {
    public:
        Stage(Stage&& other) noexcept : timer_(std::exchange(other.timer_, nullptr)), index_(other.index_) {}
        Stage(const Stage&) = delete;
        Stage& operator=(const Stage&) = delete;
        Stage& operator=(Stage&&) = delete;
        ~Stage() { done(); }

        void done() {
            if (timer_ != nullptr) {
                std::exchange(timer_, nullptr)->end(index_);
            }
        }

    private:
        friend class StageTimer;
        Stage(StageTimer& timer, std::size_t index) : timer_(&timer), index_(index) {}
        StageTimer* timer_;
        std::size_t index_;
    };

    StageTimer() = default;
    explicit StageTimer(MemoryProbe probe) : probe_(std::move(probe)) {}
    StageTimer(const StageTimer&) = delete;
    StageTimer& operator=(const StageTimer&) = delete;

    /// Begins a stage. The timer must outlive what this returns.
    [[nodiscard]] Stage start(std::string name) {
        collect();
        entries_.push_back({{std::move(name), 0, 0, 0}, {}, more_seconds(), true});
        return {*this, entries_.size() - 1};
    }

    /// The stages that have ended.
    [[nodiscard]] std::vector<StageRecord> stages() const {
        std::vector<StageRecord> ended;
        for (const Entry& entry : entries_) {
            if (!entry.open) {
                ended.push_back(entry.record);
            }
        }
        return ended;
    }

    /// Whole run so far: "total", from the timer's making, with the largest peaks seen.
    [[nodiscard]] StageRecord total() {
        collect();
        total_.seconds = watch_.seconds() + more_seconds() - more_before_;
        return total_;
    }

    /// Whether peak_resident_bytes is each stage's own. Where the system allows no reset, it is the process's until
    /// then.
    [[nodiscard]] bool resident_per_stage() const { return resident_per_stage_; }

private:
    struct Entry {
        StageRecord record;
        Stopwatch watch;
        double more_before;
        bool open;
    };

    [[nodiscard]] double more_seconds() const { return probe_.more_seconds ? probe_.more_seconds() : 0; }

    /// Credits the peaks since the last call to every open stage, and starts new ones.
    void collect() {
        const std::size_t backend = probe_.peak ? probe_.peak() : 0;
        const std::size_t resident = peak_resident_bytes() + (probe_.more_resident ? probe_.more_resident() : 0);
        const auto credit = [&](StageRecord& record) {
            record.peak_backend_bytes = std::max(record.peak_backend_bytes, backend);
            record.peak_resident_bytes = std::max(record.peak_resident_bytes, resident);
        };
        credit(total_);
        for (Entry& entry : entries_) {
            if (entry.open) {
                credit(entry.record);
            }
        }
        if (probe_.reset_peak) {
            probe_.reset_peak();
        }
        resident_per_stage_ = reset_peak_resident_bytes() && resident_per_stage_;
    }

    void end(std::size_t index) {
        Entry& entry = entries_[index];
        entry.record.seconds = entry.watch.seconds() + more_seconds() - entry.more_before;
        collect();
        entry.open = false;
    }

    MemoryProbe probe_;
    Stopwatch watch_;
    double more_before_ = more_seconds();
    StageRecord total_{"total", 0, 0, 0};
    std::vector<Entry> entries_;
    bool resident_per_stage_ = true;
};

} // namespace reel
