#pragma once
#include <iostream>

#include <reel/io/pictures/frames.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/weights/torch_checkpoint.hpp>
#include <reel/io/weights/torch_writer.hpp>

#include "docs/here.hpp"

namespace docs::io_md {

struct Report {
    double loss = 0.5;
    std::int64_t step = 1;
};
inline const Report report;
inline const std::int64_t step = 1;
inline const reel::Frames frames = reel::make_frames(1, 8, 8);

inline void prepare() {
    fs::create_directories("inv_latents");
    fs::copy(root / "tests/golden/tuned/inv_latents", "inv_latents", fs::copy_options::recursive);
    const auto file = *fs::directory_iterator("inv_latents");
    if (!fs::exists("inv_latents/ddim_latent-100.pt")) {
        fs::rename(file.path(), "inv_latents/ddim_latent-100.pt");
    }
    reel_test::put_text("three_keys.json", R"({"in_channels": 4, "attention_head_dim": 8, "act_fn": "silu"})");
}

} // namespace docs::io_md
