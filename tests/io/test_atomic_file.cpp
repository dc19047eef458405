#include "io/temporary_folder.hpp"

#include <reel/io/files/atomic_file.hpp>
#include <reel/io/files/mapped_file.hpp>

#include <doctest/doctest.h>

#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
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
