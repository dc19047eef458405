#pragma once
// Ways to edit a clip that are known to go together.

#include <array>

#include <reel/pipelines/edit_options.hpp>

namespace reel {

/// Where the options of an edit start.
enum class Preset {
    tune_a_video, ///< the reference's stages
    insert,       ///< what inserts objects best on drawn clips
    zero_shot,    ///< the same without tuning: TokenFlow, its keyframes edited by plug-and-play
    inpaint       ///< of an inpainting model: from noise, inside the user's mask
};

inline constexpr std::array preset_names{
    NamedValue{"tune_a_video", Preset::tune_a_video}, NamedValue{"insert", Preset::insert},
    NamedValue{"zero_shot", Preset::zero_shot}, NamedValue{"inpaint", Preset::inpaint}};

/// The names of its values.
[[nodiscard]] constexpr const auto& names_of(Preset) {
    return preset_names;
}

/// Whether a preset tunes the model.
[[nodiscard]] constexpr bool tunes(Preset preset) {
    return preset != Preset::zero_shot;
}

/// What a preset says of an edit; all else is EditOptions' own.
[[nodiscard]] inline EditOptions edit_options_of(Preset preset) {
    EditOptions edit;
    switch (preset) {
    case Preset::tune_a_video:
        break;
    case Preset::zero_shot:
        edit.control.control = ControlKind::tokenflow;
        [[fallthrough]];
    case Preset::insert:
        edit.inverted_latents = InvertedLatents::mean;
        edit.inversion_prompt = InversionPrompt::source;
        edit.guidance_prompt = GuidancePrompt::source;
        edit.mask = MaskKind::delta;
        edit.mask_options = {.threshold = 0.58, .regions = 1, .strengths = {0.8}};
        edit.delta = {.steps = 40, .step_size = 0.15, .shrinkage = 0.024, .against = DeltaAgainst::draft};
        edit.overlay = true;
        break;
    case Preset::inpaint:
        edit.start = EditStart::noise;
        edit.overlay = true;
        break;
    }
    return edit;
}

} // namespace reel
