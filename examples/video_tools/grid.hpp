#pragma once
// video_tools grid: one picture of chosen frames of several clips.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/core/progress.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/pictures/text_drawing.hpp>
#include <reel/io/video/video_stream.hpp>

#include "captioned_cells.hpp"
#include "fitted_clip.hpp"
#include "options.hpp"
#include "sheet_layout.hpp"

namespace video_tools {

struct Grid {
    std::vector<std::string> inputs;
    std::string output;
    std::vector<std::int64_t> chosen;
    int columns = 6;
    bool numbers = false;
    Size cell;
    SheetLayout layout;

    explicit Grid(CLI::App& app) {
        app.add_option("INPUT", inputs, "clips, a row for each")->required();
        app.add_option("--output", output, "PNG file to write")->required();
        auto* frames = app.add_option("--frames", chosen, "frames to show, with commas between; the first is 0")
                           ->delimiter(',')
                           ->allow_extra_args(false)
                           ->check(CLI::Range(std::int64_t{0}, std::int64_t{1'000'000'000}));
        app.add_option("--columns", columns, "so many frames, from the first to the last at equal distances")
            ->check(CLI::Range(1, 1000))
            ->capture_default_str()
            ->excludes(frames);
        app.add_flag("--numbers", numbers, "the frame's number in its corner");
        app.add_option("--cell_width", cell.width, "pixels; default: as the first clip");
        app.add_option("--cell_height", cell.height, "pixels; default: as the first clip");
        layout.add_to(app);
        app.footer("Clips of another aspect than the first one are cropped to its.");
    }

    /// The chosen frames of one clip, in the order chosen.
    std::vector<reel::Frames> read(const std::string& input, Size size, const Style& style) const {
        std::vector<std::int64_t> wanted = chosen;
        if (wanted.empty()) {
            reel::VideoSource source(input);
            while (source.skip()) {
                program::check_stop();
            }
            for (int i = 0; i < columns; ++i) {
                wanted.push_back(columns == 1 ? 0 : (source.position() - 1) * i / (columns - 1));
            }
        }
        std::map<std::int64_t, reel::Frames> found;
        for (const std::int64_t index : wanted) {
            found[index];
        }
        FittedClip clip(input, size);
        reel::Frames frame;
        for (std::int64_t index = 0; index <= found.rbegin()->first; ++index) {
            program::check_stop();
            const auto place = found.find(index);
            reel::require(place != found.end() ? clip.next(frame) : clip.skip(), input, ": it has ", index,
                          " frames, so there is no frame ", found.rbegin()->first, " (the first is 0)");
            if (place != found.end()) {
                place->second = frame;
                if (numbers) {
                    label(place->second, std::to_string(index), style);
                }
            }
        }
        std::vector<reel::Frames> frames;
        for (const std::int64_t index : wanted) {
            frames.push_back(found.at(index));
        }
        return frames;
    }

    static void label(reel::Frames& frame, const std::string& text, const Style& style) {
        const int height = (reel::text_line_height - 2) * style.text_size;
        const int width = reel::text_width(text, style.text_size) + 2 * style.text_size;
        for (int y = 0; y < std::min(height, frame.height); ++y) {
            std::fill_n(frame.pixel(0, y, 0), 3 * std::min(width, frame.width), style.paper);
        }
        reel::draw_text(frame, 0, text,
                        {.top = style.text_size,
                         .left = style.text_size,
                         .size = style.text_size,
                         .colour = {style.ink, style.ink, style.ink}});
    }

    int run() {
        layout.check(inputs.size());
        reel::require(std::filesystem::path(output).extension() == ".png", "--output ", output,
                      ": expected a name that ends in .png");
        {
            const reel::AtomicFile tried(output); // before the work
        }
        const Size size = cell_size(inputs.front(), cell);
        const Style style = layout.style(size);
        const int across = chosen.empty() ? columns : static_cast<int>(chosen.size());
        // A row is one cell as far as its caption is concerned.
        const Size row{across * (size.width + style.gap) - style.gap, size.height};
        const Cells rows(1, static_cast<int>(inputs.size()), row, layout.captions, style);
        const Cells in_row(across, 1, size, {}, style);
        reel::Frames sheet = rows.empty();
        reel::Progress progress("grid", inputs.size());
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            progress.clear(); // a clip's notes go there, too
            reel::Frames strip = in_row.empty();
            const std::vector<reel::Frames> frames = read(inputs[i], size, style);
            for (std::size_t k = 0; k < frames.size(); ++k) {
                in_row.place(strip, static_cast<int>(k), frames[k]);
            }
            rows.place(sheet, static_cast<int>(i), strip);
            progress.step();
        }
        progress.clear();
        reel::write_png(output, sheet);
        std::cout << reel::terminal_text(output) << ": " << sheet.width << "x" << sheet.height << "\n";
        return 0;
    }
};

} // namespace video_tools
