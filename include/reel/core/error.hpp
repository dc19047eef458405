#pragma once

#include <reel/core/shown_text.hpp>

#include <initializer_list>
#include <ostream>
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

namespace detail {

/// A part of a message, of whatever type, for code that is compiled once for all messages.
struct TextPart {
    const void* value;
    void (*print)(std::ostream& text, const void* value);
};

template <class T>
[[nodiscard]] TextPart text_part(const T& part) {
    return {&part, [](std::ostream& text, const void* value) { text << *static_cast<const T*>(value); }};
}

/// Literals of all lengths are one type.
[[nodiscard]] inline TextPart text_part(const char* part) {
    return {part, [](std::ostream& text, const void* value) { text << static_cast<const char*>(value); }};
}

/// std::hex and its like.
[[nodiscard]] inline TextPart text_part(std::ios_base& (*const& manipulator)(std::ios_base&)) {
    return {&manipulator, [](std::ostream& text, const void* value) {
                text << *static_cast<std::ios_base& (*const*)(std::ios_base&)>(value);
            }};
}

[[nodiscard]] inline std::string joined(std::initializer_list<TextPart> parts) {
    std::ostringstream text;
    for (const TextPart& part : parts) {
        part.print(text, part.value);
    }
    return std::move(text).str();
}

[[noreturn]] inline void fail_with(std::initializer_list<TextPart> parts) {
    throw Error(joined(parts));
}

} // namespace detail

/// Joins its arguments as an output stream would.
template <class... Parts>
[[nodiscard]] std::string concat_text(const Parts&... parts) {
    return detail::joined({detail::text_part(parts)...});
}

/// Throws Error with the joined text.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
    detail::fail_with({detail::text_part(parts)...});
}

/// Throws Error with the joined text unless `condition` holds. The parts are formatted only on failure.
template <class... Parts>
void require(bool condition, const Parts&... parts) {
    if (!condition) [[unlikely]] {
        fail(parts...);
    }
}

} // namespace reel
