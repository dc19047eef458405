// A training from nothing on the backend Cuda against the same on Cpu: losses, and going on from the other's
// checkpoint.

#include <doctest/doctest.h>

#include <fstream>
#include <sstream>

#include <reel/backend/cuda/cuda.cuh>

#include "training/trainer.hpp"

#include "io/temporary_folder.hpp"

namespace {

[[nodiscard]] training::Options tiny(const std::filesystem::path& output) {
    training::Options o;
    o.output = output.string();
    o.resolution = 16;
    o.vae_channels = {8, 8, 8};
    o.vae_groups = 4;
    o.vae_batch_size = 2;
    o.vae.max_train_steps = 5;
    o.vae.lr_decay_steps = 0;
    o.vae.lr_warmup_steps = 0;
    o.text_width = 8;
    o.text_layers = 1;
    o.text_heads = 2;
    o.vocab_size = 600;
    o.unet_channels = {8, 8};
    o.unet_attention = {0, 1};
    o.unet_groups = 4;
    o.unet_heads = 2;
    o.train_batch_size = 4;
    o.unet.max_train_steps = 5;
    o.unet.lr_decay_steps = 0;
    o.unet.lr_warmup_steps = 0;
    o.checkpointing_steps = 3;
    o.validation_steps = 1;
    o.sample_count = 8;
    o.seed = 5;
    return o;
}

template <reel::Backend B>
void train(const training::Options& options, reel::Cpu& cpu, B& backend) {
    const training::WorldDataset world(options.resolution, options.seed);
    int steps = 0;
    training::Trainer<B>({options, cpu, world, world, [&steps] { ++steps; }}, backend).run();
    CHECK(steps > 0);
}

/// Rows of log.csv without the time that they took.
[[nodiscard]] std::vector<double> log_of(const std::filesystem::path& folder) {
    std::ifstream file(folder / "log.csv");
    std::string line;
    std::getline(file, line);
    std::vector<double> values;
    while (std::getline(file, line)) {
        std::istringstream row(line.substr(0, line.rfind(',')));
        for (std::string field; std::getline(row, field, ',');) {
            values.push_back(std::stod(field));
        }
    }
    return values;
}

void compare(const std::vector<double>& found, const std::vector<double>& expected, std::size_t rows) {
    REQUIRE(expected.size() == 5 * rows);
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
        CAPTURE(i);
        CHECK(found[i] == doctest::Approx(expected[i]).epsilon(1e-3)); // three figures of four are written
    }
}

} // namespace

TEST_CASE("a training from nothing goes on on Cuda as on Cpu, and each takes the other's checkpoints") {
    reel::Cpu cpu(1);
    reel::Cuda cuda;
    const reel_test::TemporaryFolder folder;
    train(tiny(folder / "here"), cpu, cpu);
    std::filesystem::copy(folder / "here", folder / "there", std::filesystem::copy_options::recursive);
    std::filesystem::remove_all(folder / "there" / "model");
    REQUIRE(std::filesystem::remove_all(folder / "there" / "autoencoder" / "checkpoint-5") > 0);
    REQUIRE(std::filesystem::remove_all(folder / "there" / "unet") > 0); // it starts anew
    training::Options there = tiny(folder / "there");
    there.resume = true;
    train(there, cpu, cuda);
    for (const char* part : {"autoencoder", "unet"}) {
        INFO(part);
        compare(log_of(folder / "there" / part), log_of(folder / "here" / part), 5);
    }
    for (const char* file : {"unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors",
                             "text_encoder/model.safetensors"}) {
        CHECK(std::filesystem::exists(folder / "there" / "model" / file));
    }

    std::filesystem::copy(folder / "there", folder / "back", std::filesystem::copy_options::recursive);
    std::filesystem::remove_all(folder / "back" / "model");
    REQUIRE(std::filesystem::remove_all(folder / "back" / "unet" / "checkpoint-5") > 0);
    training::Options back = tiny(folder / "back");
    back.resume = true;
    train(back, cpu, cpu); // from Cuda's autoencoder and the third step of its UNet
    compare(log_of(folder / "back" / "unet"), log_of(folder / "here" / "unet"), 5);
}
