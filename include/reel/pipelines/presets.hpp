#pragma once
// Ways to edit a clip that are known to go together.

#include <array>

#include <reel/pipelines/edit_options.hpp>

namespace reel {

/// Where the options of an edit start.
enum class Preset {
    tune_a_video, ///< the reference's stages
    insert        ///< what inserts objects best on drawn clips
};

inline constexpr std::array preset_names{NamedValue{"tune_a_video", Preset::tune_a_video},
                                         NamedValue{"insert", Preset::insert}};

/// The names of its values.
[[nodiscard]] constexpr const auto& names_of(Preset) {
    return preset_names;
}

/// What a preset says of an edit; all else is EditOptions' own.
[[nodiscard]] inline EditOptions edit_options_of(Preset preset) {
    EditOptions edit;
    if (preset == Preset::insert) {
        edit.inverted_latents = InvertedLatents::mean;
        edit.inversion_prompt = InversionPrompt::source;
        edit.guidance_prompt = GuidancePrompt::source;
        edit.mask = MaskKind::delta;
        edit.mask_options = {.threshold = 0.58, .regions = 1, .strengths = {0.8}};
        edit.overlay = true;
    }
    return edit;
}

} // namespace reel
