// Edits steered by attention, over a whole run of a tiny video model: what PyTorch computes from the papers' equations
// (golden/controls, made by part_controls.py).

#include <doctest/doctest.h>

#include <numeric>
#include <string>
#include <vector>

#include <reel/pipelines/control/mutual_self_attention.hpp>
#include <reel/pipelines/control/prompt_to_prompt.hpp>
#include <reel/schedulers/ddim.hpp>

#include "models/golden_models.hpp"
#include "pipelines/formula_unet.hpp"

using namespace reel_test;
using reel::Cpu;
using reel::index_t;

namespace {

constexpr index_t steps = 5;
constexpr index_t frames = 3;

template <class T>
struct Edits {
    using X = reel::Tensor<T>;

    Golden golden{"controls"};
    Cpu cpu{2};
    reel::UNet3DConditionModel<T> unet = golden_unet<T>(cpu, "sd1");
    reel::Trajectory<T, Cpu> clip = inverted();
    X source = golden.tensor<T>(cpu, "source");

    [[nodiscard]] reel::Trajectory<T, Cpu> inverted() {
        const X all = golden.tensor<T>(cpu, "clip"); // [levels, 1, channels, frames, h, w]
        reel::Trajectory<T, Cpu> trajectory;
        for (index_t level = 0; level <= steps; ++level) {
            const X one = all.slice(level, level + 1).reshape({4, frames, 16, 16});
            trajectory.latents.push_back(reel::permute(one, {1, 2, 3, 0}));
        }
        trajectory.timesteps = {1, 201, 401, 601, 801};
        return trajectory;
    }
    [[nodiscard]] reel::Sampling<T, Cpu> sampling() {
        return {.guidance = {golden.tensor<T>(cpu, "edited"), golden.tensor<T>(cpu, "negative"), 7.5},
                .num_inference_steps = steps};
    }
    /// The edited latents. `blend(k, latents, the clip's)` may take some of them back.
    template <class Unet, class Blend>
    [[nodiscard]] X sample(const Unet& with, const Blend& blend) {
        reel::DDIMScheduler sampler(formula::latent_ddim());
        return reel::sample_clip(
            with, sampler, clip.latents.back(), sampling(), reel::NoNoise{},
            [&](index_t k, const X& x) { return X(blend(k, x, clip.latents[static_cast<std::size_t>(steps - k)])); });
    }
    template <class Control>
    [[nodiscard]] X controlled(Control&& control) {
        return reel::with_control(unet, control, [&] {
            const reel::SourceBranch branch(unet, clip, source, control);
            return sample(branch, [&](index_t k, const X& x, const X& of_clip) {
                if constexpr (requires { control.local_blend(k, x, of_clip); }) {
                    return control.local_blend(k, x, of_clip);
                } else {
                    return x;
                }
            });
        });
    }
    [[nodiscard]] X plain() {
        return sample(unet, [](index_t, const X& x, const X&) { return x; });
    }
};

using reel::TokenAlignment;

/// Two new tokens behind the fourth.
TokenAlignment refined() {
    TokenAlignment tokens(77);
    for (std::size_t i = 0; i < 75; ++i) {
        tokens.take(i, i < 4 ? i : i + 2);
    }
    return tokens;
}

/// One token for two: the fifth gets nothing from the clip, and has its own.
TokenAlignment replaced() {
    TokenAlignment tokens(77);
    for (std::size_t i = 0; i < 77; ++i) {
        tokens.take(i, i == 4 ? 3 : i);
    }
    return tokens;
}

TokenAlignment reweighted() {
    TokenAlignment tokens(77);
    for (std::size_t i = 0; i < 77; ++i) {
        tokens.take(i, i);
    }
    tokens.weight[4] = 3;
    tokens.weight[2] = -1;
    return tokens;
}

template <class T>
void compare(double bound) {
    Edits<T> at;
    Agreement agreement("edits steered by attention", bound);
    const auto check = [&](const char* name, const reel::Tensor<T>& latents) {
        agreement.check(name, relative_error(clip_order(latents, frames), at.golden.at(name)));
    };
    check("nothing", at.plain());
    using P2P = reel::PromptToPrompt<T, Cpu>;
    check("refine", at.controlled(P2P(at.cpu, refined())));
    check("replace", at.controlled(P2P(at.cpu, replaced(), {.cross_replace_steps = 0.6, .self_replace_steps = 0.8})));
    check("reweight", at.controlled(P2P(at.cpu, reweighted(), {.cross_replace_steps = 1, .self_replace_steps = 0})));
    check("blend", at.controlled(P2P(at.cpu, refined(), {.blend_threshold = 0.8}, {3}, {4, 5})));
    check("mutual", at.controlled(reel::MutualSelfAttention<T, Cpu>({.start_step = 0.2})));
}

/// Sees everything and changes nothing.
struct Onlooker {
    index_t calls = 0;
    index_t layers = 0;
    void begin(const reel::ControlStep&) { ++calls; }
    [[nodiscard]] static bool controls(const std::string& name) { return !name.ends_with("attn_temp"); }
    template <class V>
    [[nodiscard]] V operator()(const reel::LayerAttention<V>& layer) {
        ++layers;
        return layer.attend();
    }
};

} // namespace

TEST_CASE("prompt-to-prompt and mutual self-attention, as PyTorch computes them") {
    compare<float>(1e-4);
    compare<double>(1e-6);
}

TEST_CASE("a control that changes nothing leaves the same bytes, and nothing behind") {
    Edits<float> at;
    const auto plain = at.plain().to_host();
    Onlooker onlooker;
    CHECK(at.controlled(onlooker).to_host() == plain);
    CHECK(onlooker.calls == 2 * steps);
    CHECK(onlooker.layers == 2 * steps * 20);
    CHECK(at.plain().to_host() == plain);
    CHECK(onlooker.calls == 2 * steps);
    CHECK_THROWS_AS(reel::with_control(at.unet, onlooker, [&]() -> int { throw std::runtime_error("stop"); }),
                    std::runtime_error);
    CHECK(at.plain().to_host() == plain);
    CHECK(onlooker.layers == 2 * steps * 20);
}

TEST_CASE("a sampler with other timesteps than the inversion's is refused") {
    Edits<float> at;
    at.clip.timesteps.back() = 800;
    const std::string message = formula::message_of([&] { static_cast<void>(at.controlled(Onlooker{})); });
    CHECK(message == "an edit that looks at its clip: the sampler's timestep 801 is none of the inversion's; use as "
                     "many steps, and a sampler with its timesteps");
}

TEST_CASE("one clip cut out of a call attends as it would alone") {
    Cpu cpu(1);
    const auto random = [&](const reel::Shape& shape, std::uint64_t stream) {
        reel::Tensor<double> x(cpu, shape);
        fill_normal(cpu, x, 5, stream);
        return x;
    };
    using X = reel::Tensor<double>;
    const std::string name = "some.attn1";
    const reel::ClipPiece piece{.clips = 2, .frames = 3};
    for (const bool causal : {false, true}) {
        const index_t key_batches = causal ? 6 : 2;
        reel::AttentionOptions options{.heads = 2};
        options.key_batches = causal ? reel::sparse_causal_keys(2, 3) : std::vector<std::int32_t>{0, 0, 0, 1, 1, 1};
        options.lists = causal ? 2 : 1;
        const X q = random({6, 4, 8}, 0);
        const X k = random({key_batches, 5, 8}, 1);
        const X v = random({key_batches, 5, 8}, 2);
        const reel::LayerAttention<X> layer{q, k, v, name, options, piece};
        const auto whole = layer.attend();
        for (index_t clip = 0; clip < 2; ++clip) {
            const reel::ClipAttention<X> one(layer, clip);
            CHECK(one->piece.clips == 1);
            CHECK(one->piece.first_clip == clip);
            CHECK(one->attend().to_host() == whole.slice(clip * 3, clip * 3 + 3).to_host());
        }
    }
}
