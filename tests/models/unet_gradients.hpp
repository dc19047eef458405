#pragma once
// Gradients and training of the inflated UNet, for both scalar types: each is compiled in a file of its own.

#include "unet_parity.hpp"

#include <reel/autograd/functions.hpp>
#include <reel/core/random.hpp>
#include <reel/optim/adamw.hpp>
#include <reel/optim/grad_clip.hpp>
#include <reel/schedulers/schedule/noise_schedule.hpp>

namespace reel_test {

inline const std::vector<std::string> usual_modules{"attn1.to_q", "attn2.to_q", "attn_temp"};

/// A parameter's gradient, in the file's layout.
template <class T>
std::vector<double> gradient_values(const reel::Parameter<T>& parameter) {
    return numbers(reel::to_file_tensor(parameter.grad(), parameter.spec(), reel::DType::f64));
}

template <class T>
struct GradientCase {
    Golden golden;
    UNet3DConditionModel<T> unet;
    UNetInputs<T> in;
    Tensor<T> target;

    GradientCase(Cpu& cpu, const std::string& model)
        : golden("unet_gradients_" + model), unet(golden_unet<T>(cpu, model)), in(cpu, golden, ""),
          target(golden.clip<T>(cpu, "target")) {
        static_cast<void>(reel::set_trainable_modules(unet, usual_modules));
    }

    /// Leaves fresh gradients in the parameters and returns the loss.
    double run(std::optional<CheckpointMode> mode) {
        unet.gradient_checkpointing = mode;
        reel::zero_grad(unet);
        const Variable<T> loss = reel::mse_loss(in.record(unet), target);
        reel::backward(loss);
        return static_cast<double>(loss.value().to_host()[0]);
    }

    /// By name; parameters without a gradient are left out.
    [[nodiscard]] std::map<std::string, std::vector<double>> gradients() const {
        std::map<std::string, std::vector<double>> result;
        reel::for_each_parameter(unet, [&](const std::string& name, const auto& parameter) {
            if (parameter.grad().defined()) {
                result.emplace(name, gradient_values(parameter));
            }
        });
        return result;
    }
};

inline std::string name_of_mode(std::optional<CheckpointMode> mode) {
    return !mode ? "not checkpointed" : *mode == CheckpointMode::exact ? "exact" : "inputs_only";
}

/// Gradients of everything that trains, in each mode; the reference's mode leaves out exactly what the reference does.
template <class T>
void check_gradients(double bound) {
    Cpu cpu(1);
    const nlohmann::json without = reel::read_json("golden/unet_gradients.json")["without_gradient_when_reentrant"];
    Agreement gradients("gradients, " + scalar_name<T>(), bound);
    Agreement losses("losses, " + scalar_name<T>(), bound);
    Agreement modes("checkpointed against not, " + scalar_name<T>(), 256 * std::numeric_limits<T>::epsilon());
    for (const std::string model : {"sd1", "sd2"}) {
        GradientCase<T> c(cpu, model);
        std::map<std::string, std::vector<double>> plain;
        std::size_t plain_peak = 0;
        for (const std::optional<CheckpointMode> mode :
             {std::optional<CheckpointMode>{}, std::optional(CheckpointMode::exact),
              std::optional(CheckpointMode::inputs_only)}) {
            CAPTURE(model);
            CAPTURE(name_of_mode(mode));
            reel::zero_grad(c.unet);
            cpu.memory().reset_peak();
            const double loss = c.run(mode);
            const std::size_t peak = cpu.memory().statistics().peak;
            losses.check(model + " " + name_of_mode(mode), relative_error(std::vector{loss}, c.golden.values("loss")));
            const auto found = c.gradients();
            const auto compare = [&](const auto& gradients_of_mode) {
                for (const auto& [name, values] : gradients_of_mode) {
                    // Not bit for bit: where a value is used twice, its gradient's parts are added in another order.
                    modes.check(name + " " + name_of_mode(mode), relative_error(values, plain.at(name)));
                }
            };
            std::vector<std::string> missing;
            for (const auto& [key, expected] : c.golden.tensors()) {
                if (!key.starts_with("grad.")) {
                    continue;
                }
                const std::string name = key.substr(5);
                if (const auto gradient = found.find(name); gradient != found.end()) {
                    gradients.check(name, relative_error(gradient->second, numbers(expected)));
                } else {
                    missing.push_back(name);
                }
            }
            CHECK(found.size() + missing.size() == c.golden.tensors().size() - 5); // nothing but what trains
            if (mode == CheckpointMode::inputs_only) {
                auto expected = without[model].get<std::vector<std::string>>();
                std::sort(expected.begin(), expected.end());
                CHECK(missing == expected);
                CHECK(found.size() < plain.size());
                compare(found);
            } else {
                CHECK(missing.empty());
                if (mode) {
                    CHECK(found.size() == plain.size());
                    compare(found);
                    CHECK(peak < plain_peak);
                } else {
                    plain = found;
                    plain_peak = peak;
                }
            }
        }
    }
}

/// Everything trains, inputs included.
template <class T>
void check_all_gradients(double bound) {
    Cpu cpu(1);
    const Golden golden("unet_gradients_sd1_others");
    Agreement agreement("gradients of everything, " + scalar_name<T>(), bound);
    GradientCase<T> c(cpu, "sd1");
    reel::for_each_parameter(c.unet, [](const std::string&, auto& parameter) { parameter.train(true); });
    for (const std::optional<CheckpointMode> mode :
         {std::optional<CheckpointMode>{}, std::optional(CheckpointMode::exact),
          std::optional(CheckpointMode::inputs_only)}) {
        c.unet.gradient_checkpointing = mode;
        reel::zero_grad(c.unet);
        const auto sample = Variable<T>::leaf(c.in.sample);
        const auto text = Variable<T>::leaf(c.in.text);
        reel::backward(reel::mse_loss(c.unet(sample, c.in.timesteps, text, c.in.frames), c.target));
        auto found = c.gradients();
        const auto sample_gradient = clip_order(sample.grad(), c.in.frames).to_host();
        const auto text_gradient = text.grad().to_host();
        found["input.sample"] = {sample_gradient.begin(), sample_gradient.end()};
        found["input.encoder_hidden_states"] = {text_gradient.begin(), text_gradient.end()};
        for (const auto& [key, expected] : golden.tensors()) {
            const std::string name = key.substr(5);
            CAPTURE(name);
            REQUIRE(found.contains(name));
            agreement.check(name + " " + name_of_mode(mode), relative_error(found.at(name), numbers(expected)));
        }
        std::size_t parameters = 0;
        reel::for_each_parameter(c.unet, [&](const std::string&, const auto&) { ++parameters; });
        CHECK(found.size() == parameters + 2);
    }
}

/// Central differences along one random direction through all trained parameters, and along single coordinates.
inline void check_finite_differences(const std::string& model) {
    Cpu cpu(1);
    GradientCase<double> c(cpu, model);
    static_cast<void>(c.run(std::nullopt));
    struct Direction {
        std::string name;
        std::map<std::string, Tensor<double>> steps;
        double slope = 0;
    };
    std::vector<Direction> directions(1);
    directions[0].name = "all";
    std::uint64_t stream = 0;
    reel::for_each_parameter(c.unet, [&](const std::string& name, const auto& parameter) {
        if (!parameter.requires_grad()) {
            return;
        }
        ++stream;
        Tensor<double> step(cpu, parameter.spec().shape);
        reel::fill_normal(cpu, step, 7, stream);
        const auto gradient = parameter.grad().to_host();
        const auto values = step.to_host();
        for (std::size_t i = 0; i < values.size(); ++i) {
            directions[0].slope += values[i] * gradient[i];
        }
        directions[0].steps.emplace(name, step);
        if (stream % 5 == 0) {
            const auto at =
                static_cast<std::size_t>(reel::Philox(8, stream).below(0, static_cast<std::uint32_t>(gradient.size())));
            auto single = Tensor<double>::zeros(cpu, parameter.spec().shape);
            single.data()[at] = 1;
            directions.push_back({name + "[" + std::to_string(at) + "]", {{name, single}}, gradient[at]});
        }
    });
    const auto loss_at = [&](const Direction& direction, double distance) {
        auto moved = c.unet;
        reel::for_each_parameter(moved, [&](const std::string& name, auto& parameter) {
            if (const auto step = direction.steps.find(name); step != direction.steps.end()) {
                parameter.set(reel::axpby(1.0, parameter.value(), distance, step->second));
            }
        });
        return reel::mse(c.in.run(moved), c.target);
    };
    double largest = 0;
    for (const Direction& direction : directions) {
        largest = std::max(largest, std::abs(direction.slope));
    }
    Agreement agreement("finite differences, " + model, 1e-6);
    CHECK(directions.size() > 10);
    for (const Direction& direction : directions) {
        // Of fourth order in h: 4/3 of the difference at h, less 1/3 of that at 2h.
        const double h = direction.steps.size() > 1 ? 1e-4 : 1e-3;
        const double near = (loss_at(direction, h) - loss_at(direction, -h)) / (2 * h);
        const double far = (loss_at(direction, 2 * h) - loss_at(direction, -2 * h)) / (4 * h);
        const double slope = (4 * near - far) / 3;
        // A single slope may be tiny; the loss's own rounding then bounds what a difference can tell.
        agreement.check(direction.name, std::abs(slope - direction.slope) / std::max(std::abs(direction.slope), 1e-5));
    }
    CHECK(largest > 1e-3);
}

/// With the reference's checkpointing the down blocks stay as they were, to the bit: no gradient, no weight decay.
template <class T>
void check_untouched(Cpu& cpu, const UNet3DConditionModel<T>& unet, const std::string& model) {
    const auto start = golden_unet<T>(cpu, model);
    std::map<std::string, Tensor<T>> before;
    reel::for_each_parameter(
        start, [&](const std::string& name, const auto& parameter) { before.emplace(name, parameter.value()); });
    reel::for_each_parameter(unet, [&](const std::string& name, const auto& parameter) {
        const bool trained = parameter.requires_grad() && !name.starts_with("down_blocks.");
        CHECK(same_bits(parameter.value(), before.at(name)) == !trained);
    });
}

/// Five steps as the reference takes them: clip to norm 1, AdamW, forget the gradients.
template <class T>
void check_adamw(double bound) {
    Cpu cpu(1);
    const nlohmann::json options = reel::read_json("golden/adamw.json");
    Agreement losses("AdamW losses and norms, " + scalar_name<T>(), bound);
    Agreement weights("AdamW weights, " + scalar_name<T>(), bound);
    for (const std::string model : {"sd1", "sd2"}) {
        const Golden golden("adamw_" + model);
        const reel::NoiseSchedule schedule(
            {.beta_start = 0.00085, .beta_end = 0.012, .beta_schedule = reel::BetaSchedule::scaled_linear});
        for (const std::optional<CheckpointMode> mode :
             {std::optional<CheckpointMode>{}, std::optional(CheckpointMode::exact),
              std::optional(CheckpointMode::inputs_only)}) {
            const bool reference = mode == CheckpointMode::inputs_only;
            auto unet = golden_unet<T>(cpu, model);
            static_cast<void>(reel::set_trainable_modules(unet, usual_modules));
            unet.gradient_checkpointing = mode;
            reel::AdamW<T> optimizer({.learning_rate = options["learning_rate"],
                                      .beta1 = options["adam_beta1"],
                                      .beta2 = options["adam_beta2"],
                                      .epsilon = options["adam_epsilon"],
                                      .weight_decay = options["adam_weight_decay"]});
            const Tensor<T> latents = golden.clip<T>(cpu, "latents");
            const Tensor<T> text = golden.tensor<T>(cpu, "encoder_hidden_states");
            const auto stored = golden.tensor<T>(cpu, "noise"); // [steps, 1, C, F, H, W]
            const auto timesteps = golden.values("timesteps");
            std::vector<double> found_losses;
            std::vector<double> found_norms;
            for (index_t step = 0; step < stored.shape(0); ++step) {
                const Tensor<T> noise =
                    reel::permute(stored.slice(step, step + 1), {0, 1, 3, 4, 5, 2}).reshape(latents.shape());
                const double t = timesteps[static_cast<std::size_t>(step)];
                const double alpha = schedule.alpha_bar(static_cast<index_t>(t));
                const T signal = static_cast<T>(std::sqrt(alpha));
                const T spread = static_cast<T>(std::sqrt(1 - alpha));
                const Tensor<T> noisy = reel::axpby(signal, latents, spread, noise);
                const Tensor<T> target = model == "sd2" ? reel::axpby(signal, noise, T(-spread), latents) : noise;
                const index_t frames = latents.shape(0);
                const auto loss =
                    reel::mse_loss(unet(Variable<T>(noisy), std::vector{t}, Variable<T>(text), frames), target);
                reel::backward(loss);
                found_losses.push_back(static_cast<double>(loss.value().to_host()[0]));
                std::vector<reel::NamedParameter<T>> parameters;
                reel::for_each_parameter(unet, [&](const std::string& name, const auto& parameter) {
                    if (parameter.requires_grad()) {
                        parameters.push_back({name, parameter.value(), parameter.grad()});
                    }
                });
                found_norms.push_back(reel::clip_grad_norm_(parameters, options["max_grad_norm"].get<double>()));
                optimizer.step(parameters);
                reel::zero_grad(unet);
            }
            const std::string prefix = reference ? "reentrant." : "";
            losses.check(model + " loss " + name_of_mode(mode),
                         relative_error(found_losses, golden.values(prefix + "loss")));
            losses.check(model + " norm " + name_of_mode(mode),
                         relative_error(found_norms, golden.values(prefix + "grad_norm")));
            if (reference) {
                check_untouched(cpu, unet, model);
                continue;
            }
            reel::for_each_parameter(unet, [&](const std::string& name, const auto& parameter) {
                if (parameter.requires_grad()) {
                    weights.check(model + " " + name,
                                  relative_error(numbers(reel::to_file_tensor(parameter.value(), parameter.spec(),
                                                                              reel::DType::f64)),
                                                 golden.values("trained." + name)));
                }
            });
        }
    }
}

} // namespace reel_test
