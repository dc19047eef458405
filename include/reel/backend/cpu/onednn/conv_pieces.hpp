#pragma once

#include <algorithm>
#include <vector>

#include <reel/backend/problems.hpp>

namespace reel::cpu::onednn {

/// A part of a convolution that is done at once: whole images, or some rows of one image. It is a smaller convolution
/// with its own padding.
struct ConvPiece {
    ConvGeometry g;
    index_t x; ///< where its input begins, in elements
    index_t y; ///< and its output
};

/// Cuts `images` of `rows` rows into `parts` of as equal length as can be, each given as spans(image, images, first
/// row, last row + 1). Without `cut` only between images.
template <class Spans>
void cut_rows(index_t images, index_t rows, index_t parts, index_t part, bool cut, const Spans& spans) {
    const auto border = [&](index_t i) { return cut ? images * rows * i / parts : images * i / parts * rows; };
    const index_t end = border(part + 1);
    for (index_t at = border(part); at < end;) {
        const index_t row = at % rows;
        const index_t whole = row == 0 ? (end - at) / rows : 0;
        const index_t last = whole > 0 ? rows : std::min(rows, row + end - at);
        spans(at / rows, std::max<index_t>(whole, 1), row, last);
        at += whole > 0 ? whole * rows : last - row;
    }
}

/// The piece that makes output rows [first, last) of images [image, image + images).
[[nodiscard]] inline ConvPiece output_piece(const ConvGeometry& g, index_t image, index_t images, index_t first,
                                            index_t last) {
    ConvPiece piece{g, image * g.height * g.width * g.in_channels,
                    (image * g.out_height + first) * g.out_width * g.out_channels};
    piece.g.images = images;
    if (last - first < g.out_height) {
        const index_t top = first * g.stride - g.pad_top;
        const index_t begin = std::max<index_t>(top, 0);
        piece.g.height = std::min(g.height, (last - 1) * g.stride - g.pad_top + g.kernel_h) - begin;
        piece.g.pad_top = begin - top;
        piece.g.out_height = last - first;
        piece.x += begin * g.width * g.in_channels;
    }
    return piece;
}

/// The piece whose input rows are [first, last) of images [image, image + images), with every output row that sees
/// them.
[[nodiscard]] inline ConvPiece input_piece(const ConvGeometry& g, index_t image, index_t images, index_t first,
                                           index_t last) {
    ConvPiece piece{g, (image * g.height + first) * g.width * g.in_channels,
                    image * g.out_height * g.out_width * g.out_channels};
    piece.g.images = images;
    if (last - first < g.height) {
        const index_t earliest = first + g.pad_top - g.kernel_h + 1;
        const index_t begin = earliest <= 0 ? 0 : (earliest + g.stride - 1) / g.stride;
        const index_t end = std::min(g.out_height, (last - 1 + g.pad_top) / g.stride + 1);
        piece.g.height = last - first;
        piece.g.pad_top = g.pad_top + first - begin * g.stride;
        piece.g.out_height = end - begin;
        piece.y += begin * g.out_width * g.out_channels;
    }
    return piece;
}

/// Rows of zeros below (or, of columns, to the right of) the picture that the last output sees; negative when it does
/// not see the last ones of the picture.
[[nodiscard]] constexpr index_t pad_after(index_t extent, index_t kernel, index_t stride, index_t before, index_t out) {
    return (out - 1) * stride + kernel - extent - before;
}

/// Each thread's pieces: of output rows, or with `input_rows` of input rows.
[[nodiscard]] inline std::vector<std::vector<ConvPiece>> pieces_of(const ConvGeometry& g, index_t threads,
                                                                   bool input_rows) {
    const index_t rows = input_rows ? g.height : g.out_height;
    const bool cut = g.kernel_h >= g.stride; // else there are input rows that no output sees
    std::vector<std::vector<ConvPiece>> parts(
        static_cast<std::size_t>(std::min(threads, cut ? g.images * rows : g.images)));
    for (std::size_t part = 0; part < parts.size(); ++part) {
        cut_rows(g.images, rows, static_cast<index_t>(parts.size()), static_cast<index_t>(part), cut,
                 [&](index_t image, index_t images, index_t first, index_t last) {
                     parts[part].push_back(input_rows ? input_piece(g, image, images, first, last)
                                                      : output_piece(g, image, images, first, last));
                 });
    }
    return parts;
}

} // namespace reel::cpu::onednn
