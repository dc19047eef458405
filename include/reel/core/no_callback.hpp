#pragma once

namespace reel {

/// The callback of who wants to hear nothing.
struct NoCallback {
    constexpr void operator()(const auto&... /*unused*/) const {}
};

} // namespace reel
