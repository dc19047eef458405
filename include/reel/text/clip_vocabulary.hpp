#pragma once
// Needs nlohmann-json.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <optional>
#include <queue>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <reel/core/error.hpp>
#include <reel/core/utf8.hpp>
#include <reel/io/config/json.hpp>

namespace reel::text {

/// The characters by which byte-level BPE writes bytes in its files: printable Latin-1 for itself, the other
/// bytes from U+0100 on, in order.
inline const std::array<char32_t, 256>& byte_alphabet() {
    static const auto alphabet = [] {
        std::array<char32_t, 256> all{};
        char32_t next = 0x100;
        for (char32_t byte = 0; byte < 256; ++byte) {
            const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
            all[byte] = printable ? byte : next++;
        }
        return all;
    }();
    return alphabet;
}

/// What BPE writes at the end of a word's last token.
inline constexpr std::string_view word_end = "</w>";

/// A whole text file of at most `limit` bytes. Throws Error, naming the file, if it is missing, no file, too large,
/// a Git LFS pointer or cannot be read.
inline std::string read_text_file(const std::filesystem::path& path, std::uintmax_t limit = std::uintmax_t{64} << 20) {
    std::error_code error;
    require(std::filesystem::exists(path, error), path.string(),
            ": no such file; a CLIP tokenizer folder has "
            "vocab.json, merges.txt and tokenizer_config.json");
    require(std::filesystem::is_regular_file(path, error), path.string(), ": not a regular file");
    const std::uintmax_t size = std::filesystem::file_size(path, error);
    require(!error, path.string(), ": cannot read: ", error.message());
    require(size <= limit, path.string(), ": ", size, " bytes, too large for a tokenizer's file (limit ", limit, ")");
    std::string content(static_cast<std::size_t>(size), '\0');
    std::ifstream file(path, std::ios::binary);
    file.read(content.data(), static_cast<std::streamsize>(content.size()));
    require(file.good() && file.gcount() == static_cast<std::streamsize>(content.size()), path.string(),
            ": cannot read it");
    require(!content.starts_with("version https://git-lfs"), path.string(),
            ": a Git LFS pointer, not the file itself; fetch it with `git lfs pull`");
    return content;
}

/// Parses a file that must hold one JSON object. Throws Error naming the file and where it is broken; see parse_json().
template <class = void>
nlohmann::json read_json_object(const std::filesystem::path& path) {
    nlohmann::json json = parse_json(read_text_file(path, std::uintmax_t{16} << 20), path.string());
    require(json.is_object(), path.string(), ": expected a JSON object, found ", json.type_name());
    return json;
}

/// CLIP's tokens and merges: from words' bytes to token ids.
class CLIPVocabulary {
public:
    /// Reads vocab.json (token to id) and merges.txt (a version line, then a pair of tokens per line, in the
    /// order in which pairs are merged; lines after 48,895 and pairs of unknown tokens are not used). Throws Error,
    /// naming file, line or token, for a file that is missing, broken, or does not have every token that a text can
    /// lead to.
    template <class = void>
    CLIPVocabulary(const std::filesystem::path& vocab, const std::filesystem::path& merges) {
        read_tokens(read_json_object(vocab), vocab.string());
        read_merges(merges, vocab);
    }

    /// The same from what a tokenizer.json holds: all merges count, and one of unknown tokens is an error. `where` (the
    /// file) starts messages.
    template <class = void>
    CLIPVocabulary(const nlohmann::json& vocab, const std::vector<std::pair<std::string, std::string>>& merges,
                   const std::string& where) {
        read_tokens(vocab, where);
        merges_.reserve(merges.size());
        for (const auto& [left, right] : merges) {
            const auto left_id = find(left);
            const auto right_id = find(right);
            const auto result = find(left + right);
            require(left_id && right_id && result, where, ": the merge of '", left, "' and '", right,
                    "' has a token that is not in the vocabulary");
            merges_.insert_or_assign(pair_key(*left_id, *right_id),
                                     Merge{static_cast<std::uint32_t>(merges_.size()), *result});
        }
    }

    /// Adds a token that no merge leads to. Throws Error, starting with `where`, if it or its id is another's.
    void add(const std::string& token, std::int32_t id, const std::string& where) {
        const auto known = find(token);
        require(!known || *known == id, where, ": the added token '", token, "' has id ", id, ", the vocabulary's ",
                known.value_or(0));
        const auto [place, is_new] = tokens_.emplace(id, token);
        require(is_new || place->second == token, where, ": tokens '", place->second, "' and '", token,
                "' have the same id ", id);
        ids_.emplace(token, id);
        largest_id_ = std::max(largest_id_, id);
    }

    /// How many tokens there are.
    [[nodiscard]] std::size_t size() const { return ids_.size(); }

    /// The largest id; a text encoder needs one row more than this in its embedding.
    [[nodiscard]] std::int32_t largest_id() const { return largest_id_; }

    /// The id of a token as vocab.json writes it ("cat</w>"), if it is there.
    [[nodiscard]] std::optional<std::int32_t> find(const std::string& token) const {
        const auto found = ids_.find(token);
        return found == ids_.end() ? std::nullopt : std::optional(found->second);
    }

    /// The token with this id as vocab.json writes it. Throws Error if there is none.
    [[nodiscard]] const std::string& token(std::int32_t id) const {
        const auto found = tokens_.find(id);
        require(found != tokens_.end(), "tokenizer: no token has id ", id, " (the largest is ", largest_id_, ")");
        return found->second;
    }

    /// Appends the ids of one word (any bytes, at least one): starts from single bytes and merges pairs, the
    /// earliest in merges.txt first, all of its places from left to right. n log n in the word's length.
    void encode_word(std::string_view word, std::vector<std::int32_t>& out) const {
        std::vector<Symbol> symbols;
        symbols.reserve(word.size());
        for (std::size_t i = 0; i < word.size(); ++i) {
            const auto byte = static_cast<std::uint8_t>(word[i]);
            symbols.push_back({i + 1 < word.size() ? byte_ids_[byte] : last_byte_ids_[byte], i - 1, i + 1, true});
        }
        std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates;
        const auto propose = [&](std::size_t at) {
            const std::size_t next = symbols[at].next;
            if (next < symbols.size()) {
                const auto merge = merges_.find(pair_key(symbols[at].id, symbols[next].id));
                if (merge != merges_.end()) {
                    candidates.push({merge->second.rank, at, symbols[at].id, symbols[next].id, merge->second.id});
                }
            }
        };
        for (std::size_t i = 0; i < symbols.size(); ++i) {
            propose(i);
        }
        std::vector<std::size_t> merged;
        while (!candidates.empty()) {
            // A merge may make a pair of a lower rank possible; it waits until this rank's places are done.
            const std::uint32_t rank = candidates.top().rank;
            merged.clear();
            while (!candidates.empty() && candidates.top().rank == rank) {
                const Candidate pair = candidates.top();
                candidates.pop();
                Symbol& left = symbols[pair.at];
                if (!left.alive || left.id != pair.left || left.next >= symbols.size() ||
                    symbols[left.next].id != pair.right) {
                    continue;
                }
                Symbol& right = symbols[left.next];
                right.alive = false;
                left.id = pair.result;
                left.next = right.next;
                if (left.next < symbols.size()) {
                    symbols[left.next].previous = pair.at;
                }
                merged.push_back(pair.at);
            }
            for (const std::size_t at : merged) {
                propose(at);
                if (at > 0) {
                    propose(symbols[at].previous);
                }
            }
        }
        for (std::size_t i = 0; i < symbols.size(); i = symbols[i].next) {
            out.push_back(symbols[i].id);
        }
    }

private:
    struct Merge {
        std::uint32_t rank;
        std::int32_t id;
    };
    struct Symbol {
        std::int32_t id;
        std::size_t previous;
        std::size_t next;
        bool alive;
    };
    struct Candidate {
        std::uint32_t rank;
        std::size_t at;
        std::int32_t left;
        std::int32_t right;
        std::int32_t result;
        bool operator>(const Candidate& other) const { return std::tie(rank, at) > std::tie(other.rank, other.at); }
    };

    static std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
        return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
    }

    template <class = void>
    void read_tokens(const nlohmann::json& vocab, const std::string& where) {
        ids_.reserve(vocab.size());
        tokens_.reserve(vocab.size());
        for (const auto& [token, id] : vocab.items()) {
            require(id.is_number_integer() && id.template get<std::int64_t>() >= 0 &&
                        id.template get<std::int64_t>() < std::numeric_limits<std::int32_t>::max(),
                    where, ": token '", token, "' has id ", id.dump(), "; expected a whole number from 0 on");
            const auto number = id.template get<std::int32_t>();
            const auto [place, is_new] = tokens_.emplace(number, token);
            require(is_new, where, ": tokens '", place->second, "' and '", token, "' have the same id ", number);
            ids_.emplace(token, number);
            largest_id_ = std::max(largest_id_, number);
        }
        for (std::size_t byte = 0; byte < 256; ++byte) {
            std::string token;
            append_utf8(token, byte_alphabet()[byte]);
            byte_ids_[byte] = byte_id(where, token, byte);
            last_byte_ids_[byte] = byte_id(where, token.append(word_end), byte);
        }
    }

    std::int32_t byte_id(const std::string& where, const std::string& token, std::size_t byte) const {
        const auto id = find(token);
        require(id.has_value(), where, ": lacks token '", token, "' for byte ", byte,
                "; a byte-level vocabulary has every byte alone and at a word's end");
        return *id;
    }

    void read_merges(const std::filesystem::path& path, const std::filesystem::path& vocab) {
        // The reference reads a version line and this many merges (49,152 tokens less 256 bytes and two).
        constexpr std::size_t most_merges = 49152 - 256 - 2;
        const std::string content = read_text_file(path);
        std::string_view rest = content;
        rest = rest.substr(0, rest.find_last_not_of(" \t\r\n") + 1);
        merges_.reserve(most_merges);
        for (std::size_t line_number = 1; !rest.empty() && line_number <= most_merges + 1; ++line_number) {
            std::string_view line = rest.substr(0, rest.find('\n'));
            rest.remove_prefix(std::min(line.size() + 1, rest.size()));
            if (line_number == 1) {
                continue;
            }
            if (line.ends_with('\r')) {
                line.remove_suffix(1);
            }
            const auto where = [&] { return concat_text(path.string(), ": line ", line_number, " ('", line, "')"); };
            const std::size_t space = line.find(' ');
            const bool is_pair =
                space != line.npos && space > 0 && space + 1 < line.size() && line.find(' ', space + 1) == line.npos;
            require(is_pair, where(), ": expected two tokens with one space between them");
            const std::string left(line.substr(0, space));
            const std::string right(line.substr(space + 1));
            const auto left_id = find(left);
            const auto right_id = find(right);
            if (!left_id || !right_id) {
                continue; // never both there: every token that a text can lead to is in the vocabulary
            }
            const auto result = find(left + right);
            require(result.has_value(), where(), ": '", left + right, "' is not in ", vocab.string());
            // A pair that is there twice counts by its later line, as in the reference.
            merges_.insert_or_assign(pair_key(*left_id, *right_id),
                                     Merge{static_cast<std::uint32_t>(line_number), *result});
        }
    }

    std::unordered_map<std::string, std::int32_t> ids_;
    std::unordered_map<std::int32_t, std::string> tokens_;
    std::unordered_map<std::uint64_t, Merge> merges_;
    std::array<std::int32_t, 256> byte_ids_{};
    std::array<std::int32_t, 256> last_byte_ids_{};
    std::int32_t largest_id_ = -1;
};

} // namespace reel::text
