#pragma once

#include <reel/backend/backend.hpp>

namespace reel::generic {

/// Input row or column that output position `out` and kernel position `tap` meet, or -1 where there is none.
[[nodiscard]] constexpr index_t conv_source(index_t out, index_t tap, index_t stride, index_t pad, index_t dilation_in,
                                            index_t extent) {
    const index_t position = out * stride + tap - pad;
    if (position < 0 || position % dilation_in != 0 || position / dilation_in >= extent) {
        return -1;
    }
    return position / dilation_in;
}

template <class T>
struct ConvElement {
    ConvGeometry g;
    const T* x;
    const T* kernel;
    const T* bias;
    T* y;

    constexpr void operator()(index_t index) const {
        const index_t channel = index % g.out_channels;
        const index_t column = index / g.out_channels % g.out_width;
        const index_t row = index / g.out_channels / g.out_width % g.out_height;
        const index_t image = index / g.out_channels / g.out_width / g.out_height;
        using C = compute_t<T>;
        C sum = bias != nullptr ? static_cast<C>(bias[channel]) : C(0);
        for (index_t i = 0; i < g.kernel_h; ++i) {
            const index_t source_row = conv_source(row, i, g.stride, g.pad_top, g.dilation_in, g.height);
            for (index_t j = 0; j < g.kernel_w && source_row >= 0; ++j) {
                const index_t source_column = conv_source(column, j, g.stride, g.pad_left, g.dilation_in, g.width);
                if (source_column < 0) {
                    continue;
                }
                const T* pixel = x + ((image * g.height + source_row) * g.width + source_column) * g.in_channels;
                const T* weights = kernel + ((channel * g.kernel_h + i) * g.kernel_w + j) * g.in_channels;
                for (index_t c = 0; c < g.in_channels; ++c) {
                    sum += static_cast<C>(pixel[c]) * static_cast<C>(weights[c]);
                }
            }
        }
        y[index] = static_cast<T>(sum);
    }
};

/// y = convolution of x (+ bias).
template <Backend B, class T>
void convolution(B& backend, const ConvGeometry& geometry, const T* x, const T* kernel, const T* bias, T* y) {
    backend.for_each_index(geometry.out_rows() * geometry.out_channels, ConvElement<T>{geometry, x, kernel, bias, y});
}

/// Output position whose tap `tap` met input position `in`, or -1 where there is none.
[[nodiscard]] constexpr index_t conv_target(index_t in, index_t tap, index_t stride, index_t pad, index_t out_extent) {
    const index_t position = in + pad - tap;
    return position < 0 || position % stride != 0 || position / stride >= out_extent ? -1 : position / stride;
}

template <class T>
struct ConvInputGradientElement {
    ConvGeometry g;
    const T* y_gradient;
    const T* kernel;
    T* x_gradient;

    constexpr void operator()(index_t index) const {
        const index_t channel = index % g.in_channels;
        const index_t column = index / g.in_channels % g.width;
        const index_t row = index / g.in_channels / g.width % g.height;
        const index_t image = index / g.in_channels / g.width / g.height;
        using C = compute_t<T>;
        C sum = C(0);
        for (index_t i = 0; i < g.kernel_h; ++i) {
            const index_t out_row = conv_target(row, i, g.stride, g.pad_top, g.out_height);
            for (index_t j = 0; j < g.kernel_w && out_row >= 0; ++j) {
                const index_t out_column = conv_target(column, j, g.stride, g.pad_left, g.out_width);
                if (out_column < 0) {
                    continue;
                }
                const T* gradient =
                    y_gradient + ((image * g.out_height + out_row) * g.out_width + out_column) * g.out_channels;
                const T* weights = kernel + (i * g.kernel_w + j) * g.in_channels + channel;
                for (index_t o = 0; o < g.out_channels; ++o) {
                    sum += static_cast<C>(gradient[o]) * static_cast<C>(weights[o * g.patch()]);
                }
            }
        }
        x_gradient[index] = static_cast<T>(sum);
    }
};

/// x_gradient, shaped like x, of a convolution without dilation_in; overwritten.
template <Backend B, class T>
void convolution_input_gradient(B& backend, const ConvGeometry& geometry, const T* y_gradient, const T* kernel,
                                T* x_gradient) {
    backend.for_each_index(geometry.images * geometry.height * geometry.width * geometry.in_channels,
                           ConvInputGradientElement<T>{geometry, y_gradient, kernel, x_gradient});
}

template <class T>
struct ConvKernelGradientElement {
    ConvGeometry g;
    const T* x;
    const T* y_gradient;
    T* kernel_gradient;

    constexpr void operator()(index_t index) const {
        const index_t in_channel = index % g.in_channels;
        const index_t j = index / g.in_channels % g.kernel_w;
        const index_t i = index / g.in_channels / g.kernel_w % g.kernel_h;
        const index_t out_channel = index / g.in_channels / g.kernel_w / g.kernel_h;
        using C = compute_t<T>;
        C sum = C(0);
        for (index_t image = 0; image < g.images; ++image) {
            for (index_t row = 0; row < g.out_height; ++row) {
                const index_t source_row = conv_source(row, i, g.stride, g.pad_top, g.dilation_in, g.height);
                for (index_t column = 0; column < g.out_width && source_row >= 0; ++column) {
                    const index_t source_column = conv_source(column, j, g.stride, g.pad_left, g.dilation_in, g.width);
                    if (source_column < 0) {
                        continue;
                    }
                    const index_t pixel = (image * g.height + source_row) * g.width + source_column;
                    const index_t out_pixel = (image * g.out_height + row) * g.out_width + column;
                    sum += static_cast<C>(x[pixel * g.in_channels + in_channel]) *
                           static_cast<C>(y_gradient[out_pixel * g.out_channels + out_channel]);
                }
            }
        }
        kernel_gradient[index] = static_cast<T>(sum);
    }
};

/// kernel_gradient [out_channels, kernel_h, kernel_w, in_channels] of a convolution; overwritten.
template <Backend B, class T>
void convolution_kernel_gradient(B& backend, const ConvGeometry& geometry, const T* x, const T* y_gradient,
                                 T* kernel_gradient) {
    backend.for_each_index(geometry.out_channels * geometry.patch(),
                           ConvKernelGradientElement<T>{geometry, x, y_gradient, kernel_gradient});
}

} // namespace reel::generic
