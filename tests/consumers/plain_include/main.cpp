#include <core_headers.hpp>

#include <iostream>

int main() {
    reel::Cpu cpu(2);
    const auto x = reel::Tensor<float>::from_host(cpu, {2, 2}, {1, 2, 3, 4});
    const auto y = reel::linear(x, x); // x times its transpose
    const std::vector<float> expected{5, 11, 11, 25};
    if (y.to_host() != expected) {
        std::cerr << "x times its transpose is wrong\n";
        return 1;
    }
    return 0;
}
