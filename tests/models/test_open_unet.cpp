// A UNet that was opened at run time: processors, LoRAs.
#include <deque>

#include <reel/models/state_dict.hpp>

#include "models/open_unet.hpp"

using namespace open_unet;

namespace {

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

TEST_CASE_TEMPLATE("processors and LoRAs: the same whole, in pieces, recorded, checkpointed", T, float, double) {
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
