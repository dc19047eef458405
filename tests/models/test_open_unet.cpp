// A UNet that was opened: processors, LoRAs, exchanged parts. The same whole, in pieces, recorded and checkpointed.
#include <doctest/doctest.h>

#include <deque>

#include <reel/models/from_pretrained.hpp>
#include <reel/models/latent_shape.hpp>

#include "io/temporary_folder.hpp"
#include "models/golden_models.hpp"
#include "nn/exchanged_parts.hpp"

using namespace reel;
using namespace exchanged;

namespace {

constexpr index_t frames = 3;

UNetConfig small_config() {
    UNetConfig config;
    config.block_out_channels = {16, 32};
    config.down_block_attention = {true, false};
    config.up_block_attention = {false, true};
    config.heads = {2, 2};
    config.norm_num_groups = 4;
    config.cross_attention_dim = 12;
    config.layers_per_block = 1;
    return config;
}

template <class T, class Parts = DefaultParts>
UNet3DConditionModel<T, Cpu, Parts> small_unet(Cpu& cpu) {
    UNet3DConditionModel<T, Cpu, Parts> unet(small_config());
    initialize(unet, cpu, 2);
    return unet;
}

template <class T>
double bound() {
    return sizeof(T) == 8 ? 1e-11 : (sizeof(T) == 4 ? 2e-4 : 0.3);
}

/// Predictions whole and in pieces, recorded and checkpointed; and the gradients of what trains.
template <class T, class UNet>
void check_same(Cpu& cpu, UNet& unet, double limit) {
    const auto x = randoms<T>(cpu, {2 * frames, 8, 8, 4}, 1);
    const auto text = randoms<T>(cpu, {2, 7, 12}, 2);
    cpu.piece_bytes = never;
    const auto whole = unet(x, 981, text, frames);
    std::vector<Tensor<T>> expected;
    for (const auto mode : {std::optional<CheckpointMode>(), std::optional(CheckpointMode::exact)}) {
        unet.gradient_checkpointing = mode;
        for (const std::size_t bytes : {never, tiny}) {
            cpu.piece_bytes = bytes;
            CHECK(difference(whole, unet(x, 981, text, frames)) < limit);
            const auto leaf = Variable<T>::leaf(x);
            const auto y = unet(leaf, 981, Variable<T>(text), frames);
            CHECK(difference(whole, y.value()) < limit);
            backward(y, x);
            std::vector<Tensor<T>> gradients{leaf.grad()};
            for_each_parameter(unet, [&](const std::string&, const auto& parameter) {
                if (parameter.requires_grad() && parameter.grad().defined()) {
                    gradients.push_back(parameter.grad());
                }
            });
            zero_grad(unet);
            if (expected.empty()) {
                expected = gradients;
            }
            REQUIRE(gradients.size() == expected.size());
            for (std::size_t i = 0; i < gradients.size(); ++i) {
                CHECK(difference(gradients[i], expected[i]) < 100 * limit);
            }
        }
    }
    unet.gradient_checkpointing = std::nullopt;
    cpu.piece_bytes = never;
}

/// A LoRA on every projection of every attention.
template <class T>
struct Lora {
    struct Layer {
        std::string name;
        Parameter<T> down;
        Parameter<T> up;
    };
    std::deque<Layer> layers;

    static void members(auto& self, const auto& visit) {
        for (auto& layer : self.layers) {
            visit((layer.name + ".lora_down").c_str(), layer.down);
            visit((layer.name + ".lora_up").c_str(), layer.up);
        }
    }

    Lora(UNet3DConditionModel<T>& unet, index_t rank) {
        for_each_module<Linear<T>>(unet, [&](const std::string& name, Linear<T>& layer) {
            if (name.find("attn") != std::string::npos) {
                const Shape shape = layer.weight.spec().shape;
                layers.push_back({name, Parameter<T>({.shape = {rank, shape[1]}, .init = ParameterInit::normal}),
                                  Parameter<T>({.shape = {shape[0], rank}})});
                layer.weight.derive(
                    [](const auto& w, const auto& down, const auto& up) { return w + matmul(up, down); }, layer.weight,
                    layers.back().down, layers.back().up);
            }
        });
    }
};

} // namespace

TEST_CASE_TEMPLATE("processors, LoRAs and exchanged parts: the same whole, in pieces, recorded, checkpointed", T, float,
                   double, bfloat16) {
    Cpu cpu(2);
    SUBCASE("a processor") {
        auto unet = small_unet<T>(cpu);
        set_attn_processor(unet, "attn2", [](const auto& attention) {
            return attention.attend_with(attention.probabilities()) * 0.5;
        });
        set_attn_processor(
            unet, "attn1", [](const auto& attention) { return attention.attend() * 2.0; }, Couples::nothing);
        set_trainable_modules(unet, {"attn2.to_k", "attn1.to_q"});
        check_same<T>(cpu, unet, bound<T>());
    }
    SUBCASE("a LoRA") {
        auto unet = small_unet<T>(cpu);
        Lora<T> lora(unet, 2);
        initialize(lora, cpu, 4);
        for (auto& layer : lora.layers) {
            initialize(layer.down, cpu, "up" + layer.name, 1);
            layer.up.set(scale(randoms<T>(cpu, layer.up.spec().shape, 3), static_cast<compute_t<T>>(0.1)));
        }
        check_same<T>(cpu, unet, bound<T>());
    }
    if constexpr (std::same_as<T, double>) { // the others: tests/nn
        SUBCASE("exchanged parts") {
            auto unet = small_unet<T, AllParts>(cpu);
            set_trainable_modules(unet, {"attn2", "conv_temp"});
            check_same<T>(cpu, unet, bound<T>());
        }
    }
}

TEST_CASE("a LoRA trains alone and is saved alone") {
    Cpu cpu(1);
    auto unet = small_unet<double>(cpu);
    const auto x = randoms<double>(cpu, {2 * frames, 8, 8, 4}, 1);
    const auto text = randoms<double>(cpu, {2, 7, 12}, 2);
    const auto before = unet(x, 981, text, frames);
    Lora<double> lora(unet, 2);
    initialize(lora, cpu, 4);
    CHECK(lora.layers.size() == 4 * 3 * 4);                     // projections, attentions, transformers
    CHECK(difference(before, unet(x, 981, text, frames)) == 0); // up is zero
    for_each_parameter(lora, [](const std::string&, auto& parameter) { parameter.train(true); });
    CHECK(trains(unet));
    for (const auto mode : {std::optional<CheckpointMode>(), std::optional(CheckpointMode::exact)}) {
        unet.gradient_checkpointing = mode;
        backward(unet(Variable<double>(x), 981, Variable<double>(text), frames), x);
        std::size_t reached = 0;
        for_each_parameter(lora, [&](const std::string& name, const auto& parameter) {
            reached += parameter.grad().defined() && squared_norm(parameter.grad()) > 0 && name.ends_with("up") ? 1 : 0;
        });
        CHECK(reached == lora.layers.size());
        zero_grad(lora);
    }
    for_each_parameter(unet, [](const std::string&, const auto& parameter) { CHECK_FALSE(parameter.requires_grad()); });
    const auto sources = parameter_sources(lora);
    CHECK(sources.size() == 2 * lora.layers.size());
    CHECK(sources.front().name == "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_down");
    // The UNet's own file has what came of it.
    lora.layers.front().up.value().fill(0.5);
    const auto& weight = unet.down_blocks[0].attentions[0].transformer_blocks[0].attn1.to_q.weight;
    for (const auto& source : parameter_sources(unet, DType::f64)) {
        if (source.name == "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight") {
            CHECK(source.load().to_vector<double>() == weight.value().to_host());
        }
    }
    CHECK_THROWS_WITH_AS(set_trainable_modules(unet, {"attn1.to_q"}),
                         "Parameter::train: it is derived from others; train those, or settle() it first", Error);
}

TEST_CASE("names of layers are those of the state dict") {
    Cpu cpu(1);
    auto unet = small_unet<float>(cpu);
    std::vector<std::string> names;
    const auto keep = [&](const LayerAttention<Tensor<float>>& attention) {
        names.push_back(attention.name);
        return attention.attend();
    };
    CHECK(set_attn_processor(unet, "mid_block.attentions.0.transformer_blocks.0.attn2", keep) == 1);
    CHECK(set_attn_processor(
              unet, [](const std::string& name) { return name.starts_with("up_") && name.ends_with("attn_temp"); },
              keep) == 2);
    static_cast<void>(unet(randoms<float>(cpu, {frames, 8, 8, 4}, 1), 5, randoms<float>(cpu, {1, 7, 12}, 2), frames));
    CHECK(names == std::vector<std::string>{"mid_block.attentions.0.transformer_blocks.0.attn2",
                                            "up_blocks.1.attentions.0.transformer_blocks.0.attn_temp",
                                            "up_blocks.1.attentions.1.transformer_blocks.0.attn_temp"});
}

TEST_CASE("a timestep may be a number, numbers of any kind, one for all clips or one each") {
    Cpu cpu(1);
    const auto unet = small_unet<float>(cpu);
    const auto x = randoms<float>(cpu, {2 * frames, 8, 8, 4}, 1);
    const auto text = randoms<float>(cpu, {2, 7, 12}, 2);
    const auto expected = unet(x, std::vector<double>{981, 981}, text, frames).to_host();
    CHECK(unet(x, 981, text, frames).to_host() == expected);
    CHECK(unet(x, 981.0, text, frames).to_host() == expected);
    CHECK(unet(x, std::vector<index_t>{981}, text, frames).to_host() == expected);
    CHECK(unet(x, std::array{981.0F, 981.0F}, text, frames).to_host() == expected);
    CHECK(unet(x, 5, text, frames).to_host() != expected);
}

TEST_CASE("a folder is loaded with parts of one's own: theirs start fresh, what they replace is left out") {
    Cpu cpu(1);
    const std::filesystem::path folder = reel_test::model_folder("sd1", "unet");
    const auto plain = load_unet<float>(cpu, folder, 7);
    auto own = load_unet<float, AllParts>(cpu, folder, 7);
    const auto& theirs = own.down_blocks[0].attentions[0].transformer_blocks[0];
    const auto& ours = plain.down_blocks[0].attentions[0].transformer_blocks[0];
    CHECK(theirs.attn1.to_q.weight.value().to_host() == ours.attn1.to_q.weight.value().to_host());
    CHECK(theirs.temporal->conv.weight.defined());
    CHECK(theirs.ff.expand.down.defined());
    const reel_test::TemporaryFolder scratch;
    save_unet(own, scratch / "own");
    const auto again = load_unet<float, AllParts>(cpu, scratch / "own", 8); // nothing is fresh
    const auto x = randoms<float>(cpu, {frames, 8, 8, 4}, 1);
    const auto text = randoms<float>(cpu, {1, 7, own.config.cross_attention_dim}, 2);
    CHECK(difference(own(x, 5, text, frames), again(x, 5, text, frames)) == 0);
    CHECK_THROWS_AS(static_cast<void>(load_unet<float>(cpu, scratch / "own")), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(load_unet<float, LoraParts>(cpu, scratch / "own")),
                         doctest::Contains("is not part of the model"), Error);
}

TEST_CASE("the latents' shape follows from the autoencoder") {
    AutoencoderKLConfig config;
    CHECK(latent_shape(config, 8, 64, 96) == Shape{8, 8, 12, 4});
    config.block_out_channels = {8, 16};
    config.latent_channels = 6;
    CHECK(latent_shape(AutoencoderKL<float>(config), 2, 64, 96) == Shape{2, 32, 48, 6});
    CHECK_THROWS_WITH_AS(static_cast<void>(latent_shape(config, 2, 63, 96)),
                         "latent_shape: 2 frames of 63 x 96 pixels; expected multiples of 2", Error);
}
