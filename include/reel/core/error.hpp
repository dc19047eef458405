#pragma once

#include <reel/core/shown_text.hpp>

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace reel {

/// What every reel function throws. The text says what went wrong, where, what was expected and, where it
/// is not obvious, what to do; programs print it on one line and exit with a non-zero status. Names in it may come from
/// anybody's file, so it is made fit for a terminal (see terminal_text()).
class Error : public std::runtime_error {
public:
    explicit Error(const std::string& text) : std::runtime_error(terminal_text(text)) {}
};

/// Joins its arguments as an output stream would.
template <class... Parts>
[[nodiscard]] std::string concat_text(const Parts&... parts) {
    std::ostringstream text;
    (text << ... << parts);
    return std::move(text).str();
}

/// Throws Error with the joined text.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
    throw Error(concat_text(parts...));
}

/// Throws Error with the joined text unless `condition` holds. The parts are formatted only on failure.
template <class... Parts>
void require(bool condition, const Parts&... parts) {
    if (!condition) [[unlikely]] {
        fail(parts...);
    }
}

} // namespace reel
