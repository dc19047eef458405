// controls: what a step of an edit costs that looks at its clip, beside a guided step that does not, at the shapes of
// Stable Diffusion 1.x: 4 frames of 256 x 256 pixels, or other sizes. Random weights, one thread. Every round does all
// of them once, one after the other; the ratios are those of the least times. Prints a Markdown table.
//
// controls [ROUNDS] [FRAMES] [SIDE]    5 rounds, 4 frames, latents of 32 x 32

#include <cstdlib>
#include <functional>
#include <iomanip>
#include <iostream>
#include <limits>

#include <reel/nn/initialize.hpp>
#include <reel/pipelines/control/attend_and_excite.hpp>
#include <reel/pipelines/control/mutual_self_attention.hpp>
#include <reel/pipelines/control/plug_and_play.hpp>
#include <reel/pipelines/control/prompt_to_prompt.hpp>
#include <reel/pipelines/control/token_flow.hpp>

#include "processor_seconds.hpp"

namespace {

using reel::Cpu;
using reel::index_t;
using Tensor = reel::Tensor<float>;

/// Sees every layer and block, and leaves them as they are.
struct Onlooker {
    void begin(const reel::ControlStep&) {}
    [[nodiscard]] static bool needs_clip(const reel::ControlStep&) { return false; }
    [[nodiscard]] static bool controls(const std::string&) { return true; }
    [[nodiscard]] static bool controls_features(const std::string&) { return true; }
    [[nodiscard]] Tensor operator()(const reel::LayerAttention<Tensor>& layer) { return layer.attend(); }
    [[nodiscard]] Tensor features(const reel::LayerFeatures<Tensor>& block) { return block.features; }
};

struct Case {
    const char* name;
    std::function<void()> work;
    double least = std::numeric_limits<double>::infinity();
};

void measure(index_t rounds, index_t frames, index_t side) {
    Cpu cpu(1);
    reel::UNetConfig config;
    config.cross_attention_dim = 768;
    reel::UNet3DConditionModel<float> unet(config);
    reel::initialize(unet, cpu, 1);
    const auto randoms = [&](const reel::Shape& shape, std::uint64_t stream) {
        Tensor x(cpu, shape);
        reel::fill_normal(cpu, x, 1, stream);
        return x;
    };
    const reel::Trajectory<float, Cpu> clip{{randoms({frames, side, side, 4}, 1), randoms({frames, side, side, 4}, 2)},
                                            {501}};
    const reel::Guidance<float, Cpu> guidance{randoms({1, 77, 768}, 3), randoms({1, 77, 768}, 4), 7.5};
    const Tensor& x = clip.latents.back();
    const auto guided = [&](const auto& with) { static_cast<void>(reel::guided_prediction(with, x, 501, guidance)); };
    const auto under = [&](auto control) {
        return [&, control]() mutable {
            reel::with_control(unet, control,
                               [&] { guided(reel::SourceBranch(unet, clip, guidance.negative, control)); });
        };
    };
    reel::TokenAlignment tokens(77);
    for (std::size_t i = 0; i < 77; ++i) {
        tokens.take(i, i);
    }
    using Plug = reel::PlugAndPlay<float, Cpu>;
    const reel::AttendAndExcite<float, Cpu> excite(unet, guidance.text, {5});
    std::vector<Case> cases{
        {"a guided step", [&] { guided(unet); }},
        {"the same, every layer looked at", under(Onlooker{})},
        {"prompt-to-prompt", under(reel::PromptToPrompt<float, Cpu>(cpu, tokens))},
        {"mutual self-attention", under(reel::MutualSelfAttention<float, Cpu>({.start_step = 0}))},
        {"plug-and-play", under(Plug())},
        {"TokenFlow", under(reel::TokenFlow<float, Cpu>(reel::RandomKeyframes{.batch = 2}))},
        {"TokenFlow over plug-and-play", under(reel::TokenFlow<float, Cpu, Plug>(reel::RandomKeyframes{.batch = 2}))},
        {"a change by attend-and-excite alone", [&] { static_cast<void>(excite.loss_and_gradient(501, x)); }},
    };
    for (index_t round = -1; round < rounds; ++round) { // one that is not counted
        for (Case& one : cases) {
            const double start = processor_seconds();
            one.work();
            if (round >= 0) {
                one.least = std::min(one.least, processor_seconds() - start);
            }
        }
    }
    std::cout << "| step | processor seconds | of a guided step |\n|---|---|---|\n" << std::fixed;
    for (const Case& one : cases) {
        std::cout << "| " << one.name << " | " << std::setprecision(2) << one.least << " | " << std::setprecision(3)
                  << one.least / cases.front().least << " |\n";
    }
}

} // namespace

int main(int argc, char** argv) {
    const auto number = [&](int i, index_t otherwise) { return argc > i ? index_t{std::atoi(argv[i])} : otherwise; };
    const index_t rounds = number(1, 5);
    const index_t frames = number(2, 4);
    const index_t side = number(3, 32);
    if (argc > 4 || rounds < 1 || frames < 1 || side < 8) {
        std::cerr << "usage: controls [ROUNDS] [FRAMES] [SIDE]; expected at least 1, 1 and 8\n";
        return 2;
    }
    measure(rounds, frames, side);
}
