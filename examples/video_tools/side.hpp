#pragma once
// video_tools side: clips beside each other, or before and after.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include <reel/core/progress.hpp>
#include <reel/io/video/video_stream.hpp>

#include "captioned_cells.hpp"
#include "clip_output.hpp"
#include "fitted_clip.hpp"
#include "options.hpp"
#include "sheet_layout.hpp"

namespace video_tools {

/// `before` to the right of a line that moves from one side to the other and back within `period` seconds, `after` to
/// the left of it. Both frames must be of one size.
[[nodiscard]] inline reel::Frames wipe(const reel::Frames& before, const reel::Frames& after, double seconds,
                                       double period) {
    reel::Frames result = before;
    const double part = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * seconds / period);
    const int split = static_cast<int>(std::lround(part * before.width));
    for (int y = 0; y < before.height; ++y) {
        std::copy_n(after.pixel(0, y, 0), 3 * split, result.pixel(0, y, 0));
        for (int x = std::max(0, split - 1); x < std::min(split + 1, before.width); ++x) {
            std::fill_n(result.pixel(0, y, x), 3, std::uint8_t{255});
        }
    }
    return result;
}

struct Side {
    std::vector<std::string> inputs;
    ClipOutput out;
    std::string arrangement = "row";
    bool hold = false;
    double period = 2;
    Size cell;
    SheetLayout layout;

    explicit Side(CLI::App& app) {
        app.add_option("INPUT", inputs, "two clips or more")->required();
        app.add_option("--output", out.output, "file to write; its name ends in .mp4, .mov, .mkv, .avi or .gif")
            ->required();
        app.add_option("--layout", arrangement,
                       "row: beside each other; column: below each other; turns: one after the other in one place; "
                       "wipe: the first right and the second left of a line that moves to and fro")
            ->check(CLI::IsMember({"row", "column", "turns", "wipe"}))
            ->capture_default_str();
        app.add_flag("--hold", hold, "shorter clips wait on their last frame; else the shortest ends all");
        app.add_option("--period", period, "seconds of a wipe to and fro")
            ->check(CLI::Range(0.01, 3600.0))
            ->capture_default_str();
        app.add_option("--width", cell.width, "pixels of one clip; default: as the first clip");
        app.add_option("--height", cell.height, "pixels of one clip; default: as the first clip");
        layout.add_to(app);
        out.add_encoding(app);
        app.footer(
            "Clips of another aspect than the first one are cropped to its. The first one's frames are shown, and with "
            "each what the others show at its time.");
    }

    /// What is drawn for one moment: the clips' frames, `turn` saying whose turn it is.
    static reel::Frames draw(const Cells& cells, const std::vector<reel::Frames>& frames) {
        reel::Frames sheet = cells.empty();
        for (std::size_t i = 0; i < frames.size(); ++i) {
            cells.place(sheet, static_cast<int>(i), frames[i]);
        }
        return sheet;
    }

    void take_turns(ClipWriter& sink, Size size, Style style) const {
        for (const std::string& caption : layout.captions) { // the tallest caption sets the height of all
            const auto lines = static_cast<int>(Cells::lines_of(caption, size, style).size());
            style.caption_lines = std::max(style.caption_lines, lines);
        }
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            const std::vector<std::string> caption =
                layout.captions.empty() ? std::vector<std::string>() : std::vector{layout.captions[i]};
            const Cells cells(1, 1, size, caption, style);
            FittedClip clip(inputs[i], size, out.source.fps);
            const double before = sink.seconds();
            reel::Progress progress("side", 0);
            for (reel::Frames frame; clip.next(frame); progress.step()) {
                program::check_stop();
                const reel::PictureTime time = clip.time();
                sink.write(draw(cells, {frame}), reel::PictureTime{before + time.start, time.duration});
            }
        }
    }

    /// A clip that plays beside others.
    class Player {
    public:
        Player(const std::string& input, Size size, double fps) : clip_(input, size, fps) { advance(); }

        /// What is shown at a time, which must not go back.
        [[nodiscard]] const reel::Frames& at(double seconds) {
            while (!ended_ && clip_.time().end() <= seconds + 1e-6) {
                advance();
            }
            return frame_;
        }
        /// Whether the clip is over then.
        [[nodiscard]] bool over(double seconds) {
            static_cast<void>(at(seconds));
            return ended_;
        }
        [[nodiscard]] const reel::PictureTime& time() const { return time_; }

    private:
        void advance() {
            reel::Frames next;
            ended_ = !clip_.next(next);
            if (!ended_) {
                frame_ = std::move(next);
                time_ = clip_.time();
            }
        }
        FittedClip clip_;
        reel::Frames frame_;
        reel::PictureTime time_;
        bool ended_ = false;
    };

    /// The first clip's frames, and what the others show then; where that has ended and others go on, at its rate.
    void play_together(ClipWriter& sink, Size size, const Style& style, double fps) const {
        const int count = static_cast<int>(inputs.size());
        const bool wipe = arrangement == "wipe";
        const Cells cells = wipe ? Cells(1, 1, size, both_captions(), style)
                                 : Cells(arrangement == "row" ? count : 1, arrangement == "row" ? 1 : count, size,
                                         layout.captions, style);
        std::vector<std::unique_ptr<Player>> clips;
        for (const std::string& input : inputs) {
            clips.push_back(std::make_unique<Player>(input, size, out.source.fps));
        }
        reel::Progress progress("side", 0);
        reel::PictureTime now = clips.front()->time();
        for (;; progress.step()) {
            program::check_stop();
            std::vector<reel::Frames> frames;
            std::size_t over = 0;
            for (const auto& clip : clips) {
                over += clip->over(now.start) ? 1U : 0U;
                frames.push_back(clip->at(now.start));
            }
            if (over == clips.size() || (!hold && over > 0)) {
                return;
            }
            const bool led = !clips.front()->over(now.start);
            now.duration = led ? clips.front()->time().end() - now.start : 1 / fps;
            sink.write(wipe ? draw(cells, {video_tools::wipe(frames[0], frames[1], now.start, period)})
                            : draw(cells, frames),
                       now);
            now.start += now.duration;
        }
    }

    /// A wipe has one place for both captions: the second clip is on the left.
    [[nodiscard]] std::vector<std::string> both_captions() const {
        return layout.captions.empty() ? std::vector<std::string>()
                                       : std::vector{layout.captions[1] + " | " + layout.captions[0]};
    }

    int run() {
        layout.check(inputs.size());
        if (inputs.size() < 2 || (arrangement == "wipe" && inputs.size() != 2)) {
            throw program::UsageError("--layout " + arrangement + " takes " +
                                      (arrangement == "wipe" ? "two clips" : "two clips or more") + ", got " +
                                      std::to_string(inputs.size()));
        }
        const Size size = cell_size(inputs.front(), cell);
        const Style style = layout.style(size);
        const double fps = out.source.of(reel::VideoSource(inputs.front()), inputs.front());
        ClipWriter sink = out.create(fps, true, ClipOutput::Sound::dropped);
        if (arrangement == "turns") {
            take_turns(sink, size, style);
        } else {
            play_together(sink, size, style, fps);
        }
        sink.finish();
        sink.tell();
        return 0;
    }
};

} // namespace video_tools
