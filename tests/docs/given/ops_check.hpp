#pragma once

namespace docs::ops_md {

inline void check() {
    reel::Cpu cpu(1);
    CHECK(mine::square(reel::Tensor<float>::from_host(cpu, {3}, {1, 2, -3})).to_host() == std::vector<float>{1, 4, 9});
}

} // namespace docs::ops_md
