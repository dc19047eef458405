#pragma once
// What an action costs, measured in a process of its own.

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

namespace reel_test {

struct Cost {
    double seconds = 0;    ///< of the processor
    std::size_t bytes = 0; ///< at most, beyond what the process had before; memory maps count as far as they were read
    bool ended = false;    ///< by itself, not by a signal
};

/// Whether memory can be measured: sanitizers keep some of their own.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool measures_memory = false;
#else
inline constexpr bool measures_memory = true;
#endif

namespace detail {

/// A line of /proc/self/status, in bytes.
inline std::size_t process_memory(const std::string& key) {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;) {
        std::size_t kilobytes = 0;
        if (word == key + ":" && status >> kilobytes) {
            return kilobytes << 10;
        }
    }
    return 0;
}

} // namespace detail

/// Runs `action`, which must not throw, in a child. The processor's time is limited to a minute.
template <class Action>
Cost cost_of(const Action& action) {
    int ends[2];
    if (::pipe(ends) != 0) {
        std::abort();
    }
    const ::pid_t child = ::fork();
    if (child == 0) {
        const ::rlimit limit{60, 60};
        ::setrlimit(RLIMIT_CPU, &limit);
        std::ofstream("/proc/self/clear_refs") << 5; // the peak starts from now
        const std::size_t before = detail::process_memory("VmRSS");
        action();
        const std::size_t peak = detail::process_memory("VmHWM");
        const std::size_t bytes = peak > before ? peak - before : 0;
        const bool told = ::write(ends[1], &bytes, sizeof(bytes)) == sizeof(bytes);
        ::_exit(told ? 0 : 1);
    }
    ::close(ends[1]);
    Cost cost;
    cost.ended = ::read(ends[0], &cost.bytes, sizeof(cost.bytes)) == sizeof(cost.bytes);
    ::close(ends[0]);
    int status = 0;
    ::rusage usage{};
    ::wait4(child, &status, 0, &usage);
    cost.ended = cost.ended && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    cost.seconds = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                   1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    return cost;
}

} // namespace reel_test
