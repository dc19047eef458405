#include <reel/tensor.hpp>

int main() {
    reel::Cpu cpu(1);
    return reel::Tensor<float>::full(cpu, {2, 3}, 1.0F).to_host().size() == 6 ? 0 : 1;
}
