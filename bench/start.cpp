// start: what insert_object does before its first denoising step, for bench/compare: start MODEL_FOLDER
// Loads text encoder, autoencoder and UNet, and encodes a prompt; ends where the UNet would be called first.

#include <reel/core/stage_timer.hpp>
#include <reel/pipelines/stable_diffusion.hpp>

#include <iostream>

int main(int argc, char** argv) {
    try {
        reel::require(argc == 2, "start: expected one argument, a Stable Diffusion folder");
        reel::Cpu cpu;
        const auto model = reel::load_stable_diffusion<float>(cpu, argv[1], 33);
        const auto prompt = reel::encode_prompt(model, "a man is swinging a red tennis racket");
        std::cout << "{\"result\": " << prompt.to_host().front()
                  << ", \"peak_resident_bytes\": " << reel::peak_resident_bytes() << "}" << std::endl;
    } catch (const std::exception& error) {
        std::cerr << "start: " << error.what() << "\n";
        return 1;
    }
    return 0;
}
