#pragma once

#include <reel/core/scalar.hpp>

namespace reel {

/// What one update did.
struct TuneReport {
    index_t step = 0; ///< updates so far
    double loss = 0;
    double grad_norm = 0; ///< before clipping; infinity when the step was left out
    double learning_rate = 0;
    bool skipped = false; ///< float16 only: a gradient held inf or NaN, the loss scale was halved, nothing else changed
};

} // namespace reel
