#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <reel/core/philox.hpp>
#include <reel/pipelines/control/nearest_tokens.hpp>
#include <reel/pipelines/control/source_branch.hpp>

namespace reel {

/// Draws one keyframe of every `batch` frames, others at each step, as the paper does.
struct RandomKeyframes {
    index_t batch = 8;
    std::uint64_t seed = 0;

    /// Ascending, from 0.
    [[nodiscard]] std::vector<index_t> operator()(const ControlStep& at) const {
        require(batch > 0, "RandomKeyframes: one keyframe of ", batch, " frames; expected at least 1");
        const Philox random(seed, static_cast<std::uint64_t>(at.step));
        std::vector<index_t> keyframes;
        for (index_t first = 0; first < at.frames; first += batch) {
            const auto count = static_cast<std::uint32_t>(std::min(batch, at.frames - first));
            keyframes.push_back(first + random.below(static_cast<std::uint64_t>(first), count));
        }
        return keyframes;
    }
};

/// Of TokenFlow: none beneath.
struct NoBaseControl {};

/// The control of TokenFlow (Geyer et al. 2023, arXiv:2307.10373), for with_control() and SourceBranch. Keyframes are
/// edited together: in self-attention each looks at all of them. Every other frame gets their tokens, the outputs of
/// self-attention before its last projection, from where the clip's own are most alike: those of the one keyframe that
/// is before or behind it, or of two a mean. The next one's share is sigmoid(d / (d + e)), d and e being how many
/// frames it is from the former and from the next. So what the prompt makes of a thing moves as the thing does. Without
/// tuning. The paper asks the network twice, for the keyframes and for all; here both are one call, in which the
/// keyframes are as if they were alone but for norms and attention along frames.
///
/// `Base`: what edits the keyframes, such as PlugAndPlay, as the paper does; a control that also has
/// query_and_key(layer), from which the keyframes' attention starts.
template <Scalar T, Backend B, class Base = NoBaseControl>
class TokenFlow {
public:
    using X = Tensor<T, B>;
    /// Ascending frames, a function of step and frames alone.
    using Keyframes = std::function<std::vector<index_t>(const ControlStep&)>;

    explicit TokenFlow(Keyframes keyframes = RandomKeyframes{}, Base base = Base{})
        : choose_(std::move(keyframes)), base_(std::move(base)) {}

    /// Throws Error for keyframes that are none of the clip's, or not ascending.
    void begin(const ControlStep& at) {
        at_ = at;
        keyframes_ = choose_(at);
        index_t least = 0;
        for (const index_t frame : keyframes_) {
            require(frame >= least && frame < at.frames, "TokenFlow: keyframe ", frame, " at step ", at.step,
                    "; expected ascending ones from 0 to ", at.frames - 1);
            least = frame + 1;
        }
        require(!keyframes_.empty(), "TokenFlow: no keyframe at step ", at.step, "; expected at least one");
        if constexpr (has_base) {
            base_.begin(at);
        }
    }
    [[nodiscard]] bool controls(const std::string& layer) const { return layer.ends_with("attn1"); }

    [[nodiscard]] X operator()(const LayerAttention<X>& layer) {
        X query = layer.query;
        X key = layer.key;
        if constexpr (has_base) {
            std::tie(query, key) = base_.query_and_key(layer);
        }
        if (!at_.on_clip) {
            return flowed(together(query, key, layer), layer);
        }
        X tokens = layer.attend();
        flows_[layer.name] = flows_of(tokens);
        return tokens;
    }

    [[nodiscard]] bool controls_features(const std::string& block) const requires FeatureControl<Base, T, B> {
        return base_.controls_features(block);
    }
    [[nodiscard]] X features(const LayerFeatures<X>& block) requires FeatureControl<Base, T, B> {
        return base_.features(block);
    }

private:
    static constexpr bool has_base = !std::same_as<Base, NoBaseControl>;

    /// Whence a frame's tokens come: which keyframes, counted among them, and which of their tokens.
    struct Flow {
        index_t former = 0;
        index_t next = 0;
        Tensor<std::int32_t, B> of_former;
        Tensor<std::int32_t, B> of_next;
        double share = 0; ///< of the next
    };

    /// Of every frame, a keyframe's being undefined. `tokens` [frames, tokens, channels] are the clip's.
    [[nodiscard]] std::vector<Flow> flows_of(const X& tokens) const {
        const auto last = static_cast<index_t>(keyframes_.size()) - 1;
        std::vector<Flow> flows(static_cast<std::size_t>(at_.frames));
        for (index_t frame = 0; frame < at_.frames; ++frame) {
            const auto behind = std::lower_bound(keyframes_.begin(), keyframes_.end(), frame) - keyframes_.begin();
            if (behind <= last && keyframe(behind) == frame) {
                continue;
            }
            Flow& flow = flows[static_cast<std::size_t>(frame)];
            flow.former = std::max<index_t>(behind - 1, 0);
            flow.next = std::min<index_t>(behind, last);
            const auto nearest = [&](index_t of) {
                const index_t other = keyframe(of);
                return nearest_tokens(flat(tokens.slice(frame, frame + 1)), flat(tokens.slice(other, other + 1)));
            };
            flow.of_former = nearest(flow.former);
            flow.of_next = flow.next == flow.former ? flow.of_former : nearest(flow.next);
            const auto distance = [&](index_t of) { return static_cast<double>(std::abs(keyframe(of) - frame)); };
            const double way = distance(flow.former) / (distance(flow.former) + distance(flow.next));
            flow.share = 1 / (1 + std::exp(-way));
        }
        return flows;
    }

    /// The keyframes' tokens, each having looked at all of them: [clips * keyframes, tokens, channels].
    [[nodiscard]] X together(const X& query, const X& key, const LayerAttention<X>& layer) const {
        AttentionOptions options = layer.options;
        options.key_batches.clear();
        options.lists = static_cast<index_t>(keyframes_.size());
        std::vector<std::int32_t> rows;
        for (index_t clip = 0; clip < layer.piece.clips; ++clip) {
            std::vector<std::int32_t> own;
            for (const index_t frame : keyframes_) {
                own.push_back(static_cast<std::int32_t>(clip * at_.frames + frame));
            }
            for (const std::int32_t row : own) {
                rows.push_back(row);
                options.key_batches.insert(options.key_batches.end(), own.begin(), own.end());
            }
        }
        const X queries = index_select(query, std::span<const std::int32_t>(rows));
        return scaled_dot_product_attention(queries, key, layer.value, options);
    }

    [[nodiscard]] X flowed(const X& edited, const LayerAttention<X>& layer) {
        const std::vector<Flow>& flows = flows_.at(layer.name);
        const auto count = static_cast<index_t>(keyframes_.size());
        const X all(layer.query.backend(), layer.query.shape());
        for (index_t row = 0; row < all.shape(0); ++row) {
            const index_t frame = row % at_.frames;
            const index_t first = row / at_.frames * count;
            const X to = all.slice(row, row + 1);
            const Flow& flow = flows[static_cast<std::size_t>(frame)];
            if (!flow.of_former.defined()) {
                const auto which = std::lower_bound(keyframes_.begin(), keyframes_.end(), frame) - keyframes_.begin();
                to.copy_from(edited.slice(first + which, first + which + 1));
                continue;
            }
            const auto tokens = [&](index_t of) { return edited.slice(first + of, first + of + 1).data(); };
            all.backend().for_each_index(to.size(),
                                         functors::MixRows<T>{tokens(flow.former), tokens(flow.next),
                                                              flow.of_former.data(), flow.of_next.data(), to.data(),
                                                              static_cast<compute_t<T>>(flow.share), all.shape(2)});
        }
        return all;
    }

    [[nodiscard]] index_t keyframe(index_t i) const { return keyframes_[static_cast<std::size_t>(i)]; }
    [[nodiscard]] static X flat(const X& frame) { return frame.reshape({-1, frame.shape(2)}); }

    Keyframes choose_;
    Base base_;
    ControlStep at_{};
    std::vector<index_t> keyframes_{};
    std::map<std::string, std::vector<Flow>> flows_{}; ///< by layer
};

} // namespace reel
