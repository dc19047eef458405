#pragma once
// How many threads a program starts.

#include <algorithm>
#include <iostream>
#include <thread>

namespace reel {

/// The threads that are of use: those asked for, or as many as the machine runs at once. More would wait for each other
/// in every loop. Says on stderr where it takes fewer, unless told not to. 0: one per hardware thread.
[[nodiscard]] inline int usable_threads(int asked, bool say = true) {
    const int hardware = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    if (asked <= hardware) {
        return asked;
    }
    if (say) {
        std::cerr << "note: threads " << asked << ": this machine runs " << hardware << " at once; taking " << hardware
                  << '\n';
    }
    return hardware;
}

} // namespace reel
