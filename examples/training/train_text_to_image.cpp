// Trains a small Stable Diffusion from nothing on captioned pictures: first the autoencoder, then the text encoder and
// the 2D UNet together. Writes a diffusers folder. The model in examples/model was made with it, see docs/model.md.

#include <memory>

#include <reel/core/usable_threads.hpp>
#include <reel/io/files/folder_lock.hpp>

#include "command_line.hpp"
#include "options.hpp"
#include "trainer.hpp"
#include "training_cuda.hpp"

namespace {

using training::Dataset;
using training::WorldDataset;

/// What the autoencoder is trained on: a folder, or the drawn world.
[[nodiscard]] std::shared_ptr<const Dataset> dataset_of(const training::Options& options) {
    if (options.data.empty()) {
        return std::make_shared<WorldDataset>(options.resolution, options.seed);
    }
    return std::make_shared<training::ImageFolder>(options.data, options.resolution, options.seed);
}

/// The drawn world, with the acts that were asked for.
[[nodiscard]] std::shared_ptr<const Dataset> world_with_acts(const training::Options& options) {
    std::vector<world::Act> acts;
    for (const std::string& act : options.acts) {
        acts.push_back(world::known_word<world::Act>(act));
    }
    return std::make_shared<WorldDataset>(options.resolution, options.seed, acts);
}

} // namespace

int main(int argc, char** argv) {
    return program::run("train_text_to_image", [&] {
        training::Options options;
        CLI::App app(
            "Trains a small Stable Diffusion from nothing: the autoencoder first, then text encoder and UNet.\n"
            "Without --data on pictures of the drawn world, of which there is no end. Writes into OUTPUT:\n"
            "model/ (a diffusers folder, averaged weights in float16), autoencoder/ and unet/ with log.csv,\n"
            "sample-N.png and checkpoint-N/.");
        app.get_formatter()->column_width(38);
        app.option_defaults()->always_capture_default();
        training::add_options(app, options);
        if (const auto status = program::parse(app, argc, argv)) {
            return *status;
        }
        training::check_sizes(options);
        const bool on_gpu = options.backend == "cuda";
        if (on_gpu) {
            training::require_cuda();
        }
        const reel::FolderLock lock(options.output); // finds out before the work whether the folder can be written
        const auto dataset = dataset_of(options);
        const auto unet_dataset = options.acts.empty() ? dataset : world_with_acts(options);
        reel::Cpu cpu(reel::usable_threads(options.threads));
        const training::TrainingSetup setup{options, cpu, *dataset, *unet_dataset, program::check_stop};
        if (on_gpu) {
            training::train_on_cuda(setup);
        } else {
            training::Trainer<reel::Cpu>(setup, cpu).run();
        }
        return 0;
    });
}
