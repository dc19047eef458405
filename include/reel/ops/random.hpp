#pragma once

#include <reel/core/philox.hpp>
#include <reel/tensor.hpp>

namespace reel {

/// Standard normal numbers, a function of seed and stream: the same on every backend. See fill_normal().
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> randn(B& backend, const Shape& shape, std::uint64_t seed, std::uint64_t stream = 0) {
    Tensor<T, B> x(backend, shape);
    fill_normal(backend, x, seed, stream);
    return x;
}

/// A source of noise for the steps of samplers that draw: call k, from 0, gives randn() of stream first_stream + k.
/// It is a value: a copy goes on from where it was made.
template <Scalar T, Backend B = Cpu>
class SeededNoise {
public:
    /// The backend must outlive the source. Stream 0 is left to what a run starts from.
    SeededNoise(B& backend, std::uint64_t seed, std::uint64_t first_stream = 1)
        : backend_(&backend), seed_(seed), stream_(first_stream) {}

    [[nodiscard]] Tensor<T, B> operator()(const Shape& shape) { return randn<T>(*backend_, shape, seed_, stream_++); }

private:
    B* backend_;
    std::uint64_t seed_;
    std::uint64_t stream_;
};

} // namespace reel
