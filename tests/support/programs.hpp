#pragma once
// Runs the programs as a user would, and looks at what they leave.

#include <doctest/doctest.h>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <reel/core/build_info.hpp>
#include <reel/io/video/video_writer.hpp>

#include "io/temporary_folder.hpp"

extern char** environ;

namespace reel_test {

using Words = std::vector<std::string>;
using Path = std::filesystem::path;

inline Words operator+(Words a, const Words& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

/// A command with the value of an option replaced, or the option added.
inline Words with(Words command, const std::string& option, const std::string& value) {
    const auto found = std::ranges::find(command, option);
    if (found == command.end()) {
        return command + Words{option, value};
    }
    *std::next(found) = value;
    return command;
}

/// A command without an option and its value.
inline Words without(Words command, const std::string& option) {
    const auto found = std::ranges::find(command, option);
    command.erase(found, std::next(found, 2));
    return command;
}

/// The same for each option of `more`, with its value; one that is given again is added again.
inline Words with_all(Words command, const Words& more) {
    const auto known = static_cast<std::ptrdiff_t>(command.size());
    for (std::size_t i = 0; i < more.size(); ++i) {
        const auto end = command.begin() + known;
        const auto found = std::find(command.begin(), end, more[i]);
        if (more[i].starts_with("--") && found != end) {
            *std::next(found) = more[++i];
        } else {
            command.push_back(more[i]);
        }
    }
    return command;
}

#ifdef REEL_INSERT_OBJECT
inline const std::string insert_object = REEL_INSERT_OBJECT;
#endif
#ifdef REEL_TUNE_VIDEO
inline const std::string tune_video = REEL_TUNE_VIDEO;
#endif

/// How a program ended. `status` is the exit status, or 128 + N when signal N killed it.
struct Ended {
    int status = 0;
    std::string out;
    std::string err;
};

/// A program that was started.
class Running {
public:
    explicit Running(const Words& command) {
        std::vector<char*> arguments;
        for (const std::string& word : command) {
            arguments.push_back(const_cast<char*>(word.c_str()));
        }
        arguments.push_back(nullptr);
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_addopen(&actions, 1, out_.c_str(), O_WRONLY | O_CREAT, 0644);
        posix_spawn_file_actions_addopen(&actions, 2, err_.c_str(), O_WRONLY | O_CREAT, 0644);
        const int error = ::posix_spawnp(&process_, arguments.front(), &actions, nullptr, arguments.data(), environ);
        posix_spawn_file_actions_destroy(&actions);
        if (error != 0) {
            throw std::runtime_error("cannot start " + command.front());
        }
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    ~Running() {
        if (process_ > 0) {
            ::kill(process_, SIGKILL);
            ::waitpid(process_, nullptr, 0);
        }
    }

    void signal(int number) const { ::kill(process_, number); }

    [[nodiscard]] bool alive() const {
        siginfo_t info{};
        return ::waitid(P_PID, static_cast<id_t>(process_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
               info.si_pid == 0;
    }

    [[nodiscard]] Ended wait() {
        int status = 0;
        ::waitpid(std::exchange(process_, -1), &status, 0);
        return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_text(out_), read_text(err_)};
    }

private:
    TemporaryFolder folder_;
    Path out_ = folder_ / "out";
    Path err_ = folder_ / "err";
    pid_t process_ = -1;
};

inline Ended run(const Words& command) {
    return Running(command).wait();
}

/// Runs a command that must succeed.
inline Ended run_well(const Words& command) {
    Ended ended = run(command);
    INFO(ended.err);
    REQUIRE(ended.status == 0);
    return ended;
}

/// Runs `command` in a shell that does `setup` first.
inline Ended run_after(const std::string& setup, const Words& command) {
    return run(Words{"sh", "-c", setup + "; exec \"$@\"", "sh"} + command);
}

inline std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) {
        lines.push_back(line);
    }
    return lines;
}

/// Every file below a folder, hidden ones included, by its path there.
inline std::map<std::string, std::string> files_in(const Path& folder) {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        if (entry.is_regular_file()) {
            files.emplace(entry.path().lexically_relative(folder).string(), read_text(entry.path()));
        }
    }
    return files;
}

/// Paths below a folder that have a temporary's name.
inline Words temporaries_in(const Path& folder) {
    Words found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        if (entry.path().filename().string().starts_with(".")) {
            found.push_back(entry.path().string());
        }
    }
    return found;
}

/// losses.csv without its column of seconds.
inline Words losses_in(const Path& folder) {
    Words lines = lines_of(read_text(folder / "losses.csv"));
    for (std::string& line : lines) {
        line.erase(std::min(line.rfind(','), line.size()));
    }
    return lines;
}

/// One column of losses.csv as numbers.
inline std::vector<double> loss_column(const Path& folder, std::size_t column) {
    std::vector<double> values;
    const Words lines = lines_of(read_text(folder / "losses.csv"));
    for (std::size_t i = 1; i < lines.size(); ++i) {
        std::istringstream line(lines[i]);
        std::string field;
        for (std::size_t c = 0; c <= column; ++c) {
            std::getline(line, field, ',');
        }
        values.push_back(std::stod(field));
    }
    return values;
}

inline const Path sd1_model = std::filesystem::absolute("golden/sd1_tiny");
inline const Path sd2_model = std::filesystem::absolute("golden/sd2_tiny");

/// A square that moves over a gradient, as an mp4 of `count` frames of 64x48.
inline void write_clip(const Path& path, int count = 6, double fps = 8) {
    reel::Frames clip = reel::make_frames(count, 48, 64, fps);
    for (int i = 0; i < count; ++i) {
        for (int y = 0; y < 48; ++y) {
            for (int x = 0; x < 64; ++x) {
                const bool inside = std::abs(x - 12 - 8 * i) < 8 && std::abs(y - 24) < 8;
                std::uint8_t* pixel = clip.pixel(i, y, x);
                pixel[0] = static_cast<std::uint8_t>(inside ? 230 : 3 * x);
                pixel[1] = static_cast<std::uint8_t>(inside ? 60 : 200 - 3 * y);
                pixel[2] = static_cast<std::uint8_t>(inside ? 30 : 90);
            }
        }
    }
    reel::write_mp4(path, clip, fps);
}

#ifdef REEL_INSERT_OBJECT
/// insert_object on `folder`'s clip.mp4 in the least of time, without tuning, into its folder `output`; `more` replaces
/// options that are there and adds others.
inline Words small_edit(const TemporaryFolder& folder, const std::string& output, const Words& more = {}) {
    return with_all({insert_object,
                     "--model",
                     sd1_model,
                     "--video",
                     folder / "clip.mp4",
                     "--prompt",
                     "a man is skiing",
                     "--edit",
                     "a man is driving",
                     "--output",
                     folder / output,
                     "--n_sample_frames",
                     "2",
                     "--width",
                     "32",
                     "--height",
                     "32",
                     "--max_train_steps",
                     "0",
                     "--num_inv_steps",
                     "2",
                     "--num_inference_steps",
                     "2",
                     "--threads",
                     "1"},
                    more);
}
#endif

#ifdef REEL_TEXT_TO_IMAGE
/// text_to_image in the least of time, into `output` with all that can be saved in its t.safetensors.
inline Words small_picture(const Path& output, const Words& more = {}) {
    return with_all({REEL_TEXT_TO_IMAGE, "--model", sd1_model, "--output", output, "--prompt", "a red stool",
                     "--threads", "1", "--num_inference_steps", "3", "--save_tensors", output / "t.safetensors"},
                    more);
}
#endif

/// A run's files but what has times in it.
inline std::map<std::string, std::string> untimed_files_in(const Path& folder) {
    auto files = files_in(folder);
    files.erase("manifest.json");
    files.erase("losses.csv");
    return files;
}

} // namespace reel_test
