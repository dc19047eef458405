#pragma once
// What an inserted object looks like in numbers. Where clips are drawn, the truth is known: the twin with the object,
// and the mask of the object's visible pixels. All clips here are of one size, 8 bits a channel.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include <reel/core/ranges.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/pipelines/regions.hpp>

namespace metrics {

/// Marks of pixels, [frames, height, width], 0 or not.
using Marks = std::vector<std::uint8_t>;

/// Definitions' numbers.
struct Definitions {
    double changed = 0.18;         ///< a pixel has changed when a channel differs by more than this (0..1)
    int margin = 2;                ///< pixels around the true mask that are not counted as background
    int neighbourhood = 2;         ///< pixels around the true mask in which the object's colour is looked for
    int smallest_region = 12;      ///< pixels of a connected region that counts as an object
    double frames_that_may = 0.25; ///< share of frames in which a clip with one object may show another number
};

/// What was measured on one edited clip.
struct Insertion {
    double iou = 0;               ///< mean_iou()
    double background = 0;        ///< dB: background_psnr() against the autoencoder's picture of the source
    double background_source = 0; ///< dB: the same against the source itself
    double flicker = 0;           ///< 8-bit levels: flicker() against the autoencoder's picture of the source
    std::optional<int> colour;    ///< nearest_colour(); none where nothing has changed near the object
    double objects = 0;           ///< mean number of regions a frame
    bool one_object = false;      ///< see has_one_object()
    double outside_changed = 0;   ///< outside_changed() against the source
};

namespace detail {

inline std::size_t frame_pixels(const reel::Frames& clip) {
    return static_cast<std::size_t>(clip.height) * static_cast<std::size_t>(clip.width);
}

inline void require_alike(const reel::Frames& a, const reel::Frames& b) {
    reel::require(a.count == b.count && a.height == b.height && a.width == b.width, "metrics: clips of ", a.count,
                  " frames of ", a.width, "x", a.height, " and ", b.count, " of ", b.width, "x", b.height,
                  "; expected equal sizes");
}

inline void require_marks(const reel::Frames& clip, std::span<const std::uint8_t> marks) {
    reel::require(marks.size() == static_cast<std::size_t>(clip.count) * frame_pixels(clip), "metrics: ", marks.size(),
                  " marks for ", clip.count, " frames of ", clip.width, "x", clip.height);
}

} // namespace detail

/// Marks grown (or with `on` false, gaps between them grown) by squares of `radius`, frame by frame.
[[nodiscard]] inline Marks grown(std::span<const std::uint8_t> marks, const reel::Frames& clip, int radius,
                                 bool on = true) {
    detail::require_marks(clip, marks);
    Marks result(marks.size());
    const std::size_t pixels = detail::frame_pixels(clip);
    for (std::size_t i = 0; i < marks.size(); ++i) {
        const std::size_t frame = i / pixels * pixels;
        const int y = static_cast<int>(i % pixels) / clip.width;
        const int x = static_cast<int>(i % pixels) % clip.width;
        bool found = false;
        for (int v = std::max(y - radius, 0); v <= std::min(y + radius, clip.height - 1) && !found; ++v) {
            for (int u = std::max(x - radius, 0); u <= std::min(x + radius, clip.width - 1) && !found; ++u) {
                found = (marks[frame + static_cast<std::size_t>(v * clip.width + u)] != 0) == on;
            }
        }
        result[i] = found == on ? 1 : 0;
    }
    return result;
}

/// In each frame the rectangle around what is marked, `times` as wide and high about its middle, as far as the frame
/// goes; nothing where nothing is.
[[nodiscard]] inline Marks boxes_around(std::span<const std::uint8_t> marks, const reel::Frames& clip, double times) {
    detail::require_marks(clip, marks);
    Marks result(marks.size());
    const std::size_t pixels = detail::frame_pixels(clip);
    const auto widened = [&](int first, int last, int size) { // the pixels from first to last
        const double middle = (first + last + 1) / 2.0;
        const double half = (last + 1 - first) * times / 2;
        return std::pair{std::max(static_cast<int>(std::floor(middle - half)), 0),
                         std::min(static_cast<int>(std::ceil(middle + half)), size)};
    };
    for (std::size_t frame = 0; frame < marks.size(); frame += pixels) {
        int left = clip.width, right = -1, top = clip.height, bottom = -1;
        for (std::size_t i = 0; i < pixels; ++i) {
            if (marks[frame + i] != 0) {
                const int y = static_cast<int>(i) / clip.width;
                const int x = static_cast<int>(i) % clip.width;
                left = std::min(left, x);
                right = std::max(right, x);
                top = std::min(top, y);
                bottom = std::max(bottom, y);
            }
        }
        if (right < 0) {
            continue;
        }
        const auto [x0, x1] = widened(left, right, clip.width);
        const auto [y0, y1] = widened(top, bottom, clip.height);
        for (int y = y0; y < y1; ++y) {
            for (int x = x0; x < x1; ++x) {
                result[frame + static_cast<std::size_t>(y * clip.width + x)] = 1;
            }
        }
    }
    return result;
}

/// Pixels where some channel of `result` differs from `reference` by more than `threshold` (0..1). The reference is the
/// autoencoder's picture of the source, so that what the autoencoder cannot draw is not counted as changed.
[[nodiscard]] inline Marks changed_pixels(const reel::Frames& result, const reel::Frames& reference, double threshold) {
    detail::require_alike(result, reference);
    Marks marks(static_cast<std::size_t>(result.count) * detail::frame_pixels(result), 0);
    for (std::size_t i = 0; i < result.rgb.size(); ++i) {
        if (std::abs(int{result.rgb[i]} - int{reference.rgb[i]}) > threshold * 255) {
            marks[i / 3] = 1;
        }
    }
    return marks;
}

/// Intersection over union of marks and truth, averaged over frames. A frame with neither counts 1.
[[nodiscard]] inline double mean_iou(std::span<const std::uint8_t> marks, std::span<const std::uint8_t> truth,
                                     const reel::Frames& clip) {
    detail::require_marks(clip, marks);
    detail::require_marks(clip, truth);
    const std::size_t pixels = detail::frame_pixels(clip);
    double sum = 0;
    for (std::size_t frame = 0; frame < marks.size(); frame += pixels) {
        int both = 0;
        int either = 0;
        for (std::size_t i = frame; i < frame + pixels; ++i) {
            both += (marks[i] != 0 && truth[i] != 0) ? 1 : 0;
            either += (marks[i] != 0 || truth[i] != 0) ? 1 : 0;
        }
        sum += either == 0 ? 1 : static_cast<double>(both) / either;
    }
    return sum / clip.count;
}

/// Peak signal to noise in dB of `result` against `reference` over all pixels that are not in `excluded`, from the mean
/// squared error of the whole clip; at most 99. Throws Error when all are excluded.
[[nodiscard]] inline double background_psnr(const reel::Frames& result, const reel::Frames& reference,
                                            std::span<const std::uint8_t> excluded) {
    detail::require_alike(result, reference);
    detail::require_marks(result, excluded);
    double sum = 0;
    double count = 0;
    for (std::size_t i = 0; i < result.rgb.size(); ++i) {
        if (excluded[i / 3] == 0) {
            const double d = double{static_cast<double>(result.rgb[i])} - static_cast<double>(reference.rgb[i]);
            sum += d * d;
            ++count;
        }
    }
    reel::require(count > 0, "metrics: the excluded pixels leave no background");
    const double mse = sum / count;
    return mse > 0 ? std::min(10 * std::log10(255 * 255 / mse), 99.0) : 99.0;
}

/// The share of the pixels that are not in `excluded` which are not the reference's to the byte. Throws Error when all
/// are excluded.
[[nodiscard]] inline double outside_changed(const reel::Frames& result, const reel::Frames& reference,
                                            std::span<const std::uint8_t> excluded) {
    detail::require_alike(result, reference);
    detail::require_marks(result, excluded);
    std::size_t changed = 0;
    std::size_t count = 0;
    for (std::size_t i = 0; i < excluded.size(); ++i) {
        if (excluded[i] == 0) {
            const auto at = static_cast<std::ptrdiff_t>(3 * i);
            const auto first = result.rgb.begin() + at;
            changed += std::equal(first, first + 3, reference.rgb.begin() + at) ? 0 : 1;
            ++count;
        }
    }
    reel::require(count > 0, "metrics: the excluded pixels leave no background");
    return static_cast<double>(changed) / static_cast<double>(count);
}

/// How unsteady the background is: the mean, over pixels that are excluded in neither of two neighbouring frames, of
/// |temporal difference of result - temporal difference of reference|, in 8-bit levels. 0 for a clip of one frame.
[[nodiscard]] inline double flicker(const reel::Frames& result, const reel::Frames& reference,
                                    std::span<const std::uint8_t> excluded) {
    detail::require_alike(result, reference);
    detail::require_marks(result, excluded);
    const std::size_t bytes = result.frame_bytes();
    double sum = 0;
    double count = 0;
    for (std::size_t i = bytes; i < result.rgb.size(); ++i) {
        if (excluded[i / 3] == 0 && excluded[(i - bytes) / 3] == 0) {
            sum += std::abs((int{result.rgb[i]} - int{result.rgb[i - bytes]}) -
                            (int{reference.rgb[i]} - int{reference.rgb[i - bytes]}));
            ++count;
        }
    }
    return count > 0 ? sum / count : 0;
}

/// The palette's colour nearest (in RGB) to the object's: the median, channel by channel, of those pixels in `marks`
/// that have changed most against the reference. The half that changed less is left out: its colours are mixed with
/// those behind. Nothing when there are no marks.
[[nodiscard]] inline std::optional<int> nearest_colour(const reel::Frames& result, const reel::Frames& reference,
                                                       std::span<const std::uint8_t> marks,
                                                       std::span<const std::array<double, 3>> palette) {
    detail::require_alike(result, reference);
    detail::require_marks(result, marks);
    std::vector<std::pair<int, std::size_t>> changes; // how much, and which pixel
    for (std::size_t i = 0; i < marks.size(); ++i) {
        if (marks[i] != 0) {
            int change = 0;
            for (std::size_t c = 3 * i; c < 3 * i + 3; ++c) {
                change += std::abs(int{result.rgb[c]} - int{reference.rgb[c]});
            }
            changes.emplace_back(-change, i);
        }
    }
    if (changes.empty() || palette.empty()) {
        return std::nullopt;
    }
    reel::ranges::sort(changes);
    changes.resize((changes.size() + 1) / 2);
    std::array<double, 3> median{};
    for (std::size_t c = 0; c < 3; ++c) {
        std::vector<std::uint8_t> values;
        for (const auto& [change, pixel] : changes) {
            values.push_back(result.rgb[3 * pixel + c]);
        }
        const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
        std::nth_element(values.begin(), middle, values.end());
        median[c] = *middle / 255.0;
    }
    int nearest = 0;
    double smallest = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < palette.size(); ++i) {
        double distance = 0;
        for (std::size_t c = 0; c < 3; ++c) {
            distance += (palette[i][c] - median[c]) * (palette[i][c] - median[c]);
        }
        if (distance < smallest) {
            smallest = distance;
            nearest = static_cast<int>(i);
        }
    }
    return nearest;
}

/// Objects in each frame: connected regions (diagonal neighbours included) of at least `smallest` marks, after gaps of
/// one pixel were closed (grown by one, then shrunk by one).
[[nodiscard]] inline std::vector<int> count_objects(std::span<const std::uint8_t> marks, const reel::Frames& clip,
                                                    int smallest) {
    const Marks closed = grown(grown(marks, clip, 1), clip, 1, false);
    const std::size_t pixels = detail::frame_pixels(clip);
    std::vector<int> counts;
    for (std::size_t frame = 0; frame < closed.size(); frame += pixels) {
        const auto regions = reel::connected_regions(std::span(closed).subspan(frame, pixels), clip.height, clip.width);
        counts.push_back(
            static_cast<int>(reel::ranges::count_if(regions.sizes, [&](int size) { return size >= smallest; })));
    }
    return counts;
}

/// Whether a clip shows one object: in all frames but a share of `may_differ` the count is right. It is where there is
/// one, or as many as the true object shows in that frame (a leg before a suitcase parts it in two; a racket seen from
/// its edge is too small to count).
[[nodiscard]] inline bool has_one_object(const std::vector<int>& found, const std::vector<int>& truth,
                                         double may_differ) {
    reel::require(found.size() == truth.size() && !found.empty(), "metrics: objects in ", found.size(), " and ",
                  truth.size(), " frames");
    int wrong = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
        wrong += (found[i] == 1 || found[i] == truth[i]) ? 0 : 1;
    }
    return wrong <= may_differ * static_cast<double>(found.size());
}

/// What an edited clip is compared with.
struct Truth {
    const reel::Frames& source;                     ///< the clip that was edited
    const reel::Frames& reconstruction;             ///< the autoencoder's picture of it
    std::span<const std::uint8_t> mask;             ///< the true object's visible pixels, [frames, height, width]
    std::span<const std::array<double, 3>> palette; ///< colours that objects may have, 0..1
};

/// All measures of one edited clip.
[[nodiscard]] inline Insertion measure(const reel::Frames& result, const Truth& truth,
                                       const Definitions& definitions = {}) {
    const Marks changed = changed_pixels(result, truth.reconstruction, definitions.changed);
    const Marks excluded = grown(truth.mask, result, definitions.margin);
    Marks near = grown(truth.mask, result, definitions.neighbourhood);
    reel::ranges::transform(near, changed, near.begin(),
                            [](std::uint8_t a, std::uint8_t b) -> std::uint8_t { return a != 0 && b != 0 ? 1 : 0; });
    const std::vector<int> objects = count_objects(changed, result, definitions.smallest_region);
    double total = 0;
    for (const int count : objects) {
        total += count;
    }
    return {.iou = mean_iou(changed, truth.mask, result),
            .background = background_psnr(result, truth.reconstruction, excluded),
            .background_source = background_psnr(result, truth.source, excluded),
            .flicker = flicker(result, truth.reconstruction, excluded),
            .colour = nearest_colour(result, truth.reconstruction, near, truth.palette),
            .objects = total / result.count,
            .one_object = has_one_object(objects, count_objects(truth.mask, result, definitions.smallest_region),
                                         definitions.frames_that_may),
            .outside_changed = outside_changed(result, truth.source, excluded)};
}

/// Peak signal to noise in dB of whole clips; at most 99.
[[nodiscard]] inline double psnr(const reel::Frames& result, const reel::Frames& reference) {
    return background_psnr(result, reference,
                           Marks(static_cast<std::size_t>(result.count) * detail::frame_pixels(result), 0));
}

/// Marks as a clip of white on black.
[[nodiscard]] inline reel::Frames picture_of(std::span<const std::uint8_t> marks, const reel::Frames& like) {
    detail::require_marks(like, marks);
    reel::Frames picture = reel::make_frames(like.count, like.height, like.width, like.fps);
    for (std::size_t i = 0; i < picture.rgb.size(); ++i) {
        picture.rgb[i] = marks[i / 3] != 0 ? 255 : 0;
    }
    return picture;
}

} // namespace metrics
