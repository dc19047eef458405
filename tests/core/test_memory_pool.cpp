#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <reel/core/memory_pool.hpp>

using namespace reel;

TEST_CASE("MemoryPool: blocks are aligned, writable and apart") {
    MemoryPool pool;
    std::vector<std::pair<unsigned char*, std::size_t>> blocks;
    unsigned char mark = 1;
    for (const std::size_t bytes : {0, 1, 63, 64, 65, 511, 512, 513, 1000, 4097, 1000003}) {
        auto* block = static_cast<unsigned char*>(pool.allocate(bytes));
        REQUIRE(reinterpret_cast<std::uintptr_t>(block) % 64 == 0);
        std::memset(block, mark++, bytes);
        blocks.emplace_back(block, bytes);
    }
    mark = 1;
    for (const auto& [block, bytes] : blocks) {
        for (std::size_t i = 0; i < bytes; ++i) {
            REQUIRE(block[i] == mark);
        }
        ++mark;
        pool.deallocate(block, bytes);
    }
    CHECK(pool.statistics().in_use == 0);
}

TEST_CASE("MemoryPool: a freed block is handed out again for a like size") {
    MemoryPool pool;
    void* first = pool.allocate(100000);
    pool.deallocate(first, 100000);
    CHECK(pool.statistics().cached >= 100000);
    void* second = pool.allocate(100001);
    CHECK(second == first);
    CHECK(pool.statistics().cached == 0);
    void* third = pool.allocate(100000);
    CHECK(third != second);
    pool.deallocate(second, 100001);
    pool.deallocate(third, 100000);
}

TEST_CASE("MemoryPool: sizes are counted, with an eighth or 64 bytes of waste at most") {
    MemoryPool pool;
    for (std::size_t bytes = 1; bytes < 100000; bytes += 37) {
        void* block = pool.allocate(bytes);
        const std::size_t counted = pool.statistics().in_use;
        REQUIRE(counted >= bytes);
        REQUIRE(counted <= std::max(bytes + bytes / 8, (bytes + 63) / 64 * 64));
        pool.deallocate(block, bytes);
        REQUIRE(pool.statistics().in_use == 0);
    }
}

TEST_CASE("MemoryPool: large sizes are counted in whole pages, with less than one of waste") {
    MemoryPool pool;
    for (std::size_t bytes = 65536; bytes < (std::size_t{1} << 33); bytes += bytes / 3 + 1) {
        void* block = pool.allocate(bytes); // never touched: no pages are taken
        const std::size_t counted = pool.statistics().in_use;
        REQUIRE(counted % 4096 == 0);
        REQUIRE(counted >= bytes);
        REQUIRE(counted < bytes + 4096);
        pool.deallocate(block, bytes);
    }
}

TEST_CASE("MemoryPool: the peak is the largest sum in use, and starts again on request") {
    MemoryPool pool;
    void* a = pool.allocate(1 << 20);
    void* b = pool.allocate(2 << 20);
    pool.deallocate(a, 1 << 20);
    void* c = pool.allocate(1 << 19);
    CHECK(pool.statistics().peak == 3 << 20);
    CHECK(pool.statistics().in_use == (2 << 20) + (1 << 19));
    pool.reset_peak();
    CHECK(pool.statistics().peak == (2 << 20) + (1 << 19));
    pool.deallocate(b, 2 << 20);
    pool.deallocate(c, 1 << 19);
    CHECK(pool.statistics().peak == (2 << 20) + (1 << 19));
    CHECK(pool.statistics().in_use == 0);
}

TEST_CASE("MemoryPool: what is kept is bounded, and can be given back") {
    MemoryPool pool;
    std::vector<void*> blocks;
    constexpr std::size_t bytes = std::size_t{8} << 20;
    for (int i = 0; i < 40; ++i) { // never touched: no pages are taken
        blocks.push_back(pool.allocate(bytes));
    }
    for (void* block : blocks) {
        pool.deallocate(block, bytes);
    }
    CHECK(pool.statistics().cached > 0);
    CHECK(pool.statistics().cached <= std::size_t{340} << 20);
    pool.reset_peak(); // from here on it has another measure
    pool.deallocate(pool.allocate(bytes), bytes);
    CHECK(pool.statistics().cached <= std::size_t{64} << 20);
    CHECK(pool.statistics().cached > 0);
    pool.release_cached();
    CHECK(pool.statistics().cached == 0);
    CHECK(pool.statistics().in_use == 0);
}

TEST_CASE("MemoryPool: large blocks of all sizes share memory, and what is kept is no more than was in use") {
    for (const BlockKind kind : {BlockKind::memory, BlockKind::addresses}) {
        MemoryPool pool(kind);
        std::vector<std::pair<unsigned char*, std::size_t>> blocks;
        std::uint32_t state = 1;
        const auto next = [&state](std::uint32_t below) { return (state = state * 1664525U + 1013904223U) % below; };
        const auto check = [](unsigned char* block, std::size_t bytes, unsigned char mark) {
            REQUIRE(block[0] == mark);
            REQUIRE(block[bytes / 2] == mark);
            REQUIRE(block[bytes - 1] == mark);
        };
        for (int i = 0; i < 20000; ++i) {
            if (blocks.size() < 40 && next(2) == 0) {
                const std::size_t bytes = (std::size_t{1} << (10 + next(13))) + next(5000);
                auto* block = static_cast<unsigned char*>(pool.allocate(bytes));
                REQUIRE(reinterpret_cast<std::uintptr_t>(block) % 64 == 0);
                const auto mark = static_cast<unsigned char>(bytes);
                block[0] = block[bytes / 2] = block[bytes - 1] = mark;
                blocks.emplace_back(block, bytes);
            } else if (!blocks.empty()) {
                std::swap(blocks[next(static_cast<std::uint32_t>(blocks.size()))], blocks.back());
                const auto [block, bytes] = blocks.back();
                check(block, bytes, static_cast<unsigned char>(bytes));
                pool.deallocate(block, bytes);
                blocks.pop_back();
            }
            const MemoryStatistics now = pool.statistics();
            REQUIRE(now.in_use + now.cached <=
                    std::max(now.peak + now.peak / 64, now.in_use + (std::size_t{64} << 20)));
        }
        for (const auto& [block, bytes] : blocks) {
            check(block, bytes, static_cast<unsigned char>(bytes));
            pool.deallocate(block, bytes);
        }
        CHECK(pool.statistics().in_use == 0);

        // Neighbours that are free become one: a block as large as several lies where they were.
        pool.release_cached();
        constexpr std::size_t bytes = std::size_t{2} << 20;
        auto* first = static_cast<unsigned char*>(pool.allocate(bytes));
        auto* second = static_cast<unsigned char*>(pool.allocate(bytes));
        auto* third = static_cast<unsigned char*>(pool.allocate(bytes));
        CHECK(second == first + bytes);
        pool.deallocate(first, bytes);
        pool.deallocate(third, bytes);
        pool.deallocate(second, bytes);
        CHECK(pool.statistics().cached == 3 * bytes);
        CHECK(pool.allocate(3 * bytes) == first);
        CHECK(pool.statistics().cached == 0);
        pool.deallocate(first, 3 * bytes);
    }
}

TEST_CASE("MemoryPool: what is given back takes no memory, and holds zeros when it is used again") {
    MemoryPool pool;
    constexpr std::size_t bytes = std::size_t{128} << 20;
    auto* block = static_cast<unsigned char*>(pool.allocate(bytes));
    std::memset(block, 1, bytes);
    const auto resident = [&] {
        std::vector<unsigned char> pages(bytes / 4096);
        REQUIRE(::mincore(reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(block) / 4096 * 4096), bytes,
                          pages.data()) == 0);
        return std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return (page & 1) != 0; }) * 4096;
    };
    CHECK(resident() == bytes);
    pool.deallocate(block, bytes);
    CHECK(resident() == bytes);
    pool.release_cached();
    CHECK(resident() == 0);
    CHECK(pool.allocate(bytes) == block);
    CHECK(block[bytes / 2] == 0);
    pool.deallocate(block, bytes);
}

TEST_CASE("MemoryPool: no memory is one clear error, and the pool lives on") {
    MemoryPool pool;
    void* small = pool.allocate(4096);
    const auto impossible = std::size_t{1} << 62;
    CHECK_THROWS_WITH_AS(static_cast<void>(pool.allocate(impossible)), doctest::Contains("out of memory"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(pool.allocate(~std::size_t{0} - 5)), doctest::Contains("out of memory"),
                         Error);
    CHECK(pool.statistics().in_use == 4096);
    CHECK(pool.statistics().peak == 4096);
    pool.deallocate(small, 4096);
}

TEST_CASE("MemoryPool: several threads at once") {
    MemoryPool pool;
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&pool, t] {
                for (std::size_t i = 0; i < 2000; ++i) {
                    const std::size_t bytes = 64 + i * 7 % 5000;
                    auto* block = static_cast<unsigned char*>(pool.allocate(bytes));
                    std::memset(block, t, bytes);
                    pool.deallocate(block, bytes);
                }
            });
        }
    }
    CHECK(pool.statistics().in_use == 0);
}
