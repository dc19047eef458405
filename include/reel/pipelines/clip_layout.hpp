#pragma once

#include <reel/io/weights/host_tensor.hpp>
#include <reel/ops/rearrange.hpp>

namespace reel {

/// A shape as files and messages give it.
[[nodiscard]] inline std::vector<std::int64_t> file_shape(const Shape& shape) {
    return {shape.begin(), shape.end()};
}

/// A tensor as a file holds it, axes unchanged.
template <class T, Backend B>
[[nodiscard]] HostTensor to_file(const Tensor<T, B>& x) {
    return HostTensor::make(file_shape(x.shape()), x.to_host());
}

/// Latents or pictures [clips * frames, h, w, c] in the reference's order [clips, c, frames, h, w].
template <class T, Backend B>
[[nodiscard]] Tensor<T, B> to_reference_order(const Tensor<T, B>& x, index_t frames) {
    require(x.rank() == 4 && frames > 0 && x.shape(0) % frames == 0, "to_reference_order: ", x.shape(), " in clips of ",
            frames, " frames; expected [clips * frames, h, w, c]");
    return permute(x.reshape({x.shape(0) / frames, frames, x.shape(1), x.shape(2), x.shape(3)}), {0, 4, 1, 2, 3});
}

/// The inverse: [clips, c, frames, h, w] to [clips * frames, h, w, c].
template <class T, Backend B>
[[nodiscard]] Tensor<T, B> from_reference_order(const Tensor<T, B>& x) {
    require(x.rank() == 5, "from_reference_order: ", x.shape(), "; expected [clips, c, frames, h, w]");
    const Tensor<T, B> y = permute(x, {0, 2, 3, 4, 1});
    return y.reshape({y.shape(0) * y.shape(1), y.shape(2), y.shape(3), y.shape(4)});
}

/// A tensor of a file in a backend's memory, converted to T, axes unchanged. `what` names it in errors.
template <class T, Backend B>
[[nodiscard]] Tensor<T, B> from_file(B& backend, const HostTensor& source, const std::string& what) {
    require(source.shape.size() <= static_cast<std::size_t>(Shape::max_rank), what, ": ", source.shape.size(),
            " axes, expected at most ", Shape::max_rank);
    try {
        const std::vector<T> values = source.to_vector<T>();
        return Tensor<T, B>::from_host(backend, Shape(source.shape.begin(), source.shape.end()),
                                       std::span<const T>(values));
    } catch (const Error& error) {
        fail(what, ": ", error.what());
    }
}

} // namespace reel
