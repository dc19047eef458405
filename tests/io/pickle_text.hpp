#pragma once
// Pickles made by hand.

#include <reel/core/error.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace reel_test {

inline const std::string proto = "\x80\x02";

/// A 4-byte little-endian number.
inline std::string u32(std::uint32_t value) {
    return {reinterpret_cast<const char*>(&value), 4};
}

inline std::string text(std::string_view value) {
    return reel::concat_text('X', u32(static_cast<std::uint32_t>(value.size())), value);
}

/// A 4-byte integer as a value.
inline std::string int32(std::uint32_t value) {
    return reel::concat_text('J', u32(value));
}

/// A storage's persistent id; `count` is a pickled number.
inline std::string storage_id(std::string_view kind, std::string_view type, std::string_view key,
                              std::string_view count) {
    return reel::concat_text('(', text(kind), "ctorch\n", type, '\n', text(key), text("cpu"), count, "tQ");
}

/// A float storage "0" of that many elements, announced.
inline std::string storage(std::uint32_t count) {
    return storage_id("storage", "FloatStorage", "0", int32(count));
}

/// A call of _rebuild_tensor_v2; shape and strides are pickled tuples.
inline std::string tensor(const std::string& source, const std::string& offset, const std::string& shape,
                          const std::string& strides) {
    return "ctorch._utils\n_rebuild_tensor_v2\n(" + source + offset + shape + strides + "\x89}tR";
}

} // namespace reel_test
