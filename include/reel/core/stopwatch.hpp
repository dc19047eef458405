#pragma once

#include <reel/core/error.hpp>

#include <chrono>
#include <cmath>
#include <iomanip>
#include <sstream>
#include <string>
#include <utility>

namespace reel {

/// Wall-clock seconds since it was made or restarted; never jumps when the system's clock is set.
class Stopwatch {
public:
    [[nodiscard]] double seconds() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    }
    void restart() { start_ = std::chrono::steady_clock::now(); }

private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// A duration for people: "7 s", "3:05" (minutes), "1:02:03" (hours); "?" when it is not finite or beyond a year.
[[nodiscard]] inline std::string format_duration(double seconds) {
    if (!(seconds < 366.0 * 24 * 3600)) {
        return "?";
    }
    const long long whole = std::llround(seconds < 0 ? 0 : seconds);
    if (whole < 60) {
        return concat_text(whole, " s");
    }
    std::ostringstream text;
    text << std::setfill('0');
    if (whole >= 3600) {
        text << whole / 3600 << ':' << std::setw(2);
    }
    text << whole / 60 % 60 << ':' << std::setw(2) << whole % 60;
    return std::move(text).str();
}

} // namespace reel
