#pragma once

namespace docs::autograd_md {

inline void check() {
    reel::Cpu cpu(1);
    const auto x = reel::Variable<float>::leaf(reel::Tensor<float>::from_host(cpu, {1, 2}, {3, -1}));
    reel::backward(reel::mse_loss(mine::square(x), reel::Tensor<float>::zeros(cpu, {1, 2})));
    CHECK(x.grad().to_host() == std::vector<float>{54, -2}); // of (9^2 + 1^2) / 2
}

} // namespace docs::autograd_md
