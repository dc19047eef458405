#pragma once

#include <string>

#include <reel/core/error.hpp>

namespace reel {

/// Thrown between the steps of long work that a signal has asked to end.
class Stopped : public Error {
public:
    explicit Stopped(int number) : Error("stopped by signal " + std::to_string(number)), signal(number) {}
    const int signal;
};

} // namespace reel
