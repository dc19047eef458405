#pragma once
// CLIP's vocabulary in the one file in which OpenAI's CLIP and OpenCLIP ship it. Needs nlohmann-json, utf8proc and zlib
// (targets reel::text and reel::io).

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

#include <reel/core/error.hpp>
#include <reel/core/ranges.hpp>
#include <reel/core/utf8.hpp>
#include <reel/text/bpe_learning.hpp>
#include <reel/text/clip_vocabulary.hpp>
#include <reel/text/tokenizer_json.hpp>

namespace reel {

namespace detail {

/// A text file, unpacked if it is packed with gzip; at most `limit` bytes of it.
[[nodiscard]] inline std::string read_gzip_text(const std::filesystem::path& path, std::size_t limit) {
    const std::unique_ptr<std::remove_pointer_t<gzFile>, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), &gzclose);
    require(file != nullptr, "cannot read ", path.string());
    std::string text;
    std::array<char, 65536> buffer{};
    int taken = 0;
    while ((taken = gzread(file.get(), buffer.data(), static_cast<unsigned>(buffer.size()))) > 0) {
        text.append(buffer.data(), static_cast<std::size_t>(taken));
        require(text.size() <= limit, path.string(), ": more than ", limit, " bytes, too large for a vocabulary");
    }
    require(taken == 0, path.string(), ": damaged gzip file");
    return text;
}

} // namespace detail

/// Reads bpe_simple_vocab_16e6.txt(.gz): a line with a version, then the merges in their order, of which CLIP uses the
/// first 48,894. Throws Error for another file.
template <class = void>
[[nodiscard]] LearnedVocabulary read_open_clip_vocabulary(const std::filesystem::path& path) {
    constexpr std::size_t merge_count = largest_bpe_vocabulary - smallest_bpe_vocabulary;
    const std::string text = detail::read_gzip_text(path, std::size_t{64} << 20);
    std::string_view rest = text;
    require(rest.starts_with("\"bpe_simple_vocab") || rest.starts_with("#version"), path.string(),
            ": not a tokenizer; expected a folder with vocab.json and merges.txt, a tokenizer.json, or CLIP's "
            "bpe_simple_vocab_16e6.txt.gz");
    LearnedVocabulary vocabulary;
    std::array<char32_t, 256> bytes = text::byte_alphabet();
    ranges::sort(bytes);
    for (const std::string_view end : {std::string_view(), text::word_end}) {
        for (const char32_t byte : bytes) {
            std::string token;
            text::append_utf8(token, byte);
            vocabulary.tokens.push_back(token.append(end));
        }
    }
    rest.remove_prefix(std::min(rest.find('\n'), rest.size() - 1) + 1);
    while (!rest.empty() && vocabulary.merges.size() < merge_count) {
        std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(line.size() + 1, rest.size()));
        line.remove_suffix(line.ends_with('\r') ? 1 : 0);
        const std::size_t space = line.find(' ');
        require(space != std::string_view::npos && space > 0 && space + 1 < line.size() &&
                    line.find(' ', space + 1) == std::string_view::npos,
                path.string(), ": merge ", vocabulary.merges.size() + 1, " is not two tokens with one space between");
        vocabulary.merges.emplace_back(line.substr(0, space), line.substr(space + 1));
        vocabulary.tokens.push_back(vocabulary.merges.back().first + vocabulary.merges.back().second);
    }
    require(vocabulary.merges.size() == merge_count, path.string(), ": ", vocabulary.merges.size(),
            " merges, expected at least ", merge_count, " (a cut file?)");
    return vocabulary;
}

/// The same as a tokenizer.json would have it.
template <class = void>
[[nodiscard]] text::TokenizerJson as_tokenizer_json(const LearnedVocabulary& vocabulary) {
    text::TokenizerJson json;
    json.vocab = nlohmann::json::object();
    for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) {
        json.vocab[vocabulary.tokens[i]] = i;
    }
    json.vocab["<|startoftext|>"] = vocabulary.size() - 2;
    json.vocab["<|endoftext|>"] = vocabulary.size() - 1;
    json.merges = vocabulary.merges;
    return json;
}

} // namespace reel
