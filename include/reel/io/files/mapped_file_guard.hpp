#pragma once
// What happens when a mapped file is shortened, or its disk fails, while it is read. Needs POSIX; no other library.

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstring>

namespace reel::detail {

/// Reading a page of a map that the file no longer has raises SIGBUS, which ends a program without a word. The first
/// map sets a handler that says which file it was and ends the program with status 1; no reader can go on without its
/// file, and no check before reading would help against a file that changes after it. A program with a handler of its
/// own for SIGBUS keeps it, one that sets SIG_DFL after the first map has the system's way.
///
/// A signal's handler sees no objects, so this is one of the library's few global states: the maps there are.
class MappedFileGuard {
public:
    /// Names the map in the handler's message while the object lives. `path` must live as long.
    MappedFileGuard(const std::byte* begin, std::size_t size, const char* path) {
        [[maybe_unused]] static const bool watches = watch();
        for (Map& map : maps()) {
            const std::byte* none = nullptr;
            if (map.begin.load(std::memory_order_relaxed) == nullptr &&
                map.begin.compare_exchange_strong(none, claimed())) {
                map.size = size;
                map.path = path;
                map.begin = begin;
                map_ = &map;
                return;
            }
        } // all places are taken: a fault in this map ends the program the system's way
    }
    MappedFileGuard(const MappedFileGuard&) = delete;
    MappedFileGuard& operator=(const MappedFileGuard&) = delete;
    ~MappedFileGuard() {
        if (map_ != nullptr) {
            map_->begin = nullptr;
        }
    }

private:
    struct Map {
        std::atomic<const std::byte*> begin{nullptr};
        std::atomic<std::size_t> size{0};
        std::atomic<const char*> path{nullptr};
    };
    static_assert(std::atomic<const std::byte*>::is_always_lock_free && std::atomic<std::size_t>::is_always_lock_free);

    static std::array<Map, 1024>& maps() {
        static std::array<Map, 1024> all;
        return all;
    }

    /// A place that is being filled: no address of a map.
    static const std::byte* claimed() {
        static const std::byte place{};
        return &place;
    }

    static bool watch() {
        (void)maps(); // made now, not in the handler
        (void)claimed();
        struct ::sigaction old {};
        if (::sigaction(SIGBUS, nullptr, &old) != 0 || (old.sa_flags & SA_SIGINFO) != 0 || old.sa_handler != SIG_DFL) {
            return false;
        }
        struct ::sigaction action {};
        action.sa_sigaction = [](int, ::siginfo_t* info, void*) {
            explain(static_cast<const std::byte*>(info->si_addr));
        };
        action.sa_flags = SA_SIGINFO | SA_RESETHAND;
        sigemptyset(&action.sa_mask); // may be a macro
        return ::sigaction(SIGBUS, &action, nullptr) == 0;
    }

    /// Calls only what a signal's handler may. Returning runs into the fault again, now the system's way.
    static void explain(const std::byte* address) {
        for (const Map& map : maps()) {
            const std::byte* begin = map.begin;
            if (begin != nullptr && begin != claimed() && address >= begin && address < begin + map.size) {
                say("error: ");
                const char* path = map.path;
                for (; *path != '\0'; ++path) {
                    const auto byte = static_cast<unsigned char>(*path); // UTF-8 stays as it is
                    (void)!::write(STDERR_FILENO, byte >= ' ' && byte != 0x7f ? path : "?", 1);
                }
                say(": the file was shortened, or its disk failed, while it was being read; the run ends here\n");
                ::_exit(1);
            }
        }
    }

    static void say(const char* text) { (void)!::write(STDERR_FILENO, text, std::strlen(text)); }

    Map* map_ = nullptr;
};

} // namespace reel::detail
