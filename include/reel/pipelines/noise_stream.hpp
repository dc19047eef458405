#pragma once

#include <cstdint>

namespace reel {

/// Streams of an edit's noise: with a seed each gives numbers of its own. Tuning has those below.
enum class NoiseStream : std::uint64_t {
    sampling = std::uint64_t{1} << 40,  ///< of samplers that draw, and the 2^40 streams after it
    start = std::uint64_t{1} << 41,     ///< where sampling starts without an inversion
    mask = std::uint64_t{1} << 42,      ///< noised_samples()
    draft = std::uint64_t{1} << 43,     ///< of every step of delta denoising
    on_draft = std::uint64_t{1} << 44,  ///< on the draft, where sampling starts
    inversion = std::uint64_t{1} << 45, ///< of edit-friendly inversion, a stream for each level
    masked = std::uint64_t{1} << 46,    ///< of the sample of a masked clip's latents
    keyframes = std::uint64_t{1} << 47  ///< of TokenFlow
};

} // namespace reel
