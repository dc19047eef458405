#pragma once
// How work is divided among ranks.

#include <algorithm>

#include <reel/core/error.hpp>
#include <reel/core/scalar.hpp>

namespace reel {

/// Items [first, last) of some that are numbered from 0.
struct Share {
    index_t first = 0;
    index_t last = 0;

    [[nodiscard]] index_t count() const { return last - first; }
    [[nodiscard]] bool empty() const { return first == last; }
};

/// A rank's share of `count` items: neighbours stay together, and the first ranks have one more where they cannot have
/// the same.
[[nodiscard]] inline Share share_of(index_t count, int rank, int ranks) {
    require(count >= 0 && ranks > 0 && rank >= 0 && rank < ranks, "share_of: ", count, " items, rank ", rank, " of ",
            ranks);
    const index_t each = count / ranks;
    const index_t more = count % ranks;
    const index_t first = rank * each + std::min<index_t>(rank, more);
    return {first, first + each + (rank < more ? 1 : 0)};
}

} // namespace reel
