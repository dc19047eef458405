#pragma once
// All measures of an edit that need no network. No other library.

#include <reel/core/ranges.hpp>
#include <reel/metrics/changed_region.hpp>
#include <reel/metrics/psnr.hpp>
#include <reel/metrics/ssim.hpp>
#include <reel/metrics/warped_difference.hpp>

#include <array>
#include <string_view>
#include <utility>

namespace reel::metrics {

/// How an edit is measured.
struct MeasureOptions {
    ChangeOptions change{};
    int margin = 2; ///< pixels around the changed region that count neither as changed nor as outside
};

/// What measure_edit() found. Lengths are shares of the picture's width and height, so that clips of different sizes
/// compare.
struct EditMeasures {
    double psnr = 0;           ///< dB against the reference, whole picture
    double ssim = 0;           ///< against the reference, whole picture
    double psnr_outside = 0;   ///< dB against the reference outside the changed region; NaN when all has changed
    double ssim_outside = 0;   ///< the same of SSIM
    double changed_share = 0;  ///< size of the changed region: mean over frames of its share of the picture
    double changed_frames = 0; ///< share of the frames in which anything has changed
    double changed_x = 0;      ///< centroid of the changed pixels, mean over those frames; NaN when nothing has changed
    double changed_y = 0;      ///<
    double changed_left = 0;   ///< bounding box, mean over those frames; NaN when nothing has changed
    double changed_top = 0;    ///<
    double changed_right = 0;  ///<
    double changed_bottom = 0; ///<
    double warped = 0;         ///< WarpedDifference::absolute of the edit along the source's motion
    double warped_outside = 0; ///< the same outside the changed region
    double warped_reference = 0; ///< and of the reference, whole picture
};

/// Names and values of measures in a fixed order, for tables.
[[nodiscard]] inline std::array<std::pair<std::string_view, double>, 15> named_measures(const EditMeasures& m) {
    return {{{"psnr", m.psnr},
             {"ssim", m.ssim},
             {"psnr_outside", m.psnr_outside},
             {"ssim_outside", m.ssim_outside},
             {"changed_share", m.changed_share},
             {"changed_frames", m.changed_frames},
             {"changed_x", m.changed_x},
             {"changed_y", m.changed_y},
             {"changed_left", m.changed_left},
             {"changed_top", m.changed_top},
             {"changed_right", m.changed_right},
             {"changed_bottom", m.changed_bottom},
             {"warped", m.warped},
             {"warped_outside", m.warped_outside},
             {"warped_reference", m.warped_reference}}};
}

namespace detail {

/// Whether a pixel at least `radius` away from the edge is not marked.
template <class T>
[[nodiscard]] bool leaves_inside(std::span<const std::uint8_t> marks, const ClipView<T>& view, int radius) {
    for (std::size_t i = 0; i < marks.size(); ++i) {
        const auto y = static_cast<int>(i % view.frame_pixels()) / view.width;
        const auto x = static_cast<int>(i % view.frame_pixels()) % view.width;
        if (marks[i] == 0 && std::min(y, view.height - 1 - y) >= radius && std::min(x, view.width - 1 - x) >= radius) {
            return true;
        }
    }
    return false;
}

} // namespace detail

/// Measures an edited clip. `reference` is what the model makes of the source without an edit (see changed_pixels()),
/// or the source; `motion` is motion_of() the source. What lies outside is what
/// is neither marked by changed_pixels() nor within the margin of such a pixel. A
/// clip too small for SSIM's window gets NaN there. Throws Error when the clips are not alike.
template <Clip A, Clip B>
[[nodiscard]] EditMeasures measure_edit(const A& edited, const B& reference, const Motion& motion,
                                        const MeasureOptions& options = {}) {
    constexpr double none = std::numeric_limits<double>::quiet_NaN();
    const auto view = view_of(edited);
    const Marks changed = changed_pixels(edited, reference, options.change);
    const Marks excluded = grown(changed, view, options.margin);
    const auto pixels = static_cast<double>(changed.size());
    const auto marked = static_cast<double>(ranges::count(changed, std::uint8_t{1}));
    const auto window = static_cast<int>(detail::ssim_weights({}).size());
    const bool fits = view.height >= window && view.width >= window;
    EditMeasures m;
    m.psnr = psnr(edited, reference);
    m.ssim = fits ? ssim(edited, reference) : none;
    const bool outside = ranges::count(excluded, std::uint8_t{0}) > 0;
    m.psnr_outside = outside ? psnr(edited, reference, excluded) : none;
    const bool inside = fits && detail::leaves_inside(std::span<const std::uint8_t>(excluded), view, window / 2);
    m.ssim_outside = inside ? ssim(edited, reference, {}, excluded) : none;
    m.changed_share = marked / pixels;
    for (const auto& region : regions_of(changed, view)) {
        if (region) {
            ++m.changed_frames;
            m.changed_x += (region->x + 0.5) / view.width;
            m.changed_y += (region->y + 0.5) / view.height;
            m.changed_left += static_cast<double>(region->left) / view.width;
            m.changed_top += static_cast<double>(region->top) / view.height;
            m.changed_right += static_cast<double>(region->right) / view.width;
            m.changed_bottom += static_cast<double>(region->bottom) / view.height;
        }
    }
    for (double* mean :
         {&m.changed_x, &m.changed_y, &m.changed_left, &m.changed_top, &m.changed_right, &m.changed_bottom}) {
        *mean = m.changed_frames > 0 ? *mean / m.changed_frames : none;
    }
    m.changed_frames /= view.count;
    m.warped = warped_difference(edited, motion).absolute;
    m.warped_outside = warped_difference(edited, motion, excluded).absolute;
    m.warped_reference = warped_difference(reference, motion).absolute;
    return m;
}

} // namespace reel::metrics
