#pragma once
// Which files a model is, to the last bit, without reading them every time. Needs nlohmann-json and zlib (target
// reel::io).

#include <reel/core/error.hpp>
#include <reel/core/system/files.hpp>
#include <reel/io/config/json.hpp>
#include <reel/io/files/sha256.hpp>

#include <nlohmann/json.hpp>

#include <sys/stat.h>

#include <cstdint>
#include <ctime>
#include <filesystem>
#include <map>
#include <string>
#include <system_error>
#include <utility>

namespace reel {

/// Digests of files that were read once, kept in a file: one whose size, inode and times are as they were is not read
/// again. Where the file of digests is missing, broken or cannot be written, everything is read.
class RememberedDigests {
public:
    explicit RememberedDigests(std::filesystem::path file) : file_(std::move(file)) {
        try {
            std::error_code ignored;
            if (std::filesystem::exists(file_, ignored)) {
                known_ = read_json(file_);
            }
        } catch (const Error&) {
            known_ = nullptr;
        }
        known_ = known_.is_object() ? known_ : nlohmann::json::object();
    }

    /// SHA-256 of a file, in hexadecimal. Throws Error when it cannot be read.
    [[nodiscard]] std::string of(const std::filesystem::path& path) {
        std::error_code ignored;
        const std::string name = terminal_text(std::filesystem::weakly_canonical(path, ignored).string());
        const nlohmann::json now = stamp_of(path);
        if (const auto entry = known_.find(name); entry != known_.end() && entry->is_object() &&
                                                  entry->value("stamp", nlohmann::json()) == now &&
                                                  entry->contains("sha256") && (*entry)["sha256"].is_string()) {
            return (*entry)["sha256"].get<std::string>();
        }
        const std::string digest = sha256_file(path);
        // What was written within the clock's grain may be written again without a sign of it.
        if (now.is_object() && now == stamp_of(path) &&
            std::time(nullptr) - now.value("changed_s", std::int64_t{0}) > 1) {
            known_[name] = {{"stamp", now}, {"sha256", digest}};
            changed_ = true;
        }
        return digest;
    }

    /// Writes what is new.
    void keep() {
        if (changed_) {
            try {
                write_json(file_, known_);
                changed_ = false;
            } catch (const Error&) { // then they are read again
            }
        }
    }

private:
    [[nodiscard]] static nlohmann::json stamp_of(const std::filesystem::path& path) {
        struct ::stat status {};
        if (::stat(path.c_str(), &status) != 0) {
            return nullptr; // reading it says why
        }
        const detail::FileTimes times = detail::file_times(status);
        return {{"bytes", static_cast<std::int64_t>(status.st_size)},
                {"inode", static_cast<std::uint64_t>(status.st_ino)},
                {"modified_s", static_cast<std::int64_t>(times.modified.tv_sec)},
                {"modified_ns", static_cast<std::int64_t>(times.modified.tv_nsec)},
                {"changed_s", static_cast<std::int64_t>(times.changed.tv_sec)},
                {"changed_ns", static_cast<std::int64_t>(times.changed.tv_nsec)}};
    }

    std::filesystem::path file_;
    nlohmann::json known_;
    bool changed_ = false;
};

/// What a model is: {"unet/config.json": SHA-256, ...} of files_of_model(). `remembered`: the file for
/// RememberedDigests.
[[nodiscard]] inline nlohmann::json model_digests(const std::map<std::string, std::filesystem::path>& files,
                                                  const std::filesystem::path& remembered) {
    RememberedDigests digests(remembered);
    nlohmann::json all = nlohmann::json::object();
    for (const auto& [name, path] : files) {
        all[name] = digests.of(path);
    }
    digests.keep();
    return all;
}

/// The first file in which two models differ, "" for none. Both as model_digests() gives them.
[[nodiscard]] inline std::string differing_file(const nlohmann::json& before, const nlohmann::json& now) {
    nlohmann::json names = before;
    names.update(now);
    for (const auto& item : names.items()) {
        if (!before.contains(item.key()) || !now.contains(item.key()) || before[item.key()] != now[item.key()]) {
            return item.key();
        }
    }
    return "";
}

} // namespace reel
