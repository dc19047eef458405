// LoRA files in a loaded model: which layers are found, that scales change, 16 bits, and what inflation added.

#include <doctest/doctest.h>

#include <cmath>

#include <reel/models/from_pretrained.hpp>
#include <reel/pipelines/loras.hpp>
#include <reel/pipelines/stable_diffusion.hpp>

#include "io/temporary_folder.hpp"

using namespace reel_test;
using reel::Cpu;
using reel::HostTensor;
using reel::StateDict;

namespace {

const std::filesystem::path golden = "golden/lora";

/// Parameters as a file has them, unrounded, by "unet/NAME" and "text_encoder/NAME".
template <class Model>
std::map<std::string, std::vector<float>> parameters_of(const Model& model) {
    std::map<std::string, std::vector<float>> all;
    const auto add = [&](const std::string& part) {
        return [&, part](const std::string& name, const auto& parameter) {
            all[part + name] =
                reel::to_file_tensor(parameter.exact(), parameter.spec(), reel::DType::f32).template to_vector<float>();
        };
    };
    reel::for_each_parameter(model.unet, add("unet/"));
    reel::for_each_parameter(model.text_encoder, add("text_encoder/"));
    return all;
}

/// What a case's file makes of sd1_tiny.
std::map<std::string, std::vector<float>> expected_of(const std::string& name) {
    std::map<std::string, std::vector<float>> expected;
    for (const auto& [key, tensor] : reel::read_safetensors(golden / "expected.safetensors")) {
        if (key.starts_with(name + "/")) {
            expected[key.substr(name.size() + 1)] = tensor.to_vector<float>();
        }
    }
    REQUIRE(!expected.empty());
    return expected;
}

double difference(const std::vector<float>& a, const std::vector<float>& b) {
    REQUIRE(a.size() == b.size());
    double largest = 0;
    double worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
        largest = std::max(largest, std::abs(static_cast<double>(b[i])));
    }
    return worst / largest;
}

template <class T>
void check_files() {
    Cpu cpu(2);
    for (const char* name : {"locon_tucker", "dora_input", "lokr"}) {
        CAPTURE(name);
        auto model = reel::load_stable_diffusion<T>(cpu, "golden/sd1_tiny", 33);
        const auto before = parameters_of(model);
        reel::Loras loras(model, {{{golden / (std::string(name) + ".safetensors"), 1.0}}});
        CHECK(loras.changes(reel::LdmPart::text_encoder));
        REQUIRE(loras.reports().size() == 1);
        CHECK(loras.reports().front().unused.empty());
        loras.merge(model, cpu);
        const auto after = parameters_of(model);
        const auto expected = expected_of(name);
        std::size_t changed = 0;
        for (const auto& [key, values] : after) {
            CAPTURE(key);
            const auto found = expected.find(key);
            if (found == expected.end()) {
                CHECK(values == before.at(key));
            } else {
                ++changed;
                CHECK(difference(values, found->second) <= 1e-6);
            }
        }
        CHECK(changed == expected.size());
        // Another scale, half the way; and none, the folder's own bits.
        loras.set_scale(0, 0.5);
        loras.merge(model, cpu);
        const auto half = parameters_of(model);
        for (const auto& [key, values] : expected) {
            std::vector<float> between(values.size());
            for (std::size_t i = 0; i < values.size(); ++i) {
                between[i] = (values[i] + before.at(key)[i]) / 2;
            }
            CHECK(difference(half.at(key), between) <= 1e-6);
        }
        loras.set_scale(0, 0);
        loras.merge(model, cpu);
        CHECK(parameters_of(model) == before);
    }
}

StateDict temporal_adapter() {
    const std::string layer = "down_blocks.0.attentions.0.transformer_blocks.0.attn_temp.to_out.0";
    return {{layer + ".lora_A.weight", HostTensor::make<float>({1, 8}, std::vector<float>(8, 1))},
            {layer + ".lora_B.weight", HostTensor::make<float>({8, 1}, std::vector<float>(8, 0.5F))}};
}

} // namespace

TEST_CASE("files are merged into a model, and its scales change") {
    check_files<float>();
}

TEST_CASE("the same of 16 bits, which stay rounded from the unrounded weight") {
    check_files<reel::bfloat16>();
    Cpu cpu(1);
    auto model = reel::load_stable_diffusion<reel::bfloat16>(cpu, "golden/sd1_tiny", 33);
    const reel::Loras loras(model, {{{golden / "locon.safetensors", 1.0}}});
    loras.merge(model, cpu);
    const auto expected = expected_of("locon");
    reel::for_each_parameter(model.unet, [&](const std::string& name, const auto& parameter) {
        if (const auto found = expected.find("unet/" + name); found != expected.end()) {
            const auto stored = reel::to_file_tensor(parameter.value(), parameter.spec(), reel::DType::f32);
            const double error = difference(stored.template to_vector<float>(), found->second);
            CHECK(error > 1e-6); // it is of 16 bits
            CHECK(error < 4e-3);
        }
    });
}

TEST_CASE("several files add up, a parameter that trains is merged too") {
    Cpu cpu(1);
    auto model = reel::load_stable_diffusion<float>(cpu, "golden/sd1_tiny", 33);
    const auto before = parameters_of(model);
    reel::set_trainable_modules(model.unet, {"attn1.to_q"});
    const reel::LoraUse half{golden / "locon.safetensors", 0.5};
    reel::Loras loras(model, {{half, half}});
    loras.merge(model, cpu);
    const auto both = parameters_of(model);
    for (const auto& [key, values] : expected_of("locon")) {
        CAPTURE(key);
        CHECK(difference(both.at(key), values) <= 1e-6);
    }
    const std::string key = "unet/down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight";
    CHECK(both.at(key) != before.at(key));
}

TEST_CASE("layers that inflation added are found by reel's own names") {
    const TemporaryFolder folder;
    reel::write_safetensors(folder / "temporal.safetensors", temporal_adapter());
    Cpu cpu(1);
    auto model = reel::load_stable_diffusion<float>(cpu, "golden/sd1_tiny", 33);
    reel::Loras loras(model, {{{folder / "temporal.safetensors", 1.0}}});
    const std::string name = "unet/down_blocks.0.attentions.0.transformer_blocks.0.attn_temp.to_out.0.weight";
    const auto before = parameters_of(model).at(name);
    for (int times = 0; times < 2; ++times) { // not upon what was merged before
        loras.merge(model, cpu);
        CHECK(parameters_of(model).at(name) == std::vector<float>(64, 0.5F));
    }
    loras.set_scale(0, 0);
    loras.merge(model, cpu);
    CHECK(parameters_of(model).at(name) == before);
    // A UNet for pictures has none.
    model.unet = reel::load_unet_2d<float>(cpu, "golden/sd1_tiny/unet");
    const auto message = message_of<reel::Error>([&] {
        const reel::Loras none(model, {{{folder / "temporal.safetensors", 1.0}}});
    });
    CHECK(contains(message, "attn_temp.to_out.0.lora_A.weight\" is of no layer of this model"));
}
