#pragma once

#include <algorithm>
#include <concepts>
#include <limits>

#include <reel/backend/backend.hpp>
#include <reel/core/shape.hpp>

/// Long clips in bounded memory. What a module needs for a moment only (normalised pictures, queries, the widened rows
/// of a feed-forward) need not exist for all frames at once. Where it would take more than a backend's `piece_bytes`,
/// tensors go through the module in pieces, and variables through the widest of it; short clips go whole.
namespace reel {

/// Bytes that passing results should not exceed by much.
template <Backend B>
[[nodiscard]] index_t piece_bytes(const B& backend) {
    if constexpr (requires { backend.piece_bytes; }) {
        return static_cast<index_t>(backend.piece_bytes);
    } else {
        return std::numeric_limits<index_t>::max(); // a backend that does not say works on all at once
    }
}

/// How many of `count` pictures, tokens or rows to work on at once when each takes `bytes`: as many as fit, `least` or
/// more, in pieces of nearly equal size.
template <Backend B>
[[nodiscard]] index_t at_once(const B& backend, index_t count, index_t bytes, index_t least = 1) {
    const index_t fit = std::max(least, piece_bytes(backend) / std::max<index_t>(bytes, 1));
    const index_t pieces = std::max<index_t>((count + fit - 1) / fit, 1);
    return std::max<index_t>((count + pieces - 1) / pieces, 1);
}

/// Calls visit(begin, end) for pieces of `size` that cover [0, count).
template <class Visit>
void for_each_piece(index_t count, index_t size, const Visit& visit) {
    for (index_t begin = 0; begin < count; begin += size) {
        visit(begin, std::min(begin + size, count));
    }
}

} // namespace reel
