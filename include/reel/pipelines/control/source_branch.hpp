#pragma once
// Edits that look at the clip while they are sampled. The clip is read off its inversion, level by level, and never
// sampled anew: what an edit leaves alone stays what it was (as Cao et al. 2023, arXiv:2304.08465, and Ju et al. 2023,
// arXiv:2310.01506, do for pictures).

#include <concepts>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <reel/core/ranges.hpp>
#include <reel/nn/attention_processor.hpp>
#include <reel/nn/feature_processor.hpp>
#include <reel/pipelines/blend.hpp>

namespace reel {

/// At which call of an edit's run a control is asked.
struct ControlStep {
    index_t step = 0;     ///< from 0
    index_t steps = 1;    ///< of the run
    index_t frames = 1;   ///< of the clip
    Shape latents{};      ///< of the call: [clips * frames, h, w, channels]
    bool on_clip = false; ///< the UNet sees the clip, whose attention may be kept; otherwise the edit

    /// Whether the run's first part, as a share of it, is not over.
    [[nodiscard]] bool within(double share) const {
        return static_cast<double>(step) < share * static_cast<double>(steps);
    }
};

/// What steers an edit by attention. `begin(at)` comes before each call of the UNet; then every layer for which
/// `controls(name)` is true has control(layer) in place of its attention: see set_attn_processor(). `needs_clip(at)`
/// may say that a step can do without the call on the clip.
template <class C, class T, class B>
concept AttentionControl = requires(C& control, const ControlStep& at, const std::string& name,
                                    const LayerAttention<Tensor<T, B>>& layer) {
    control.begin(at);
    { control.controls(name) } -> std::convertible_to<bool>;
    { control(layer) } -> std::same_as<Tensor<T, B>>;
};

/// A control that steers what residual blocks add as well: those for which `controls_features(name)` is true have
/// control.features(block): see set_feature_processor().
template <class C, class T, class B>
concept FeatureControl = AttentionControl<C, T, B> &&
    requires(C& control, const std::string& name, const LayerFeatures<Tensor<T, B>>& block) {
    { control.controls_features(name) } -> std::convertible_to<bool>;
    { control.features(block) } -> std::same_as<Tensor<T, B>>;
};

/// What was kept of the clip, once for each clip of a call, such as the halves of guidance.
template <class V>
[[nodiscard]] V for_each_clip(const V& of_clip, index_t clips) {
    const std::vector<V> all(static_cast<std::size_t>(clips), of_clip);
    return clips == 1 ? of_clip : concat_rows(std::span<const V>(all));
}

/// One clip of a call, such as one half of guidance: what a layer's attention works on, cut out of it.
template <class V>
class ClipAttention {
public:
    ClipAttention(const LayerAttention<V>& layer, index_t clip)
        : options_(of_clip(layer, clip)), piece_(layer.piece), attention_{cut(layer.query, layer, clip),
                                                                          cut(layer.key, layer, clip),
                                                                          cut(layer.value, layer, clip),
                                                                          layer.name,
                                                                          options_,
                                                                          piece_} {
        piece_.clips = 1;
        piece_.first_clip += clip;
    }
    ClipAttention(const ClipAttention&) = delete;
    ClipAttention& operator=(const ClipAttention&) = delete;

    [[nodiscard]] const LayerAttention<V>& operator*() const { return attention_; }
    [[nodiscard]] const LayerAttention<V>* operator->() const { return &attention_; }

private:
    [[nodiscard]] static V cut(const V& x, const LayerAttention<V>& layer, index_t clip) {
        const index_t rows = x.shape(0) / layer.piece.clips;
        return x.slice(clip * rows, (clip + 1) * rows);
    }
    [[nodiscard]] static AttentionOptions of_clip(const LayerAttention<V>& layer, index_t clip) {
        AttentionOptions options = layer.options;
        if (!options.key_batches.empty()) {
            const auto rows = static_cast<std::ptrdiff_t>(options.key_batches.size()) / layer.piece.clips;
            const auto first = options.key_batches.begin() + clip * rows;
            std::vector<std::int32_t> batches(first, first + rows);
            const auto keys = static_cast<std::int32_t>(clip * (layer.key.shape(0) / layer.piece.clips));
            for (std::int32_t& batch : batches) {
                batch = batch < 0 ? batch : batch - keys;
            }
            options.key_batches = std::move(batches);
        }
        return options;
    }

    AttentionOptions options_;
    ClipPiece piece_;
    LayerAttention<V> attention_;
};

/// run(), with a control in the place of the attention of the layers that it chooses, and behind the residual blocks
/// that it chooses; what was there before is there again afterwards. Throws Error when it chooses none.
template <class M, class Control, class Run>
decltype(auto) with_control(M& model, Control& control, const Run& run) {
    std::vector<std::function<void()>> restore;
    for_each_submodule(model, [&](const std::string&, auto& part) {
        if constexpr (requires { part.processor->checked; }) {
            restore.push_back([&part, before = part.processor] { part.processor = before; });
        }
        if constexpr (requires { part.feature_processor; }) {
            restore.push_back([&part, before = part.feature_processor] { part.feature_processor = before; });
        }
    });
    const struct AtTheEnd {
        const std::vector<std::function<void()>>& each;
        ~AtTheEnd() {
            for (const auto& one : each) {
                one();
            }
        }
    } at_the_end{restore};
    set_attn_processor(
        model, [&](const std::string& name) { return static_cast<bool>(control.controls(name)); }, std::ref(control));
    if constexpr (requires { control.controls_features(std::string()); }) {
        set_feature_processor(
            model, [&](const std::string& name) { return static_cast<bool>(control.controls_features(name)); },
            [&control](const auto& block) -> decltype(control.features(block)) { return control.features(block); });
    }
    return run();
}

/// A UNet that looks at the clip before it looks at the edit: at each step the control first sees the clip as it was
/// inverted at this noise level, under the clip's own prompt, then the edit. One conditional call more per step.
/// Sampling takes it for the UNet. The control must be in the UNet: see with_control().
template <class Unet, Real T, Backend B, class Control>
class SourceBranch {
public:
    /// `clip`: its inversion. `text` [1, tokens, channels]: what it was inverted under. All must outlive this.
    SourceBranch(const Unet& unet, const Trajectory<T, B>& clip, const Tensor<T, B>& text, Control& control)
        : unet_(unet), clip_(clip), text_(text), control_(control) {}

    /// As a UNet3DConditionModel is called. Throws Error for a timestep that the inversion does not have.
    [[nodiscard]] Tensor<T, B> operator()(const Tensor<T, B>& sample, std::span<const double> timesteps,
                                          const Tensor<T, B>& text, index_t frames) const {
        const auto found = ranges::find(clip_.timesteps, timesteps.front());
        require(found != clip_.timesteps.end(), "an edit that looks at its clip: the sampler's timestep ",
                timesteps.front(), " is none of the inversion's; use as many steps, and a sampler with its timesteps");
        const auto level = found - clip_.timesteps.begin() + 1;
        const Tensor<T, B>& latents = clip_.latents[static_cast<std::size_t>(level)];
        ControlStep at{clip_.steps() - level, clip_.steps(), frames, latents.shape(), true};
        if (needs_clip(at)) {
            control_.begin(at);
            static_cast<void>(unet_(latents, timesteps, text_, frames));
        }
        at.on_clip = false;
        at.latents = sample.shape();
        control_.begin(at);
        return unet_(sample, timesteps, text, frames);
    }

private:
    [[nodiscard]] bool needs_clip(const ControlStep& at) const {
        if constexpr (requires { control_.needs_clip(at); }) {
            return control_.needs_clip(at);
        } else {
            return true;
        }
    }

    const Unet& unet_;
    const Trajectory<T, B>& clip_;
    const Tensor<T, B>& text_;
    Control& control_;
};

} // namespace reel
