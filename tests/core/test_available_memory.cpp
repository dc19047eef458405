#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include <reel/core/available_memory.hpp>

#include "io/temporary_folder.hpp"

using namespace reel;

namespace {

void write(const std::filesystem::path& path, const std::string& text) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
}

} // namespace

TEST_CASE("available_memory: the machine's, where nothing limits it") {
    const reel_test::TemporaryFolder root;
    CHECK_FALSE(available_memory(root.path()));
    write(root / "proc/meminfo", "MemTotal: 2000 kB\nMemAvailable:    1000 kB\n");
    CHECK(available_memory(root.path()) == 1024000);
    CHECK(available_memory().value() > 0); // of this machine
}

TEST_CASE("available_memory: control groups, their parents' limits too, without cached files") {
    const reel_test::TemporaryFolder root;
    write(root / "proc/meminfo", "MemAvailable: 1000 kB\n");
    write(root / "proc/self/cgroup", "0::/a/b\n");
    write(root / "sys/fs/cgroup/a/b/memory.max", "max\n");
    write(root / "sys/fs/cgroup/a/b/memory.current", "500\n");
    CHECK(available_memory(root.path()) == 1024000);
    write(root / "sys/fs/cgroup/a/memory.max", "900\n");
    write(root / "sys/fs/cgroup/a/memory.current", "500\n");
    CHECK(available_memory(root.path()) == 400);
    write(root / "sys/fs/cgroup/a/memory.stat", "anon 100\ninactive_file 300\n");
    CHECK(available_memory(root.path()) == 700);
}

TEST_CASE("available_memory: control groups of version 1") {
    const reel_test::TemporaryFolder root;
    write(root / "proc/meminfo", "MemAvailable: 1000 kB\n");
    write(root / "proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/x\n");
    write(root / "sys/fs/cgroup/memory/x/memory.limit_in_bytes", "9223372036854771712\n");
    write(root / "sys/fs/cgroup/memory/x/memory.usage_in_bytes", "500\n");
    CHECK(available_memory(root.path()) == 1024000);
    write(root / "sys/fs/cgroup/memory/x/memory.limit_in_bytes", "800\n");
    CHECK(available_memory(root.path()) == 300);
}
