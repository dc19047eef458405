#pragma once
// Tuning as LoRA against PEFT in PyTorch, for both scalar types: each is compiled in a file of its own.

#include "unet_gradients.hpp"

#include <reel/nn/train_low_rank.hpp>

namespace reel_test {

inline const std::vector<std::string> attention_modules{"attn1", "attn2", "attn_temp"};

/// A UNet with factors as golden/lora_tuning_MODEL's PyTorch has them.
template <class T>
struct LoraCase {
    Golden golden;
    Golden inputs;
    UNet3DConditionModel<T> unet;
    Tensor<T> latents, text, noise; ///< noise [steps, frames, h, w, channels]
    std::vector<double> timesteps;
    std::string model;

    /// `zero`: B is zero, as LoRA begins.
    LoraCase(Cpu& cpu, const std::string& name, bool zero)
        : golden("lora_tuning_" + name), inputs("adamw_" + name), unet(golden_unet<T>(cpu, name)),
          latents(inputs.clip<T>(cpu, "latents")), text(inputs.tensor<T>(cpu, "encoder_hidden_states")),
          timesteps(inputs.values("timesteps")), model(name) {
        const auto stored = inputs.tensor<T>(cpu, "noise"); // [steps, 1, C, F, H, W]
        noise = reel::permute(stored, {0, 1, 3, 4, 5, 2})
                    .reshape(Shape{stored.shape(0) * latents.shape(0), latents.shape(1), latents.shape(2),
                                   latents.shape(3)});
        const reel::index_t count = reel::train_low_rank<T>(unet, cpu, {attention_modules, 2, 7});
        reel::index_t given = 0;
        for_each_factor([&](const std::string& factor, auto& parameter) {
            const reel::HostTensor& start = golden.at("start." + factor);
            given += static_cast<reel::index_t>(start.element_count());
            parameter.set(zero && factor.ends_with("lora_B.weight")
                              ? Tensor<T>::zeros(cpu, parameter.spec().shape)
                              : reel::tensor_from_file<T>(start, parameter.spec(), cpu, factor, "golden"));
        });
        CHECK(count == given);
    }

    void for_each_factor(const auto& visit) {
        reel::for_each_parameter(unet, [&](const std::string& name, auto& parameter) {
            CHECK(parameter.requires_grad() == reel::is_low_rank_parameter(name));
            if (parameter.requires_grad()) {
                visit(name, parameter);
            }
        });
    }

    /// Leaves the gradients of step i in the factors, and returns its loss.
    double backward(index_t i) {
        const reel::NoiseSchedule schedule(
            {.beta_start = 0.00085, .beta_end = 0.012, .beta_schedule = reel::BetaSchedule::scaled_linear});
        const index_t frames = latents.shape(0);
        const Tensor<T> own = noise.slice(i * frames, (i + 1) * frames);
        const double t = timesteps[static_cast<std::size_t>(i)];
        const double alpha = schedule.alpha_bar(static_cast<index_t>(t));
        const T signal = static_cast<T>(std::sqrt(alpha));
        const T spread = static_cast<T>(std::sqrt(1 - alpha));
        const Tensor<T> noisy = reel::axpby(signal, latents, spread, own);
        const Tensor<T> target = model == "sd2" ? reel::axpby(signal, own, T(-spread), latents) : own;
        const auto loss = reel::mse_loss(unet(Variable<T>(noisy), std::vector{t}, Variable<T>(text), frames), target);
        reel::backward(loss);
        return static_cast<double>(loss.value().to_host()[0]);
    }
};

/// Gradients of A and B where neither is zero, with checkpointing and without.
template <class T>
void check_lora_gradients(double bound) {
    Cpu cpu(1);
    Agreement agreement("gradients of factors, " + scalar_name<T>(), bound);
    for (const std::optional<CheckpointMode> mode :
         {std::optional<CheckpointMode>{}, std::optional(CheckpointMode::exact)}) {
        LoraCase<T> c(cpu, "sd1", false);
        c.unet.gradient_checkpointing = mode;
        c.backward(0);
        std::size_t compared = 0;
        c.for_each_factor([&](const std::string& name, const auto& parameter) {
            agreement.check(name + " " + name_of_mode(mode),
                            relative_error(gradient_values(parameter), c.golden.values("grad." + name)));
            ++compared;
        });
        CHECK(compared == 240);
    }
}

/// Five steps from B zero, by AdamW: losses, norms of the gradients, and the factors that come of it.
template <class T>
void check_lora_steps(double bound) {
    Cpu cpu(1);
    const nlohmann::json options = reel::read_json("golden/adamw.json");
    Agreement losses("LoRA losses and norms, " + scalar_name<T>(), bound);
    Agreement factors("LoRA factors, " + scalar_name<T>(), bound);
    for (const std::string model : {"sd1", "sd2"}) {
        LoraCase<T> c(cpu, model, true);
        c.unet.gradient_checkpointing = CheckpointMode::exact;
        reel::AdamW<T> optimizer({.learning_rate = options["learning_rate"],
                                  .beta1 = options["adam_beta1"],
                                  .beta2 = options["adam_beta2"],
                                  .epsilon = options["adam_epsilon"],
                                  .weight_decay = options["adam_weight_decay"]});
        std::vector<double> found;
        std::vector<double> norms;
        for (index_t step = 0; step < 5; ++step) {
            found.push_back(c.backward(step));
            std::vector<reel::NamedParameter<T>> parameters;
            c.for_each_factor([&](const std::string& name, const auto& parameter) {
                parameters.push_back({name, parameter.value(), parameter.grad()});
            });
            norms.push_back(reel::clip_grad_norm_(parameters, options["max_grad_norm"].get<double>()));
            optimizer.step(parameters);
            reel::zero_grad(c.unet);
        }
        losses.check(model + " loss", relative_error(found, c.golden.values("loss")));
        losses.check(model + " norm", relative_error(norms, c.golden.values("grad_norm")));
        if (model == "sd1") {
            c.for_each_factor([&](const std::string& name, const auto& parameter) {
                factors.check(name, relative_error(numbers(reel::to_file_tensor(parameter.value(), parameter.spec(),
                                                                                reel::DType::f64)),
                                                   c.golden.values("trained." + name)));
            });
        }
    }
}

} // namespace reel_test
