#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include <reel/core/error.hpp>
#include <reel/text/clip_vocabulary.hpp>

namespace reel::test {

/// A folder that is removed with the object.
class TemporaryFolder {
public:
    TemporaryFolder() {
        std::random_device seed;
        path_ = std::filesystem::temp_directory_path() / concat_text("reel_text_", seed(), "_", seed());
        std::filesystem::create_directories(path_);
    }
    ~TemporaryFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

    void write(std::string_view name, std::string_view content) const {
        std::ofstream(path_ / name, std::ios::binary) << content;
    }

private:
    std::filesystem::path path_;
};

/// CLIP's vocab.json for a merges.txt: the bytes, the bytes at a word's end, each merge's result, start and end.
inline nlohmann::json vocabulary_of(std::string_view merges_txt) {
    std::vector<std::string> tokens;
    for (const bool latin : {true, false}) {
        for (const char32_t c : text::byte_alphabet()) {
            if ((c < 0x100) == latin) {
                tokens.emplace_back();
                text::append_utf8(tokens.back(), c);
            }
        }
    }
    for (std::size_t i = 0; i < 256; ++i) {
        tokens.push_back(tokens[i] + "</w>");
    }
    bool version_line = true;
    for (std::string_view rest = merges_txt; !rest.empty();) {
        const std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(line.size() + 1, rest.size()));
        if (!version_line) {
            const std::size_t space = line.find(' ');
            tokens.push_back(std::string(line.substr(0, space)).append(line.substr(space + 1)));
        }
        version_line = false;
    }
    tokens.emplace_back("<|startoftext|>");
    tokens.emplace_back("<|endoftext|>");
    nlohmann::json vocab = nlohmann::json::object();
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        vocab[tokens[i]] = i;
    }
    return vocab;
}

/// The two small files as Stable Diffusion 1 (pad "<|endoftext|>") and 2 (pad "!") have them.
inline void write_settings(const TemporaryFolder& folder, const std::string& pad, std::size_t max_length = 77) {
    const auto added = [](const char* content) {
        return nlohmann::json{
            {"content", content}, {"lstrip", false}, {"normalized", true}, {"rstrip", false}, {"single_word", false}};
    };
    nlohmann::json settings = {{"tokenizer_class", "CLIPTokenizer"},
                               {"model_max_length", max_length},
                               {"do_lower_case", true},
                               {"errors", "replace"},
                               {"add_prefix_space", false},
                               {"pad_token", "<|endoftext|>"}};
    nlohmann::json map = {{"bos_token", added("<|startoftext|>")},
                          {"eos_token", added("<|endoftext|>")},
                          {"unk_token", added("<|endoftext|>")},
                          {"pad_token", pad}};
    for (const char* key : {"bos_token", "eos_token", "unk_token"}) {
        settings[key] = map[key];
        settings[key]["__type"] = "AddedToken";
    }
    folder.write("tokenizer_config.json", settings.dump());
    folder.write("special_tokens_map.json", map.dump());
}

/// A small tokenizer folder: every byte and the given merges.
inline void write_folder(const TemporaryFolder& folder, const std::string& merges_txt, const std::string& pad,
                         std::size_t max_length = 77) {
    folder.write("vocab.json", vocabulary_of(merges_txt).dump());
    folder.write("merges.txt", merges_txt);
    write_settings(folder, pad, max_length);
}

} // namespace reel::test
