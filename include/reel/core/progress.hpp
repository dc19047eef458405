#pragma once
// A progress bar for long loops. Needs POSIX; no other library.

#include <reel/core/error.hpp>
#include <reel/core/ranges.hpp>
#include <reel/core/stopwatch.hpp>

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <iostream>
#include <mutex>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace reel {

/// What Progress would find out for itself, for tests and unusual surroundings.
struct ProgressSettings {
    std::optional<bool> terminal{};    ///< whether the stream is one; by default asked of std::cout and std::cerr
    std::size_t columns = 0;           ///< of the terminal; 0: ask
    std::function<double()> seconds{}; ///< since the start; when given, only step(), note() and the end draw
};

/// Shows how far a loop is, how long it took and how long it will take.
///
///     Progress bar("tuning", steps);
///     for (...) { ...; bar.step(); bar.note("loss 0.123"); }
///
/// On a terminal: one line, from the third second on, redrawn at most ten times a second and removed at the end,
/// exceptions included. Elsewhere (a log file): a line at each quarter, and otherwise one every 30 seconds; nothing for
/// what takes less than two seconds. Thread-safe. Write nothing else to the stream meanwhile, or call clear() before.
class Progress {
public:
    /// `total` is the number of steps; 0 when it is not known. `out` must outlive this object.
    explicit Progress(std::string label, std::size_t total, std::ostream& out = std::cerr,
                      ProgressSettings settings = {})
        : label_(printable(label)), total_(total), out_(out), settings_(std::move(settings)),
          terminal_(settings_.terminal.value_or(is_terminal(out))) {
        if (terminal_ && !settings_.seconds) {
            // A step may take minutes; the clock on the line should move meanwhile.
            refresher_ = std::thread([this] { refresh(); });
        }
    }

    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    ~Progress() {
        if (refresher_.joinable()) {
            {
                const std::lock_guard lock(mutex_);
                ending_ = true;
            }
            wake_.notify_all();
            refresher_.join();
        }
        clear();
    }

    /// Says that `count` more steps are done.
    void step(std::size_t count = 1) {
        const std::lock_guard lock(mutex_);
        done_ += count;
        update();
    }

    /// Says that `count` steps were done before (a resumed run): they count, but say nothing about the speed.
    void skip(std::size_t count) {
        const std::lock_guard lock(mutex_);
        done_ += count;
        skipped_ += count;
    }

    /// A few words shown at the end of the line, such as the loss.
    void note(std::string_view text) {
        const std::lock_guard lock(mutex_);
        note_ = printable(text);
        update();
    }

    /// Removes the line from the terminal until the next step.
    void clear() noexcept {
        const std::lock_guard lock(mutex_);
        if (std::exchange(drawn_, false)) {
            try {
                out_ << "\r\x1b[K" << std::flush;
            } catch (...) { // a stream that throws, in a destructor
            }
        }
    }

private:
    static constexpr double quiet_seconds = 2;
    static constexpr double redraw_seconds = 0.1;
    static constexpr double log_seconds = 30;
    static constexpr std::size_t bar_width = 24;

    static bool is_terminal(const std::ostream& out) {
        return (&out == &std::cout && ::isatty(STDOUT_FILENO) != 0) ||
               ((&out == &std::cerr || &out == &std::clog) && ::isatty(STDERR_FILENO) != 0);
    }

    /// Prompts come from files: no escape sequences.
    static std::string printable(std::string_view text) {
        std::string clean(text);
        ranges::replace_if(
            clean, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
        return clean;
    }

    [[nodiscard]] double seconds() const { return settings_.seconds ? settings_.seconds() : watch_.seconds(); }

    [[nodiscard]] std::size_t columns() const {
        if (settings_.columns != 0) {
            return settings_.columns;
        }
        winsize size{};
        const int descriptor = &out_ == &std::cout ? STDOUT_FILENO : STDERR_FILENO;
        return ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
    }

    void refresh() {
        std::unique_lock lock(mutex_);
        while (!wake_.wait_for(lock, std::chrono::milliseconds(500), [this] { return ending_; })) {
            update();
        }
    }

    void update() {
        const double now = seconds();
        if (now < quiet_seconds) {
            return;
        }
        if (terminal_) {
            if (now - last_drawn_ >= redraw_seconds || (done_ == total_ && !drawn_)) {
                last_drawn_ = now;
                drawn_ = true;
                out_ << '\r' << fitted(line(now), columns() - 1) << "\x1b[K" << std::flush;
            }
            return;
        }
        const std::size_t quarter = total_ == 0 ? 0 : std::min(done_, total_) * 4 / total_;
        if (quarter > last_quarter_ || now - last_drawn_ >= log_seconds) {
            last_quarter_ = std::max(quarter, last_quarter_);
            last_drawn_ = now;
            out_ << line(now) << std::endl;
        }
    }

    [[nodiscard]] std::string line(double now) const {
        std::string text = label_ + ": ";
        const std::size_t fresh = done_ - skipped_;
        if (total_ == 0) {
            text += concat_text(done_, " done, ", format_duration(now));
        } else {
            const std::size_t done = std::min(done_, total_);
            const double part = static_cast<double>(done) / static_cast<double>(total_);
            if (terminal_) {
                const auto filled = static_cast<std::size_t>(part * bar_width);
                text += "[" + std::string(filled, '#') + std::string(bar_width - filled, '-') + "] ";
            }
            text += concat_text(static_cast<int>(part * 100), " % ", done, "/", total_, ", ", format_duration(now));
            if (done < total_ && fresh > 0) {
                const double each = now / static_cast<double>(fresh);
                text += concat_text(", ", format_duration(each * static_cast<double>(total_ - done)), " left");
            }
        }
        return note_.empty() ? text : text + ", " + note_;
    }

    /// At most `limit` bytes, cut between characters: a line that wraps could not be removed.
    static std::string fitted(std::string text, std::size_t limit) {
        if (text.size() > limit) {
            while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xc0) == 0x80) {
                --limit;
            }
            text.resize(limit);
        }
        return text;
    }

    std::string label_;
    std::string note_;
    std::size_t total_;
    std::ostream& out_;
    ProgressSettings settings_;
    bool terminal_;
    Stopwatch watch_;
    std::size_t done_ = 0;
    std::size_t skipped_ = 0;
    std::size_t last_quarter_ = 0;
    double last_drawn_ = 0;
    bool drawn_ = false;
    std::mutex mutex_;
    bool ending_ = false;
    std::condition_variable wake_;
    std::thread refresher_; // last: it uses the others
};

} // namespace reel
