// LoRA files: every dialect as its own library computes it, whatever spelling of a layer, and files that are wrong.

#include "io/temporary_folder.hpp"

#include <reel/io/lora/lora_file.hpp>
#include <reel/io/lora/lora_merge.hpp>
#include <reel/io/lora/lora_use.hpp>
#include <reel/io/weights/model_weights.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

using namespace reel_test;
using reel::HostTensor;
using reel::LdmPart;
using reel::LoraNames;
using reel::StateDict;

namespace {

const std::filesystem::path golden = "golden/lora"; // by part_lora.py

/// A tiny model's weights, and its layers.
struct Model {
    std::map<LdmPart, StateDict> weights;
    LoraNames names;

    explicit Model(const std::string& name)
        : weights{{LdmPart::unet, reel::load_model_weights("golden/" + name + "/unet", reel::diffusers_weight_names)},
                  {LdmPart::text_encoder, reel::load_text_encoder_weights("golden/" + name + "/text_encoder")}},
          names(targets()) {}

    [[nodiscard]] std::vector<reel::LoraTarget> targets() const {
        std::vector<reel::LoraTarget> all;
        for (const auto& [part, tensors] : weights) {
            for (const auto& [parameter, tensor] : tensors) {
                const std::size_t rank = tensor.shape.size();
                if ((rank == 2 || rank == 4) && parameter.ends_with(".weight") &&
                    parameter.find("embeddings.") == std::string::npos) {
                    all.push_back({part, parameter.substr(0, parameter.size() - 7), tensor.shape});
                }
            }
        }
        return all;
    }
    [[nodiscard]] const HostTensor& at(const reel::LoraTarget& target) const {
        return weights.at(target.part).at(target.parameter());
    }
};

const Model& sd1() {
    static const Model model("sd1_tiny");
    return model;
}
const Model& sd2() {
    static const Model model("sd2_tiny");
    return model;
}

/// Merged weights by "unet/NAME" and "text_encoder/NAME".
StateDict merged(const Model& model, const reel::LoraFile& file, double scale = 1) {
    StateDict result;
    for (const reel::LoraAdapter& adapter : file.adapters) {
        const char* const part = adapter.target.part == LdmPart::unet ? "unet/" : "text_encoder/";
        result.emplace(part + adapter.target.parameter(),
                       reel::merged_weight(model.at(adapter.target), {{&adapter, scale}}));
    }
    return result;
}

StateDict merged(const Model& model, const std::filesystem::path& path, double scale = 1) {
    return merged(model, reel::read_lora_file(path, model.names), scale);
}

/// Largest difference over the largest expected value.
double error(const HostTensor& found, const HostTensor& expected) {
    REQUIRE(found.shape == expected.shape);
    const auto a = found.to_vector<double>();
    const auto b = expected.to_vector<double>();
    double largest = 0;
    double difference = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        difference = std::max(difference, std::abs(a[i] - b[i]));
        largest = std::max(largest, std::abs(b[i]));
    }
    return std::isfinite(difference) ? difference / largest : INFINITY;
}

void check_same(const StateDict& found, const StateDict& expected) {
    REQUIRE(found.size() == expected.size());
    for (const auto& [name, tensor] : expected) {
        CAPTURE(name);
        REQUIRE(found.contains(name));
        CHECK(std::ranges::equal(found.at(name).bytes(), tensor.bytes()));
    }
}

/// Reads tensors as a file of that name, with a header's metadata.
reel::LoraFile read(const StateDict& tensors, const Model& model = sd1(), bool partial = false,
                    const reel::TextMetadata& metadata = {}) {
    const TemporaryFolder folder;
    reel::write_safetensors(folder / "lora.safetensors", tensors, metadata);
    return reel::read_lora_file(folder / "lora.safetensors", model.names, partial);
}

/// The one sentence that reading fails with.
std::string trouble(const std::function<void()>& work) {
    const std::string message = message_of<reel::Error>(work);
    CHECK(contains(message, "lora.safetensors"));
    CHECK(message.find('\n') == std::string::npos);
    return message;
}
std::string trouble(const StateDict& tensors, const Model& model = sd1(), bool partial = false) {
    return trouble([&] { (void)read(tensors, model, partial); });
}

HostTensor random_tensor(std::vector<std::int64_t> shape, int seed = 1) {
    std::vector<float> values(reel::checked_element_count(shape, 4));
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = std::sin(static_cast<float>(i + 1) * 1.7F + static_cast<float>(seed));
    }
    return HostTensor::make<float>(std::move(shape), std::move(values));
}
HostTensor number(float value) {
    return HostTensor::make<float>({}, {value});
}

const std::string block = "down_blocks.0.attentions.0.transformer_blocks.0.";
const std::string to_q = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q";

/// An adapter of one layer, of attn1.to_q unless another is named.
StateDict pair(const std::string& stem = to_q, std::vector<std::int64_t> down = {2, 8},
               std::vector<std::int64_t> up = {8, 2}) {
    return {{stem + ".lora_down.weight", random_tensor(std::move(down))},
            {stem + ".lora_up.weight", random_tensor(std::move(up), 2)},
            {stem + ".alpha", number(1)}};
}

StateDict with(StateDict tensors, const std::string& name, const HostTensor& tensor) {
    tensors[name] = tensor;
    return tensors;
}
StateDict without(StateDict tensors, const std::string& name) {
    REQUIRE(tensors.erase(name) == 1);
    return tensors;
}

} // namespace

TEST_CASE("every dialect is merged as its own library computes it") {
    const StateDict all = reel::read_safetensors(golden / "expected.safetensors");
    std::map<std::string, StateDict> expected;
    for (const auto& [name, tensor] : all) {
        expected[name.substr(0, name.find('/'))].emplace(name.substr(name.find('/') + 1), tensor);
    }
    REQUIRE(expected.size() == 24);
    for (const auto& [name, weights] : expected) {
        CAPTURE(name);
        const std::set<std::string> of_sd2{"locon_sd2", "diffusers_peft", "kohya"};
        const Model& model = of_sd2.contains(name) ? sd2() : sd1();
        const auto path =
            std::filesystem::is_directory(golden / name) ? golden / name : golden / (name + ".safetensors");
        const reel::LoraFile file = reel::read_lora_file(path, model.names);
        CHECK(file.unused.empty());
        CHECK(file.tensors > 0);
        const StateDict found = merged(model, file);
        REQUIRE(found.size() == weights.size());
        double worst = 0;
        double change = 0;
        for (const auto& [parameter, tensor] : weights) {
            CAPTURE(parameter);
            REQUIRE(found.contains(parameter));
            const LdmPart part = parameter.starts_with("unet/") ? LdmPart::unet : LdmPart::text_encoder;
            worst = std::max(worst, error(found.at(parameter), tensor));
            change =
                std::max(change, error(model.weights.at(part).at(parameter.substr(parameter.find('/') + 1)), tensor));
        }
        std::printf("  %-18s %2zu weights, worst %.1e\n", name.c_str(), weights.size(), worst);
        CHECK(worst <= 1e-6);
        CHECK(change > 1e-2); // there was something to merge
    }
}

TEST_CASE("a layer is found by each of its spellings") {
    const StateDict expected = merged(sd1(), read(pair()));
    REQUIRE(expected.contains("unet/" + block + "attn1.to_q.weight"));
    const std::string down = ".lora_down.weight";
    const std::string up = ".lora_up.weight";
    const auto spelled = [&](const std::string& stem, const std::string& a, const std::string& b) {
        const StateDict one = pair();
        return StateDict{
            {stem + a, one.at(to_q + down)}, {stem + b, one.at(to_q + up)}, {stem + ".alpha", one.at(to_q + ".alpha")}};
    };
    const std::string ldm = "input_blocks.1.1.transformer_blocks.0.attn1.to_q";
    const std::string peft = "base_model.model.";
    for (const auto& [stem, a, b] : std::vector<std::array<std::string, 3>>{
             {to_q, down, up},
             {to_q, ".lora_A.weight", ".lora_B.weight"},
             {"lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q", down, up},
             {"lycoris_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q", down, up},
             {"diffusion_model." + ldm, ".lora_A.weight", ".lora_B.weight"},
             {"model.diffusion_model." + ldm, down, up},
             {block + "attn1.to_q", ".lora_A.weight", ".lora_B.weight"},
             {"unet." + block + "attn1.to_q", ".lora.down.weight", ".lora.up.weight"},
             {"unet." + block + "attn1.to_q", ".lora_A.default.weight", ".lora_B.default.weight"},
             {peft + block + "attn1.to_q", ".lora_A.weight", ".lora_B.weight"},
             {block + "attn1.processor.to_q_lora", ".down.weight", ".up.weight"},
             {"unet." + block + "attn1.processor.to_q_lora", ".down.weight", ".up.weight"}}) {
        CAPTURE(stem);
        check_same(merged(sd1(), read(spelled(stem, a, b))), expected);
    }
    // Layers whose names have "_" of their own, and what the latent-diffusion code calls them (one block to a level).
    const std::vector<std::pair<std::string, std::string>> layers{
        {"input_blocks_0_0", "conv_in"},
        {"time_embed_0", "time_embedding.linear_1"},
        {"input_blocks_1_0_in_layers_2", "down_blocks.0.resnets.0.conv1"},
        {"input_blocks_1_0_emb_layers_1", "down_blocks.0.resnets.0.time_emb_proj"},
        {"input_blocks_2_0_op", "down_blocks.0.downsamplers.0.conv"},
        {"middle_block_1_proj_in", "mid_block.attentions.0.proj_in"},
        {"output_blocks_2_1_transformer_blocks_0_attn2_to_out_0",
         "up_blocks.1.attentions.0.transformer_blocks.0.attn2.to_out.0"},
        {"output_blocks_1_1_conv", "up_blocks.0.upsamplers.0.conv"},
        {"out_2", "conv_out"}};
    for (const auto& [spelling, module] : layers) {
        CAPTURE(spelling);
        const reel::LoraTarget* const target = sd1().names.find("lora_unet_" + spelling);
        REQUIRE(target != nullptr);
        CHECK(target->module == module);
        CHECK(sd1().names.find("lora_unet_" + reel::detail::with_underscores(module)) == target);
    }
    for (const char* stem :
         {"lora_te_text_model_encoder_layers_1_self_attn_out_proj",
          "lora_te1_text_model_encoder_layers_1_self_attn_out_proj", "lora_te_encoder_layers_1_self_attn_out_proj",
          "text_encoder.text_model.encoder.layers.1.self_attn.out_proj",
          "text_encoder.encoder.layers.1.self_attn.out_proj",
          "text_encoder.text_model.encoder.layers.1.self_attn.to_out_lora",
          "base_model.model.text_model.encoder.layers.1.self_attn.out_proj"}) {
        CAPTURE(stem);
        const reel::LoraTarget* const target = sd1().names.find(stem);
        REQUIRE(target != nullptr);
        CHECK(target->module == "text_model.encoder.layers.1.self_attn.out_proj");
    }
    CHECK(sd1().names.find("lora_unet_down_blocks_0_attentions_0_norm") == nullptr);
}

TEST_CASE("a layer and a convolution of 1 x 1 take each other's factors") {
    const std::string proj = "lora_unet_down_blocks_0_attentions_0_proj_in";
    const StateDict flat = pair(proj);
    const StateDict deep = pair(proj, {2, 8, 1, 1}, {8, 2, 1, 1});
    check_same(merged(sd1(), read(flat)), merged(sd1(), read(deep))); // a convolution there
    check_same(merged(sd2(), read(flat, sd2())), merged(sd2(), read(deep, sd2())));
}

TEST_CASE("what alpha says") {
    const auto change = [&](const StateDict& tensors, const reel::TextMetadata& metadata = {}) {
        return read(tensors, sd1(), false, metadata).adapters.front().factor;
    };
    CHECK(change(pair()) == 0.5);
    CHECK(change(with(pair(), to_q + ".alpha", number(3))) == 1.5);
    CHECK(change(with(pair(), to_q + ".alpha", number(0))) == 1); // the rank
    CHECK(change(without(pair(), to_q + ".alpha")) == 1);
    CHECK(change(with(pair(), to_q + ".alpha", HostTensor::make<std::int64_t>({1}, {4}))) == 2);
    StateDict peft;
    for (auto& [name, tensor] : without(pair(), to_q + ".alpha")) {
        peft["unet." + block + "attn1.to_q" + (name.ends_with("down.weight") ? ".lora_A.weight" : ".lora_B.weight")] =
            tensor;
    }
    CHECK(change(peft) == 1);
    const auto header = [&](const nlohmann::json& json) {
        return reel::TextMetadata{{"lora_adapter_metadata", json.dump()}};
    };
    CHECK(change(peft, header({{"unet.lora_alpha", 5}, {"text_encoder.lora_alpha", 7}})) == 2.5);
    CHECK(change(peft, header({{"lora_alpha", 6}})) == 3);
    CHECK(change(peft, header({{"lora_alpha", 6}, {"use_rslora", true}})) == doctest::Approx(6 / std::sqrt(2.0)));
    CHECK(change(peft, header({{"lora_alpha", 6}, {"alpha_pattern", {{"attn1.to_q", 8}, {"to_k", 9}}}})) == 4);
    CHECK(change(peft, header({{"lora_alpha", 6}, {"alpha_pattern", {{"^" + block + "attn1\\.to_q$", 8}}}})) == 4);
    CHECK(change(peft, header({{"lora_alpha", 6}, {"alpha_pattern", {{"^attn1.to_q", 8}}}})) == 3);
}

TEST_CASE("the scale: 0 leaves weights as they are, between it goes straight, and files add up in their order") {
    for (const char* name : {"locon", "loha", "lokr", "dora_output", "dora_input"}) {
        CAPTURE(name);
        const reel::LoraFile file = reel::read_lora_file(golden / (std::string(name) + ".safetensors"), sd1().names);
        for (const reel::LoraAdapter& adapter : file.adapters) {
            const HostTensor& base = sd1().at(adapter.target);
            const auto at = [&](double scale) {
                return reel::merged_weight(base, {{&adapter, scale}}).to_vector<float>();
            };
            const auto none = base.to_vector<float>();
            CHECK(at(0) == none);
            const auto whole = at(1);
            const auto half = at(0.5);
            const auto both = reel::merged_weight(base, {{&adapter, 0.0}, {&adapter, 0.5}}).to_vector<float>();
            CHECK(both == half);
            double worst = 0;
            for (std::size_t i = 0; i < half.size(); ++i) {
                worst = std::max(worst, std::abs(static_cast<double>(half[i]) -
                                                 (static_cast<double>(none[i]) + static_cast<double>(whole[i])) / 2));
            }
            CHECK(worst < 1e-6);
        }
    }
    CHECK(reel::lora_use("a/b.safetensors").scale == 1);
    CHECK(reel::lora_use("a/b.safetensors:0.25").scale == 0.25);
    CHECK(reel::lora_use("a/b.safetensors:-1").file == "a/b.safetensors");
    CHECK(reel::lora_use("C:x.safetensors").file == "C:x.safetensors");
    CHECK(reel::lora_use("x:0.5:1").file == "x:0.5");
    CHECK(contains(message_of<reel::Error>([] { (void)reel::lora_use("x:inf", "--lora"); }), "not a finite number"));
    CHECK(
        contains(message_of<reel::Error>([] { (void)reel::lora_use(":1", "--lora"); }), "expected FILE or FILE:SCALE"));
    CHECK(reel::LoraReport{{"x.safetensors", 0.8}, 264, {}}.text() ==
          "lora x.safetensors: used 264 of 264 tensors, scale 0.8");
}

TEST_CASE("tensors that are of no layer: an error, or with partial left out") {
    const StateDict more = with(with(pair(), "lora_unet_motion.lora_up.weight", random_tensor({2, 2})),
                                "lora_unet_motion.lora_down.weight", random_tensor({2, 2}));
    const std::string message = trouble(more);
    CHECK(contains(message, "\"lora_unet_motion.lora_down.weight\" is of no layer of this model"));
    CHECK(contains(message, "2 of 5 tensors"));
    CHECK(contains(message, "--lora_partial"));
    const reel::LoraFile file = read(more, sd1(), true);
    CHECK(file.adapters.size() == 1);
    CHECK(file.tensors == 5);
    CHECK(file.unused ==
          std::vector<std::string>{"lora_unet_motion.lora_down.weight", "lora_unet_motion.lora_up.weight"});
    check_same(merged(sd1(), file), merged(sd1(), read(pair())));
    const StateDict full = with(pair(), "lora_unet_conv_in.diff", random_tensor({8, 4, 3, 3}));
    CHECK(read(full, sd1(), true).unused.size() == 1);
    // Where nothing is left there is nothing to take.
    CHECK(contains(trouble(pair("lora_unet_x"), sd1(), true), "\"lora_unet_x.alpha\" is of no layer"));
}

TEST_CASE("files of other kinds and other models are refused by their names") {
    const HostTensor x = random_tensor({2, 2});
    for (const auto& [name, what] : std::vector<std::pair<std::string, std::string>>{
             {to_q + ".a1.weight", "GLoRA"},
             {to_q + ".on_input", "IA3"},
             {to_q + ".oft_blocks", "OFT or BOFT"},
             {block + "attn1.to_q.oft_R.weight", "OFT"},
             {"base_model.model." + block + "attn1.to_q.boft_R", "BOFT"},
             {"base_model.model." + block + "attn1.to_q.ia3_l", "IA3"},
             {to_q + ".diff", "whole differences"},
             {to_q + ".w_norm", "norms"},
             {"unet." + block + "attn1.to_q.lora_B.bias", "biases"},
             {"base_model.model.text_model.embeddings.token_embedding.lora_embedding_A", "embedding"}}) {
        CAPTURE(name);
        const std::string message = trouble({{name, x}});
        CHECK(contains(message, "of a kind that reel does not merge: "));
        CHECK(contains(message, what));
        CHECK(contains(message, name));
    }
    for (const auto& [stem, model] : std::vector<std::pair<std::string, std::string>>{
             {"lora_te2_text_model_encoder_layers_0_mlp_fc1", "Stable Diffusion XL"},
             {"lora_unet_input_blocks_4_1_transformer_blocks_1_attn1_to_q", "Stable Diffusion XL"},
             {"unet.down_blocks.1.attentions.0.transformer_blocks.1.attn1.to_q", "Stable Diffusion XL"},
             {"lora_unet_label_emb_0_0", "Stable Diffusion XL"},
             {"lora_unet_double_blocks_0_img_attn_qkv", "FLUX"},
             {"transformer.single_transformer_blocks.0.attn.to_q", "FLUX"},
             {"lora_unet_joint_blocks_0_x_block_attn_qkv", "Stable Diffusion 3"},
             {"transformer.transformer_blocks.0.attn.add_k_proj", "Stable Diffusion 3"},
             {"transformer.transformer_blocks.0.attn.to_q", "a diffusion transformer"},
             {"diffusion_model.blocks.0.self_attn.q", "a diffusion transformer"},
             {"down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.0.to_q",
              "AnimateDiff"}}) {
        CAPTURE(stem);
        CHECK(contains(trouble(pair(stem)), "a LoRA for " + model));
        CHECK(contains(trouble(pair(stem), sd1(), true), "a LoRA for " + model)); // partial or not
    }
}

TEST_CASE("wrong files are told of in one sentence") {
    const StateDict good = pair();
    const std::string down = to_q + ".lora_down.weight";
    const std::string up = to_q + ".lora_up.weight";
    const auto says = [](const std::string& message, std::initializer_list<const char*> parts) {
        for (const char* part : parts) {
            INFO(message, " lacks ", part);
            CHECK(contains(message, part));
        }
    };
    // A missing half, no factors at all.
    says(trouble(without(good, up)), {"lora_up (lora_B)", "is missing"});
    says(trouble(without(good, down)), {"lora_down (lora_A)", "is missing"});
    says(trouble(without(without(good, down), up)), {"no factors, only \"alpha\""});
    // Ranks.
    says(trouble(pair(to_q, {2, 8}, {8, 3})), {"ranks 3 and 2"});
    says(trouble(pair(to_q, {0, 8}, {8, 0})), {"a rank of 0"});
    says(trouble(with(good, down, random_tensor({16}))), {"a factor has shape [16]"});
    // Widths: both are said. Stable Diffusion 2's cross attention has another.
    says(trouble(pair(to_q, {2, 16}, {16, 2})), {"16 values in and 16 out", "has 8 and 8"});
    const std::string to_k = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k";
    says(trouble(pair(to_k, {2, 32})), {"32 values in and 8 out", "has 24 and 8"});
    says(trouble(pair("lora_te_text_model_encoder_layers_0_self_attn_q_proj", {2, 32}, {32, 2})), {"32 values in"});
    const std::string conv = "lora_unet_down_blocks_0_resnets_0_conv1";
    says(trouble(pair(conv, {2, 8, 5, 5}, {8, 2, 1, 1})), {"shape [2, 8, 5, 5]", "[8, 8, 3, 3]"});
    says(trouble(with(pair(conv, {2, 8, 1, 1}, {8, 2, 1, 1}), conv + ".lora_mid.weight", random_tensor({2, 2, 5, 5}))),
         {"a kernel of 5 x 5"});
    says(trouble(with(pair(conv, {2, 8, 1, 1}, {8, 2, 1, 1}), conv + ".lora_mid.weight", random_tensor({3, 2, 3, 3}))),
         {"ranks 3 and 2"});
    // Numbers.
    says(trouble(with(good, to_q + ".alpha", number(std::numeric_limits<float>::quiet_NaN()))), {"alpha\" is nan"});
    says(trouble(with(good, to_q + ".alpha", random_tensor({2}))), {"alpha\" has shape [2]"});
    says(trouble(with(good, up, HostTensor::make<float>({8, 2}, std::vector<float>(16, INFINITY)))), {"holds inf"});
    says(trouble(with(good, up, HostTensor::make<std::int64_t>({8, 2}, std::vector<std::int64_t>(16)))),
         {"expected a floating-point type"});
    // Dialects that do not go together.
    StateDict twice = good;
    for (const auto& [name, tensor] : pair("lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q")) {
        twice.emplace(name, tensor);
    }
    says(trouble(twice), {"two adapters for one layer"});
    says(trouble(with(good, to_q + ".lora_A.weight", random_tensor({2, 8}))), {"a second time under another name"});
    says(trouble(with(good, to_q + ".hada_w1_a", random_tensor({8, 2}))), {"two kinds of adapters"});
    says(trouble(with({{"unet." + block + "attn1.to_q.lora_A.one.weight", random_tensor({2, 8})}},
                      "unet." + block + "attn1.to_q.lora_B.two.weight", random_tensor({8, 2}))),
         {"has two adapters, \"one\" and \"two\""});
    // DoRA, LoHa, LoKr.
    says(trouble(with(good, to_q + ".dora_scale", random_tensor({5, 1}))), {"magnitudes have shape [5, 1]"});
    const StateDict loha{{to_q + ".hada_w1_a", random_tensor({8, 2})},
                         {to_q + ".hada_w1_b", random_tensor({2, 8})},
                         {to_q + ".hada_w2_a", random_tensor({8, 2})},
                         {to_q + ".hada_w2_b", random_tensor({2, 8})}};
    CHECK(read(loha).adapters.size() == 1);
    says(trouble(without(loha, to_q + ".hada_w2_a")), {"\"hada_w2_a\" is missing"});
    says(trouble(with(loha, to_q + ".hada_w2_b", random_tensor({2, 4}))), {"[8, 8] and [8, 4]"});
    says(trouble(with(loha, to_q + ".hada_t1", random_tensor({2, 2, 3, 3}))), {"one of \"hada_t1\" and \"hada_t2\""});
    const StateDict lokr{{to_q + ".lokr_w1", random_tensor({2, 2})}, {to_q + ".lokr_w2", random_tensor({4, 4})}};
    CHECK(read(lokr).adapters.size() == 1);
    says(trouble(without(lokr, to_q + ".lokr_w2")), {"expected either \"lokr_w2\" or"});
    says(trouble(with(lokr, to_q + ".lokr_w1_a", random_tensor({2, 1}))), {"one of \"lokr_w1_a\" and \"lokr_w1_b\""});
    says(trouble(with(lokr, to_q + ".lokr_w2", random_tensor({4, 5}))), {"10 values in and 8 out"});
    says(trouble(with(lokr, to_q + ".lokr_t2", random_tensor({1, 1, 3, 3}))), {"\"lokr_t2\" is there without"});
    // PEFT's names without PEFT's configuration, and configurations that say something else.
    StateDict peft{{"base_model.model." + block + "attn1.to_q.lora_A.weight", random_tensor({2, 8})},
                   {"base_model.model." + block + "attn1.to_q.lora_B.weight", random_tensor({8, 2})}};
    says(trouble(peft), {"adapter_config.json"});
    const auto configured = [&](const nlohmann::json& json) {
        return trouble([&] { (void)read(peft, sd1(), false, {{"lora_adapter_metadata", json.dump()}}); });
    };
    says(configured({{"peft_type", "LOHA"}}), {"is no LOHA"});
    says(configured({{"peft_type", "OFT"}}), {"\"peft_type\"", "LORA, LOHA, LOKR"});
    says(configured({{"bias", "all"}}), {"\"bias\" is \"all\""});
    says(configured({{"alpha_pattern", {{"to_.*", 2}}}}), {"\"to_.*\" is not the end of a module's path"});
    says(configured({1}), {"expected a JSON object"});
    says(trouble([&] { (void)read(peft, sd1(), false, {{"lora_adapter_metadata", "{"}}); }), {"lora_adapter_metadata"});
    // No LoRA.
    says(trouble({{"model.diffusion_model.out.2.weight", random_tensor({4, 8, 3, 3})}}), {"a whole model", "--model"});
    says(trouble({{"conv_in.weight", random_tensor({8, 4, 3, 3})}}), {"a whole model or a part of one", "--model"});
    says(trouble({{"emb_params", random_tensor({2, 24})}}), {"no LoRA is in it", "emb_params"});
    says(trouble(StateDict{}), {"no LoRA is in it"});
}

TEST_CASE("files that cannot be read at all, and folders") {
    const TemporaryFolder folder;
    const auto at = [&](const std::filesystem::path& path) {
        return message_of<reel::Error>([&] { (void)reel::read_lora_file(path, sd1().names); });
    };
    CHECK(contains(at(folder / "none.safetensors"), "no such LoRA file"));
    CHECK(contains(at(folder.path()), "a folder without a LoRA"));
    CHECK(contains(at("golden/sd1_tiny"), "a model's folder, not a LoRA; give it as --model"));
    reel::write_safetensors(folder / "whole.safetensors", pair());
    const std::string bytes = read_text(folder / "whole.safetensors");
    put_text(folder / "cut.safetensors", bytes.substr(0, bytes.size() - 8));
    CHECK(contains(at(folder / "cut.safetensors"), "cut.safetensors"));
    put_text(folder / "text.safetensors", "not a LoRA");
    CHECK(contains(at(folder / "text.safetensors"), "neither a safetensors file nor a PyTorch checkpoint"));
    // A PyTorch file does as well.
    reel::write_torch_checkpoint(folder / "lora.pt", reel::tensor_sources(pair()));
    check_same(merged(sd1(), folder / "lora.pt"), merged(sd1(), folder / "whole.safetensors"));
    // An adapter_config.json beside a file of another dialect says nothing of it.
    reel::write_json(folder / "adapter_config.json", {{"peft_type", "LORA"}, {"lora_alpha", 100}});
    check_same(merged(sd1(), folder / "whole.safetensors"), merged(sd1(), read(pair())));
}
