#include "io/temporary_folder.hpp"

#include <reel/io/weights/model_weights.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

using namespace reel_test;
using reel::HostTensor;
using reel::StateDict;

namespace {

const std::filesystem::path golden = "io/golden/peft"; // by make_peft_golden.py

std::string error_of(const StateDict& tensors, const std::filesystem::path& folder) {
    return message_of<reel::Error>([&] { (void)reel::merge_peft_adapters(tensors, folder); });
}

} // namespace

TEST_CASE("attached adapters are merged as PEFT merges them") {
    double worst = 0;
    for (const char* name : {"plain", "rslora", "patterns"}) {
        const StateDict merged = reel::load_model_weights(golden / name, reel::diffusers_weight_names);
        const StateDict expected = reel::read_safetensors(golden / name / "merged.safetensors");
        REQUIRE(merged.size() == expected.size());
        for (const auto& [key, tensor] : expected) {
            CAPTURE(key);
            REQUIRE(merged.contains(key));
            CHECK(merged.at(key).shape == tensor.shape);
            const auto a = merged.at(key).to_vector<float>();
            const auto b = tensor.to_vector<float>();
            for (std::size_t i = 0; i < a.size(); ++i) {
                worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
            }
        }
    }
    MESSAGE("largest difference: " << worst);
    CHECK(worst < 1e-6);
}

TEST_CASE("weights without an adapter stay where they are") {
    const StateDict plain = reel::read_safetensors(golden / "plain" / "merged.safetensors");
    const StateDict same = reel::merge_peft_adapters(plain, golden / "plain");
    CHECK(same.size() == plain.size());
    CHECK(same.begin()->second.data == plain.begin()->second.data);
}

TEST_CASE("an adapter that cannot be merged is named with what to do") {
    const TemporaryFolder folder;
    const StateDict attached = reel::read_safetensors(golden / "plain" / "diffusion_pytorch_model.safetensors");
    const std::string unknown = error_of(attached, folder.path());
    CHECK(contains(unknown, "the LoRA adapter \"default\" is still attached"));
    CHECK(contains(unknown, "adapter_config.json"));
    CHECK(contains(unknown, "unload_lora()"));
    const nlohmann::json config = reel::read_json(golden / "plain" / "adapter_config.json");
    const auto with = [&](const std::string& key, const nlohmann::json& value) {
        nlohmann::json changed = config;
        changed[key] = value;
        reel::write_json(folder / "adapter_config.json", changed);
        return error_of(attached, folder.path());
    };
    CHECK(contains(with("use_dora", true), "\"use_dora\" is true"));
    CHECK(contains(with("bias", "all"), "\"bias\" is \"all\""));
    CHECK(contains(with("peft_type", "LOHA"), "\"peft_type\" is \"LOHA\""));
    CHECK(contains(with("fan_in_fan_out", true), "\"fan_in_fan_out\" is true"));
    CHECK(contains(with("layer_replication", {{0, 1}}), "\"layer_replication\""));
    CHECK(contains(with("lora_alpha", "8"), "\"lora_alpha\": expected a number"));
    CHECK(contains(with("alpha_pattern", {{"to_.*", 1}}), "\"to_.*\" is not the end of a module's path"));
    CHECK(contains(with("alpha_pattern", {{"to_q", 1}, {"blocks.1.to_q", 2}}), "two entries fit \"blocks.1.to_q\""));
    // A scale of 0: fuse_lora() has merged it.
    reel::write_json(folder / "adapter_config.json", {{"lora_alpha", 0}});
    const StateDict fused = reel::merge_peft_adapters(attached, folder.path());
    CHECK(fused.at("blocks.0.to_q.weight").data == attached.at("blocks.0.to_q.base_layer.weight").data);
    CHECK(fused.contains("blocks.0.to_out.0.bias"));

    const auto changed = [&](const auto& change) {
        StateDict tensors = attached;
        change(tensors);
        return error_of(tensors, golden / "plain");
    };
    CHECK(contains(changed([](StateDict& t) { t.erase("blocks.0.to_q.lora_B.default.weight"); }),
                   "only one of its two factors of \"blocks.0.to_q\""));
    CHECK(contains(changed([](StateDict& t) { t.erase("blocks.0.to_q.base_layer.weight"); }), "which has no weight"));
    CHECK(
        contains(changed([](StateDict& t) {
                     t["blocks.0.to_q.lora_A.default.weight"] = HostTensor::make<float>({2, 7}, std::vector<float>(14));
                 }),
                 "which do not fit the weight's [4, 6]"));
    CHECK(contains(changed([](StateDict& t) {
                       t["blocks.0.to_q.lora_magnitude_vector.default.weight"] = HostTensor::make<float>({1}, {1});
                   }),
                   "no plain LoRA"));
    CHECK(contains(changed([](StateDict& t) { t["blocks.0.to_q.weight"] = HostTensor::make<float>({1}, {1}); }),
                   "two tensors give the weight \"blocks.0.to_q.weight\""));
}

TEST_CASE("a text encoder's names get their prefix once") {
    const auto one = HostTensor::make<float>({1}, {1});
    const StateDict named = reel::with_text_model_names(
        {{"embeddings.a", one}, {"encoder.b", one}, {"final_layer_norm.c", one}, {"text_projection.weight", one}},
        "file");
    CHECK(named.contains("text_model.embeddings.a"));
    CHECK(named.contains("text_model.encoder.b"));
    CHECK(named.contains("text_model.final_layer_norm.c"));
    CHECK(named.contains("text_projection.weight"));
    CHECK(contains(message_of<reel::Error>([&] {
                       (void)reel::with_text_model_names({{"encoder.b", one}, {"text_model.encoder.b", one}}, "file");
                   }),
                   "two tensors give the weight \"text_model.encoder.b\""));
}
