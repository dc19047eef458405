#pragma once

#include <reel/nn/couples.hpp>
#include <reel/nn/pieces.hpp>
#include <reel/ops/attention.hpp>

namespace reel {

/// Keys (or values) of sparse-causal attention while a clip goes through in pieces of frames. A piece sees the clip's
/// first frame and the one before it, which are kept here, since the pictures themselves have changed by then.
template <class V>
class FormerFrames {
public:
    /// layer(normal) of the piece's pictures [frames, tokens, channels], behind those of the clip's first frame and of
    /// the frame before the piece: [2 + frames, tokens, channels]. Pieces must come in order.
    template <class Layer>
    [[nodiscard]] V before(const Layer& layer, const V& normal, const ClipPiece& piece) {
        const index_t frames = normal.shape(0);
        const V all(normal.backend(), normal.shape().with(0, 2 + frames));
        static_cast<void>(apply(layer, normal, all.slice(2, 2 + frames)));
        if (piece.first_frame == 0) {
            kept_ = V(normal.backend(), normal.shape().with(0, 2));
            kept_.slice(0, 1).copy_from(all.slice(2, 3));
        }
        const index_t known = piece.first_frame == 0 ? 1 : 2;
        all.slice(0, known).copy_from(kept_.slice(0, known));
        kept_.slice(1, 2).copy_from(all.slice(1 + frames, 2 + frames));
        return all;
    }

    /// The key lists that belong to it.
    [[nodiscard]] static AttentionOptions options(const ClipPiece& piece, index_t frames) {
        AttentionOptions options;
        options.lists = 2;
        for (index_t i = 0; i < frames; ++i) {
            options.key_batches.push_back(0);
            options.key_batches.push_back(piece.first_frame + i >= 2 ? static_cast<std::int32_t>(1 + i) : -1);
        }
        return options;
    }

private:
    V kept_; ///< [2, tokens, channels]: first, former
};

} // namespace reel
