#pragma once
// What a module with a Device has for the program that opens it.

#include "networks.hpp"

namespace editing {

/// Makes the module's device, which the caller deletes. Throws Error where the machine has none.
using OpenDevice = Device*();

inline constexpr const char* open_device_name = "reel_open_device";

} // namespace editing
