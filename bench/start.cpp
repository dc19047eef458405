// start: what insert_object does before its first denoising step, for bench/compare and bench/single_file.sh:
// start MODEL [--step], start FILE --tokenizer DIR
// Loads text encoder, autoencoder and UNet, and encodes a prompt; ends where the UNet would be called first, or, with
// --step, after that call: on 4 frames of 256 x 256 pixels. (PyTorch's side calls the UNet for pictures, which does
// less.)

#include <reel/core/stage_timer.hpp>
#include <reel/pipelines/model_files.hpp>
#include <reel/pipelines/stable_diffusion.hpp>

#include <iostream>
#include <string_view>

int main(int argc, char** argv) {
    try {
        const bool step = argc == 3 && std::string_view(argv[2]) == "--step";
        const bool file = argc == 4 && std::string_view(argv[2]) == "--tokenizer";
        reel::require(argc == 2 || step || file,
                      "start: expected a Stable Diffusion folder, and maybe --step, or a file and --tokenizer DIR");
        reel::Cpu cpu;
        const reel::ModelFiles files = reel::open_model(argv[1], {.tokenizer = file ? argv[3] : ""});
        const auto model = reel::load_stable_diffusion<float>(cpu, files, 33);
        const auto prompt = reel::encode_prompt(model, "a man is swinging a red tennis racket");
        auto result = prompt.to_host().front();
        if (step) {
            const double timestep = 981;
            const auto noise = reel::Tensor<float>::full(cpu, {4, 32, 32, 4}, 0.5F);
            result = model.unet(noise, std::span<const double>(&timestep, 1), prompt, 4).to_host().front();
        }
        std::cout << "{\"result\": " << result << ", \"peak_resident_bytes\": " << reel::peak_resident_bytes() << "}"
                  << std::endl;
    } catch (const std::exception& error) {
        std::cerr << "start: " << error.what() << "\n";
        return 1;
    }
    return 0;
}
