// Whole training steps of a 2D UNet and its text encoder, against PyTorch, diffusers and transformers.

#include <doctest/doctest.h>

#include <reel/io/config/json.hpp>
#include <reel/models/from_pretrained.hpp>
#include <reel/pipelines/train.hpp>
#include <reel/schedulers/config/scheduler_config.hpp>

#include "support/golden.hpp"

using namespace reel_test;
using reel::Cpu;
using reel::index_t;
using reel::Tensor;
using reel::Variable;

namespace {

using Parameters = std::vector<reel::NamedParameter<double>>;

/// Norm of the difference.
[[nodiscard]] double distance(const Tensor<double>& a, const Tensor<double>& b) {
    return std::sqrt(reel::squared_norm(reel::subtract(a, b)));
}

} // namespace

TEST_CASE("training steps of UNet and text encoder are PyTorch's, in float64") {
    Cpu cpu(1);
    const Golden golden("training_2d");
    const nlohmann::json options = reel::read_json("golden/training_2d.json");
    auto unet = reel::load_unet_2d<double>(cpu, "golden/sd1_tiny/unet");
    auto text_encoder = reel::load_clip_text_model<double>(cpu, "golden/sd1_tiny/text_encoder");
    const auto scheduler = reel::scheduler_from_pretrained<reel::DDPMScheduler>("golden/sd1_tiny/scheduler");
    reel::train_all(unet);
    reel::train_all(text_encoder);
    const auto parameters = [&] {
        Parameters all;
        reel::append_trained(all, text_encoder, "text_encoder.");
        reel::append_trained(all, unet, "unet.");
        return all;
    };
    std::map<std::string, Tensor<double>> start;
    for (const auto& parameter : parameters()) {
        start.emplace(parameter.name, parameter.value.clone());
    }
    reel::Training<double> training({.learning_rate = options["learning_rate"],
                                     .lr_scheduler = reel::LrScheduleKind::constant,
                                     .adam_beta1 = options["adam_beta1"],
                                     .adam_beta2 = options["adam_beta2"],
                                     .adam_weight_decay = options["adam_weight_decay"],
                                     .adam_epsilon = options["adam_epsilon"],
                                     .max_grad_norm = options["max_grad_norm"],
                                     .ema_decay = options["ema_decay"]});
    const reel::HostTensor& shape = golden.at("latents");
    const index_t steps = shape.shape[0];
    const index_t count = shape.shape[1];
    const index_t side = shape.shape[3];
    const auto step_of = [&](const char* name, index_t k) {
        const auto all = golden.tensor<double>(cpu, name).reshape({steps * count, 4, side, side});
        return reel::permute(all.slice(k * count, (k + 1) * count), {0, 2, 3, 1});
    };
    const auto timesteps = golden.at("timesteps").to_vector<std::int64_t>();
    const auto ids = golden.at("ids").to_vector<std::int64_t>();
    const std::size_t tokens = ids.size() / static_cast<std::size_t>(steps * count);
    for (index_t k = 0; k < steps; ++k) {
        const auto first = static_cast<std::size_t>(k * count);
        const std::vector<index_t> at(timesteps.begin() + static_cast<std::ptrdiff_t>(first),
                                      timesteps.begin() + static_cast<std::ptrdiff_t>(first) + count);
        std::vector<std::int32_t> words;
        for (std::size_t i = first * tokens; i < (first + static_cast<std::size_t>(count)) * tokens; ++i) {
            words.push_back(static_cast<std::int32_t>(ids[i]));
        }
        reel::zero_grad(unet);
        reel::zero_grad(text_encoder);
        const auto text = text_encoder.template operator()<Variable<double>>(words, count);
        const auto loss = reel::diffusion_loss(unet, scheduler, {step_of("latents", k), step_of("noise", k), at}, text,
                                               options["snr_gamma"]);
        reel::backward(loss);
        const reel::TrainReport report = training.update(parameters());
        const auto step = static_cast<std::size_t>(k);
        CHECK(loss.value().to_host()[0] == doctest::Approx(golden.values("loss")[step]).epsilon(1e-6));
        CHECK(report.grad_norm == doctest::Approx(golden.values("grad_norm")[step]).epsilon(1e-5));
    }

    const std::map<std::string, double> changed = options["changed"];
    const std::map<std::string, double> average_changed = options["average_changed"];
    CHECK(parameters().size() == changed.size());
    for (const auto& parameter : parameters()) {
        CAPTURE(parameter.name);
        const Tensor<double>& from = start.at(parameter.name);
        const Tensor<double>& average = training.ema().averages().find(parameter.name)->second;
        CHECK(distance(parameter.value, from) == doctest::Approx(changed.at(parameter.name)).epsilon(1e-3));
        CHECK(distance(average, from) == doctest::Approx(average_changed.at(parameter.name)).epsilon(1e-3));
    }
    int compared = 0;
    const auto compare = [&](const auto& module, const std::string& prefix) {
        reel::for_each_parameter(
            module,
            [&](const std::string& name, const auto& parameter) {
                if (!golden.tensors().contains("trained." + name)) {
                    return;
                }
                ++compared;
                CAPTURE(name);
                const auto file = [&](const Tensor<double>& value) {
                    return numbers(reel::to_file_tensor(value, parameter.spec(), reel::DType::f64));
                };
                CHECK(relative_error(file(parameter.value()), golden.values("trained." + name)) < 1e-5);
                CHECK(relative_error(file(training.ema().averages().find(name)->second),
                                     golden.values("average." + name)) < 1e-5);
            },
            prefix);
    };
    compare(unet, "unet.");
    compare(text_encoder, "text_encoder.");
    CHECK(compared == 9);
}
