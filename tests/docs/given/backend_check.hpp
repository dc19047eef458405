#pragma once

namespace docs::backend_md {

inline void check() {
    mine::Counting backend;
    const auto x = reel::Tensor<float, mine::Counting>::full(backend, {2, 3}, 1.0F);
    const auto y = reel::linear(x, reel::Tensor<float, mine::Counting>::full(backend, {4, 3}, 2.0F));
    CHECK(y.to_host() == std::vector<float>(8, 6.0F));
    CHECK(backend.multiplications == 2 * 3 * 4);
}

} // namespace docs::backend_md
