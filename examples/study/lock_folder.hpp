#pragma once
// Locks between processes that share a folder, also over a network. Needs POSIX; no server and no lock daemon.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <reel/core/error.hpp>
#include <reel/core/stopwatch.hpp>
#include <reel/core/system.hpp>
#include <reel/io/files/atomic_file.hpp>

namespace study {

/// Who holds a lock. `boot` and `space` say whether `process` means something here. "?": the system does not say.
struct Holder {
    std::string host;
    std::string boot;  ///< of the running kernel
    std::string space; ///< the process numbers' namespace: containers on one machine may have their own
    long process = 0;
    std::string started; ///< reel::process_start(): a process number may be given anew
};

namespace detail {

[[nodiscard]] inline Holder this_process() {
    std::array<char, 256> host{};
    if (::gethostname(host.data(), host.size() - 1) != 0 || host[0] == '\0') {
        host = {'u', 'n', 'k', 'n', 'o', 'w', 'n'};
    }
    const auto known = [](const std::string& word) { return word.empty() ? "?" : word; };
    return {host.data(), known(reel::boot_id()), known(reel::process_namespace()), ::getpid(),
            known(reel::process_start(::getpid()))};
}

/// Whether a holder is known to have ended. False where it cannot be told, as on another machine.
[[nodiscard]] inline bool has_ended(const Holder& holder) {
    static const Holder self = this_process();
    if (holder.host != self.host || holder.boot != self.boot || holder.boot == "?" || holder.space != self.space) {
        return false;
    }
    return self.started != "?" && reel::process_start(holder.process) != holder.started;
}

} // namespace detail

/// Thrown where work goes on under a lock that another process has taken over.
class LockLost : public reel::Error {
public:
    using reel::Error::Error;
};

/// Takes locks in one folder, beats for those it holds, and sees which of others' are dead.
///
/// A lock is a file NAME.G with the generation G, made by link(), which either makes it or finds that it is there; that
/// holds on network disks too. The highest generation holds the lock. A dead holder's file is never removed or renamed:
/// who takes over makes generation G + 1, and of several who try at once one succeeds. So nobody can remove a lock
/// that was taken meanwhile.
///
/// A holder has ended when its process is gone (on the same machine), or when its heartbeat, a number in the file, has
/// not changed for `patience` seconds by the observer's own clock: clocks of machines need not agree.
class LockFolder {
public:
    LockFolder(std::filesystem::path folder, double beat_seconds, double patience)
        : folder_(std::move(folder)), patience_(patience) {
        reel::make_output_folder(folder_);
        beater_ = std::thread([this, beat_seconds] { beat(beat_seconds); });
    }
    LockFolder(const LockFolder&) = delete;
    LockFolder& operator=(const LockFolder&) = delete;
    ~LockFolder() {
        {
            const std::lock_guard guard(mutex_);
            ending_ = true;
        }
        wake_.notify_all();
        beater_.join();
        while (!held_.empty()) {
            release(held_.begin()->first);
        }
    }

    /// Takes a lock; false when somebody else holds it.
    [[nodiscard]] bool take(const std::string& name) {
        const long generation = highest(name);
        if (generation > 0 && !is_dead(name, generation)) {
            return false;
        }
        return make(name, generation + 1);
    }

    /// Gives back a lock that this process holds.
    void release(const std::string& name) {
        const std::lock_guard guard(mutex_);
        const auto held = held_.find(name);
        if (held == held_.end()) {
            return;
        }
        if (held->second.generation > 1) {
            static_cast<void>(::pwrite(held->second.descriptor, released.data(), released.size(), 0));
        } else if (!held->second.lost) {
            std::error_code ignored;
            std::filesystem::remove(path_of(name, held->second.generation), ignored);
        }
        ::close(held->second.descriptor);
        held_.erase(held);
    }

    /// Throws LockLost when another process took over because this one seemed dead (stopped for long, or cut off).
    void check(const std::string& name) {
        const std::lock_guard guard(mutex_);
        const auto held = held_.find(name);
        reel::require(held != held_.end(), "lock ", name, " is not held");
        std::error_code ignored;
        if (held->second.lost || std::filesystem::exists(path_of(name, held->second.generation + 1), ignored)) {
            held->second.lost = true;
            throw LockLost("another process took over " + name + ", because this one did not move for long");
        }
    }

    /// Removes what is left of some locks. Only when nothing is left to be done under them.
    void remove(const std::set<std::string>& names) {
        std::error_code ignored;
        const Holder self = detail::this_process();
        for (const auto& entry : std::filesystem::directory_iterator(folder_, ignored)) {
            const std::string file = entry.path().filename().string();
            const std::string unfinished = "new-" + self.host + "-";
            const bool dead =
                file.starts_with(unfinished) && reel::process_is_gone(std::atol(file.c_str() + unfinished.size()));
            if (dead || names.contains(file.substr(0, file.rfind('.')))) {
                std::filesystem::remove(entry.path(), ignored);
            }
        }
    }

private:
    /// In place of the heartbeat of a lock that was given back. The first generation's file is removed instead; others
    /// stay, so that a holder who was taken for dead and is not still finds out.
    static constexpr std::string_view released = "released ";

    struct Held {
        long generation = 0;
        int descriptor = -1;
        unsigned long beats = 0;
        bool lost = false;
    };
    struct Seen {
        std::string content;
        reel::Stopwatch since{};
    };

    [[nodiscard]] std::filesystem::path path_of(const std::string& name, long generation) const {
        return folder_ / (name + "." + std::to_string(generation));
    }

    /// The highest generation of a lock, 0 when there is none.
    [[nodiscard]] long highest(const std::string& name) const {
        long found = 0;
        std::error_code error;
        for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
            const std::string file = entry.path().filename().string();
            if (file.size() > name.size() + 1 && file.starts_with(name) && file[name.size()] == '.') {
                const std::string digits = file.substr(name.size() + 1);
                if (digits.size() < 10 && digits.find_first_not_of("0123456789") == std::string::npos) {
                    found = std::max(found, std::stol(digits));
                }
            }
        }
        reel::require(!error, "cannot list ", folder_.string(), ": ", error.message());
        return found;
    }

    [[nodiscard]] bool is_dead(const std::string& name, long generation) {
        const std::filesystem::path path = path_of(name, generation);
        std::ifstream file(path);
        const std::string content{std::istreambuf_iterator<char>(file), {}};
        if (!file.is_open()) {
            return false; // released just now: the next attempt finds it free
        }
        if (content.starts_with(released)) {
            return true;
        }
        std::istringstream words(content);
        std::string beats;
        Holder holder;
        if (words >> beats >> holder.process >> holder.started >> holder.boot >> holder.space >> holder.host &&
            detail::has_ended(holder)) {
            return true;
        }
        Seen& seen = seen_[path.filename().string()];
        if (seen.content != content) {
            seen = {content};
        }
        return seen.since.seconds() > patience_;
    }

    [[nodiscard]] static std::string heartbeat(unsigned long beats) {
        std::string digits = std::to_string(beats % 1000000000UL);
        return std::string(9 - digits.size(), '0') + digits;
    }

    [[nodiscard]] bool make(const std::string& name, long generation) {
        static std::atomic<unsigned> counter{std::random_device{}()};
        const Holder self = detail::this_process();
        const std::filesystem::path temporary =
            folder_ / reel::concat_text("new-", self.host, "-", self.process, "-", counter++);
        const std::string text = reel::concat_text(heartbeat(0), " ", self.process, " ", self.started, " ", self.boot,
                                                   " ", self.space, " ", self.host, "\n");
        const int descriptor = ::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        int reason = errno;
        reel::require(descriptor >= 0, "cannot make a lock in ", folder_.string(), ": ", std::strerror(reason));
        const bool written = ::write(descriptor, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                             ::fsync(descriptor) == 0;
        reason = errno;
        bool made = false;
        if (written) {
            made = ::link(temporary.c_str(), path_of(name, generation).c_str()) == 0;
            reason = errno;
            struct stat status {};
            // A network disk may have made it and lost the answer.
            made = made || (::stat(temporary.c_str(), &status) == 0 && status.st_nlink == 2);
        }
        ::unlink(temporary.c_str());
        if (!made) {
            ::close(descriptor);
            reel::require(written && reason == EEXIST, "cannot make a lock in ", folder_.string(), ": ",
                          std::strerror(reason));
            return false;
        }
        const std::lock_guard guard(mutex_);
        held_[name] = {generation, descriptor, 0, false};
        return true;
    }

    void beat(double seconds) {
        std::unique_lock lock(mutex_);
        while (!wake_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return ending_; })) {
            for (auto& [name, held] : held_) {
                const std::string text = heartbeat(++held.beats);
                // A beat that fails is one that is missed.
                if (::pwrite(held.descriptor, text.data(), text.size(), 0) > 0) {
                    static_cast<void>(::fsync(held.descriptor));
                }
            }
        }
    }

    std::filesystem::path folder_;
    double patience_;
    std::map<std::string, Held> held_;
    std::map<std::string, Seen> seen_; ///< others' heartbeats
    std::mutex mutex_;
    bool ending_ = false;
    std::condition_variable wake_;
    std::thread beater_;
};

} // namespace study
