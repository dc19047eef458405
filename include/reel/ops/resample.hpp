#pragma once

#include <reel/tensor.hpp>

namespace reel {

namespace functors {

/// Source position of nearest-neighbour enlargement: floor(i * in / out), exactly. torch's "nearest" takes the factor
/// in float and agrees for out = 2 in and 2 in - 1, all that a UNet or VAE asks for; elsewhere it may show the pixel
/// before.
[[nodiscard]] constexpr index_t nearest(index_t i, index_t in, index_t out) {
    return i * in / out;
}

/// One output pixel.
template <class T>
struct UpsampleNearest {
    const T* x;
    T* y;
    index_t height;
    index_t width;
    index_t out_height;
    index_t out_width;
    index_t channels;
    constexpr void operator()(index_t pixel) const {
        const index_t column = nearest(pixel % out_width, width, out_width);
        const index_t row = nearest(pixel / out_width % out_height, height, out_height);
        const index_t image = pixel / out_width / out_height;
        const T* from = x + ((image * height + row) * width + column) * channels;
        for (index_t c = 0; c < channels; ++c) {
            y[pixel * channels + c] = from[c];
        }
    }
};

/// One input pixel: the sum over the output pixels that show it.
template <class T>
struct UpsampleNearestBackward {
    const T* y_gradient;
    T* x_gradient;
    index_t height;
    index_t width;
    index_t out_height;
    index_t out_width;
    index_t channels;

    /// First output position whose source is `i` or later.
    [[nodiscard]] static constexpr index_t first(index_t i, index_t in, index_t out) { return (i * out + in - 1) / in; }

    constexpr void operator()(index_t pixel) const {
        const index_t column = pixel % width;
        const index_t row = pixel / width % height;
        const index_t image = pixel / width / height;
        T* to = x_gradient + pixel * channels;
        constexpr index_t piece = 64; // channels whose sums are kept at a time
        for (index_t begin = 0; begin < channels; begin += piece) {
            const index_t count = channels - begin < piece ? channels - begin : piece;
            compute_t<T> sums[piece] = {};
            for (index_t r = first(row, height, out_height); r < first(row + 1, height, out_height); ++r) {
                for (index_t q = first(column, width, out_width); q < first(column + 1, width, out_width); ++q) {
                    const T* from = y_gradient + ((image * out_height + r) * out_width + q) * channels + begin;
                    for (index_t c = 0; c < count; ++c) {
                        sums[c] += static_cast<compute_t<T>>(from[c]);
                    }
                }
            }
            for (index_t c = 0; c < count; ++c) {
                to[begin + c] = static_cast<T>(sums[c]);
            }
        }
    }
};

} // namespace functors

/// Nearest-neighbour resize of [images, height, width, channels] to out_height x out_width, at least as large.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> upsample_nearest(const Tensor<T, B>& x, index_t out_height, index_t out_width) {
    require(x.rank() == 4 && x.shape(1) > 0 && x.shape(2) > 0 && out_height >= x.shape(1) && out_width >= x.shape(2),
            "upsample_nearest: ", x.shape(), " to ", out_height, " x ", out_width,
            "; expected [images, height, width, channels] and a larger size");
    Tensor<T, B> y(x.backend(), {x.shape(0), out_height, out_width, x.shape(3)});
    x.backend().for_each_index(
        x.shape(0) * out_height * out_width,
        functors::UpsampleNearest<T>{x.data(), y.data(), x.shape(1), x.shape(2), out_height, out_width, x.shape(3)},
        16);
    return y;
}

/// Gradient of upsample_nearest's input.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> upsample_nearest_gradient(const Tensor<T, B>& y_gradient, const Shape& x_shape) {
    require(x_shape.rank() == 4 && y_gradient.rank() == 4 && y_gradient.shape(0) == x_shape[0] &&
                y_gradient.shape(3) == x_shape[3],
            "upsample_nearest_gradient: gradient ", y_gradient.shape(), " for input ", x_shape);
    Tensor<T, B> result(y_gradient.backend(), x_shape);
    y_gradient.backend().for_each_index(
        x_shape[0] * x_shape[1] * x_shape[2],
        functors::UpsampleNearestBackward<T>{y_gradient.data(), result.data(), x_shape[1], x_shape[2],
                                             y_gradient.shape(1), y_gradient.shape(2), x_shape[3]},
        16);
    return result;
}

} // namespace reel
