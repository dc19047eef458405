#pragma once

#include <string_view>

namespace reel {

/// Version of these headers. CMakeLists.txt says the same; a test compares them.
inline constexpr std::string_view version = "0.1.0";

} // namespace reel
