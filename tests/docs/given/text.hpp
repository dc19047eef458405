#pragma once
#include "docs/here.hpp"

namespace docs::text_md {

inline const std::string prompt = "a man is swinging a tennis racket";

inline void prepare() {
    fs::create_directories("mine");
}

} // namespace docs::text_md
