#pragma once
// LEDITS++ (Brack et al. 2023, arXiv:2311.16711): concepts are put into a clip or taken out of it, each where it
// belongs, on the noise that edit-friendly inversion found.

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <reel/nn/attention_processor.hpp>
#include <reel/pipelines/blend.hpp>
#include <reel/pipelines/control/source_branch.hpp>

namespace reel {

/// Something to put into a clip, or to take out of it: "a tennis racket".
template <class T, Backend B>
struct EditConcept {
    Tensor<T, B> text;           ///< [1, tokens, channels]
    std::vector<index_t> tokens; ///< of its words in `text`, whose attention says where it belongs
    double scale = 5;            ///< the paper's s_e
    double threshold = 0.9;      ///< the paper's lambda: the share of the clip that is left alone, from 0 to 1
    bool away = false;           ///< take it out
};

/// What the cross attention of one call tells of every concept: the control of LeditsUnet. Of the layers whose map is a
/// quarter of the latents' sides (16 x 16 where latents are 64 x 64, as in the paper).
class ConceptMaps {
public:
    /// `tokens`: of the words of each concept. Clip 1 + i of a call is asked about concept i.
    explicit ConceptMaps(std::vector<std::vector<index_t>> tokens) : tokens_(std::move(tokens)) {}

    /// Forgets the last call. `latents` [clips * frames, h, w, channels] are the next one's.
    void begin(const Shape& latents) {
        const auto quarter = [](index_t n) { return (((n + 1) / 2) + 1) / 2; };
        height_ = quarter(latents[1]);
        width_ = quarter(latents[2]);
        maps_.assign(tokens_.size(), {});
        layers_ = 0;
    }
    [[nodiscard]] static bool controls(const std::string& layer) { return layer.ends_with("attn2"); }

    template <Scalar T, Backend B>
    [[nodiscard]] Tensor<T, B> operator()(const LayerAttention<Tensor<T, B>>& layer) {
        if (layer.query.shape(1) == height_ * width_ && layer.piece.clips == static_cast<index_t>(tokens_.size()) + 1) {
            for (std::size_t i = 0; i < tokens_.size(); ++i) {
                add(ClipAttention<Tensor<T, B>>(layer, static_cast<index_t>(i) + 1)->probabilities(), i);
            }
            ++layers_;
        }
        return layer.attend();
    }

    /// Where a concept's words are looked at most: the mean over layers and heads of their sum, at or above its
    /// quantile over the clip; in the latents' size [frames, h, w], row-major. Throws Error where no layer has told.
    [[nodiscard]] std::vector<bool> places(std::size_t concept_number, double threshold, const Shape& latents) const {
        require(layers_ > 0, "LEDITS++: no cross attention of the UNet has maps of ", width_, "x", height_,
                ", a quarter of the latents; use a model with attention there");
        const std::vector<double>& map = maps_.at(concept_number);
        const double limit = quantile(map, threshold);
        std::vector<bool> result;
        for (index_t i = 0; i < latents[0] * latents[1] * latents[2]; ++i) {
            const index_t y = i / latents[2] % latents[1] * height_ / latents[1];
            const index_t x = i % latents[2] * width_ / latents[2];
            const index_t frame = i / latents[2] / latents[1];
            result.push_back(map[static_cast<std::size_t>((frame * height_ + y) * width_ + x)] >= limit);
        }
        return result;
    }

    /// The value below which a share of the values lies, between neighbours linearly, as torch.quantile has it.
    [[nodiscard]] static double quantile(std::vector<double> values, double share) {
        require(!values.empty() && share >= 0 && share <= 1, "LEDITS++: a threshold of ", share, " over ",
                values.size(), " values; expected 0 to 1");
        std::sort(values.begin(), values.end());
        const double at = share * static_cast<double>(values.size() - 1);
        const auto below = static_cast<std::size_t>(at);
        const double above = values[std::min(below + 1, values.size() - 1)];
        return values[below] + (at - static_cast<double>(below)) * (above - values[below]);
    }

private:
    template <Scalar T, Backend B>
    void add(const Tensor<T, B>& probabilities, std::size_t concept_number) { // [frames, heads, pixels, tokens]
        std::vector<double>& map = maps_[concept_number];
        map.resize(static_cast<std::size_t>(probabilities.shape(0) * probabilities.shape(2)));
        for (const index_t token : tokens_[concept_number]) {
            const auto seen = mean(slice_channels(probabilities, token, token + 1), 1).to_host();
            for (std::size_t i = 0; i < map.size(); ++i) {
                map[i] += static_cast<double>(seen[i]);
            }
        }
    }

    std::vector<std::vector<index_t>> tokens_;
    index_t height_ = 0;
    index_t width_ = 0;
    index_t layers_ = 0;
    std::vector<std::vector<double>> maps_{}; ///< of each concept [frames, h, w], summed over layers
};

/// A UNet that gives the paper's guided prediction, section 3:
///
///     e(x) + sum over concepts of s_e M (e(x, c) - e(x)),   with the other sign where a concept is taken out,
///
/// M being 1 where both its words are looked at (ConceptMaps) and its difference from e(x), summed over the channels,
/// is among the largest: at or above the quantile lambda over the clip. One call, of one clip more than there are
/// concepts. Sampling takes it for the UNet, without guidance of its own, with an EditFriendlySampler; use
/// ledits_edit().
template <class Unet, Real T, Backend B>
class LeditsUnet {
public:
    /// `empty` [1, tokens, channels]: no prompt's text. All must outlive this. The maps must be in the UNet.
    LeditsUnet(const Unet& unet, Tensor<T, B> empty, const std::vector<EditConcept<T, B>>& concepts, ConceptMaps& maps)
        : unet_(unet), texts_{std::move(empty)}, concepts_(concepts), maps_(maps) {
        for (const EditConcept<T, B>& each : concepts_) {
            texts_.push_back(each.text);
        }
    }

    /// As a UNet3DConditionModel is called, with one clip; what it is given as text is not looked at.
    [[nodiscard]] Tensor<T, B> operator()(const Tensor<T, B>& sample, std::span<const double> timesteps,
                                          const Tensor<T, B>& /*text*/, index_t frames) const {
        require(sample.shape(0) == frames, "LEDITS++: samples ", sample.shape(), " of ", frames,
                " frames; expected one clip");
        const std::vector<Tensor<T, B>> samples(texts_.size(), sample);
        const Tensor<T, B> all = concat_rows(std::span<const Tensor<T, B>>(samples));
        maps_.begin(all.shape());
        const Tensor<T, B> predicted =
            unet_(all, timesteps, concat_rows(std::span<const Tensor<T, B>>(texts_)), frames);
        const Tensor<T, B> without = predicted.slice(0, frames);
        Tensor<T, B> sum = without;
        for (std::size_t i = 0; i < concepts_.size(); ++i) {
            const auto row = static_cast<index_t>(i + 1) * frames;
            const Tensor<T, B> difference = subtract(predicted.slice(row, row + frames), without);
            const double scale = concepts_[i].away ? -concepts_[i].scale : concepts_[i].scale;
            const Tensor<T, B> zero = Tensor<T, B>::zeros(sample.backend(), sample.shape());
            sum = axpby(T(1), sum, static_cast<T>(scale), blend(difference, zero, mask_of(difference, i)));
        }
        return sum;
    }

private:
    [[nodiscard]] Tensor<T, B> mask_of(const Tensor<T, B>& difference, std::size_t concept_number) const {
        const double threshold = concepts_[concept_number].threshold;
        const std::vector<bool> looked_at = maps_.places(concept_number, threshold, difference.shape());
        const std::vector<T> values = difference.to_host();
        const auto channels = static_cast<std::size_t>(difference.shape(3));
        std::vector<double> sums(values.size() / channels);
        for (std::size_t i = 0; i < values.size(); ++i) {
            sums[i / channels] += std::abs(static_cast<double>(values[i]));
        }
        const double limit = ConceptMaps::quantile(sums, threshold);
        std::vector<T> mask(sums.size());
        for (std::size_t i = 0; i < mask.size(); ++i) {
            mask[i] = looked_at[i] && sums[i] >= limit ? T(1) : T(0);
        }
        return Tensor<T, B>::from_host(difference.backend(), difference.shape().with(3, 1), std::span<const T>(mask));
    }

    const Unet& unet_;
    std::vector<Tensor<T, B>> texts_;
    const std::vector<EditConcept<T, B>>& concepts_;
    ConceptMaps& maps_;
};

/// For the words of some concepts. Throws Error where there is none, or one without tokens.
template <class T, Backend B>
[[nodiscard]] ConceptMaps maps_of(const std::vector<EditConcept<T, B>>& concepts) {
    require(!concepts.empty(), "LEDITS++: no concept is given; expected one or more");
    std::vector<std::vector<index_t>> tokens;
    for (const EditConcept<T, B>& each : concepts) {
        require(!each.tokens.empty(), "LEDITS++: a concept without tokens; expected those of its words");
        tokens.push_back(each.tokens);
    }
    return ConceptMaps(std::move(tokens));
}

/// The latents of an edit by concepts. `sampler`: an EditFriendlySampler of the clip, inverted under no prompt (of
/// DPMSolverMultistepScheduler with sde-dpmsolver++, as the paper has it, or of another one that draws); `unet` is
/// changed while it is sampled. `empty`: no prompt's text.
template <class Unet, class S, Real T, Backend B>
[[nodiscard]] Tensor<T, B> ledits_edit(Unet& unet, S sampler, const Tensor<T, B>& empty,
                                       const std::vector<EditConcept<T, B>>& concepts) {
    ConceptMaps maps = maps_of(concepts);
    return with_control(unet, maps, [&] {
        const LeditsUnet<Unet, T, B> guided(unet, empty, concepts, maps);
        Tensor<T, B> x = sampler.start();
        for (const auto timestep : sampler.timesteps()) {
            const double at = static_cast<double>(timestep);
            const Tensor<T, B> input = sampler.scale_model_input(x, timestep);
            x = sampler.step(guided(input, std::span<const double>(&at, 1), empty, input.shape(0)), timestep, x);
        }
        return x;
    });
}

} // namespace reel
