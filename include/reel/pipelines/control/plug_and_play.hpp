#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include <reel/pipelines/control/source_branch.hpp>

namespace reel {

/// How much of the clip is put into the edit. Shares are of the run's steps, from its beginning. The defaults are the
/// paper's (40 and 25 of 50 steps) and, of Stable Diffusion's decoder, its layers: features of layer 4, attention of
/// layers 4 to 11, counted from 0 over three to a block.
struct PlugAndPlayOptions {
    double feature_steps = 0.8;                     ///< tau_f: in which the blocks' features are the clip's
    double attention_steps = 0.5;                   ///< tau_A: in which pixels look at each other as the clip's do
    std::string features = "up_blocks.1.resnets.1"; ///< names of residual blocks begin so
    std::string attention_from = "up_blocks.1.attentions.1"; ///< the decoder's layers from this one on
};

/// The control of plug-and-play (Tumanyan et al. 2022, arXiv:2211.12572), for with_control() and SourceBranch: what a
/// residual block of the decoder computes from the clip takes the place of what it computes from the edit, and
/// self-attention has the clip's queries and keys: the clip's shapes and layout stay, what they look like is the
/// prompt's. Of guidance both halves do. The features are those before a block's input is added to them, as in
/// its authors' program.
template <Scalar T, Backend B>
class PlugAndPlay {
public:
    using X = Tensor<T, B>;
    using QueryAndKey = std::pair<X, X>;

    explicit PlugAndPlay(PlugAndPlayOptions options = {}) : options_(std::move(options)) {}

    void begin(const ControlStep& at) { at_ = at; }
    [[nodiscard]] bool needs_clip(const ControlStep& at) const {
        return at.within(std::max(options_.feature_steps, options_.attention_steps));
    }
    [[nodiscard]] bool controls(const std::string& layer) const {
        return layer.ends_with("attn1") && layer.starts_with("up_blocks") && layer >= options_.attention_from;
    }
    [[nodiscard]] bool controls_features(const std::string& block) const {
        return block.starts_with(options_.features);
    }

    [[nodiscard]] X operator()(const LayerAttention<X>& layer) {
        const auto [query, key] = query_and_key(layer);
        return layer.attend(query, key, layer.value);
    }

    /// What the layer's attention is to work on; of a call on the clip that is kept.
    [[nodiscard]] QueryAndKey query_and_key(const LayerAttention<X>& layer) {
        if (at_.within(options_.attention_steps) && controls(layer.name)) {
            if (!at_.on_clip) {
                return for_each_clip(taken(looks_, layer.name), layer.piece.clips);
            }
            looks_[layer.name] = {layer.query, layer.key};
        }
        return {layer.query, layer.key};
    }

    [[nodiscard]] X features(const LayerFeatures<X>& block) {
        if (at_.within(options_.feature_steps)) {
            if (!at_.on_clip) {
                return reel::for_each_clip(taken(features_, block.name), block.clips);
            }
            features_[block.name] = block.features;
        }
        return block.features;
    }

private:
    [[nodiscard]] static QueryAndKey for_each_clip(const QueryAndKey& of_clip, index_t clips) {
        return {reel::for_each_clip(of_clip.first, clips), reel::for_each_clip(of_clip.second, clips)};
    }

    /// What was kept of the clip, which is let go: it is asked for once.
    template <class Kept>
    [[nodiscard]] static Kept taken(std::map<std::string, Kept>& kept, const std::string& name) {
        auto found = kept.extract(name);
        require(!found.empty(), "plug-and-play: ", name,
                " has not seen the clip at this step; call the UNet through "
                "a SourceBranch");
        return std::move(found.mapped());
    }

    PlugAndPlayOptions options_;
    ControlStep at_{};
    std::map<std::string, QueryAndKey> looks_{}; ///< of the clip, by layer
    std::map<std::string, X> features_{};        ///< of the clip, by block
};

} // namespace reel
