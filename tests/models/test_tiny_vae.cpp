// AutoencoderTiny against diffusers: golden files of make_tiny_vae_golden.py.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <reel/io/weights/single_file.hpp>
#include <reel/models/autoencoder_tiny_config.hpp>
#include <reel/models/latent_shape.hpp>

#include "golden_models.hpp"
#include "io/temporary_folder.hpp"

using namespace reel_test;
using reel::AutoencoderTiny;
using reel::Cpu;
using reel::LdmPart;
using reel::ModelPart;
using reel::StateDict;
using reel::Tensor;
using reel::Variable;

namespace {

const std::filesystem::path golden = "models/golden/tiny_vae";

/// A file's [n, channels, h, w] as pictures.
template <class T>
Tensor<T> pictures(Cpu& cpu, const StateDict& check, const std::string& name) {
    const auto& tensor = check.at(name);
    return reel::permute(Tensor<T>::from_host(cpu, shape_of(tensor), tensor.to_vector<T>()), {0, 2, 3, 1});
}

/// Largest difference over largest value.
template <class T>
double gap_to(const Tensor<T>& made, const StateDict& check, const std::string& name) {
    return relative_error(reel::permute(made, {0, 3, 1, 2}).to_host(), numbers(check.at(name)));
}

/// Encodes and decodes as diffusers does, from whichever files.
template <class T>
void check_parity(const ModelPart& part, const std::string& of, double bound) {
    CAPTURE(part.path().string());
    Cpu cpu(1);
    const auto vae = reel::load_autoencoder_tiny<T>(cpu, part);
    const StateDict check = reel::read_safetensors(golden / of / "check.safetensors");
    const auto picture = pictures<T>(cpu, check, "picture");
    const auto moments = vae.encode(picture);
    const auto latents = reel::sample_latents(moments, Tensor<T>{}, 1.0);
    const double encoded = gap_to(latents, check, "latents");
    const double decoded = gap_to(vae.decode(pictures<T>(cpu, check, "given")), check, "decoded");
    MESSAGE(part.path().string() << ", " << sizeof(T) << " bytes: encoded " << encoded << ", decoded " << decoded);
    CHECK(encoded < bound);
    CHECK(decoded < bound);
    CHECK(reel::latent_shape(vae, 2, picture.shape(1), picture.shape(2)) == latents.shape());
    // No distribution: whatever the noise, the latents are the same to the bit.
    const auto noise = Tensor<T>::full(cpu, latents.shape(), static_cast<T>(1e3));
    CHECK(reel::sample_latents(moments, noise, 1.0).to_host() == latents.to_host());
    const auto spread = reel::DiagonalGaussianDistribution<T>{moments}.std().to_host();
    CHECK(std::ranges::all_of(spread, [](T value) { return static_cast<double>(value) == 0; }));
}

template <class T>
double sum(const Tensor<T>& x) {
    double total = 0;
    for (const T value : x.to_host()) {
        total += static_cast<double>(value);
    }
    return total;
}

} // namespace

TEST_CASE("a tiny autoencoder encodes and decodes as diffusers does, of 4 and 16 latent channels") {
    for (const char* name : {"four", "sixteen"}) {
        check_parity<float>(golden / name, name, 1e-5);
        check_parity<double>(golden / name, name, 1e-12);
    }
    Cpu cpu(1);
    const StateDict check = reel::read_safetensors(golden / "four" / "check.safetensors");
    const auto narrow = reel::load_autoencoder_tiny<reel::bfloat16>(cpu, golden / "four");
    const auto moments = narrow.encode(pictures<reel::bfloat16>(cpu, check, "picture"));
    CHECK(gap_to(reel::sample_latents(moments, Tensor<reel::bfloat16>{}, 1.0), check, "latents") < 0.05);
    const auto noise = Tensor<reel::bfloat16>::full(cpu, {2, 2, 3, 4}, reel::bfloat16(4));
    CHECK(reel::cast<float>(reel::sample_latents(moments, noise, 1.0)).to_host() ==
          reel::cast<float>(reel::sample_latents(moments, Tensor<reel::bfloat16>{}, 1.0)).to_host());
}

TEST_CASE("TAESD's own names: a file for each half, and one file for both") {
    for (const char* given : {"halves/taesd_decoder.pth", "halves/taesd_encoder.pth", "halves"}) {
        const ModelPart part = reel::read_part(golden / given, LdmPart::vae);
        CHECK(part.others().size() == 1);
        check_parity<float>(part, "four", 1e-5);
    }
    const ModelPart one = reel::read_part(golden / "one.safetensors", LdmPart::vae);
    CHECK(one.others().empty());
    check_parity<float>(one, "sixteen", 1e-5);
    // The configuration that follows from the shapes is the one that diffusers writes, but for the width of the blocks
    // again.
    for (const auto& [part, folder] :
         {std::pair{reel::read_part(golden / "halves", LdmPart::vae), "four"}, std::pair{one, "sixteen"}}) {
        nlohmann::json said = reel::read_json(golden / folder / "config.json");
        said.erase("block_out_channels");
        said.erase("shift_factor");
        nlohmann::json follows = part.config_json();
        follows["_diffusers_version"] = said["_diffusers_version"];
        CHECK(follows == said);
    }
    // Under the names of TAESD's module, and as a file of diffusers alone.
    const TemporaryFolder folder;
    StateDict named;
    for (const auto& [name, tensor] : reel::read_safetensors(golden / "one.safetensors")) {
        if (!name.starts_with("vae_")) {
            named.emplace(name.substr(6), tensor);
        }
    }
    reel::write_safetensors(folder / "module.safetensors", named);
    check_parity<float>(reel::read_part(folder / "module.safetensors", LdmPart::vae), "sixteen", 1e-5);
    std::filesystem::copy_file(golden / "four" / "diffusion_pytorch_model.safetensors", folder / "alone.safetensors");
    check_parity<float>(reel::read_part(folder / "alone.safetensors", LdmPart::vae), "four", 1e-5);
    check_parity<float>(reel::read_part(golden / "four" / "diffusion_pytorch_model.safetensors", LdmPart::vae), "four",
                        1e-5);
}

TEST_CASE("a half of a TAESD alone, two of the same, and of two kinds") {
    const TemporaryFolder folder;
    const auto error = [&](const char* name) {
        return message_of<reel::Error>([&] {
            Cpu cpu(1);
            static_cast<void>(reel::load_autoencoder<float>(cpu, reel::read_part(folder / name, LdmPart::vae)));
        });
    };
    std::filesystem::copy_file(golden / "halves" / "taesd_decoder.pth", folder / "taesd_decoder.pth");
    CHECK(contains(error("taesd_decoder.pth"), "the decoder of a tiny autoencoder (TAESD) alone; put the encoder"));
    std::filesystem::copy_file(golden / "halves" / "taesd_decoder.pth", folder / "taesd_encoder.pth");
    CHECK(contains(error("taesd_decoder.pth"), "taesd_encoder.pth: expected the encoder of a tiny autoencoder"));
    StateDict other;
    for (const auto& [name, tensor] : reel::read_safetensors(golden / "one.safetensors")) {
        if (name.starts_with("taesd_encoder.")) {
            other.emplace(name.substr(14), tensor);
        }
    }
    std::filesystem::remove(folder / "taesd_encoder.pth");
    reel::write_safetensors(folder / "taesd_encoder.safetensors", other);
    CHECK(contains(error("taesd_decoder.pth"), "num_encoder_blocks"));
}

TEST_CASE("what the configuration of a tiny autoencoder may say") {
    const nlohmann::json plain = reel::read_json(golden / "four" / "config.json");
    const auto message = [&](const char* key, const nlohmann::json& value) {
        nlohmann::json config = plain;
        config[key] = value;
        return message_of<reel::Error>([&] {
            static_cast<void>(reel::read_autoencoder_tiny_config({config, "vae/config.json"}));
        });
    };
    CHECK(reel::read_autoencoder_tiny_config({plain, "vae/config.json"}).pixels_per_latent() == 8);
    // TAESD's as it is published: 64 channels, and fewer keys.
    const auto published = reel::read_autoencoder_tiny_config(
        {nlohmann::json{{"_class_name", "AutoencoderTiny"}, {"latent_magnitude", 3}, {"latent_shift", 0.5}}, "c"});
    CHECK(reel::parameter_count(AutoencoderTiny<float>(published)) == 2'445'063);
    CHECK(contains(message("act_fn", "gelu"), "\"act_fn\" is \"gelu\""));
    CHECK(contains(message("upsampling_scaling_factor", 3), "\"upsampling_scaling_factor\" is 3"));
    CHECK(contains(message("encoder_block_out_channels", {6, 6, 6, 7}), "expected 4 equal entries"));
    CHECK(contains(message("num_decoder_blocks", {3, 3, 1}), "expected as many in both"));
    CHECK(contains(message("num_encoder_blocks", {1, 3, 3, -1}), "\"num_encoder_blocks\" is -1"));
    CHECK(contains(message("latent_channels", 0), "\"latent_channels\" is 0"));
    CHECK(contains(message("shift_factor", 0.1), "\"shift_factor\" is 0.1"));
    CHECK(contains(message("latent_chanels", 4), "did you mean \"latent_channels\"?"));
    CHECK(contains(message("_class_name", "AutoencoderKL"), "AutoencoderTiny"));
}

TEST_CASE("gradients flow through a tiny autoencoder") {
    Cpu cpu(1);
    const auto vae = reel::load_autoencoder_tiny<double>(cpu, golden / "four");
    const StateDict check = reel::read_safetensors(golden / "four" / "check.safetensors");
    const auto given = pictures<double>(cpu, check, "given");
    const auto latents = Variable<double>::leaf(given);
    const auto decoded = vae.decode(latents);
    reel::backward(decoded, Tensor<double>::full(cpu, decoded.shape(), 1.0));
    const auto gradient = latents.grad().to_host();
    for (const std::size_t i : {std::size_t{0}, std::size_t{7}, gradient.size() - 1}) {
        const auto moved = [&](double by) {
            auto values = given.to_host();
            values[i] += by;
            return sum(vae.decode(Tensor<double>::from_host(cpu, given.shape(), values)));
        };
        const double slope = (moved(1e-6) - moved(-1e-6)) / 2e-6;
        CHECK(gradient[i] == doctest::Approx(slope).epsilon(1e-5));
    }
}
