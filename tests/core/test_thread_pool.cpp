#include <atomic>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <reel/core/thread_pool.hpp>

using namespace reel;

TEST_CASE("ThreadPool: every index once, for any number of threads") {
    for (const int threads : {1, 2, 3, 8}) {
        ThreadPool pool(threads);
        CHECK(pool.threads() == threads);
        for (const index_t count : {0, 1, 2, 7, 1000}) {
            std::vector<std::atomic<int>> calls(static_cast<std::size_t>(count));
            pool.run(count, [&](index_t i) { ++calls[static_cast<std::size_t>(i)]; });
            for (const auto& n : calls) {
                REQUIRE(n == 1);
            }
        }
    }
}

TEST_CASE("ThreadPool: 0 threads means all, a negative number is an error") {
    CHECK(ThreadPool(0).threads() >= 1);
    CHECK_THROWS_WITH_AS(ThreadPool(-1), doctest::Contains("-1 threads"), Error);
}

TEST_CASE("ThreadPool: work is really shared") {
    ThreadPool pool(2);
    std::mutex mutex;
    std::set<std::thread::id> ids;
    std::atomic<int> arrived{0};
    pool.run(2, [&](index_t) { // each index waits for the other: one thread alone would never finish
        ++arrived;
        while (arrived < 2) {
            std::this_thread::yield();
        }
        const std::lock_guard lock(mutex);
        ids.insert(std::this_thread::get_id());
    });
    CHECK(ids.size() == 2);
}

TEST_CASE("ThreadPool: an exception reaches the caller and the pool lives on") {
    for (const int threads : {1, 4}) {
        ThreadPool pool(threads);
        for (int round = 0; round < 50; ++round) {
            std::atomic<int> running{0};
            std::string text;
            try {
                pool.run(64, [&](index_t i) {
                    ++running;
                    if (i == 13) {
                        --running;
                        fail("task ", i);
                    }
                    --running;
                });
            } catch (const Error& error) {
                text = error.what();
            }
            REQUIRE(text == "task 13");
            REQUIRE(running == 0); // nobody works after run has thrown
            std::atomic<int> sum{0};
            pool.run(10, [&](index_t i) { sum += static_cast<int>(i); });
            REQUIRE(sum == 45);
        }
    }
}

TEST_CASE("ThreadPool: many threw, one arrives") {
    ThreadPool pool(4);
    CHECK_THROWS_AS(pool.run(1000, [](index_t i) { fail(i); }), Error);
}

TEST_CASE("ThreadPool: a loop inside a loop runs, on the thread that asked") {
    ThreadPool pool(4);
    std::atomic<int> inner{0};
    std::atomic<bool> moved{false};
    pool.run(8, [&](index_t) {
        const auto self = std::this_thread::get_id();
        pool.run(16, [&](index_t) {
            ++inner;
            if (std::this_thread::get_id() != self) {
                moved = true;
            }
        });
    });
    CHECK(inner == 8 * 16);
    CHECK_FALSE(moved);
}

TEST_CASE("ThreadPool: an exception from an inner loop passes through") {
    ThreadPool pool(2);
    CHECK_THROWS_WITH_AS(pool.run(4, [&](index_t) { pool.run(4, [](index_t) { fail("inner"); }); }), "inner", Error);
    std::atomic<int> calls{0};
    pool.run(100, [&](index_t) { ++calls; });
    CHECK(calls == 100);
}

TEST_CASE("ThreadPool: many small loops, back to back") {
    ThreadPool pool(3);
    index_t total = 0;
    for (int round = 0; round < 5000; ++round) {
        std::atomic<index_t> sum{0};
        pool.run(4, [&](index_t i) { sum += i; });
        total += sum;
    }
    CHECK(total == 5000 * 6);
}

TEST_CASE("ThreadPool: callers from several threads take turns") {
    ThreadPool pool(2);
    std::atomic<int> sum{0};
    {
        std::vector<std::jthread> callers;
        for (int c = 0; c < 3; ++c) {
            callers.emplace_back([&] {
                for (int round = 0; round < 200; ++round) {
                    pool.run(5, [&](index_t) { ++sum; });
                }
            });
        }
    }
    CHECK(sum == 3 * 200 * 5);
}

TEST_CASE("ThreadPool: pools start and stop at once") {
    for (int round = 0; round < 100; ++round) {
        ThreadPool pool(3);
        if (round % 2 == 0) {
            std::atomic<int> calls{0};
            pool.run(3, [&](index_t) { ++calls; });
            REQUIRE(calls == 3);
        }
    }
}
