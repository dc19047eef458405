#include "io/temporary_folder.hpp"

#include <reel/io/files/atomic_file.hpp>
#include <reel/io/files/atomic_folder.hpp>
#include <reel/io/files/mapped_file.hpp>

#include <doctest/doctest.h>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

using namespace reel_test;

namespace {

/// Writes past this many bytes fail, as on a full disk (EFBIG in place of ENOSPC), while it lives.
class FileSizeLimit {
public:
    explicit FileSizeLimit(rlim_t bytes) {
        old_handler_ = std::signal(SIGXFSZ, SIG_IGN);
        ::getrlimit(RLIMIT_FSIZE, &old_limit_);
        const ::rlimit limit{bytes, old_limit_.rlim_max};
        REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
    }
    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;
    ~FileSizeLimit() {
        ::setrlimit(RLIMIT_FSIZE, &old_limit_);
        std::signal(SIGXFSZ, old_handler_);
    }

private:
    void (*old_handler_)(int) = nullptr;
    ::rlimit old_limit_{};
};

} // namespace

TEST_CASE("a file appears complete, under its name only") {
    TemporaryFolder folder;
    const std::string large(700'000, 'x');
    {
        reel::AtomicFile file(folder / "a.txt");
        CHECK(file.temporary_path().parent_path() == folder.path());
        CHECK(file.temporary_path().extension() == ".txt");
        file.write("one\n");
        file.write(large);
        file.write("two\n");
        CHECK_FALSE(std::filesystem::exists(folder / "a.txt"));
        file.commit();
    }
    CHECK(folder.count() == 1);
    CHECK(read_text(folder / "a.txt") == "one\n" + large + "two\n");
    CHECK((std::filesystem::status(folder / "a.txt").permissions() & std::filesystem::perms::owner_read) !=
          std::filesystem::perms::none);
}

TEST_CASE("a file that is not committed leaves the old one as it was") {
    TemporaryFolder folder;
    put_text(folder / "a.txt", "old");
    {
        reel::AtomicFile file(folder / "a.txt");
        file.write("new");
    }
    CHECK(folder.count() == 1);
    CHECK(read_text(folder / "a.txt") == "old");
    reel::write_file(folder / "a.txt", "new");
    CHECK(folder.count() == 1);
    CHECK(read_text(folder / "a.txt") == "new");
}

TEST_CASE("a library may write the temporary file by its name") {
    TemporaryFolder folder;
    reel::AtomicFile file(folder / "a.gif");
    put_text(file.temporary_path(), "by name");
    file.commit();
    CHECK(read_text(folder / "a.gif") == "by name");
    CHECK(folder.count() == 1);
    CHECK_THROWS_AS(file.commit(), reel::Error);
}

TEST_CASE("a full disk is an error that leaves nothing behind") {
    TemporaryFolder folder;
    put_text(folder / "old.bin", "old");
    const std::vector<std::byte> bytes(1 << 20);
    std::string message;
    {
        const FileSizeLimit limit(100'000);
        message = message_of<reel::Error>([&] {
            reel::AtomicFile file(folder / "old.bin");
            file.write(bytes);
            file.commit();
        });
    }
    CHECK(contains(message, "old.bin"));
    CHECK(contains(message, "File too large"));
    CHECK(folder.count() == 1);
    CHECK(read_text(folder / "old.bin") == "old");
    { // small pieces fail when they are flushed
        const FileSizeLimit limit(100);
        message = message_of<reel::Error>([&] { reel::write_file(folder / "new.txt", std::string(200, 'x')); });
    }
    CHECK(contains(message, "new.txt"));
    CHECK(folder.count() == 1);
}

TEST_CASE("places that cannot be written are refused before anything is done") {
    TemporaryFolder folder;
    const auto open = [](const std::filesystem::path& path) {
        return message_of<reel::Error>([&] { reel::AtomicFile file(path); });
    };
    CHECK(contains(open(folder / "none" / "a.txt"), "does not exist"));
    CHECK(contains(open(folder.path()), "not a regular file"));
    CHECK(contains(open("/dev/full"), "not a regular file"));
    CHECK(contains(open(folder.path() / ""), "names no file"));
    put_text(folder / "file", "x");
    CHECK(contains(message_of<reel::Error>([&] { reel::make_output_folder(folder / "file"); }), "Not a directory"));
    CHECK_FALSE(message_of<reel::Error>([&] { reel::make_output_folder(folder / "file/below"); }).empty());
    CHECK(contains(message_of<reel::Error>([&] { reel::make_output_folder("/proc/reel"); }), "/proc/reel"));
    reel::make_output_folder(folder / "new/deep");
    reel::make_output_folder(folder / "new/deep");
    CHECK(std::filesystem::is_directory(folder / "new/deep"));
}

TEST_CASE("a mapped file gives its bytes, and says why it cannot") {
    TemporaryFolder folder;
    put_text(folder / "a", "abc");
    put_text(folder / "empty", "");
    const reel::MappedFile file(folder / "a");
    CHECK(file.size() == 3);
    CHECK(file.bytes()[2] == std::byte{'c'});
    reel::write_file(folder / "a", "replaced");
    CHECK(file.bytes()[2] == std::byte{'c'}); // the old content stays mapped
    CHECK(reel::MappedFile(folder / "empty").bytes().empty());
    CHECK(contains(message_of<reel::Error>([&] { reel::MappedFile missing(folder / "b"); }), "No such file"));
    CHECK(contains(message_of<reel::Error>([&] { reel::MappedFile map(folder.path()); }), "not a regular file"));
    CHECK(contains(message_of<reel::Error>([&] { reel::MappedFile map("/dev/zero"); }), "not a regular file"));
}

TEST_CASE("a mapped file that is shortened while it is read is one sentence") {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) // which have handlers of their own
    TemporaryFolder folder;
    put_text(folder / "weights\x1b[2J", std::string(100'000, 'x'));
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const ::pid_t child = ::fork();
    if (child == 0) {
        ::dup2(ends[1], STDERR_FILENO);
        const reel::MappedFile other(folder / "weights\x1b[2J");
        const reel::MappedFile file(folder / "weights\x1b[2J");
        std::filesystem::resize_file(folder / "weights\x1b[2J", 10);
        ::_exit(file.bytes()[90'000] == std::byte{'x'} ? 3 : 4);
    }
    ::close(ends[1]);
    std::string message(4096, '\0');
    const ::ssize_t first = ::read(ends[0], message.data(), message.size());
    message.resize(static_cast<std::size_t>(std::max<::ssize_t>(first, 0)));
    for (char more = 0; ::read(ends[0], &more, 1) == 1;) {
        message += more;
    }
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 1);
    CHECK(contains(message, "weights?[2J: the file was shortened"));
    CHECK(std::ranges::count(message, '\n') == 1);
#endif
}

TEST_CASE("a program's own handler for a fault stays, and a fault elsewhere is not explained") {
    TemporaryFolder folder;
    put_text(folder / "a", std::string(100'000, 'x'));
    const auto ends_with = [&](bool own_handler) {
        const ::pid_t child = ::fork();
        if (child == 0) {
            ::signal(SIGBUS, own_handler ? [](int) { ::_exit(7); } : SIG_DFL);
            const reel::MappedFile file(folder / "a");
            ::raise(SIGBUS); // at no address of a map
            ::_exit(0);
        }
        int status = 0;
        ::waitpid(child, &status, 0);
        return status;
    };
    const int own = ends_with(true);
    CHECK(WIFEXITED(own));
    CHECK(WEXITSTATUS(own) == 7);
}

TEST_CASE("a folder appears complete, and is there at every moment while another takes its place") {
    TemporaryFolder folder;
    for (const auto exchange : {reel::FolderExchange::atomic, reel::FolderExchange::renames}) {
        const auto write = [&](const std::string& text) {
            reel::AtomicFolder fresh(folder / "out", exchange);
            reel::write_file(fresh.path() / "a", text);
            fresh.commit();
        };
        write("one");
        CHECK(read_text(folder / "out/a") == "one");
        write("two");
        CHECK(read_text(folder / "out/a") == "two");
        {
            reel::AtomicFolder unfinished(folder / "out", exchange);
            reel::write_file(unfinished.path() / "a", "three");
        }
        CHECK(read_text(folder / "out/a") == "two");
        CHECK(folder.count() == 1);
    }
    put_text(folder / "file", "x");
    CHECK(contains(message_of<reel::Error>([&] { reel::AtomicFolder in_the_way(folder / "file"); }), "in the way"));
    CHECK(read_text(folder / "file") == "x");

    const ::pid_t child = ::fork();
    if (child == 0) {
        for (int i = 0; i < 200; ++i) {
            reel::AtomicFolder fresh(folder / "out");
            reel::write_file(fresh.path() / "a", std::to_string(i));
            fresh.commit();
        }
        ::_exit(0);
    }
    int missing = 0;
    while (::waitpid(child, nullptr, WNOHANG) == 0) {
        missing += ::access((folder / "out").c_str(), F_OK) == 0 ? 0 : 1;
    }
    CHECK(missing == 0);
    CHECK(read_text(folder / "out/a") == "199");
}

TEST_CASE("a folder that was moved aside by a killed process is found again") {
    TemporaryFolder folder;
    reel::make_output_folder(folder / ".out.old");
    put_text(folder / ".out.old/a", "old");
    reel::recover_folder(folder / "out");
    CHECK(read_text(folder / "out/a") == "old");
    reel::make_output_folder(folder / ".out.old"); // killed a moment later
    reel::recover_folder(folder / "out");
    CHECK(read_text(folder / "out/a") == "old");
    {
        reel::AtomicFolder fresh(folder / "out", reel::FolderExchange::renames);
        put_text(fresh.path() / "a", "new");
        fresh.commit();
    }
    CHECK(read_text(folder / "out/a") == "new");
    CHECK(folder.count() == 1);
}

TEST_CASE("what a killed process left goes when its folder is used again, what is being written stays") {
    TemporaryFolder folder;
    const ::pid_t child = ::fork();
    if (child == 0) {
        reel::AtomicFile file(folder / "a.txt");
        file.write(std::string(300'000, 'x'));
        reel::AtomicFolder half(folder / "b");
        put_text(half.path() / "c", "c");
        ::_exit(0); // as if killed: no destructor runs
    }
    ::waitpid(child, nullptr, 0);
    CHECK(folder.count() == 2);
    put_text(folder / "mine.txt", "x");
    reel::AtomicFile file(folder / "other.txt");
    reel::AtomicFolder open(folder / "open");
    reel::make_output_folder(folder.path());
    CHECK(folder.count() == 3);
    file.write("done");
    file.commit();
    open.commit();
    CHECK(read_text(folder / "other.txt") == "done");
    CHECK(std::filesystem::is_directory(folder / "open"));
    CHECK(read_text(folder / "mine.txt") == "x");
}

TEST_CASE("what is being made stays while another process tidies up in the same folder") {
    TemporaryFolder folder;
    std::atomic<bool> made = false;
    std::thread other([&] {
        while (!made) {
            reel::make_output_folder(folder.path());
        }
    });
    std::string first_error;
    try {
        for (int i = 0; i < 2000; ++i) {
            reel::AtomicFile file(folder / "file.txt");
            file.write("x");
            file.commit();
            reel::AtomicFolder half(folder / "half");
            put_text(half.path() / "a", "a");
            half.commit();
        }
    } catch (const reel::Error& error) {
        first_error = error.what();
    }
    made = true;
    other.join();
    CHECK(first_error == "");
    CHECK(folder.count() == 2);
}
