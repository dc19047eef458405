// Edits steered by attention, over a whole run of a tiny video model: what PyTorch computes from the papers' equations
// (golden/controls, made by part_controls.py).

#include <doctest/doctest.h>

#include <numeric>
#include <string>
#include <vector>

#include <reel/pipelines/control/attend_and_excite.hpp>
#include <reel/pipelines/control/mutual_self_attention.hpp>
#include <reel/pipelines/control/plug_and_play.hpp>
#include <reel/pipelines/control/prompt_to_prompt.hpp>
#include <reel/pipelines/control/token_flow.hpp>
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
    [[nodiscard]] X sample(const Unet& with, const Blend& blend, X start = {}) {
        reel::DDIMScheduler sampler(formula::latent_ddim());
        return reel::sample_clip(
            with, sampler, start.defined() ? start : clip.latents.back(), sampling(), reel::NoNoise{},
            [&](index_t k, const X& x) { return X(blend(k, x, clip.latents[static_cast<std::size_t>(steps - k)])); });
    }
    /// Until some attention is reached at the first step, three times at the second and once at the third.
    [[nodiscard]] reel::AttendAndExcite<T, Cpu> excite(double share = 0.5) {
        return {unet,
                sampling().guidance.text,
                {57, 58},
                {.steps = share, .step_size = 1, .until = {{0, 0.1}, {0.2, 0.999}}, .most = 3}};
    }
    [[nodiscard]] X excited(const reel::AttendAndExcite<T, Cpu>& by) {
        return sample(
            unet, [&](index_t k, const X& x, const X&) { return by(k, clip, x); }, by(0, clip, clip.latents.back()));
    }
    template <class Control>
    [[nodiscard]] X controlled_and_excited(Control&& control) {
        return reel::with_control(unet, control, [&] {
            const reel::SourceBranch branch(unet, clip, source, control);
            const auto by = excite();
            return sample(
                branch, [&](index_t k, const X& x, const X&) { return by(k, clip, x); },
                by(0, clip, clip.latents.back()));
        });
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

/// Of five steps.
std::vector<index_t> keyframes(const reel::ControlStep& at) {
    static const std::vector<std::vector<index_t>> each{{0, 2}, {1}, {1, 2}, {0, 2}, {0, 1}};
    return each.at(static_cast<std::size_t>(at.step));
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
    check("plug", at.controlled(reel::PlugAndPlay<T, Cpu>()));
    check("plug_features", at.controlled(reel::PlugAndPlay<T, Cpu>(
                               {.feature_steps = 0.6, .attention_steps = 0, .features = "up_blocks.2.resnets"})));
    check("flow", at.controlled(reel::TokenFlow<T, Cpu>(keyframes)));
    check("flow_plug", at.controlled(reel::TokenFlow<T, Cpu, reel::PlugAndPlay<T, Cpu>>(keyframes)));
    check("excite", at.excited(at.excite()));
    check("excite_plug", at.controlled_and_excited(reel::PlugAndPlay<T, Cpu>()));
}

/// Sees everything and changes nothing, and blocks as well where it is told so.
struct Onlooker {
    index_t calls = 0;
    index_t layers = 0;
    void begin(const reel::ControlStep&) { ++calls; }
    index_t blocks = 0;
    [[nodiscard]] static bool controls(const std::string& name) { return !name.ends_with("attn_temp"); }
    [[nodiscard]] static bool controls_features(const std::string&) { return true; }
    template <class V>
    [[nodiscard]] V operator()(const reel::LayerAttention<V>& layer) {
        ++layers;
        return layer.attend();
    }
    template <class V>
    [[nodiscard]] V features(const reel::LayerFeatures<V>& block) {
        ++blocks;
        return block.features;
    }
};

} // namespace

TEST_CASE("controls, as PyTorch computes them") {
    compare<float>(1e-4);
    compare<double>(3e-6); // of a float32 file, which the gradients of attend-and-excite make more of
}

TEST_CASE("a control that changes nothing leaves the same bytes, and nothing behind") {
    Edits<float> at;
    const auto plain = at.plain().to_host();
    Onlooker onlooker;
    CHECK(at.controlled(onlooker).to_host() == plain);
    CHECK(onlooker.calls == 2 * steps);
    CHECK(onlooker.layers == 2 * steps * 20);
    CHECK(onlooker.blocks == 2 * steps * 14);
    CHECK(at.plain().to_host() == plain);
    CHECK(onlooker.calls == 2 * steps);
    CHECK_THROWS_AS(reel::with_control(at.unet, onlooker, [&]() -> int { throw std::runtime_error("stop"); }),
                    std::runtime_error);
    CHECK(at.plain().to_host() == plain);
    CHECK(onlooker.layers == 2 * steps * 20);
}

TEST_CASE("plug-and-play for no step leaves the same bytes") {
    Edits<float> at;
    const auto plain = at.plain().to_host();
    CHECK(at.controlled(reel::PlugAndPlay<float, Cpu>({.feature_steps = 0, .attention_steps = 0})).to_host() == plain);
    CHECK(at.controlled(reel::PlugAndPlay<float, Cpu>()).to_host() != plain);
}

TEST_CASE("what a control cannot do is said") {
    Edits<float> at;
    const auto message = [&](auto control) {
        return formula::message_of([&] { static_cast<void>(at.controlled(control)); });
    };
    using Plug = reel::PlugAndPlay<float, Cpu>;
    CHECK(message(Plug({.features = "up_blocks.9"})) ==
          "set_feature_processor: no residual block is chosen; their names end with \"resnets.0\", \"resnets.1\", ...");
    const auto at_frames = [](std::vector<index_t> frames) {
        return reel::TokenFlow<float, Cpu>([frames](const reel::ControlStep&) { return frames; });
    };
    CHECK(message(at_frames({})) == "TokenFlow: no keyframe at step 0; expected at least one");
    CHECK(message(at_frames({0, 3})) == "TokenFlow: keyframe 3 at step 0; expected ascending ones from 0 to 2");
    CHECK(message(at_frames({1, 1})) == "TokenFlow: keyframe 1 at step 0; expected ascending ones from 0 to 2");
    CHECK(message(reel::TokenFlow<float, Cpu>(reel::RandomKeyframes{.batch = 0})) ==
          "RandomKeyframes: one keyframe of 0 frames; expected at least 1");
    Plug alone;
    const std::string unseen =
        formula::message_of([&] { reel::with_control(at.unet, alone, [&] { static_cast<void>(at.plain()); }); });
    CHECK(unseen == "plug-and-play: up_blocks.1.resnets.1 has not seen the clip at this step; call the UNet through a "
                    "SourceBranch");
}

TEST_CASE("a keyframe is drawn of every few frames, another at other steps") {
    const reel::RandomKeyframes random{.batch = 4, .seed = 3};
    std::vector<std::vector<index_t>> seen;
    for (index_t step = 0; step < 8; ++step) {
        const reel::ControlStep at{.step = step, .steps = 8, .frames = 10};
        seen.push_back(random(at));
        CHECK(seen.back() == random(at));
        REQUIRE(seen.back().size() == 3);
        for (std::size_t i = 0; i < 3; ++i) {
            CHECK(seen.back()[i] / 4 == static_cast<index_t>(i));
        }
        CHECK(seen.back()[2] < 10);
    }
    CHECK(std::count(seen.begin(), seen.end(), seen.front()) < 8);
}

TEST_CASE("the token that is most like another") {
    Cpu cpu(1);
    using X = reel::Tensor<float>;
    const X x = X::from_host(cpu, {3, 2}, std::vector<float>{1, 0, 0, 2, -1, -1});
    const X y = X::from_host(cpu, {4, 2}, std::vector<float>{0, 0, 9, 9, 0.1F, 0, -3, -2});
    const std::vector<std::int32_t> expected{2, 1, 3}; // by angle, not by length
    CHECK(reel::nearest_tokens(x, y).to_host() == expected);
    cpu.piece_bytes = 16;
    CHECK(reel::nearest_tokens(x, y).to_host() == expected);
    CHECK(formula::message_of([&] {
              static_cast<void>(reel::nearest_tokens(x, y.reshape({2, 4})));
          }) == "nearest_tokens: [3, 2] and [2, 4]; expected [tokens, channels] twice");
}

TEST_CASE("words that are not to be led to leave the same bytes, and the gradient nothing behind") {
    Edits<float> at;
    const auto plain = at.plain().to_host();
    CHECK(at.excited(at.excite(0)).to_host() == plain);
    CHECK(at.excited(at.excite()).to_host() != plain);
    CHECK(!at.unet.gradient_checkpointing.has_value());
    CHECK(at.plain().to_host() == plain);
}

TEST_CASE("the gradient that leads latents to words, by differences") {
    Edits<double> at;
    const auto by = at.excite();
    const auto& x = at.clip.latents[4];
    reel::Tensor<double> way(at.cpu, x.shape());
    fill_normal(at.cpu, way, 3, 1);
    const auto loss = [&](double step) {
        const auto of_frames = by.loss_and_gradient(601, reel::axpby(1.0, x, step, way)).first;
        return std::accumulate(of_frames.begin(), of_frames.end(), 0.0);
    };
    const auto gradient = by.loss_and_gradient(601, x).second;
    const double expected = reel::sum_all(reel::multiply(gradient, way));
    const double found = (loss(1e-5) - loss(-1e-5)) / 2e-5;
    CHECK(std::abs(expected) > 1e-6);
    CHECK(std::abs(found - expected) < 1e-5 * std::abs(expected));
}

TEST_CASE("the loss of words, and its slope by differences") {
    reel::TokenMaps maps{.frames = 2, .height = 3, .width = 2, .tokens = 5};
    for (int i = 0; i < 60; ++i) {
        maps.values.push_back(0.2 + 0.1 * std::sin(7.0 * i));
    }
    const std::vector<index_t> words{2, 4};
    const auto loss = reel::word_loss(maps, words, 10);
    REQUIRE(loss.of_frames.size() == 2);
    for (std::size_t i = 0; i < 60; ++i) {
        const auto moved = [&](double by) {
            auto other = maps;
            other.values[i] += by;
            const auto of_frames = reel::word_loss(other, words, 10).of_frames;
            return of_frames[0] + of_frames[1];
        };
        CHECK(loss.slope[i] == doctest::Approx((moved(1e-5) - moved(-1e-5)) / 2e-5).epsilon(1e-6));
    }
    const auto message = [&](std::vector<index_t> of) {
        return formula::message_of([&] { static_cast<void>(reel::word_loss(maps, of)); });
    };
    CHECK(message({0}) == "word_loss: token 0; expected 1 to 4");
    CHECK(message({5}) == "word_loss: token 5; expected 1 to 4");
    CHECK(message({}) == "word_loss: 0 words in 60 values; expected at least one word in 12 times 5");
}

TEST_CASE("attend-and-excite gives no gradients to parameters that train") {
    Edits<float> at;
    reel::set_trainable_modules(at.unet, {"attn2.to_q"});
    const std::string message =
        formula::message_of([&] { static_cast<void>(at.excite().loss_and_gradient(601, at.clip.latents.back())); });
    CHECK(message == "attend-and-excite: the UNet has parameters that train, which would get gradients; freeze them "
                     "first: set_trainable_modules(unet, {})");
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
