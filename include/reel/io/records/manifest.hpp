#pragma once
// manifest.json: everything needed to repeat a run, and what it took. Needs nlohmann-json (target reel::io).

#include <reel/core/build_info.hpp>
#include <reel/core/error.hpp>
#include <reel/core/ranges.hpp>
#include <reel/core/stage_timer.hpp>
#include <reel/core/utf8.hpp>
#include <reel/core/version.hpp>
#include <reel/io/config/json.hpp>
#include <reel/io/files/sha256.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace reel {

/// "2026-01-31T12:34:56Z" of the present second.
[[nodiscard]] inline std::string utc_time() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    char text[32];
    return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

/// Gathers what a run used, did and made.
///
///     Manifest manifest("insert_object");
///     manifest.set("options", options);
///     manifest.set_seed(33);
///     manifest.add_input(clip);
///     manifest.add_input(model_folder);       // every file in it
///     ...
///     manifest.add_output(folder / "edit.gif");
///     manifest.set_stages(timer);
///     manifest.write(folder / "manifest.json");
///
/// Files are named with size and SHA-256. Every Error names the file it is about.
class Manifest {
public:
    explicit Manifest(const std::string& program) {
        json_["program"] = program;
        json_["started"] = utc_time();
        json_["versions"] = {{"reel", version}, {"compiler", compiler_description()}, {"eigen", eigen_version()}};
        json_["machine"] = {{"operating_system", operating_system()},
                            {"processor", processor_name()},
                            {"hardware_threads", std::thread::hardware_concurrency()},
                            {"instruction_sets", instruction_sets()}};
        json_["seed"] = nullptr;
        json_["options"] = Json::object();
        json_["inputs"] = Json::array();
        json_["outputs"] = Json::array();
    }

    /// Sets any entry, such as "options" (an object with every option's final value).
    void set(const std::string& key, nlohmann::json value) { json_[key] = std::move(value); }

    void set_seed(std::optional<std::uint64_t> seed) { json_["seed"] = seed ? Json(*seed) : Json(nullptr); }

    /// Adds the version of a library that the program uses, such as "ffmpeg", av_version_info().
    void add_version(const std::string& name, const std::string& text) { json_["versions"][name] = text; }

    /// Hashes a file the run read, or all files below a folder in the order of their names.
    void add_input(const std::filesystem::path& path) { add_path("inputs", path); }

    /// Hashes a file the run wrote, or all files below a folder. Call when it is complete.
    void add_output(const std::filesystem::path& path) { add_path("outputs", path); }

    /// Sets "stages" and "total": seconds and peak bytes. Call when the stages have ended; a later call replaces.
    void set_stages(StageTimer& timer) {
        Json stages = Json::array();
        for (const StageRecord& stage : timer.stages()) {
            stages.push_back(as_json(stage));
        }
        json_["stages"] = std::move(stages);
        json_["total"] = as_json(timer.total());
        json_["peak_resident_bytes_per_stage"] = timer.resident_per_stage();
    }

    [[nodiscard]] const nlohmann::json& json() const { return json_; }

    /// Writes the file, complete or not at all. May be called again, later, with more in it. JSON is UTF-8, and names
    /// of files need not be: bytes that are none are shown as terminal_text() shows them.
    void write(const std::filesystem::path& path) {
        json_["written"] = utc_time();
        Json shown = json_;
        show(shown);
        write_json(path, shown);
    }

private:
    using Json = nlohmann::json;

    static void show(Json& value) {
        if (value.is_structured()) {
            for (Json& item : value) {
                show(item);
            }
        } else if (value.is_string() && !text::try_decode_utf8(value.get_ref<const std::string&>())) {
            value = terminal_text(value.get_ref<const std::string&>());
        }
    }

    [[nodiscard]] static Json as_json(const StageRecord& stage) {
        return {{"name", stage.name},
                {"seconds", stage.seconds},
                {"peak_backend_bytes", stage.peak_backend_bytes},
                {"peak_resident_bytes", stage.peak_resident_bytes}};
    }

    void add_path(const char* list, const std::filesystem::path& path) {
        std::error_code error;
        if (!std::filesystem::is_directory(path, error)) {
            add_file(list, path);
            return;
        }
        std::vector<std::filesystem::path> files;
        auto entry = std::filesystem::recursive_directory_iterator(path, error);
        for (; !error && entry != std::filesystem::recursive_directory_iterator(); entry.increment(error)) {
            if (entry->is_regular_file()) {
                files.push_back(entry->path());
            }
        }
        require(!error, "cannot list folder ", path.string(), ": ", error.message());
        ranges::sort(files);
        for (const std::filesystem::path& file : files) {
            add_file(list, file);
        }
    }

    void add_file(const char* list, const std::filesystem::path& path) {
        const std::string hash = sha256_file(path);
        json_[list].push_back({{"path", path.string()}, {"bytes", std::filesystem::file_size(path)}, {"sha256", hash}});
    }

    Json json_ = Json::object();
};

} // namespace reel
