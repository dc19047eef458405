// What reel::compiled has is only declared here: the program links because the library has it.
#include <reel/models/from_pretrained.hpp>
#include <reel/ops/linear.hpp>

#ifndef REEL_COMPILED
#error reel::compiled switches its headers with REEL_COMPILED
#endif

int main() {
    reel::Cpu cpu(1);
    const auto two = reel::Tensor<float>::full(cpu, {2, 2}, 2.0F);
    const auto product = reel::matmul(two, two).to_host();
    try {
        static_cast<void>(reel::load_unet<float>(cpu, "no such folder"));
    } catch (const reel::Error&) {
        return product[3] == 8.0F ? 0 : 1;
    }
    return 1;
}
