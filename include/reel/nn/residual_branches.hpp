#pragma once

#include <reel/autograd/checkpoint.hpp>
#include <reel/autograd/functions.hpp>
#include <reel/nn/couples.hpp>
#include <reel/nn/pieces.hpp>

namespace reel {

/// One step of a block: x becomes x + run(x, piece). x is [clips * frames, tokens, channels], some frames or tokens of
/// one clip, or, of a branch that couples nothing, rows [rows, channels]. `run` must keep what it captures by reference
/// alive while the block runs; one with `kept` rows copies what it needs, since it runs again going back.
template <class Run>
struct ResidualBranch {
    const char* name;    ///< for messages
    Couples couples;     ///< of run; never cut
    index_t widths;      ///< how many times its input a piece needs for a moment
    Run run;             ///< takes tensors and variables alike where `kept` is not 0
    index_t kept = 0;    ///< how many times its input gradients would keep; 0: leave them. Couples nothing
    bool trains = false; ///< with `kept`: whether it has parameters that train
};

/// Adds a branch to x in place, in pieces of the clips as large as the backend's `piece_bytes` allows and the branch's
/// coupling permits; `smallest` makes them as small as it permits.
template <Scalar T, Backend B, class Run>
void add_in_pieces_(const Tensor<T, B>& x, index_t clips, const ResidualBranch<Run>& branch, bool smallest = false) {
    const index_t frames = x.shape(0) / clips;
    const index_t tokens = x.shape(1);
    const index_t channels = x.shape(2);
    const index_t row_bytes = branch.widths * channels * static_cast<index_t>(sizeof(T));
    const auto add = [&](const Tensor<T, B>& part, const ClipPiece& piece) {
        accumulate_(part, branch.run(part, piece));
    };
    const auto size = [&](index_t count, index_t rows, index_t least = 1) {
        return smallest ? index_t{1} : at_once(x.backend(), count, rows * row_bytes, least);
    };
    if (!includes(Couples::clip, branch.couples)) {
        add(x, {.clips = clips, .frames = frames});
        return;
    }
    for (index_t clip = 0; clip < clips; ++clip) {
        const Tensor<T, B> own = x.slice(clip * frames, (clip + 1) * frames);
        ClipPiece piece{.frames = frames, .first_clip = clip};
        switch (branch.couples) {
        case Couples::nothing: {
            const Tensor<T, B> rows = own.reshape({-1, channels});
            for_each_piece(rows.shape(0), size(rows.shape(0), 1, 2048),
                           [&](index_t begin, index_t end) { add(rows.slice(begin, end), piece); });
            break;
        }
        case Couples::tokens:
            for_each_piece(frames, size(frames, tokens), [&](index_t begin, index_t end) {
                piece.first_frame = begin;
                piece.all_frames = begin == 0 && end == frames;
                add(own.slice(begin, end), piece);
            });
            break;
        case Couples::frames: {
            const Tensor<T, B> columns = own.reshape({frames, -1});
            for_each_piece(tokens, size(tokens, frames), [&](index_t begin, index_t end) {
                piece.first_token = begin;
                const auto part = slice_channels(columns, begin * channels, end * channels);
                const auto change = branch.run(part.reshape({frames, end - begin, channels}), piece);
                accumulate_channels_(columns, change.reshape({frames, -1}), begin * channels);
            });
            break;
        }
        case Couples::clip:
        case Couples::everything:
            add(own, piece);
        }
    }
}

} // namespace reel
