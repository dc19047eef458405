// Trains a small Stable Diffusion from nothing on captioned pictures: first the autoencoder, then the text encoder and
// the 2D UNet together. Writes a diffusers folder. The model in examples/model was made with it, see docs/model.md.

#include <memory>

#include "support/training_command_line.hpp"
#include "support/training_job.hpp"

namespace {

using Pictures = std::shared_ptr<const pictures::Source>;

/// The drawn world, with the acts that were asked for.
[[nodiscard]] Pictures world_of(const training::Options& o) {
    std::vector<world::Act> acts;
    for (const std::string& act : o.acts) {
        acts.push_back(world::word_named<world::Act>(act, world::act_count).value());
    }
    return std::make_shared<pictures::World>(o.resolution, o.seed, acts);
}

[[nodiscard]] Pictures source_of(const training::Options& o) {
    if (o.data.empty()) {
        return std::make_shared<pictures::World>(o.resolution, o.seed);
    }
    return std::make_shared<pictures::Folder>(o.data, o.resolution, o.seed);
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
        const auto device = editing::open_device(options.backend);
        const auto source = source_of(options);
        const auto unet_source = options.acts.empty() ? source : world_of(options);
        reel::Cpu cpu(options.threads);
        const training::Work work{options, cpu, *source, *unet_source, program::check_stop};
        if (device) {
            device->train(work);
        } else {
            training::Job<reel::Cpu>(work, cpu).run();
        }
        return 0;
    });
}
