// Networks that differ from the plain ones: golden files of make_variants_golden.py.

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "golden_models.hpp"
#include "io/temporary_folder.hpp"

using namespace reel_test;
using reel::Cpu;
using reel::StateDict;
using reel::Tensor;

namespace {

const std::filesystem::path golden = "models/golden/variants";

/// A file's [n, channels, h, w] as pictures.
template <class T>
Tensor<T> pictures(Cpu& cpu, const StateDict& check, const std::string& name) {
    const auto& tensor = check.at(name);
    return reel::permute(Tensor<T>::from_host(cpu, shape_of(tensor), tensor.to_vector<T>()), {0, 2, 3, 1});
}

/// Largest difference over largest value.
template <class T>
double gap_to(const Tensor<T>& made, const StateDict& check, const std::string& name) {
    const auto values = reel::permute(made, {0, 3, 1, 2}).to_host();
    const auto expected = numbers(check.at(name));
    REQUIRE(values.size() == expected.size());
    double worst = 0;
    double top = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        worst = std::max(worst, std::abs(static_cast<double>(values[i]) - expected[i]));
        top = std::max(top, std::abs(expected[i]));
    }
    return worst / top;
}

template <class T>
void check_unet(const std::string& name) {
    CAPTURE(name);
    Cpu cpu(1);
    auto unet = reel::load_unet_2d<T>(cpu, golden / name);
    const StateDict check = reel::read_safetensors(golden / name / "check.safetensors");
    const auto sample = pictures<T>(cpu, check, "sample");
    const auto text = Tensor<T>::from_host(cpu, shape_of(check.at("text")), check.at("text").to_vector<T>());
    const double timestep = numbers(check.at("timestep")).at(0);
    const double plain = gap_to(unet(sample, timestep, text, 1), check, "output");
    CHECK(plain < 2e-6);
    if (check.contains("guided")) {
        unet.guidance_scale = numbers(check.at("guidance_scale")).at(0);
        const auto embedded = reel::guidance_scale_embedding<double>(cpu, *unet.guidance_scale, 2, 10).to_host();
        const auto expected = numbers(check.at("condition"));
        for (std::size_t i = 0; i < embedded.size(); ++i) {
            CHECK(std::abs(embedded[i] - expected.at(i)) < 5e-4); // the phase is up to 3500, in float
        }
        const double guided = gap_to(unet(sample, timestep, text, 1), check, "guided");
        CHECK(guided < 1e-5);
        MESSAGE(name << ", " << sizeof(T) << " bytes: " << plain << ", guided " << guided);
    } else {
        MESSAGE(name << ", " << sizeof(T) << " bytes: " << plain);
    }
    // It is saved with its configuration.
    const TemporaryFolder folder;
    reel::save_unet(unet, folder / "unet", true);
    auto again = reel::load_unet_2d<T>(cpu, folder / "unet");
    again.guidance_scale = unet.guidance_scale;
    CHECK(gap_to(again(sample, timestep, text, 1), check, check.contains("guided") ? "guided" : "output") < 1e-5);
}

} // namespace

TEST_CASE("a UNet without a middle block, and one that is told the guidance scale") {
    for (const char* name : {"no_mid_block", "distilled"}) {
        check_unet<float>(name);
        check_unet<double>(name);
    }
    Cpu cpu(1);
    auto inflated = reel::load_unet<float>(cpu, golden / "no_mid_block", 1);
    CHECK_FALSE(inflated.config.mid_block);
    std::size_t of_middle = 0;
    reel::for_each_parameter(
        inflated, [&](const std::string& name, const auto&) { of_middle += name.starts_with("mid_block.") ? 1 : 0; });
    CHECK(of_middle == 0);
}

TEST_CASE("an autoencoder without the convolutions around its latents") {
    Cpu cpu(1);
    const auto vae = reel::load_autoencoder_kl<float>(cpu, golden / "no_quant_conv");
    const StateDict check = reel::read_safetensors(golden / "no_quant_conv" / "check.safetensors");
    const double encoded = gap_to(vae.encode(pictures<float>(cpu, check, "picture")), check, "moments");
    const double decoded = gap_to(vae.decode(pictures<float>(cpu, check, "latents")), check, "decoded");
    MESSAGE("encoded " << encoded << ", decoded " << decoded);
    CHECK(encoded < 2e-6);
    CHECK(decoded < 2e-6);
}
