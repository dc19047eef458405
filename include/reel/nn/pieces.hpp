#pragma once

#include <algorithm>
#include <concepts>
#include <limits>

#include <reel/autograd/variable.hpp>
#include <reel/backend/backend.hpp>
#include <reel/core/shape.hpp>

/// Long clips in bounded memory. What a module needs for a moment only (normalised pictures, queries, the widened rows
/// of a feed-forward) need not exist for all frames at once. Where it would take more than a backend's `piece_bytes`,
/// tensors go through the module in pieces, and variables through the widest of it; short clips go whole. A module is
/// written once, as a function of some pictures; what is here, or residual_branches.hpp, runs it whole or in pieces.
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

template <class V>
inline constexpr bool is_tensor = false;
template <class T, class B>
inline constexpr bool is_tensor<Tensor<T, B>> = true;

/// A layer whose into(y, x) is known to be its call: it names itself as `IntoIs`. A layer derived from reel's Linear,
/// or a specialisation of it, names another there or none: it has a call of its own, which is what runs.
template <class Layer>
concept WritesInto = std::same_as<typename Layer::IntoIs, Layer>;

/// layer(x), in the memory of `to` where that is defined.
template <class Layer, class V>
[[nodiscard]] V apply(const Layer& layer, V x, const V& to) {
    if constexpr (is_tensor<V>) {
        if (to.defined()) {
            if constexpr (WritesInto<Layer>) {
                layer.into(to, x);
            } else {
                to.copy_from(layer(x));
            }
            return to;
        }
    }
    return layer(x);
}

/// y + x, in y's memory when that is told to be free for it.
template <class V>
[[nodiscard]] V plus(const V& y, const V& x, bool in_place) {
    if constexpr (is_tensor<V>) {
        if (in_place) {
            accumulate_(y, x);
            return y;
        }
    }
    return add(x, y);
}

/// run(pictures of x, to), a tensor of shape `out`, `size` pictures of x at a time. Where `to` is defined, the result
/// belongs there.
template <class V, class Run>
[[nodiscard]] V each_picture(const V& x, const Shape& out, index_t size, const Run& run) {
    if constexpr (is_tensor<V>) {
        if (size < x.shape(0)) {
            const V y(x.backend(), out);
            for_each_piece(x.shape(0), size, [&](index_t begin, index_t end) {
                static_cast<void>(run(x.slice(begin, end), y.slice(begin, end)));
            });
            return y;
        }
    }
    return run(x, V{});
}

/// x + run(pictures of h); when told, `size` pictures at a time and in h's memory. What run gives has x's shape.
template <class V, class Run>
[[nodiscard]] V plus_each_picture(const V& x, const V& h, index_t size, bool in_place, const Run& run) {
    if constexpr (is_tensor<V>) {
        if (in_place) {
            const V sum = h.reshape(x.shape());
            for_each_piece(x.shape(0), size, [&](index_t begin, index_t end) {
                const V change = run(h.slice(begin, end));
                sum.slice(begin, end).copy_from(x.slice(begin, end));
                accumulate_(sum.slice(begin, end), change);
            });
            return sum;
        }
    }
    return add(run(h), x);
}

} // namespace reel
