// video_tools COMMAND: the small jobs around clips. trim, resize, rate, frames, count, convert, grid, side.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iomanip>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <reel/core/nearest_name.hpp>
#include <reel/core/progress.hpp>
#include <reel/io/config/json.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/io/files/atomic_folder.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/video/video_stream.hpp>

#include "support/clip_tools.hpp"
#include "support/program.hpp"

namespace {

using clip_tools::Fit;
using clip_tools::FittedClip;
using clip_tools::Size;
using Path = std::filesystem::path;

/// What the commands that write a clip have in common.
struct Job {
    std::string input;
    std::string output;
    double source_fps = 0;
    reel::Mp4Options encoding{};

    void add_to(CLI::App& app) {
        app.add_option("INPUT", input, "a clip: mp4, mov, mkv, webm, avi, gif or mpeg")->required();
        add_output(app);
    }
    void add_output(CLI::App& app) {
        app.add_option("OUTPUT", output, "file to write; its name ends in .mp4, .mov, .avi or .gif")->required();
        add_encoding(app);
    }
    void add_encoding(CLI::App& app) {
        app.add_option("--source_fps", source_fps,
                       "frames per second that the input is taken to have; 0: what it says itself")
            ->check(CLI::Range(0.0, 1000.0))
            ->capture_default_str();
        app.add_option("--crf", encoding.crf, "quality of mp4 and mov: 0 (lossless) to 51, lower is better and larger")
            ->check(CLI::Range(0, 51))
            ->capture_default_str();
        app.add_option("--preset", encoding.preset, "x264's speed against size, ultrafast to veryslow")
            ->capture_default_str();
    }

    /// Frames per second of the input.
    [[nodiscard]] double rate(const reel::VideoSource& source, const Path& path) const {
        const double fps = source_fps > 0 ? source_fps : source.fps();
        reel::require(fps > 0, path.string(),
                      ": the file does not say how many frames per second it has; say it with --source_fps");
        return fps;
    }
    [[nodiscard]] double rate(const reel::VideoSource& source) const { return rate(source, input); }
};

void wrote(const Path& path, int frames, double fps) {
    std::cout << path.string() << ": " << frames << " frames, " << fps << " per second\n";
}

/// Everything from `source` to `sink`, by way of `change` (frame index, frame -> how often it is written).
template <class Source, class Change>
int pour(Source& source, reel::VideoSink& sink, const std::string& label, const Change& change) {
    reel::Progress progress(label, 0);
    reel::Frames frame;
    for (int index = 0; source.next(frame); ++index) {
        program::check_stop();
        for (int times = change(index, frame); times > 0; --times) {
            sink.write(frame);
        }
        progress.step();
    }
    progress.clear();
    sink.finish();
    return sink.count();
}

/// "12" is frame 12, "0.5s" the first frame that begins half a second or more after the clip's beginning.
std::int64_t frame_number(const std::string& text, double fps, const std::string& option) {
    const bool seconds = text.ends_with("s");
    const std::string digits = text.substr(0, text.size() - (seconds ? 1 : 0));
    double value = -1;
    std::size_t used = 0;
    try {
        value = std::stod(digits, &used);
    } catch (const std::exception&) { // reported below
    }
    const double limit = 1e9;
    if (digits.empty() || used != digits.size() || !(value >= 0 && value < limit) ||
        (!seconds && value != std::floor(value))) {
        throw program::UsageError(option + ": \"" + text +
                                  "\" is neither a frame number (12) nor a time in seconds (0.5s); see --help");
    }
    return static_cast<std::int64_t>(seconds ? std::ceil(value * fps - 1e-6) : value);
}

struct Trim {
    Job job;
    std::string start = "0";
    std::string end;

    explicit Trim(CLI::App& app) {
        job.add_to(app);
        app.add_option("--start", start, "first frame: a number (12), or a time in seconds (0.5s)")
            ->capture_default_str();
        app.add_option("--end", end, "the frame after the last: a number or a time; default: the clip's end");
    }

    int run() {
        reel::VideoSource source(job.input);
        const double fps = job.rate(source);
        const std::int64_t first = frame_number(start, fps, "--start");
        const std::optional<std::int64_t> last =
            end.empty() ? std::nullopt : std::optional(frame_number(end, fps, "--end"));
        reel::require(!last || *last > first, "--end ", end, " (frame ", last.value_or(0), ") is not after --start ",
                      start, " (frame ", first, ")");
        reel::VideoSink sink(job.output, fps, job.encoding);
        reel::Progress progress("trim", last ? static_cast<std::size_t>(*last) : 0);
        reel::Frames frame;
        const auto ended = [&](std::int64_t wanted, const std::string& option) {
            reel::fail(job.input, ": it has ", source.position(), " frames at ", fps, " per second; ", option,
                       " is frame ", wanted);
        };
        for (; source.position() < first; progress.step()) {
            program::check_stop();
            if (!source.skip()) {
                ended(first, "--start");
            }
        }
        while (!last || source.position() < *last) {
            program::check_stop();
            if (!source.next(frame)) {
                if (last || sink.count() == 0) {
                    ended(last.value_or(first), last ? "--end" : "--start");
                }
                break;
            }
            sink.write(frame);
            progress.step();
        }
        progress.clear();
        sink.finish();
        wrote(job.output, sink.count(), fps);
        return 0;
    }
};

struct Resize {
    Job job;
    Size size;
    bool crop = false;
    bool stretch = false;

    explicit Resize(CLI::App& app) {
        job.add_to(app);
        app.add_option("--width", size.width, "pixels; without it, it follows from the height");
        app.add_option("--height", size.height, "pixels; without it, it follows from the width");
        auto* cut = app.add_flag("--crop", crop, "fill width x height and cut off what is too much, from the middle");
        app.add_flag("--stretch", stretch, "width x height whatever the aspect")->excludes(cut);
        app.footer("With width and height alone the clip keeps its aspect and fits into them.");
    }

    int run() {
        const Fit fit = crop ? Fit::crop : stretch ? Fit::stretch : Fit::inside;
        if (size.width == 0 && size.height == 0) {
            throw program::UsageError("--width or --height is required; see --help");
        }
        if (fit != Fit::inside && (size.width == 0 || size.height == 0)) {
            throw program::UsageError("--crop and --stretch need --width and --height; see --help");
        }
        FittedClip source(job.input, clip_tools::scaling(clip_tools::size_of(job.input), size, fit));
        const double fps = job.rate(source.source());
        reel::VideoSink sink(job.output, fps, job.encoding);
        wrote(job.output, pour(source, sink, "resize", [](int, const reel::Frames&) { return 1; }), fps);
        return 0;
    }
};

struct Rate {
    Job job;
    double fps = 0;
    bool retime = false;

    explicit Rate(CLI::App& app) {
        job.add_to(app);
        app.add_option("--fps", fps, "frames per second of the result")->required()->check(CLI::Range(0.01, 1000.0));
        app.add_flag("--retime", retime, "keep every frame, so that the clip plays faster or slower");
        app.footer("Without --retime the clip lasts as long as before: the result shows at any time the frame that the "
                   "input shows then, so frames are dropped or repeated, never mixed.");
    }

    int run() {
        reel::VideoSource source(job.input);
        const double from = job.rate(source);
        reel::VideoSink sink(job.output, fps, job.encoding);
        // Result's frame k is shown from k / fps on, when the input shows floor(k * from / fps).
        std::int64_t next = 0;
        const auto times = [&](int index, const reel::Frames&) {
            int count = retime ? 1 : 0;
            for (; !retime && std::floor(static_cast<double>(next) * from / fps + 1e-9) <= index; ++next) {
                ++count;
            }
            return count;
        };
        wrote(job.output, pour(source, sink, "rate", times), fps);
        return 0;
    }
};

struct Convert {
    Job job;

    explicit Convert(CLI::App& app) {
        job.add_to(app);
        app.footer(
            "mp4 and mov: H.264 with BT.709 colours. avi: MPEG-4 part 2. gif: 255 colours, at most 50 frames per "
            "second. Sound is not kept.");
    }

    int run() {
        reel::VideoSource source(job.input);
        const double fps = job.rate(source);
        reel::VideoSink sink(job.output, fps, job.encoding);
        wrote(job.output, pour(source, sink, "convert", [](int, const reel::Frames&) { return 1; }), fps);
        return 0;
    }
};

struct Count {
    std::vector<std::string> inputs;
    bool json = false;

    explicit Count(CLI::App& app) {
        app.add_option("INPUT", inputs, "clips")->required();
        app.add_flag("--json", json, "a JSON list instead of a line for each clip");
    }

    int run() {
        nlohmann::json all = nlohmann::json::array();
        for (const std::string& input : inputs) {
            reel::VideoSource source(input);
            {
                reel::Progress progress("count", 0);
                while (source.skip()) {
                    program::check_stop();
                    progress.step();
                }
            }
            const double fps = source.fps();
            const double seconds = fps > 0 ? static_cast<double>(source.position()) / fps : 0;
            if (json) {
                all.push_back({{"file", input},
                               {"frames", source.position()},
                               {"width", source.file_width()},
                               {"height", source.file_height()},
                               {"fps", fps > 0 ? nlohmann::json(fps) : nlohmann::json()},
                               {"seconds", fps > 0 ? nlohmann::json(seconds) : nlohmann::json()},
                               {"codec", source.codec()},
                               {"container", source.container()}});
                continue;
            }
            std::cout << input << ": " << source.position() << " frames, " << source.file_width() << "x"
                      << source.file_height() << ", ";
            if (fps > 0) {
                std::cout << fps << " per second, " << seconds << " s, ";
            } else {
                std::cout << "unknown rate, ";
            }
            std::cout << source.codec() << " in " << source.container() << "\n";
        }
        if (json) {
            std::cout << reel::json_text(all, "the clips", 2) << "\n";
        }
        return 0;
    }
};

struct Extract {
    std::string input;
    std::string output;
    int every = 1;
    std::vector<std::int64_t> list;

    explicit Extract(CLI::App& app) {
        app.add_option("INPUT", input, "a clip")->required();
        app.add_option("FOLDER", output, "where to write frame-00000.png, ...; made if it is not there")->required();
        auto* step = app.add_option("--every", every, "every so many frames, from the first")
                         ->check(CLI::Range(1, 1'000'000'000))
                         ->capture_default_str();
        app.add_option("--list", list, "these frames alone, with commas between; the first is 0")
            ->delimiter(',')
            ->allow_extra_args(false)
            ->check(CLI::Range(std::int64_t{0}, std::int64_t{1'000'000'000}))
            ->excludes(step);
    }

    int run() {
        std::sort(list.begin(), list.end());
        list.erase(std::unique(list.begin(), list.end()), list.end());
        reel::VideoSource source(input);
        std::optional<reel::AtomicFolder> fresh; // all frames or nothing; a folder that is there gets them one by one
        const Path folder = Path(output).has_filename() ? Path(output) : Path(output).parent_path(); // of "frames/"
        if (std::filesystem::exists(folder)) {
            reel::make_output_folder(folder);
        } else {
            fresh.emplace(folder);
        }
        reel::Progress progress("frames", list.empty() ? 0 : static_cast<std::size_t>(list.back()) + 1);
        reel::Frames frame;
        int written = 0;
        while (list.empty() || source.position() <= list.back()) {
            program::check_stop();
            const std::int64_t index = source.position();
            const bool wanted = list.empty() ? index % every == 0 : std::binary_search(list.begin(), list.end(), index);
            if (!(wanted ? source.next(frame) : source.skip())) {
                break;
            }
            if (wanted) {
                std::ostringstream name;
                name << "frame-" << std::setw(5) << std::setfill('0') << index << ".png";
                reel::write_png((fresh ? fresh->path() : folder) / name.str(), frame);
                ++written;
            }
            progress.step();
        }
        progress.clear();
        reel::require(list.empty() || source.position() > list.back(), input, ": it has ", source.position(),
                      " frames, so there is no frame ", list.empty() ? 0 : list.back(), " (the first is 0)");
        if (fresh) {
            fresh->commit();
        }
        std::cout << output << ": " << written << " of " << source.position() << " frames\n";
        return 0;
    }
};

/// What sheets and clips of several clips have in common.
struct Layout {
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

    [[nodiscard]] clip_tools::Style style(Size cell) const {
        clip_tools::Style style;
        style.gap = gap;
        style.text_size = text_size > 0 ? text_size : std::clamp(cell.width / 160, 1, 8);
        if (dark) {
            std::swap(style.paper, style.ink);
        }
        return style;
    }
};

/// The cell's size: the first clip's, or of the width or height that is asked for.
Size cell_size(const std::string& clip, Size wanted) {
    const Size size = clip_tools::size_of(clip);
    if (wanted.width == 0 && wanted.height == 0) {
        return size;
    }
    return clip_tools::scaling(size, wanted, Fit::stretch).result;
}

struct Grid {
    std::vector<std::string> inputs;
    std::string output;
    std::vector<std::int64_t> chosen;
    int columns = 6;
    bool numbers = false;
    Size cell;
    Layout layout;

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
    std::vector<reel::Frames> read(const std::string& input, Size size, const clip_tools::Style& style) const {
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

    static void label(reel::Frames& frame, const std::string& text, const clip_tools::Style& style) {
        const int height = (reel::text_line_height - 2) * style.text_size;
        const int width = reel::text_width(text, style.text_size) + 2 * style.text_size;
        for (int y = 0; y < std::min(height, frame.height); ++y) {
            std::fill_n(frame.pixel(0, y, 0), 3 * std::min(width, frame.width), style.paper);
        }
        reel::draw_text(frame, 0, text, style.text_size, style.text_size, style.text_size,
                        {style.ink, style.ink, style.ink});
    }

    int run() {
        layout.check(inputs.size());
        reel::require(Path(output).extension() == ".png", "--output ", output, ": expected a name that ends in .png");
        const Size size = cell_size(inputs.front(), cell);
        const clip_tools::Style style = layout.style(size);
        const int across = chosen.empty() ? columns : static_cast<int>(chosen.size());
        // A row is one cell as far as its caption is concerned.
        const Size row{across * (size.width + style.gap) - style.gap, size.height};
        const clip_tools::Cells rows(1, static_cast<int>(inputs.size()), row, layout.captions, style);
        const clip_tools::Cells in_row(across, 1, size, {}, style);
        reel::Frames sheet = rows.empty();
        reel::Progress progress("grid", inputs.size());
        for (std::size_t i = 0; i < inputs.size(); ++i) {
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
        std::cout << output << ": " << sheet.width << "x" << sheet.height << "\n";
        return 0;
    }
};

struct Side {
    std::vector<std::string> inputs;
    Job job;
    std::string arrangement = "row";
    bool hold = false;
    double period = 2;
    Size cell;
    Layout layout;

    explicit Side(CLI::App& app) {
        app.add_option("INPUT", inputs, "two clips or more")->required();
        app.add_option("--output", job.output, "file to write; its name ends in .mp4, .mov, .avi or .gif")->required();
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
        job.add_encoding(app);
        app.footer(
            "Clips of another aspect than the first one are cropped to its. They are taken frame by frame at the "
            "first one's rate: change the others' with `rate` where theirs is another.");
    }

    /// What is drawn for one moment: the clips' frames, `turn` saying whose turn it is.
    static reel::Frames draw(const clip_tools::Cells& cells, const std::vector<reel::Frames>& frames) {
        reel::Frames sheet = cells.empty();
        for (std::size_t i = 0; i < frames.size(); ++i) {
            cells.place(sheet, static_cast<int>(i), frames[i]);
        }
        return sheet;
    }

    void take_turns(reel::VideoSink& sink, Size size, clip_tools::Style style) const {
        for (const std::string& caption : layout.captions) { // the tallest caption sets the height of all
            const auto lines = static_cast<int>(clip_tools::Cells::lines_of(caption, size, style).size());
            style.caption_lines = std::max(style.caption_lines, lines);
        }
        reel::Progress progress("side", 0);
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            const std::vector<std::string> caption =
                layout.captions.empty() ? std::vector<std::string>() : std::vector{layout.captions[i]};
            const clip_tools::Cells cells(1, 1, size, caption, style);
            FittedClip clip(inputs[i], size);
            for (reel::Frames frame; clip.next(frame); progress.step()) {
                program::check_stop();
                sink.write(draw(cells, {frame}));
            }
        }
    }

    void play_together(reel::VideoSink& sink, Size size, const clip_tools::Style& style, double fps) const {
        const int count = static_cast<int>(inputs.size());
        const bool wipe = arrangement == "wipe";
        const clip_tools::Cells cells =
            wipe ? clip_tools::Cells(1, 1, size, both_captions(), style)
                 : clip_tools::Cells(arrangement == "row" ? count : 1, arrangement == "row" ? 1 : count, size,
                                     layout.captions, style);
        std::vector<std::unique_ptr<FittedClip>> clips;
        for (const std::string& input : inputs) {
            clips.push_back(std::make_unique<FittedClip>(input, size));
        }
        std::vector<reel::Frames> frames(inputs.size());
        reel::Progress progress("side", 0);
        for (;; progress.step()) {
            program::check_stop();
            std::size_t going = 0;
            for (std::size_t i = 0; i < clips.size(); ++i) {
                going += clips[i]->next(frames[i]) ? 1U : 0U;
            }
            if (going == 0 || (!hold && going < clips.size())) {
                return;
            }
            sink.write(wipe ? draw(cells, {clip_tools::wipe(frames[0], frames[1], sink.count() / fps, period)})
                            : draw(cells, frames));
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
        const clip_tools::Style style = layout.style(size);
        const double fps = job.rate(reel::VideoSource(inputs.front()), inputs.front());
        reel::VideoSink sink(job.output, fps, job.encoding);
        if (arrangement == "turns") {
            take_turns(sink, size, style);
        } else {
            play_together(sink, size, style, fps);
        }
        sink.finish();
        wrote(job.output, sink.count(), fps);
        return 0;
    }
};

/// A wrong command's name, before CLI11 says only that one is missing.
void check_command(const CLI::App& app, int argc, char** argv) {
    std::vector<std::string> known;
    for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
        known.push_back(command->get_name());
    }
    const std::string given = argc > 1 ? argv[1] : "";
    if (given.empty()) {
        throw program::UsageError("a command is required: trim, resize, rate, frames, count, convert, grid or side; "
                                  "see --help");
    }
    if (!given.starts_with("-") && std::find(known.begin(), known.end(), given) == known.end()) {
        throw program::UsageError("no command is called \"" + given + "\"" + reel::did_you_mean(given, known) +
                                  "; see --help");
    }
}

} // namespace

int main(int argc, char** argv) {
    return program::run("video_tools", [&] {
        CLI::App app{"The small jobs around clips. `video_tools COMMAND --help` tells a command's options."};
        app.require_subcommand(1);
        std::vector<std::pair<CLI::App*, std::function<int()>>> commands;
        const auto add = [&]<class Command>(std::type_identity<Command>, const char* name, const char* description) {
            CLI::App* part = app.add_subcommand(name, description);
            auto command = std::make_shared<Command>(*part);
            commands.emplace_back(part, [command] { return command->run(); });
        };
        add(std::type_identity<Trim>{}, "trim", "Cut a part out of a clip, to the frame.");
        add(std::type_identity<Resize>{}, "resize", "Another width and height.");
        add(std::type_identity<Rate>{}, "rate", "Another number of frames per second.");
        add(std::type_identity<Extract>{}, "frames", "Frames as PNG files.");
        add(std::type_identity<Count>{}, "count", "Frames (counted by decoding), size, rate, duration and codec.");
        add(std::type_identity<Convert>{}, "convert", "Another format, by the output's name.");
        add(std::type_identity<Grid>{}, "grid", "One picture of chosen frames of several clips, with captions.");
        add(std::type_identity<Side>{}, "side", "Clips beside each other, or before and after, as a clip.");
        check_command(app, argc, argv);
        if (const auto status = program::parse(app, argc, argv)) {
            return *status;
        }
        for (const auto& [part, run] : commands) {
            if (part->parsed()) {
                return run();
            }
        }
        return program::wrong_command_line;
    });
}
