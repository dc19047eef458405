#pragma once

#include <cstdint>

struct __nv_bfloat16 {
    std::uint16_t bits;
};
