// Built twice: with what this system has, and with what POSIX alone has (REEL_PLAIN_POSIX), as on a system nobody
// knows.
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <reel/core/available_memory.hpp>
#include <reel/core/block_arena.hpp>
#include <reel/core/build_info.hpp>
#include <reel/core/system.hpp>
#include <reel/io/files/atomic_folder.hpp>
#include <reel/io/files/folder_lock.hpp>
#include <reel/io/files/mapped_file.hpp>

#include "io/temporary_folder.hpp"

using namespace reel;

namespace {

#if defined(REEL_PLAIN_POSIX)
constexpr bool plain = true;
#else
constexpr bool plain = false;
#endif
#if defined(__linux__)
constexpr bool linux_ways = !plain;
#else
constexpr bool linux_ways = false;
#endif

std::string text_of(const std::filesystem::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

} // namespace

TEST_CASE("addresses are reserved, used, forgotten and given back") {
    const std::size_t size = 8 * detail::page_size();
    auto* const begin = static_cast<unsigned char*>(detail::reserve_addresses(size));
    REQUIRE(begin != nullptr);
    detail::prefer_huge_pages(begin, size);
    REQUIRE(detail::make_usable(begin, size));
    std::memset(begin, 7, size);
    detail::forget_pages(begin + detail::page_size(), 2 * detail::page_size());
    for (std::size_t i = 0; i < size; ++i) {
        const bool forgotten = i / detail::page_size() == 1 || i / detail::page_size() == 2;
        REQUIRE(begin[i] == (forgotten ? 0 : 7));
    }
    begin[detail::page_size()] = 9; // still usable
    CHECK(begin[detail::page_size()] == 9);
    detail::release_addresses(begin, size);
    CHECK(detail::reserve_addresses(~std::size_t{0} / 2) == nullptr);
}

TEST_CASE("a block arena forgets contents and works on") {
    BlockArena arena(true);
    constexpr std::size_t size = std::size_t{3} << 20;
    auto* const block = static_cast<unsigned char*>(arena.allocate(size));
    REQUIRE(block != nullptr);
    std::memset(block, 5, size);
    arena.forget_contents();
    CHECK(std::vector<unsigned char>(block, block + size) == std::vector<unsigned char>(size));
    std::memset(block, 6, size);
    arena.deallocate(block);
    arena.cool(0);
    CHECK(arena.warm() == 0);
    CHECK(arena.allocate(size) == block);
}

TEST_CASE("a mapped file reads the same after its pages were dropped") {
    const reel_test::TemporaryFolder folder;
    const std::string content(3 * detail::page_size() + 17, 'x');
    write_file(folder / "a", content);
    const MappedFile file(folder / "a");
    drop_mapped_pages(file.bytes());
    CHECK(std::memcmp(file.bytes().data(), content.data(), content.size()) == 0);
}

TEST_CASE("memory: what the system says, in bytes") {
    const std::vector<char> much(std::size_t{64} << 20, 'a');
    CHECK(much.back() == 'a');
    CHECK(peak_resident_bytes() > much.size());
    CHECK(peak_resident_bytes() < (std::size_t{1} << 36)); // in bytes, not thousands of them
    trim_heap();
    if (linux_ways) {
        CHECK(resident_bytes() > much.size());
        CHECK(resident_bytes() <= peak_resident_bytes() + (std::size_t{4} << 20)); // Linux counts in batches
        CHECK(total_memory().value() >= available_memory().value());
        CHECK(detail::free_memory().value() < total_memory().value());
    } else if (plain) {
        CHECK(resident_bytes() == 0);
        CHECK_FALSE(reset_peak_resident_bytes());
        CHECK_FALSE(total_memory());
        CHECK_FALSE(detail::free_memory());
    }
}

TEST_CASE("the machine and the program have names") {
    CHECK(processor_name() != "unknown");
    CHECK_FALSE(operating_system().empty());
    CHECK_FALSE(program_name().empty());
    if (linux_ways) {
        CHECK(program_path().filename().string() == program_name());
        CHECK(boot_id().size() == 36);
        CHECK(process_namespace().starts_with("pid:["));
    } else if (plain) {
        CHECK(program_path().empty());
        CHECK(boot_id().empty());
    }
}

TEST_CASE("a process that has ended is gone; where the system says when they began, also before it is waited for") {
    CHECK_FALSE(process_is_gone(::getpid()));
    std::array<int, 2> held{};
    REQUIRE(::pipe(held.data()) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        ::close(held[1]);
        char byte = 0;
        ::_exit(static_cast<int>(::read(held[0], &byte, 1))); // until the other end closes
    }
    REQUIRE(child > 0);
    ::close(held[0]);
    CHECK_FALSE(process_is_gone(child));
    CHECK(process_start(child).empty() == !linux_ways);
    ::close(held[1]);
    siginfo_t ended{};
    REQUIRE(::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT) == 0);
    CHECK(process_is_gone(child) == linux_ways);
    REQUIRE(::waitpid(child, nullptr, 0) == child);
    CHECK(process_is_gone(child));
}

TEST_CASE("two names are swapped in one step, or both stay as they were") {
    const reel_test::TemporaryFolder folder;
    write_file(folder / "a", "1");
    write_file(folder / "b", "2");
    const bool swapped = detail::exchange_names(folder / "a", folder / "b");
    CHECK(text_of(folder / "a") == (swapped ? "2" : "1"));
    CHECK(text_of(folder / "b") == (swapped ? "1" : "2"));
    if (plain) {
        CHECK_FALSE(swapped);
    }
}

TEST_CASE("a folder takes an older one's place, one run at a time") {
    const reel_test::TemporaryFolder parent;
    for (const char* content : {"old", "new"}) {
        AtomicFolder folder(parent / "model");
        write_file(folder.path() / "weights", content);
        folder.commit();
    }
    CHECK(text_of(parent / "model" / "weights") == "new");
    const FolderLock lock(parent / "model");
    CHECK_THROWS_AS(FolderLock(parent / "model"), Error);
    std::size_t entries = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(parent.path())) {
        ++entries;
    }
    CHECK(entries == 1);
}

TEST_CASE("a file's times are those of its last change") {
    const reel_test::TemporaryFolder folder;
    write_file(folder / "a", "1");
    struct ::stat before {};
    REQUIRE(::stat((folder / "a").c_str(), &before) == 0);
    std::filesystem::last_write_time(folder / "a",
                                     std::filesystem::last_write_time(folder / "a") - std::chrono::hours(1));
    struct ::stat after {};
    REQUIRE(::stat((folder / "a").c_str(), &after) == 0);
    CHECK(detail::file_times(before).modified.tv_sec - detail::file_times(after).modified.tv_sec == 3600);
    CHECK(detail::file_times(after).changed.tv_sec >= detail::file_times(before).changed.tv_sec);
}

TEST_CASE("Eigen's version is the one that its package has") {
    const std::string version = eigen_version();
    CHECK((version.starts_with("3.4.") || version.starts_with("5.")));
}
