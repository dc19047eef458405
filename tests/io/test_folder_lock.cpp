// One run in a folder at a time, however the one before ended.

#include "io/temporary_folder.hpp"

#include <reel/io/files/folder_lock.hpp>

#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <utility>

using namespace reel_test;
using reel::FolderLock;

namespace {

[[nodiscard]] std::string refusal(const std::filesystem::path& folder) {
    return message_of<reel::Error>([&] { const FolderLock lock(folder); });
}

} // namespace

TEST_CASE("a folder that is held is refused with who holds it, and is free when it was given back") {
    const TemporaryFolder folder;
    const auto out = folder / "out/deep"; // made
    {
        const FolderLock lock(out);
        CHECK(lock.folder() == out);
        const std::string text = refusal(out);
        CHECK(contains(text, "cannot write into folder " + out.string()));
        CHECK(contains(text, "test_io_atomic"));
        CHECK(contains(text, "is at work there (process " + std::to_string(::getpid()) + " on "));
        CHECK(contains(text, ", since 2"));
        CHECK(std::filesystem::exists(out / FolderLock::file_name));
        CHECK(refusal(folder / "out").empty()); // another folder
    }
    CHECK(std::filesystem::is_empty(out));
    CHECK(refusal(out).empty());
    FolderLock lock(out);
    const FolderLock moved(std::move(lock));
    CHECK_FALSE(refusal(out).empty());
}

TEST_CASE("a lock dies with its process, and what is left of it is in nobody's way") {
    const TemporaryFolder folder;
    int ready[2];
    REQUIRE(::pipe(ready) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        const FolderLock lock(folder.path());
        static_cast<void>(::write(ready[1], "x", 1) == 1);
        ::pause();
        ::_exit(0);
    }
    char word = 0;
    REQUIRE(::read(ready[0], &word, 1) == 1);
    CHECK(contains(refusal(folder.path()), "process " + std::to_string(child)));
    ::kill(child, SIGKILL);
    REQUIRE(::waitpid(child, nullptr, 0) == child);
    ::close(ready[0]);
    ::close(ready[1]);
    CHECK(std::filesystem::exists(folder / FolderLock::file_name));
    CHECK(refusal(folder.path()).empty());
    CHECK(folder.count() == 0);
}

TEST_CASE("a lock's file that leads elsewhere is not followed") {
    const TemporaryFolder folder;
    put_text(folder / "precious", "text");
    std::filesystem::create_directory(folder / "out");
    std::filesystem::create_symlink(folder / "precious", folder / "out" / FolderLock::file_name);
    CHECK(contains(refusal(folder / "out"), "opening .reel.lock"));
    CHECK(read_text(folder / "precious") == "text");
}
