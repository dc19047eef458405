// Samplers that draw noise, given PyTorch's own stream: the pictures that diffusers' pipeline draws with a generator of
// that seed (golden/drawn_noise, made by part_drawn_noise.py).

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include <reel/core/torch_generator.hpp>
#include <reel/io/config/json.hpp>
#include <reel/pipelines/any_pipeline.hpp>
#include <reel/pipelines/named_sampler.hpp>

#include "io/temporary_folder.hpp"
#include "support/golden.hpp"

using namespace reel_test;
using reel::AnyTensor;
using reel::Cpu;
using reel::Shape;
using Tensor = reel::Tensor<float>;

TEST_CASE("samplers that draw noise draw diffusers' pictures from PyTorch's stream") {
    const Golden golden("drawn_noise");
    const nlohmann::json cases = reel::read_json("golden/drawn_noise.json");
    REQUIRE(cases.size() == 13);
    const TemporaryFolder temporary;
    Cpu cpu(1);
    const auto backend = reel::open_backend(reel::BackendKind::cpu, cpu);
    const auto model = backend->load({.folder = "golden/sd1_tiny", .pictures = true});
    model->watch.bars = false;
    const AnyTensor text = model->encode_prompt("a man is skiing");
    const AnyTensor empty = model->encode_prompt("");
    Agreement latents("latents of drawn noise", 1e-4);
    Agreement pictures("pictures of drawn noise, of 255", 0.51); // the bytes are rounded
    for (const auto& item : cases) {
        const auto name = item["name"].get<std::string>();
        CAPTURE(name);
        const auto config = temporary / (name + ".json");
        reel::write_json(config, item["config"]);
        reel::TorchCpuGenerator generator(33);
        int draws = -1; // the first is what the run starts from
        const auto draw = [&](const Shape& shape) {
            const Shape file{shape[0], shape[3], shape[1], shape[2]};
            std::vector<float> values(static_cast<std::size_t>(file.size()));
            generator.randn(std::span<float>(values));
            ++draws;
            const auto drawn = Tensor::from_host(cpu, file, std::span<const float>(values));
            return AnyTensor(reel::permute(drawn, {0, 2, 3, 1}));
        };
        const AnyTensor noise = draw({1, 8, 8, 4});
        const AnyTensor sampled =
            model->sample({.sampler = reel::named_sampler({.scheduler = {}, .scheduler_config = config.string()},
                                                          model->facts(), item["eta"].get<double>()),
                           .steps = 6,
                           .guidance_scale = 3,
                           .text = text,
                           .negative = empty,
                           .noise = noise,
                           .draw = draw});
        CHECK(draws >= 4);
        CHECK(draws <= item["draws"].get<int>());
        latents.check(name, relative_error(picture_order(sampled.on_cpu(cpu)), golden.at(name + ".latents")));
        const auto pixels = picture_order(model->decode(sampled).on_cpu(cpu)).to_host();
        const auto bytes = golden.at(name + ".picture").to_vector<std::uint8_t>();
        REQUIRE(pixels.size() == bytes.size());
        double worst = 0;
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            worst = std::max(worst, std::abs(255.0 * static_cast<double>(pixels[i]) - static_cast<double>(bytes[i])));
        }
        pictures.check(name, worst);
    }
}
