#pragma once
// Prompt-to-prompt (Hertz et al. 2022, arXiv:2208.01626): the edit looks where the clip looks. Words that both prompts
// share keep their attention maps, and in the run's first part the pictures' attention to themselves is the clip's.

#include <map>
#include <string>
#include <utility>
#include <vector>

#include <reel/pipelines/control/source_branch.hpp>
#include <reel/pipelines/control/word_maps.hpp>
#include <reel/text/token_alignment.hpp>

namespace reel {

/// The paper's names; shares of the run's steps, from its beginning.
struct PromptToPromptOptions {
    double cross_replace_steps = 0.8; ///< in which words look where the clip's do
    double self_replace_steps = 0.4;  ///< in which pixels look at each other as the clip's do
    double blend_threshold = 0.3;     ///< of local_blend(): a share of the words' largest attention
    double blend_start = 0.2;         ///< of local_blend(): the share of steps that are not blended
};

/// The control of prompt-to-prompt, for with_control() and SourceBranch.
template <Scalar T, Backend B>
class PromptToPrompt {
public:
    using X = Tensor<T, B>;

    /// `source` and `edited`: the tokens of the words whose surroundings local_blend() leaves to the edit; none: it
    /// does nothing.
    PromptToPrompt(B& backend, const TokenAlignment& tokens, PromptToPromptOptions options = {},
                   std::vector<index_t> source = {}, std::vector<index_t> edited = {})
        : options_(options), share_(on(backend, tokens, true)), own_(on(backend, tokens, false)),
          of_clip_(std::move(source)), of_edit_(std::move(edited)) {}

    void begin(const ControlStep& at) { at_ = at; }
    [[nodiscard]] bool needs_clip(const ControlStep& at) const {
        return crosses(at) || selves(at) || of_clip_.wanted();
    }
    [[nodiscard]] bool controls(const std::string& layer) const {
        return layer.ends_with("attn1") || layer.ends_with("attn2");
    }
    [[nodiscard]] X operator()(const LayerAttention<X>& layer) {
        return layer.name.ends_with("attn1") ? self_attention(layer) : cross_attention(layer);
    }

    /// After step k, from 1: what the edit changes outside of its words' places is taken back to the clip's own latents
    /// of that noise level (the paper's "local editing").
    template <Real U>
    [[nodiscard]] Tensor<U, B> local_blend(index_t k, const Tensor<U, B>& edited, const Tensor<U, B>& clip) const {
        const auto start = static_cast<index_t>(options_.blend_start * static_cast<double>(at_.steps));
        if (k <= start || !(of_clip_.wanted() || of_edit_.wanted())) {
            return edited;
        }
        std::vector<U> mask(static_cast<std::size_t>(edited.size() / edited.shape(3)));
        for (const WordMaps* words : {&of_clip_, &of_edit_}) {
            if (words->wanted()) {
                const auto places = words->places(edited.shape(), options_.blend_threshold);
                for (std::size_t i = 0; i < mask.size(); ++i) {
                    mask[i] = places.at(i) ? U(1) : mask[i];
                }
            }
        }
        return blend(edited, clip,
                     Tensor<U, B>::from_host(edited.backend(), edited.shape().with(3, 1), std::span<const U>(mask)));
    }

private:
    struct Kept {
        X query;
        X key;
        X probabilities;
    };

    [[nodiscard]] static X on(B& backend, const TokenAlignment& tokens, bool share) {
        const std::size_t n = tokens.tokens;
        std::vector<compute_t<T>> matrix(n * n);
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t j = 0; j < n; ++j) {
                const float part = share ? tokens.share[i * n + j] : (i == j ? tokens.own[j] : 0);
                matrix[i * n + j] = static_cast<compute_t<T>>(tokens.weight[j] * part);
            }
        }
        const auto side = static_cast<index_t>(n);
        return detail::stored_as<T>(
            Tensor<compute_t<T>, B>::from_host(backend, {side, side}, std::span(std::as_const(matrix))));
    }

    [[nodiscard]] bool crosses(const ControlStep& at) const { return at.within(options_.cross_replace_steps); }
    [[nodiscard]] bool selves(const ControlStep& at) const { return at.within(options_.self_replace_steps); }

    /// The pictures' attention to themselves, where maps are at most a quarter of the latents: the clip's queries and
    /// keys give the clip's probabilities.
    [[nodiscard]] X self_attention(const LayerAttention<X>& layer) {
        const bool small = 4 * layer.query.shape(1) <= at_.latents[1] * at_.latents[2];
        if (!small || !selves(at_)) {
            return layer.attend();
        }
        if (at_.on_clip) {
            kept_[layer.name] = {layer.query, layer.key, {}};
            return layer.attend();
        }
        const Kept& clip = kept_.at(layer.name);
        return layer.attend(with_last(layer.query, clip.query), with_last(layer.key, clip.key), layer.value);
    }

    [[nodiscard]] X cross_attention(const LayerAttention<X>& layer) {
        if (!crosses(at_) && !(at_.on_clip ? of_clip_ : of_edit_).wanted()) {
            return layer.attend();
        }
        if (at_.on_clip) {
            X p = layer.probabilities();
            of_clip_.add(p, at_.latents);
            X result = layer.attend_with(p);
            kept_[layer.name].probabilities = std::move(p);
            return result;
        }
        const ClipAttention edit(layer, layer.piece.clips - 1);
        X p = edit->probabilities();
        if (crosses(at_)) {
            p = add(mapped(kept_.at(layer.name).probabilities, share_), mapped(p, own_));
        }
        of_edit_.add(p, at_.latents);
        if (layer.piece.clips == 1) {
            return edit->attend_with(p);
        }
        const ClipAttention other(layer, 0);
        return concat_rows({other->attend(), edit->attend_with(p)});
    }

    [[nodiscard]] static X mapped(const X& p, const X& matrix) {
        return matmul(p.reshape({-1, p.shape(3)}), matrix).reshape(p.shape().with(3, matrix.shape(1)));
    }

    /// `x` of a call, its last clip being `clip`.
    [[nodiscard]] static X with_last(const X& x, const X& clip) {
        const index_t before = x.shape(0) - clip.shape(0);
        return before == 0 ? clip : concat_rows({x.slice(0, before), clip});
    }

    PromptToPromptOptions options_;
    X share_; ///< [tokens, tokens]
    X own_;   ///< [tokens, tokens], of its diagonal
    WordMaps of_clip_;
    WordMaps of_edit_;
    ControlStep at_{};
    std::map<std::string, Kept> kept_{};
};

} // namespace reel
