#pragma once

#include <reel/nn/layers.hpp>
#include <reel/nn/pieces.hpp>

namespace reel {

/// Pictures [pictures, height, width, channels] with the channels of x followed by those of `skip`, where there is one.
template <class V>
struct JoinedChannels {
    V x;
    V skip;

    [[nodiscard]] V all() const { return skip.defined() ? concat_channels(x, skip) : x; }
    [[nodiscard]] V slice(index_t begin, index_t end) const {
        return skip.defined() ? concat_channels(x.slice(begin, end), skip.slice(begin, end)) : x.slice(begin, end);
    }
};

/// The pictures that a function of normalised_pictures() is given: all, or some of one set.
template <class V>
struct SomePictures {
    V result; ///< where its result belongs; undefined when all are given
    index_t set = 0;
    index_t begin = 0;
    index_t end = 0;

    [[nodiscard]] bool in_pieces() const { return result.defined(); }

    /// The same pictures of another tensor.
    [[nodiscard]] V of(const JoinedChannels<V>& pictures) const {
        if constexpr (is_tensor<V>) {
            return in_pieces() ? pictures.slice(begin, end) : pictures.all();
        } else {
            return pictures.all();
        }
    }

    /// y plus its sets' rows of `vectors` [sets, channels].
    [[nodiscard]] V plus_vectors(const V& y, const V& vectors) const {
        if constexpr (is_tensor<V>) {
            if (in_pieces()) {
                add_vectors_into(y, y, vectors.slice(set, set + 1));
                return y;
            }
        }
        return add_vectors(y, vectors);
    }
};

/// run(normalised pictures after SiLU, SomePictures), of all pictures of x, or, where `result` is defined, `size` at a
/// time and written there; it may be x's own memory. The statistics are those of whole sets all the same.
template <class V, class T, class B, class Run>
[[nodiscard]] V normalised_pictures(const GroupNorm<T, B>& norm, JoinedChannels<V> x, index_t sets, index_t size,
                                    const V& result, const Run& run) {
    if constexpr (is_tensor<V> && NormsInPieces<B, T>) {
        if (result.defined()) {
            const auto statistics = x.skip.defined() ? norm.statistics(x.x, x.skip, sets) : norm.statistics(x.x, sets);
            const index_t pictures = x.x.shape(0) / sets;
            for (index_t set = 0; set < sets; ++set) {
                for_each_piece(pictures, size, [&](index_t first, index_t last) {
                    const index_t begin = set * pictures + first;
                    const index_t end = set * pictures + last;
                    static_cast<void>(run(norm.apply(x.slice(begin, end), statistics.slice(set, set + 1), true),
                                          SomePictures<V>{result.slice(begin, end), set, begin, end}));
                });
            }
            return result;
        }
    }
    V normal = norm(x.all(), sets, true);
    x = {};
    return run(std::move(normal), SomePictures<V>{});
}

} // namespace reel
