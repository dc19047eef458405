#pragma once
// Frames as CLIP's image tower wants them. Needs nlohmann-json (target reel::io).

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <reel/core/ranges.hpp>
#include <reel/io/config/config_reader.hpp>
#include <reel/io/pictures/bicubic.hpp>
#include <reel/tensor.hpp>

namespace reel::metrics {

/// What preprocessor_config.json of a CLIP says. The defaults are those of the published models.
struct ClipPreprocessing {
    int size = 224; ///< the shorter side is resized to this
    int crop = 224; ///< then the middle square of this side is taken
    std::array<double, 3> mean{0.48145466, 0.4578275, 0.40821073};
    std::array<double, 3> deviation{0.26862954, 0.26130258, 0.27577711};
};

/// Reads preprocessor_config.json, of transformers 4.x. Throws Error for what is not supported: another order of steps
/// or another interpolation than bicubic, or a crop larger than the resized picture.
[[nodiscard]] inline ClipPreprocessing read_clip_preprocessing(ConfigReader reader) {
    ClipPreprocessing p;
    for (const char* step : {"do_resize", "do_center_crop", "do_normalize", "do_rescale", "do_convert_rgb"}) {
        reader.expect(step, true);
    }
    reader.expect("resample", 3);
    const double factor = reader.get<double>("rescale_factor", 1.0 / 255);
    require(std::abs(factor * 255 - 1) < 1e-6, reader.where(), ": \"rescale_factor\" is ", factor,
            ", but only 1/255 is supported");
    // A number, or an object with one of two sets of keys.
    const auto side = [&](const char* key, int otherwise) {
        const nlohmann::json* value = reader.raw(key);
        if (value == nullptr) {
            return otherwise;
        }
        if (!value->is_object()) {
            return reader.require<int>(key);
        }
        ConfigReader object(*value, reader.where() + ": " + key);
        const int given =
            object.has("shortest_edge") ? object.require<int>("shortest_edge") : object.require<int>("height");
        object.expect("width", given);
        object.expect("height", given);
        object.finish();
        return given;
    };
    p.size = side("size", p.size);
    p.crop = side("crop_size", p.crop);
    require(p.crop > 0 && p.crop <= p.size && p.size <= max_picture_side, reader.where(), ": crop_size ", p.crop,
            " and size ", p.size, "; expected a crop of at least 1 and at most the size");
    for (const auto& [key, values] : {std::pair{"image_mean", &p.mean}, std::pair{"image_std", &p.deviation}}) {
        const auto given = reader.get<std::vector<double>>(key, {values->begin(), values->end()});
        require(given.size() == 3, reader.where(), ": \"", key, "\" has ", given.size(), " entries, expected 3");
        ranges::copy(given, values->begin());
    }
    require(ranges::all_of(p.deviation, [](double d) { return d > 0; }), reader.where(),
            ": \"image_std\" has an entry that is not above 0");
    reader.ignore({"feature_extractor_type", "image_processor_type", "processor_class"});
    reader.finish();
    return p;
}

/// The frames, resized (the longer side is rounded down) and cropped, as bytes [count, crop, crop, 3].
[[nodiscard]] inline Frames clip_crop(const Frames& frames, const ClipPreprocessing& p) {
    require_frames(frames, "clip_crop");
    const bool portrait = frames.width <= frames.height;
    const double longer = portrait ? frames.height : frames.width;
    const double shorter = portrait ? frames.width : frames.height;
    const int resized_longer = static_cast<int>(p.size * longer / shorter);
    const Frames resized =
        portrait ? resize_bicubic(frames, resized_longer, p.size) : resize_bicubic(frames, p.size, resized_longer);
    const int top = (resized.height - p.crop) / 2;
    const int left = (resized.width - p.crop) / 2;
    Frames cropped = make_frames(frames.count, p.crop, p.crop, frames.fps);
    for (int f = 0; f < frames.count; ++f) {
        for (int y = 0; y < p.crop; ++y) {
            std::copy_n(resized.pixel(f, top + y, left), cropped.row_bytes(), cropped.pixel(f, y, 0));
        }
    }
    return cropped;
}

/// The frames as pixels [count, crop, crop, 3]: (byte / 255 - mean) / deviation. What transformers' CLIPImageProcessor
/// gives, with channels last.
template <Real T, Backend B>
[[nodiscard]] Tensor<T, B> clip_pixels(B& backend, const Frames& frames, const ClipPreprocessing& p = {}) {
    const Frames cropped = clip_crop(frames, p);
    std::vector<T> values(cropped.rgb.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<T>((cropped.rgb[i] / 255.0 - p.mean[i % 3]) / p.deviation[i % 3]);
    }
    return Tensor<T, B>::from_host(backend, {cropped.count, p.crop, p.crop, 3}, std::span<const T>(values));
}

} // namespace reel::metrics
