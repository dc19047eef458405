#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/core/scalar.hpp>

namespace reel {

/// A fixed set of threads that run one parallel loop at a time. The caller's thread is one of them, so a pool of one
/// starts no thread at all. A loop started from inside a loop runs serially on the thread that started it.
class ThreadPool {
public:
    /// `threads` = 0 means one per hardware thread.
    explicit ThreadPool(int threads = 0) {
        require(threads >= 0, "ThreadPool: ", threads, " threads asked for; expected 1 or more, or 0 for all");
        const int hardware = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
        const int total = threads == 0 ? hardware : threads;
        try {
            for (int i = 1; i < total; ++i) {
                workers_.emplace_back([this] { work(); });
            }
        } catch (...) { // the system has no more
            end();
            throw;
        }
    }

    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    ~ThreadPool() { end(); }

    [[nodiscard]] int threads() const { return static_cast<int>(workers_.size()) + 1; }

    /// Calls `body(i)` for every i in [0, count), each once, in any order and on any thread. Rethrows the first
    /// exception after every started call has ended.
    template <class Body>
    void run(index_t count, const Body& body) {
        if (count <= 0) {
            return;
        }
        const bool nested = inside_loop();
        if (count == 1 || workers_.empty() || nested) {
            for (index_t i = 0; i < count; ++i) {
                body(i);
            }
            return;
        }
        const std::lock_guard one_loop(loop_);
        {
            const std::lock_guard lock(mutex_);
            body_ = [](const void* context, index_t i) { (*static_cast<const Body*>(context))(i); };
            context_ = &body;
            count_ = count;
            next_.store(0, std::memory_order_relaxed);
            error_ = nullptr;
            busy_ = static_cast<int>(workers_.size());
            ++generation_;
        }
        wake_.notify_all();
        drain();
        std::unique_lock lock(mutex_);
        done_.wait(lock, [this] { return busy_ == 0; });
        if (error_) {
            std::rethrow_exception(error_);
        }
    }

private:
    static bool& inside_loop() {
        thread_local bool inside = false;
        return inside;
    }

    void end() {
        {
            const std::lock_guard lock(mutex_);
            ending_ = true;
        }
        wake_.notify_all();
        for (std::thread& worker : workers_) {
            worker.join();
        }
    }

    void drain() {
        inside_loop() = true;
        for (;;) {
            const index_t i = next_.fetch_add(1, std::memory_order_relaxed);
            if (i >= count_) {
                break;
            }
            try {
                body_(context_, i);
            } catch (...) {
                const std::lock_guard lock(mutex_);
                if (!error_) {
                    error_ = std::current_exception();
                }
                next_.store(count_, std::memory_order_relaxed);
            }
        }
        inside_loop() = false;
    }

    void work() {
        std::uint64_t seen = 0;
        for (;;) {
            {
                std::unique_lock lock(mutex_);
                wake_.wait(lock, [&] { return ending_ || generation_ != seen; });
                if (ending_) {
                    return;
                }
                seen = generation_;
            }
            drain();
            const std::lock_guard lock(mutex_);
            if (--busy_ == 0) {
                done_.notify_one();
            }
        }
    }

    std::mutex loop_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::condition_variable done_;
    void (*body_)(const void*, index_t) = nullptr;
    const void* context_ = nullptr;
    index_t count_ = 0;
    std::atomic<index_t> next_{0};
    std::exception_ptr error_;
    int busy_ = 0;
    std::uint64_t generation_ = 0;
    bool ending_ = false;
    std::vector<std::thread> workers_; // not std::jthread, which the libc++ of clang lacks before 20
};

} // namespace reel
