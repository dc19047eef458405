#include "lora_tuning.hpp"

using namespace reel_test;

TEST_CASE("gradients of a LoRA's factors agree with PEFT's, float") {
    check_lora_gradients<float>(2e-4); // small ones among them, of which PyTorch in float has 4e-5
}

TEST_CASE("five AdamW steps of a LoRA agree with PEFT's, float") {
    check_lora_steps<float>(1e-4);
}

TEST_CASE("what trains of Stable Diffusion 1.5, and what AdamW keeps of it: docs/lora.md has these numbers") {
    Cpu cpu(1);
    reel::UNet3DConditionModel<float> unet({.cross_attention_dim = 768});
    const auto full = reel::set_trainable_modules(unet, usual_modules);
    CHECK(full == 74354880);
    CHECK(reel::train_low_rank<float>(unet, cpu, {attention_modules, 4, 1}) == 1196544);
    CHECK(reel::train_low_rank<float>(unet, cpu, {{"attn1", "attn2"}, 4, 1}) == 797184);
    reel::AdamW<float> optimizer(reel::AdamWOptions{});
    std::vector<reel::NamedParameter<float>> parameters;
    reel::for_each_parameter(unet, [&](const std::string& name, const auto& parameter) {
        if (parameter.requires_grad()) {
            parameters.push_back({name, parameter.value(), Tensor<float>::zeros(cpu, parameter.spec().shape)});
        }
    });
    const std::size_t before = cpu.memory().statistics().in_use;
    optimizer.step(parameters);
    CHECK(static_cast<double>(cpu.memory().statistics().in_use - before) ==
          doctest::Approx(8.0 * 797184).epsilon(0.05));
}
