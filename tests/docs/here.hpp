#pragma once
// Where the pages' code runs: in a folder with what the pages speak of.

#include <iostream>

#include "scratch.hpp"

namespace docs {

/// The present folder, until the end of the scope.
class Here {
public:
    Here() { fs::current_path(scratch_.path()); }
    Here(const Here&) = delete;
    Here& operator=(const Here&) = delete;
    ~Here() { fs::current_path(before_); }

private:
    fs::path before_ = fs::current_path();
    Scratch scratch_;
};

/// Runs a page's code, which may say that there is no GPU.
inline void run(void (*code)()) {
    try {
        code();
    } catch (const reel::Error& error) {
        INFO(std::string(error.what()));
        CHECK(reel_test::contains(error.what(), "CUDA"));
    }
}

} // namespace docs
