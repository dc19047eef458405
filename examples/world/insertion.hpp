#pragma once
// An edit of a drawn clip against the truth, which is known because the clip is drawn.

#include <array>
#include <span>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include <reel/pipelines/any_pipeline.hpp>
#include <reel/pipelines/clip_files.hpp>

#include "world/insertion_metrics.hpp"
#include "world/world.hpp"

namespace world {

/// "a red tennis racket"
[[nodiscard]] inline std::string object_name(const Scene& scene) {
    return reel::concat_text("a ", name_of(scene.colour), " ", object_of(scene.act));
}

/// What is known of a drawn clip, and of how well the autoencoder can draw it.
struct TwinComparison {
    reel::Frames reconstruction; ///< the autoencoder's picture of the clip
    reel::Frames twin;           ///< the autoencoder's picture of the twin
    double autoencoder = 0;      ///< dB: mean over clip and twin of the autoencoder's PSNR
    metrics::Insertion ceiling;  ///< the twin's measures: what a perfect edit would get
};

/// The measures of an edit of a drawn clip. `source` is the clip as it was read.
[[nodiscard]] inline metrics::Insertion measure(const reel::Frames& result, const Clip& drawn,
                                                const reel::Frames& source, const reel::Frames& reconstruction) {
    std::array<std::array<double, 3>, colour_count> palette{};
    for (int i = 0; i < colour_count; ++i) {
        palette[static_cast<std::size_t>(i)] = rgb_of(static_cast<Colour>(i));
    }
    return metrics::measure(result, {source, reconstruction, drawn.mask, palette});
}

/// `moments` are the clip's.
[[nodiscard]] inline TwinComparison compare_with_twin(const reel::AnyPipeline& model, const Clip& drawn,
                                                      const reel::Frames& source, const reel::AnyTensor& moments) {
    const auto decoded = [&](const reel::AnyTensor& x) {
        return reel::frames_of(model.decode(model.mean_latents(x)), source.fps);
    };
    TwinComparison known{decoded(moments), decoded(model.encode(drawn.twin)), 0, {}};
    known.autoencoder = (metrics::psnr(known.reconstruction, source) + metrics::psnr(known.twin, drawn.twin)) / 2;
    known.ceiling = measure(known.twin, drawn, source, known.reconstruction);
    return known;
}

/// The place an edit was confined to (white of mask_picture(); may be empty) in grey, and the true object's pixels in
/// white.
[[nodiscard]] inline reel::Frames place_picture(const reel::Frames& place, const Clip& drawn) {
    reel::Frames picture = metrics::picture_of(drawn.mask, drawn.twin);
    for (std::size_t i = 0; 3 * i < place.rgb.size(); ++i) {
        if (place.rgb[3 * i] != 0 && drawn.mask[i] == 0) {
            std::fill_n(picture.rgb.begin() + static_cast<std::ptrdiff_t>(3 * i), 3, std::uint8_t{110});
        }
    }
    return picture;
}

[[nodiscard]] inline nlohmann::json as_json(const metrics::Insertion& insertion) {
    return {{"iou", insertion.iou},
            {"background_db", insertion.background},
            {"background_source_db", insertion.background_source},
            {"flicker", insertion.flicker},
            {"colour", insertion.colour ? nlohmann::json(colour_name(insertion.colour)) : nlohmann::json()},
            {"objects", insertion.objects},
            {"one_object", insertion.one_object},
            {"outside_changed", insertion.outside_changed}};
}

[[nodiscard]] inline nlohmann::json as_json(const Clip& clip) {
    return {{"act", name_of(clip.scene.act)},
            {"colour", name_of(clip.scene.colour)},
            {"prompt", clip.prompt},
            {"edit", clip.edit}};
}

/// The columns of csv_row().
inline constexpr std::string_view csv_header =
    "what,iou,background_db,background_source_db,flicker,colour,objects,one_object,outside_changed";

[[nodiscard]] inline std::string csv_row(std::string_view what, const metrics::Insertion& insertion) {
    return reel::concat_text(what, ",", insertion.iou, ",", insertion.background, ",", insertion.background_source, ",",
                             insertion.flicker, ",", colour_name(insertion.colour), ",", insertion.objects, ",",
                             insertion.one_object ? 1 : 0, ",", insertion.outside_changed);
}

} // namespace world
