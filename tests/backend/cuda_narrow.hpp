#pragma once
// The UNet and the tuner with 16-bit weights and activations on the backend Cuda, against float32 on Cpu.

#include <map>

#include <reel/pipelines/tune.hpp>

#include "backend/cuda_models.hpp"

namespace cuda_test {

template <class T>
void check_narrow_forward() {
    reel::Cpu cpu(1);
    Cuda cuda;
    {
        constexpr Digits digits = Digits::of_bfloat16;
        const auto expected = UNetRun<float, reel::Cpu>(cpu, digits).predict(small_unet<float>(cpu, digits)).to_host();
        const auto found = UNetRun<T, Cuda>(cuda, digits).predict(small_unet<T>(cuda, digits)).to_host();
        const double error = near::relative_error(found, expected);
        MESSAGE("whole UNet in ", reel::name_of(reel::dtype_of<T>()), ", Cuda against float32 on Cpu: ", error,
                ", bound 0.02");
        CHECK(error < 2e-2);
        CHECK(error > 1e-5); // 16 bits it was
    }
    CHECK(cuda.memory().statistics().in_use == 0);
}

TEST_CASE("the whole UNet in 16 bits on Cuda is near float32 on Cpu") {
    SUBCASE("bfloat16") {
        check_narrow_forward<reel::bfloat16>();
    }
    SUBCASE("half") {
        check_narrow_forward<reel::half>();
    }
}

template <class T, class B>
std::map<std::string, std::vector<double>> tuned(B& backend, reel::TuneReport& report) {
    using C = reel::compute_t<T>;
    auto unet = small_unet<T>(backend, Digits::of_bfloat16);
    static_cast<void>(reel::set_trainable_modules(unet, {"attn1.to_q", "attn2.to_q", "attn_temp"}));
    unet.gradient_checkpointing = reel::CheckpointMode::exact;
    constexpr index_t frames = 2;
    const reel::DDPMScheduler scheduler(reel::DDPMConfig{});
    reel::Tuner<T, B> tuner(unet, scheduler, numbers<C>(backend, {frames, 8, 8, 8}, 5),
                            numbers<T>(backend, {1, 7, 24}, 6, Digits::of_bfloat16), 0.18215, {.learning_rate = 1e-3});
    report = tuner.update(
        [&](index_t draw) { return reel::training_noise<C>(backend, tuner.latent_shape(), 33, draw, 1000); });
    std::map<std::string, std::vector<double>> weights;
    reel::for_each_parameter(unet, [&](const std::string& name, const auto& parameter) {
        if (parameter.requires_grad()) {
            for (const auto value : parameter.value().to_host()) {
                weights[name].push_back(static_cast<double>(value));
            }
        }
    });
    return weights;
}

TEST_CASE("a step of the tuner in bfloat16 on Cuda is near float32 on Cpu") {
    reel::Cpu cpu(1);
    Cuda cuda;
    reel::TuneReport expected;
    reel::TuneReport found;
    const auto expected_weights = tuned<float>(cpu, expected);
    const auto found_weights = tuned<reel::bfloat16>(cuda, found);
    CHECK(cuda.memory().statistics().in_use == 0);
    CHECK(found.step == 1);
    MESSAGE("a tuner's step in bfloat16: loss ", found.loss, " for ", expected.loss, ", norm ", found.grad_norm,
            " for ", expected.grad_norm);
    CHECK(std::abs(found.loss - expected.loss) < 2e-2 * expected.loss);
    CHECK(std::abs(found.grad_norm - expected.grad_norm) < 5e-2 * expected.grad_norm);
    REQUIRE(found_weights.size() == expected_weights.size());
    for (const auto& [name, weights] : expected_weights) {
        CAPTURE(name);
        CHECK(near::relative_error(found_weights.at(name), weights) < 2e-2);
    }
}

} // namespace cuda_test
