// What reel::compiled and reel::compiled_video have is only declared here: the program links because they have it.
#include <reel/io/video/video_reader.hpp>
#include <reel/models/from_pretrained.hpp>
#include <reel/ops/linear.hpp>

#ifndef REEL_COMPILED
#error reel::compiled switches its headers with REEL_COMPILED
#endif
#ifdef AV_NOPTS_VALUE
#error reel::compiled_video leaves the headers of FFmpeg out
#endif

int main() {
    reel::Cpu cpu(1);
    const auto two = reel::Tensor<float>::full(cpu, {2, 2}, 2.0F);
    const auto product = reel::matmul(two, two).to_host();
    int errors = 0;
    try {
        static_cast<void>(reel::load_unet<float>(cpu, "no such folder"));
    } catch (const reel::Error&) {
        ++errors;
    }
    try {
        static_cast<void>(reel::read_video("no such file"));
    } catch (const reel::Error&) {
        ++errors;
    }
    return errors == 2 && product[3] == 8.0F ? 0 : 1;
}
