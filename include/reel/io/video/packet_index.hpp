#pragma once
// Which pictures a file's packets hold, and where decoding may begin. No other library.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include <reel/core/ranges.hpp>

namespace reel::detail {

/// When a file's pictures are shown and which can be decoded alone, in units of its clock, found without decoding.
struct PacketIndex {
    struct Key {
        std::int64_t start;   ///< when it is shown
        std::int64_t decoded; ///< where to seek to
    };

    bool timed = true;                ///< every packet has a time, no two the same one
    std::vector<std::int64_t> starts; ///< of all pictures, in the order of showing
    std::vector<Key> keys;            ///< in that order
    std::int64_t last_duration = 0;   ///< of the picture shown last

    void add(std::int64_t start, std::int64_t duration, std::optional<std::int64_t> key) {
        if (starts.empty() || start >= latest_) {
            latest_ = start;
            last_duration = duration;
        }
        starts.push_back(start);
        if (key) {
            keys.push_back({start, *key});
        }
    }

    void finish() {
        ranges::sort(starts);
        ranges::sort(keys, {}, &Key::start);
        timed = timed && ranges::adjacent_find(starts) == starts.end();
    }

    /// Where to begin for a picture: not at the last key before it but the one before that, from which the pictures
    /// about a key that refer to others are whole, too. Nothing where that is no later than picture `from`.
    [[nodiscard]] std::optional<Key> key_before(std::int64_t index, std::int64_t from) const {
        if (!timed || index >= static_cast<std::int64_t>(starts.size())) {
            return std::nullopt;
        }
        const std::int64_t start = starts[static_cast<std::size_t>(index)];
        const auto after = ranges::upper_bound(keys, start, {}, &Key::start);
        if (after - keys.begin() < 2) {
            return std::nullopt;
        }
        const Key key = *(after - 2);
        return index_of(key.start) > from ? std::optional(key) : std::nullopt;
    }

    [[nodiscard]] std::int64_t index_of(std::int64_t start) const {
        return ranges::lower_bound(starts, start) - starts.begin();
    }

private:
    std::int64_t latest_ = 0;
};

} // namespace reel::detail
