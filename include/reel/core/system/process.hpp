#pragma once
// This process and others. Needs POSIX; no other library.

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <system_error>

#if defined(__APPLE__)
#include <mach-o/dyld.h>
#endif

namespace reel {

/// The file of the program that runs; empty where the system does not say (Linux and macOS do).
[[nodiscard]] inline std::filesystem::path program_path() {
    std::error_code none;
#if defined(REEL_PLAIN_POSIX)
    return {};
#elif defined(__APPLE__)
    std::string name(4096, '\0');
    auto size = static_cast<std::uint32_t>(name.size());
    if (::_NSGetExecutablePath(name.data(), &size) != 0) {
        return {};
    }
    return std::filesystem::canonical(name.c_str(), none);
#else
    return std::filesystem::read_symlink("/proc/self/exe", none);
#endif
}

/// The name that the running program was started by, without folders; "a program" where the system does not say.
[[nodiscard]] inline std::string program_name() {
#if defined(REEL_PLAIN_POSIX)
    return "a program";
#elif defined(__GLIBC__)
    return program_invocation_short_name;
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__)
    return ::getprogname();
#else
    const std::string name = program_path().filename().string();
    return name.empty() ? "a program" : name;
#endif
}

/// When a process began, as a text that no later process of its number has. "" where there is none, or it has ended and
/// only its parent has not noticed yet, and where the system does not say (Linux does).
[[nodiscard]] inline std::string process_start([[maybe_unused]] long process) {
#if defined(REEL_PLAIN_POSIX)
    return {};
#else
    // Fields 3 and 22, counted behind the name in brackets.
    std::ifstream file("/proc/" + std::to_string(process) + "/stat");
    std::string text{std::istreambuf_iterator<char>(file), {}};
    std::istringstream rest(text.substr(std::min(text.size(), text.rfind(')') + 1)));
    std::string state;
    std::string field;
    rest >> state;
    for (int i = 4; i <= 22; ++i) {
        field.clear();
        rest >> field;
    }
    return state == "Z" || state == "X" ? "" : field;
#endif
}

/// Whether no process of this number runs. Where the system does not say when processes began, one that its parent has
/// not waited for yet still runs.
[[nodiscard]] inline bool process_is_gone(long process) {
    if (::kill(static_cast<pid_t>(process), 0) != 0) {
        return errno == ESRCH;
    }
    return !process_start(::getpid()).empty() && process_start(process).empty();
}

/// In which namespace process numbers count: containers on one machine may have their own. "" where the system does not
/// say (Linux does).
[[nodiscard]] inline std::string process_namespace() {
#if defined(REEL_PLAIN_POSIX)
    return {};
#else
    std::error_code none;
    return std::filesystem::read_symlink("/proc/self/ns/pid", none).string();
#endif
}

} // namespace reel
