#pragma once
#include <reel/backend/cpu/cpu.hpp>
#include <reel/io/pictures/frames.hpp>

#include "docs/here.hpp"

namespace docs::metrics_md {

/// A square that moves.
[[nodiscard]] inline reel::Frames moving(int size) {
    reel::Frames clip = reel::make_frames(3, 48, 48, 8);
    for (int i = 0; i < 3; ++i) {
        for (int y = 10; y < 10 + size; ++y) {
            *clip.pixel(i, y, 10 + 2 * i) = 200;
        }
    }
    return clip;
}
inline const reel::Frames source = moving(8);
inline const reel::Frames edited = moving(20);
inline const reel::Frames reconstruction = moving(9);
inline const reel::Frames& frames = edited;
inline reel::Cpu cpu(1);

inline void prepare() {
    fs::create_directories("clip-vit-base-patch32");
    for (const char* folder : {"tests/metrics/golden/clip", "tests/golden/sd1_tiny/tokenizer"}) {
        for (const auto& entry : fs::directory_iterator(root / folder)) {
            fs::copy(entry.path(), "clip-vit-base-patch32");
        }
    }
}

} // namespace docs::metrics_md
