// convert_checkpoint INPUT OUTPUT: weights from one file format, or one arrangement, to another.

#include <iostream>
#include <map>
#include <optional>
#include <string>

#include <reel/core/progress.hpp>
#include <reel/io/convert.hpp>
#include <reel/models/from_pretrained.hpp>

#include "options.hpp"

namespace {

/// Loads the parts of a folder, lazily: throws Error unless every weight has the shape that its config.json gives.
void check_parts(const std::filesystem::path& folder) {
    reel::Cpu cpu(1);
    static_cast<void>(reel::load_clip_text_model<float>(cpu, folder / "text_encoder"));
    static_cast<void>(reel::load_autoencoder<float>(cpu, folder / "vae"));
    static_cast<void>(reel::load_unet<float>(cpu, folder / "unet"));
}

} // namespace

int main(int argc, char** argv) {
    return program::run("convert_checkpoint", [&] {
        CLI::App app{
            "Converts weights.\n"
            "  FILE to FILE      the same names in another container: .safetensors, or .bin, .pt, .pth, .ckpt\n"
            "  FILE to FOLDER    a Stable Diffusion 1.x or 2.x single file to a diffusers folder\n"
            "  FOLDER to FILE    a diffusers folder to a single file\n"
            "  FOLDER to FOLDER  a diffusers folder, or one part of it, with weights in another container"};
        std::string input;
        std::string output;
        std::string dtype = "keep";
        std::string format = "safetensors";
        std::string config;
        std::string tokenizer;
        std::string vae;
        reel::ConvertOptions options;
        app.add_option("INPUT", input, "a file, or a folder")->required();
        app.add_option("OUTPUT", output, "a file if its name ends so, else a folder, which must be new")->required();
        app.add_option("--dtype", dtype, "type of the weights: keep, fp32, fp16 or bf16")
            ->check(CLI::IsMember({"keep", "fp32", "fp16", "bf16"}))
            ->capture_default_str();
        app.add_option("--format", format, "of the weights in an output folder: safetensors or bin")
            ->check(CLI::IsMember({"safetensors", "bin"}))
            ->capture_default_str();
        app.add_option("--variant", options.variant, "of the weights in an input folder, such as fp16");
        app.add_option("--config", config,
                       "diffusers folder whose configurations, scheduler and tokenizer an output folder gets; default: "
                       "read off the shapes, with what all of Stable Diffusion 1 or 2 have in common");
        app.add_option("--tokenizer", tokenizer, "tokenizer folder that an output folder gets");
        app.add_option("--vae", vae,
                       "folder or file of the autoencoder that an output folder gets, in place of the single file's");
        app.add_option("--prediction_type", options.prediction_type,
                       "what the UNet of a single file predicts: epsilon or v_prediction")
            ->check(CLI::IsMember({"epsilon", "v_prediction"}));
        app.add_option("--image_size", options.image_size,
                       "pixels a side that a single file's model was made for; 0: 768 with v_prediction, else 512")
            ->check(CLI::Range(0, 16384))
            ->capture_default_str();
        app.add_flag("--ema", options.ema, "take the UNet's averaged weights from a single file");
        if (const auto status = program::parse(app, argc, argv)) {
            return *status;
        }
        const std::map<std::string, reel::DType> types{
            {"fp32", reel::DType::f32}, {"fp16", reel::DType::f16}, {"bf16", reel::DType::bf16}};
        if (dtype != "keep") {
            options.dtype = types.at(dtype);
        }
        options.format = format == "bin" ? reel::WeightsFormat::torch : reel::WeightsFormat::safetensors;
        options.config = config;
        options.tokenizer = tokenizer;
        options.vae = vae;

        std::optional<reel::Progress> progress;
        reel::convert_checkpoint(
            input, output, options,
            {.on_file = [&](const std::string& file, std::size_t tensors) { progress.emplace(file, tensors); },
             .on_tensor =
                 [&] {
                     program::check_stop();
                     progress->step();
                 },
             .check = check_parts,
             .on_note =
                 [&](const std::string& text) {
                     progress.reset();
                     std::cout << reel::terminal_text(text) << '\n';
                 }});
        return 0;
    });
}
