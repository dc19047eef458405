#pragma once
// What sheets and clips of several clips have in common.

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "captioned_cells.hpp"
#include "fitted_clip.hpp"
#include "options.hpp"

namespace video_tools {

/// What sheets and clips of several clips have in common.
struct SheetLayout {
    std::vector<std::string> captions;
    int gap = 4;
    int text_size = 0;
    bool dark = false;

    void add_to(CLI::App& app) {
        app.add_option("--caption", captions, "written below a clip; once for each clip, in their order")
            ->allow_extra_args(false);
        app.add_option("--gap", gap, "pixels between cells")->check(CLI::Range(0, 1000))->capture_default_str();
        app.add_option("--text_size", text_size,
                       "pixels a side of a letter's points (a letter has 5x9); 0: by the "
                       "size of the cells")
            ->check(CLI::Range(0, 100))
            ->capture_default_str();
        app.add_flag("--dark", dark, "white on black, not black on white");
    }

    void check(std::size_t clips) const {
        if (!captions.empty() && captions.size() != clips) {
            throw program::UsageError("--caption: " + std::to_string(captions.size()) + " captions for " +
                                      std::to_string(clips) + " clips; give one for each, or none");
        }
    }

    [[nodiscard]] Style style(Size cell) const {
        Style style;
        style.gap = gap;
        style.text_size = text_size > 0 ? text_size : std::clamp(cell.width / 160, 1, 8);
        if (dark) {
            std::swap(style.paper, style.ink);
        }
        return style;
    }
};

/// The cell's size: the first clip's, or of the width or height that is asked for.
inline Size cell_size(const std::string& clip, Size wanted) {
    const Size size = size_of(clip);
    if (wanted.width == 0 && wanted.height == 0) {
        return size;
    }
    return scaling(size, wanted, Fit::stretch).result;
}

} // namespace video_tools
