// What programs to copy are asked to do: the structs of their options, and what follows from them.

#include <doctest/doctest.h>

#include <reel/io/config/json.hpp>
#include <reel/pipelines/compared_samplers.hpp>
#include <reel/pipelines/picture_size.hpp>
#include <reel/pipelines/text_to_image_options.hpp>

#include "io/temporary_folder.hpp"

using namespace reel_test;

namespace {

const std::string model = "golden/sd1_tiny";

[[nodiscard]] double first_timestep(reel::Sampler sampler, int steps) {
    sampler.set_timesteps(steps);
    return sampler.timesteps().front();
}

[[nodiscard]] std::string refusal(const reel::ComparisonOptions& options) {
    return message_of<reel::Error>(
        [&] { static_cast<void>(reel::compared_samplers(options, reel::open_model(options.model))); });
}

} // namespace

TEST_CASE("a side of a picture is what was asked for, or the model's") {
    const reel::PipelineFacts facts{.folder = model, .sample_size = 12, .sampling = {}};
    CHECK(reel::picture_size(0, facts, "--width") == 96);
    CHECK(reel::picture_size(32, facts, "--width") == 32);
    CHECK(message_of<reel::Error>([&] { static_cast<void>(reel::picture_size(60, facts, "--width")); }) ==
          "--width 60: expected a multiple of 8, the autoencoder's pixels per latent");
}

TEST_CASE("compared samplers keep their names, and begin at pure noise") {
    reel::ComparisonOptions options{.model = model};
    options.steps = {4, 20};
    const reel::ComparedSamplers all = reel::compared_samplers(options, reel::open_model(options.model));
    REQUIRE(all.samplers.size() == options.samplers.size());
    CHECK(all.samplers[1].name == "plms");
    CHECK(all.samplers[1].sampler.name() == "PNDMScheduler");
    CHECK(all.reference.name() == "DDIMScheduler");
    CHECK(first_timestep(all.reference, 4) == 999);
    CHECK(first_timestep(all.samplers[0].sampler, 4) == 999);

    // Another spacing is not the reference's.
    options.timestep_spacing = "leading";
    options.samplers = {"ddim"};
    const reel::ComparedSamplers leading = reel::compared_samplers(options, reel::open_model(options.model));
    CHECK(first_timestep(leading.samplers[0].sampler, 4) == 750);
    CHECK(first_timestep(leading.reference, 4) == 999);

    // A file's configuration, or that of a folder.
    const TemporaryFolder folder;
    nlohmann::json config = reel::read_json(model + "/scheduler/scheduler_config.json");
    config["num_train_timesteps"] = 500;
    reel::write_json(folder / "scheduler_config.json", config);
    for (const std::filesystem::path& given : {folder.path(), folder / "scheduler_config.json"}) {
        options.scheduler_config = given.string();
        CHECK(first_timestep(reel::compared_samplers(options, reel::open_model(options.model)).reference, 4) == 499);
    }
}

TEST_CASE("samplers that cannot be compared are refused before the work") {
    reel::ComparisonOptions options{.model = model};
    options.samplers = {"ddim", "dpm++_2n"};
    CHECK(refusal(options).starts_with("--samplers: \"dpm++_2n\" is no scheduler that reel has"));
    options.samplers = {"dpm++_2m"};
    options.steps = {4, 1000};
    CHECK(refusal(options).starts_with("--samplers dpm++_2m --steps 1000: "));
    const TemporaryFolder folder;
    reel::write_json(folder / "list.json", nlohmann::json::array());
    options.scheduler_config = (folder / "list.json").string();
    CHECK(refusal(options) == (folder / "list.json").string() + ": expected a JSON object");
}

TEST_CASE("a picture is made by the UNet as it is, a clip by an inflated one") {
    reel::ComparisonOptions options{.model = model};
    CHECK(options.source(reel::open_model(options.model)).pictures);
    options.frames = 2;
    CHECK_FALSE(options.source(reel::open_model(options.model)).pictures);
    options.frames = 1;
    options.video = "clip.mp4";
    CHECK_FALSE(options.source(reel::open_model(options.model)).pictures);
}

TEST_CASE("the pictures of text_to_image, its folders and its manifest") {
    const TemporaryFolder folder;
    reel::TextToImageOptions options{.prompt = {"a", "b"}, .model = model, .output = folder / "out/deep"};
    options.num_images_per_prompt = 2;
    options.save_tensors = folder / "elsewhere/tensors.safetensors";
    options.sampling.seed = 9;
    CHECK(options.prompts() == std::vector<std::string>{"a", "a", "b", "b"});
    reel::Job job({.threads = 1});
    options.make_folders(job);
    CHECK(std::filesystem::is_directory(folder / "out/deep"));
    CHECK(std::filesystem::is_directory(folder / "elsewhere"));
    const reel::Cpu cpu(2);
    options.manifest(cpu, "PNDMScheduler").write(folder / "manifest.json");
    const nlohmann::json manifest = reel::read_json(folder / "manifest.json");
    CHECK(manifest["seed"] == 9);
    CHECK_FALSE(manifest["options"].contains("seed"));
    CHECK(manifest["options"]["scheduler"] == "PNDMScheduler");
    CHECK(manifest["options"]["threads"] == 2);
    CHECK(manifest["options"]["num_images_per_prompt"] == 2);
}
