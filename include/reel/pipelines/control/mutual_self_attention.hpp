#pragma once

#include <map>
#include <string>
#include <utility>

#include <reel/pipelines/control/source_branch.hpp>

namespace reel {

/// Where mutual self-attention begins; the paper's names.
struct MutualSelfAttentionOptions {
    double start_step = 0.08; ///< share of the run's steps that are left alone, in which the edit finds its layout
    std::string layers = "up_blocks"; ///< names of layers begin so
};

/// The control of MasaCtrl (Cao et al. 2023, arXiv:2304.08465, eq. 4), for with_control() and SourceBranch: the edit's
/// pixels look for what they show in the clip's keys and values, not in their own. So what moves or turns keeps the
/// clip's look. Of guidance both halves do, with the one look at the clip.
template <Scalar T, Backend B>
class MutualSelfAttention {
public:
    using X = Tensor<T, B>;

    explicit MutualSelfAttention(MutualSelfAttentionOptions options = {}) : options_(std::move(options)) {}

    void begin(const ControlStep& at) { at_ = at; }
    [[nodiscard]] bool needs_clip(const ControlStep& at) const { return !at.within(options_.start_step); }
    [[nodiscard]] bool controls(const std::string& layer) const {
        return layer.ends_with("attn1") && layer.starts_with(options_.layers);
    }
    [[nodiscard]] X operator()(const LayerAttention<X>& layer) {
        if (at_.on_clip) {
            kept_[layer.name] = {layer.key, layer.value};
        } else if (needs_clip(at_)) {
            const auto& [key, value] = kept_.at(layer.name);
            const index_t clips = layer.piece.clips;
            return layer.attend(layer.query, for_each_clip(key, clips), for_each_clip(value, clips));
        }
        return layer.attend();
    }

private:
    MutualSelfAttentionOptions options_;
    ControlStep at_{};
    std::map<std::string, std::pair<X, X>> kept_{}; ///< the clip's keys and values, by layer
};

} // namespace reel
