#pragma once
// Needs utf8proc and nlohmann-json.

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <queue>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/core/utf8.hpp>
#include <reel/text/clip_vocabulary.hpp>
#include <reel/text/clip_words.hpp>

namespace reel {

/// A byte-level BPE vocabulary in CLIP's order, as learn_bpe makes it and write_tokenizer writes it.
struct LearnedVocabulary {
    /// A token's place is its id: 256 bytes (printable ones first, "!" is 0), the same at a word's end, what the
    /// merges make. "<|startoftext|>" and "<|endoftext|>" come after these and are not in the list.
    std::vector<std::string> tokens;
    /// The pairs in the order in which they are merged.
    std::vector<std::pair<std::string, std::string>> merges;

    /// How many ids there are, the two special ones included: the `vocab_size` of a text encoder.
    [[nodiscard]] std::size_t size() const { return tokens.size() + 2; }
};

/// The bytes' tokens and the two special ones: no vocabulary is smaller.
inline constexpr std::size_t smallest_bpe_vocabulary = 256 + 256 + 2;
/// CLIP's own size, and the most that CLIP's tokenizer reads.
inline constexpr std::size_t largest_bpe_vocabulary = 49408;

namespace text::detail {

/// Words with how often they occur, and the pairs of neighbouring tokens in them.
class BpeLearner {
public:
    explicit BpeLearner(const std::map<std::string, std::uint64_t>& words) {
        add_bytes();
        for (const auto& [word, count] : words) {
            CountedWord counted{{}, count};
            for (std::size_t i = 0; i < word.size(); ++i) {
                const auto byte = static_cast<unsigned char>(word[i]);
                counted.tokens.push_back(byte_ids_[byte] + (i + 1 < word.size() ? 0 : 256));
            }
            words_.push_back(std::move(counted));
        }
        std::set<Pair> seen;
        for (std::size_t i = 0; i < words_.size(); ++i) {
            add_pairs_of(i, seen);
        }
        propose(seen);
    }

    /// Merges the most frequent pair everywhere. False if none occurs at least `min_frequency` times.
    bool merge_next(std::uint64_t min_frequency) {
        // A candidate whose count has changed since it was proposed is in the queue again with the new one.
        while (!candidates_.empty() && candidates_.top().count != count_of(candidates_.top().pair)) {
            candidates_.pop();
        }
        if (candidates_.empty() || candidates_.top().count < min_frequency) {
            return false;
        }
        const Pair pair = candidates_.top().pair;
        const std::uint32_t result = add_merge(pair);
        const std::set<std::size_t> where = pairs_.at(pair).words;
        std::set<Pair> changed;
        for (const std::size_t i : where) {
            remove_pairs_of(i, changed);
            merge_in(words_[i].tokens, pair, result);
            add_pairs_of(i, changed);
        }
        propose(changed);
        return true;
    }

    [[nodiscard]] const LearnedVocabulary& vocabulary() const { return vocabulary_; }

private:
    using Pair = std::pair<std::uint32_t, std::uint32_t>;
    struct CountedWord {
        std::vector<std::uint32_t> tokens;
        std::uint64_t count;
    };
    struct Places {
        std::uint64_t count = 0;
        std::set<std::size_t> words;
    };
    struct Candidate {
        std::uint64_t count;
        Pair pair;
        /// Less good: rarer, or as frequent with larger ids.
        bool operator<(const Candidate& other) const {
            return std::tie(count, other.pair) < std::tie(other.count, pair);
        }
    };

    /// The tokens of the bytes, in CLIP's order.
    void add_bytes() {
        for (const bool printable : {true, false}) {
            for (std::size_t byte = 0; byte < 256; ++byte) {
                const char32_t character = byte_alphabet()[byte];
                if ((character < 0x100) == printable) {
                    byte_ids_[byte] = static_cast<std::uint32_t>(vocabulary_.tokens.size());
                    append_utf8(vocabulary_.tokens.emplace_back(), character);
                }
            }
        }
        for (std::size_t i = 0; i < 256; ++i) {
            vocabulary_.tokens.push_back(vocabulary_.tokens[i] + std::string(word_end));
        }
    }

    /// Notes the merge and gives its result's id. The result is always new: merges fall alike wherever a text stands,
    /// so that no two of them lead to one token.
    std::uint32_t add_merge(const Pair& pair) {
        auto& tokens = vocabulary_.tokens;
        vocabulary_.merges.emplace_back(tokens[pair.first], tokens[pair.second]);
        tokens.push_back(tokens[pair.first] + tokens[pair.second]);
        return static_cast<std::uint32_t>(tokens.size() - 1);
    }

    [[nodiscard]] std::uint64_t count_of(const Pair& pair) const {
        const auto found = pairs_.find(pair);
        return found == pairs_.end() ? 0 : found->second.count;
    }

    void propose(const std::set<Pair>& changed) {
        for (const Pair& pair : changed) {
            if (const std::uint64_t count = count_of(pair); count > 0) {
                candidates_.push({count, pair});
            }
        }
    }

    void add_pairs_of(std::size_t word, std::set<Pair>& changed) {
        const auto& [tokens, count] = words_[word];
        for (std::size_t i = 1; i < tokens.size(); ++i) {
            const Pair pair{tokens[i - 1], tokens[i]};
            Places& places = pairs_[pair];
            places.count += count;
            places.words.insert(word);
            changed.insert(pair);
        }
    }

    void remove_pairs_of(std::size_t word, std::set<Pair>& changed) {
        const auto& [tokens, count] = words_[word];
        for (std::size_t i = 1; i < tokens.size(); ++i) {
            const Pair pair{tokens[i - 1], tokens[i]};
            Places& places = pairs_.at(pair);
            places.count -= count;
            places.words.erase(word);
            changed.insert(pair);
        }
    }

    static void merge_in(std::vector<std::uint32_t>& tokens, const Pair& pair, std::uint32_t result) {
        std::size_t kept = 0;
        for (std::size_t i = 0; i < tokens.size(); ++i) {
            const bool here = tokens[i] == pair.first && i + 1 < tokens.size() && tokens[i + 1] == pair.second;
            tokens[kept++] = here ? result : tokens[i];
            i += here ? 1 : 0;
        }
        tokens.resize(kept);
    }

    LearnedVocabulary vocabulary_;
    std::array<std::uint32_t, 256> byte_ids_{};
    std::vector<CountedWord> words_;
    std::map<Pair, Places> pairs_;
    std::priority_queue<Candidate> candidates_;
};

/// The words of the captions as CLIPTokenizer cuts them, and how often each occurs. Special tokens are not words.
inline std::map<std::string, std::uint64_t> count_words(std::span<const std::string> captions) {
    std::map<std::string_view, std::pair<std::uint64_t, std::size_t>> different;
    for (std::size_t i = 0; i < captions.size(); ++i) {
        ++different.try_emplace(captions[i], 0, i).first->second.first;
    }
    std::map<std::string, std::uint64_t> words;
    for (const auto& [caption, times] : different) {
        const std::u32string clean = clean_prompt(decode_utf8(caption, concat_text("caption ", times.second)));
        const std::u32string_view all = clean;
        for (std::size_t at = 0; at < all.size();) {
            const std::size_t length = word_length(all, at);
            const std::string word = encode_utf8(all.substr(at, length));
            if (length > 0 && word != "<|startoftext|>" && word != "<|endoftext|>") {
                words[word] += times.first;
            }
            at += length > 0 ? length : 1;
        }
    }
    return words;
}

} // namespace text::detail

/// Learns byte-level BPE from captions (UTF-8): Sennrich, Haddow and Birch 2016, algorithm 1, on the bytes of the
/// words that CLIPTokenizer makes, a word's last byte being another token ("t</w>") than the byte elsewhere.
///
/// Again and again the most frequent pair of neighbouring tokens becomes one token, everywhere, from left to right.
/// Of equally frequent pairs it is the one whose left token has the smaller id, then whose right one has: the same
/// captions in any order give the same vocabulary. A pair counts at each of its places, overlapping ones included
/// ("aaa" has two of "a a"). It ends when there are `vocab_size` tokens (the special ones included) or no pair
/// occurs at least `min_frequency` times.
///
/// Throws Error for a `vocab_size` outside 514 to 49408, a `min_frequency` of 0, and a caption that is not UTF-8,
/// with its number (from 0) and the byte's offset.
inline LearnedVocabulary learn_bpe(std::span<const std::string> captions, std::size_t vocab_size,
                                   std::uint64_t min_frequency = 2) {
    require(vocab_size >= smallest_bpe_vocabulary && vocab_size <= largest_bpe_vocabulary, "learn_bpe: vocab_size is ",
            vocab_size, "; expected ", smallest_bpe_vocabulary, " (the bytes and two special tokens) to ",
            largest_bpe_vocabulary, " (CLIP's)");
    require(min_frequency >= 1, "learn_bpe: min_frequency is 0; expected at least 1");
    text::detail::BpeLearner learner(text::detail::count_words(captions));
    while (learner.vocabulary().size() < vocab_size && learner.merge_next(min_frequency)) {
    }
    return learner.vocabulary();
}

} // namespace reel
