#pragma once
#include "docs/here.hpp"

namespace docs::video_md {

inline const std::vector<float> decoded(std::size_t{12} * 64 * 64 * 3, 0.5F);

inline void prepare() {}

} // namespace docs::video_md
