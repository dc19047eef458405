#pragma once
// What this machine is. Needs POSIX; no other library.

#include <sys/utsname.h>

#include <cstddef>
#include <fstream>
#include <string>
#include <string_view>

#if defined(__APPLE__)
#include <sys/sysctl.h>
#include <sys/types.h>
#endif

namespace reel {

namespace detail {

/// What follows `separator` in the first line of `path` that begins with `key`; "" when there is none.
[[nodiscard]] inline std::string first_value(const char* path, std::string_view key, char separator) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        const std::size_t at = line.find(separator);
        if (line.starts_with(key) && at != std::string::npos) {
            const std::size_t first = line.find_first_not_of(" \t\"", at + 1);
            const std::size_t last = line.find_last_not_of(" \t\"");
            return first == std::string::npos ? std::string() : line.substr(first, last - first + 1);
        }
    }
    return {};
}

#if defined(__APPLE__) && !defined(REEL_PLAIN_POSIX)
/// A text that the kernel knows by name, "" where it does not.
[[nodiscard]] inline std::string kernel_text(const char* name) {
    std::size_t size = 0;
    if (::sysctlbyname(name, nullptr, &size, nullptr, 0) != 0) {
        return {};
    }
    std::string text(size, '\0');
    return ::sysctlbyname(name, text.data(), &size, nullptr, 0) == 0 ? std::string(text.c_str()) : std::string();
}
#endif

/// The processor's name as the system has it, "" where it has none.
[[nodiscard]] inline std::string name_of_processor() {
#if defined(REEL_PLAIN_POSIX)
    return {};
#elif defined(__APPLE__)
    return kernel_text("machdep.cpu.brand_string");
#else
    // Of ARM processors Linux tells who designed them, and the number that they have there.
    constexpr const char* file = "/proc/cpuinfo";
    const std::string name = first_value(file, "model name", ':');
    const std::string designer = first_value(file, "CPU implementer", ':');
    return !name.empty() || designer.empty()
               ? name
               : "ARM, implementer " + designer + ", part " + first_value(file, "CPU part", ':');
#endif
}

} // namespace detail

/// Distribution and kernel, such as "Debian GNU/Linux 12 (bookworm), Linux 6.1.0 x86_64".
[[nodiscard]] inline std::string operating_system() {
#if defined(REEL_PLAIN_POSIX)
    std::string name;
#elif defined(__APPLE__)
    std::string name = "macOS " + detail::kernel_text("kern.osproductversion");
#else
    std::string name = detail::first_value("/etc/os-release", "PRETTY_NAME", '=');
#endif
    utsname kernel{};
    if (::uname(&kernel) == 0) {
        name += name.empty() ? "" : ", ";
        name += std::string(kernel.sysname) + " " + kernel.release + " " + kernel.machine;
    }
    return name;
}

/// The processor's name, where the system says it; else its kind, such as "aarch64".
[[nodiscard]] inline std::string processor_name() {
    std::string name = detail::name_of_processor();
    utsname kernel{};
    if (name.empty() && ::uname(&kernel) == 0) {
        name = kernel.machine;
    }
    return name.empty() ? "unknown" : name;
}

/// What the kernel calls the time from its start to its end, and no other; "" where it does not (Linux does).
[[nodiscard]] inline std::string boot_id() {
    std::string id;
#if !defined(REEL_PLAIN_POSIX)
    std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
#endif
    return id;
}

} // namespace reel
