#pragma once

#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <new>
#include <string>

#include <CLI/CLI.hpp>

#include <reel/core/error.hpp>

namespace program {

/// Runs a program's body: an error becomes one line on stderr and exit status 1, a wrong command line CLI11's message
/// and status, --help status 0.
template <class Body>
int run(const char* name, const Body& body) {
    // A file that outgrows a limit should fail as a write does, not kill the program.
    std::signal(SIGXFSZ, SIG_IGN);
    std::signal(SIGPIPE, SIG_IGN);
    try {
        return body();
    } catch (const std::bad_alloc&) {
        std::cerr << name << ": error: out of memory; use fewer frames or a smaller size\n";
    } catch (const std::exception& error) {
        std::cerr << name << ": error: " << error.what() << '\n';
    }
    return 1;
}

} // namespace program
