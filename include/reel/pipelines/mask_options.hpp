#pragma once
// Where an edit may change a clip, and how it is drafted.

#include <vector>

#include <reel/core/option_checks.hpp>
#include <reel/core/scalar.hpp>

namespace reel {

/// On what two prompts are compared: fresh noise on the clip, or the inversion's own latents.
enum class MaskNoise { draws, inversion };

inline constexpr std::array mask_noise_names{
    NamedValue{"draws", MaskNoise::draws},
    NamedValue{"inversion", MaskNoise::inversion},
};

/// The names of its values.
[[nodiscard]] constexpr const auto& names_of(MaskNoise) {
    return mask_noise_names;
}

/// How a map of differences becomes a mask, and what the map is taken from.
struct MaskOptions {
    double threshold = 0.5; ///< share of the reference value above which the mask is 1
    double quantile = 1;    ///< the reference value: this quantile of the (smoothed) map; 1: its maximum
    bool per_frame = false; ///< each frame has a reference value of its own; otherwise the clip has one
    index_t smooth = 1;     ///< first average over squares of 2 * smooth + 1 pixels a side; 0: do not
    index_t dilate = 0;     ///< at the end grow by so many pixels, in squares
    double floor = 1e-4;    ///< a reference value below this is rounding, not a difference: noise has unit variance
    index_t regions = 0;    ///< keep so many connected regions in each frame, those of the largest sums; 0: all
    MaskNoise noise = MaskNoise::draws;
    std::vector<double> strengths{0.5}; ///< noise levels at which the prompts are compared
    index_t draws = 10;                 ///< of noise at each strength

    bool operator==(const MaskOptions&) const = default;

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(Option{"mask_threshold", "share of the largest difference above which may change", from_below(0, 1)},
              self.threshold);
        visit(Option{"mask_quantile", "what counts as the largest: this quantile of all; 1: maximum", above_to(0, 1)},
              self.quantile);
        visit(Option{"mask_per_frame", "a largest difference for every frame, not for the clip"}, self.per_frame);
        visit(Option{"mask_smooth", "first average over squares of this radius, in latents' pixels", at_least(0)},
              self.smooth);
        visit(Option{"mask_dilate", "at the end grow by this radius", at_least(0)}, self.dilate);
        visit(Option{"mask_regions", "keep so many connected regions a frame; 0: all", at_least(0)}, self.regions);
        visit(Option{"mask_noise", "compare the prompts on fresh noise or on the inversion's latents"}, self.noise);
        visit(Option{"mask_strengths", "noise levels to compare at", above_to(0, 1), "number"}, self.strengths);
        visit(Option{"mask_draws", "of noise at each level", from_to(1, 10000)}, self.draws);
    }
};

/// What the prediction for an edited draft is held against, under the clip's own text: the prediction for the clip
/// under the same noise (the delta denoising score), or for the draft itself (classifier score distillation).
enum class DeltaAgainst { clip, draft };

inline constexpr std::array delta_against_names{
    NamedValue{"clip", DeltaAgainst::clip},
    NamedValue{"draft", DeltaAgainst::draft},
};

/// The names of its values.
[[nodiscard]] constexpr const auto& names_of(DeltaAgainst) {
    return delta_against_names;
}

/// How a clip is moved toward an edited text, and where sampling then begins.
struct DeltaOptions {
    index_t steps = 120;       ///< each looks at the clip under other noise
    double step_size = 0.05;   ///< of a step against the difference of two noise predictions, in latents' units
    double weakest = 0.6;      ///< the noise strengths looked at, as in timestep_of_strength()
    double strongest = 0.75;   ///< above `weakest`
    double guidance_scale = 6; ///< of the edited text against the source's
    double shrinkage = 0.008;  ///< what every step takes off a pixel's change (its root mean square over channels)
    /// Frames that have changed less than this share of the one that has changed most take over the change of the
    /// nearest that has changed more, when 2/3 and 5/6 of the steps are done; 0: never.
    double fill_below = 0.5;
    double strength = 0.7; ///< of the noise on the draft where sampling begins
    DeltaAgainst against = DeltaAgainst::clip;

    bool operator==(const DeltaOptions&) const = default;

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(Option{"delta_steps", "of delta denoising", from_to(1, 100000)}, self.steps);
        visit(Option{"delta_step_size", "of each, against the difference of noise predictions", above(0)},
              self.step_size);
        visit(Option{"delta_weakest", "noise that the clip is looked at with: from this", above_to(0, 1)},
              self.weakest);
        visit(Option{"delta_strongest", "to this", above_to(0, 1)}, self.strongest);
        visit(Option{"delta_guidance_scale", "of the edited prompt against the clip's", above(0)}, self.guidance_scale);
        visit(Option{"delta_shrinkage", "what each step takes off a pixel's change", at_least(0)}, self.shrinkage);
        visit(Option{"delta_fill",
                     "a frame that has changed less than this share of the most changed one takes over the "
                     "nearest's change, after 2/3 and 5/6 of the steps; 0: never",
                     from_to(0, 1)},
              self.fill_below);
        visit(Option{"delta_strength", "noise on the draft where sampling begins", above_to(0, 1)}, self.strength);
        visit(Option{"delta_against", "what a step holds the edited prompt's prediction against, under the clip's own "
                                      "prompt: the clip's (clip), or the draft's (draft), a third less work"},
              self.against);
    }

    /// What must fit together, beyond ranges.
    void check(const KeyLocator& locate) const {
        require(weakest <= strongest, locate("delta_weakest"), ": expected at most ", locate("delta_strongest"), ", ",
                strongest, ", found ", weakest);
    }
};

} // namespace reel
