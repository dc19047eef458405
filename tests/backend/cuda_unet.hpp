#pragma once
// The whole UNet and a tuning step on the backend Cuda against the same on Cpu.

#include <map>

#include <reel/autograd/losses.hpp>
#include <reel/optim/adamw.hpp>
#include <reel/optim/grad_clip.hpp>

#include "backend/cuda_models.hpp"

namespace cuda_test {

template <class T>
void check_forward(double limit) {
    reel::Cpu cpu(1);
    Cuda cuda;
    {
        const auto expected = UNetRun<T, reel::Cpu>(cpu).predict(small_unet<T>(cpu)).to_host();
        const auto predicted = [&] {
            const UNetRun<T, Cuda> run(cuda);
            const auto unet = small_unet<T>(cuda);
            const std::size_t before = cuda.memory().statistics().in_use;
            cuda.memory().reset_peak();
            const auto values = run.predict(unet).to_host();
            return std::pair{values, cuda.memory().statistics().peak - before};
        };
        const auto [found, bytes] = predicted();
        const double error = near::relative_error(found, expected);
        MESSAGE("whole UNet, Cuda against Cpu: ", error, ", bound ", limit);
        CHECK(error < limit);

        cuda.piece_bytes = 1 << 12; // as for a long clip
        const auto [in_pieces, bytes_in_pieces] = predicted();
        CHECK(bytes_in_pieces < bytes);
        CHECK(near::relative_error(in_pieces, expected) < limit);
    }
    CHECK(cuda.memory().statistics().in_use == 0);
}

TEST_CASE("the whole UNet on Cuda gives what it gives on Cpu") {
    check_forward<float>(1e-4);
#ifndef __CUDACC__ // nvcc takes its time for every instance
    check_forward<double>(1e-12);
#endif
}

/// What a step of tuning leaves behind.
struct Step {
    double loss = 0;
    double norm = 0;
    std::map<std::string, std::vector<double>> gradients;
    std::map<std::string, std::vector<double>> weights;
};

template <class T, class B>
Step tuning_step(B& backend, std::optional<reel::CheckpointMode> mode) {
    Step step;
    auto unet = small_unet<T>(backend);
    static_cast<void>(reel::set_trainable_modules(unet, {"attn1.to_q", "attn2.to_q", "attn_temp"}));
    unet.gradient_checkpointing = mode;
    const UNetRun<T, B> run(backend);
    const auto target = numbers<T>(backend, run.sample.shape(), 3);
    const auto loss = reel::mse_loss(
        unet(Variable<T, B>(run.sample), std::span<const double>(run.timesteps), Variable<T, B>(run.text), run.frames),
        target);
    reel::backward(loss);
    step.loss = static_cast<double>(loss.value().to_host()[0]);
    std::vector<reel::NamedParameter<T, B>> parameters;
    const auto host = [](const Tensor<T, B>& tensor) {
        const auto values = tensor.to_host();
        return std::vector<double>(values.begin(), values.end());
    };
    reel::for_each_parameter(unet, [&](const std::string& name, const auto& parameter) {
        if (parameter.requires_grad()) {
            parameters.push_back({name, parameter.value(), parameter.grad()});
            if (parameter.grad().defined()) {
                step.gradients[name] = host(parameter.grad());
            }
        }
    });
    step.norm = reel::clip_grad_norm_(parameters, 1.0);
    reel::AdamW<T, B> optimizer({.learning_rate = 1e-3});
    optimizer.step(parameters);
    for (const auto& parameter : parameters) {
        step.weights[parameter.name] = host(parameter.value);
    }
    return step;
}

template <class T>
void check_tuning(double limit, std::optional<reel::CheckpointMode> mode) {
    reel::Cpu cpu(1);
    Cuda cuda;
    const Step expected = tuning_step<T>(cpu, mode);
    const Step found = tuning_step<T>(cuda, mode);
    CHECK(cuda.memory().statistics().in_use == 0);
    CHECK(std::abs(found.loss - expected.loss) < limit * expected.loss);
    CHECK(std::abs(found.norm - expected.norm) < limit * expected.norm);
    REQUIRE(found.gradients.size() == expected.gradients.size());
    REQUIRE(found.gradients.size() > 20);
    double worst = 0;
    for (const auto& [name, gradient] : expected.gradients) {
        CAPTURE(name);
        const double error = near::relative_error(found.gradients.at(name), gradient);
        worst = std::max(worst, error);
        CHECK(error < limit);
        // Adam's first step is the gradient's sign: where a gradient is almost nothing, the two may differ by 2 lr.
        CHECK(near::relative_error(found.weights.at(name), expected.weights.at(name)) < 1e-2);
    }
    MESSAGE("tuning step, Cuda against Cpu: ", worst, ", bound ", limit);
}

TEST_CASE("a tuning step on Cuda gives what it gives on Cpu") {
#ifdef __CUDACC__
    check_tuning<float>(1e-3, std::nullopt);
    check_tuning<float>(1e-3, reel::CheckpointMode::exact);
#else // the stand-in is slow, and shows no other rounding than the processor's
    check_tuning<double>(1e-10, reel::CheckpointMode::exact);
#endif
}

} // namespace cuda_test
