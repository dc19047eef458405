#pragma once
#include <nlohmann/json.hpp>

#include <reel/backend/cpu/cpu.hpp>
#include <reel/core/stage_timer.hpp>

extern "C" {
#include <libavutil/avutil.h>
}

#include "docs/here.hpp"

namespace docs::config_md {

inline const int steps = 1;
inline const nlohmann::ordered_json options{{"seed", 33}};
inline reel::Cpu backend(1);

inline void prepare() {
    fs::create_directories("out");
    reel_test::put_text("out/edit.gif", "GIF89a");
}

} // namespace docs::config_md
