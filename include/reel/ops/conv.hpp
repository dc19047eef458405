#pragma once

#include <reel/backend/cpu/kernels.hpp>
#include <reel/backend/generic/convolution.hpp>
#include <reel/tensor.hpp>

namespace reel {

/// Stride and zero padding of a convolution; the four sides are separate because Stable Diffusion's VAE pads two.
struct ConvOptions {
    index_t stride = 1;
    index_t pad_top = 0;
    index_t pad_bottom = 0;
    index_t pad_left = 0;
    index_t pad_right = 0;

    [[nodiscard]] static ConvOptions same_pad(index_t pad, index_t stride = 1) { return {stride, pad, pad, pad, pad}; }
};

namespace detail {

[[nodiscard]] inline ConvGeometry conv_geometry(const Shape& x, const Shape& kernel, const ConvOptions& options) {
    require(x.rank() == 4 && kernel.rank() == 4 && x[3] == kernel[3], "conv2d: input ", x, " with kernel ", kernel,
            "; expected [images, height, width, in] and [out, kernel_h, kernel_w, in]");
    require(kernel.size() > 0, "conv2d: the kernel ", kernel, " is empty");
    ConvGeometry g{.images = x[0],
                   .height = x[1],
                   .width = x[2],
                   .in_channels = x[3],
                   .out_channels = kernel[0],
                   .kernel_h = kernel[1],
                   .kernel_w = kernel[2],
                   .stride = options.stride,
                   .pad_top = options.pad_top,
                   .pad_left = options.pad_left};
    const index_t room_h = x[1] + options.pad_top + options.pad_bottom - g.kernel_h;
    const index_t room_w = x[2] + options.pad_left + options.pad_right - g.kernel_w;
    require(room_h >= 0 && room_w >= 0 && options.stride > 0, "conv2d: kernel ", kernel,
            " is larger than the padded input ", x);
    g.out_height = room_h / options.stride + 1;
    g.out_width = room_w / options.stride + 1;
    return g;
}

template <class T, Backend B>
void require_conv_bias(const Tensor<T, B>& bias, const ConvGeometry& g) {
    require(!bias.defined() || bias.shape() == Shape{g.out_channels}, "conv2d: bias ", bias.shape(), " with kernel ",
            Shape{g.out_channels, g.kernel_h, g.kernel_w, g.in_channels});
}

inline void require_conv_output(std::string_view operation, const Shape& y, const ConvGeometry& g) {
    const Shape expected{g.images, g.out_height, g.out_width, g.out_channels};
    require(y == expected, operation, ": the output's gradient has shape ", y, "; expected ", expected);
}

template <class T, Backend B>
void run_convolution(B& backend, const ConvGeometry& g, const T* x, const T* kernel, const T* bias, T* y) {
    if constexpr (requires { convolution(backend, g, x, kernel, bias, y); }) {
        convolution(backend, g, x, kernel, bias, y);
    } else {
        generic::convolution(backend, g, x, kernel, bias, y);
    }
}

} // namespace detail

/// conv2d() into a tensor [images, out_height, out_width, out] that exists: a slice, usually.
template <Scalar T, Backend B>
void conv2d_into(const Tensor<T, B>& y, const Tensor<T, B>& x, const Tensor<T, B>& kernel, const Tensor<T, B>& bias,
                 const ConvOptions& options) {
    const ConvGeometry g = detail::conv_geometry(x.shape(), kernel.shape(), options);
    detail::require_conv_bias(bias, g);
    const Shape expected{g.images, g.out_height, g.out_width, g.out_channels};
    require(y.shape() == expected, "conv2d: the result goes into ", y.shape(), "; expected ", expected);
    detail::run_convolution(x.backend(), g, x.data(), kernel.data(), bias.defined() ? bias.data() : nullptr, y.data());
}

/// Convolution of x [images, height, width, in] with kernel [out, kernel_h, kernel_w, in], plus bias [out] unless it is
/// undefined. Result [images, out_height, out_width, out].
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> conv2d(const Tensor<T, B>& x, const Tensor<T, B>& kernel, const Tensor<T, B>& bias,
                                  const ConvOptions& options) {
    const ConvGeometry g = detail::conv_geometry(x.shape(), kernel.shape(), options);
    Tensor<T, B> y(x.backend(), {g.images, g.out_height, g.out_width, g.out_channels});
    conv2d_into(y, x, kernel, bias, options);
    return y;
}

/// Gradient of conv2d's input.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> conv2d_input_gradient(const Tensor<T, B>& y_gradient, const Tensor<T, B>& kernel,
                                                 const Shape& x_shape, const ConvOptions& options) {
    const ConvGeometry g = detail::conv_geometry(x_shape, kernel.shape(), options);
    detail::require_conv_output("conv2d_input_gradient", y_gradient.shape(), g);
    Tensor<T, B> x_gradient(y_gradient.backend(), x_shape);
    B& backend = y_gradient.backend();
    if constexpr (requires {
                      convolution_input_gradient(backend, g, y_gradient.data(), kernel.data(), x_gradient.data());
                  }) {
        convolution_input_gradient(backend, g, y_gradient.data(), kernel.data(), x_gradient.data());
    } else {
        generic::convolution_input_gradient(backend, g, y_gradient.data(), kernel.data(), x_gradient.data());
    }
    return x_gradient;
}

/// Gradient of conv2d's kernel.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> conv2d_kernel_gradient(const Tensor<T, B>& x, const Tensor<T, B>& y_gradient,
                                                  const Tensor<T, B>& kernel, const ConvOptions& options) {
    const ConvGeometry g = detail::conv_geometry(x.shape(), kernel.shape(), options);
    detail::require_conv_output("conv2d_kernel_gradient", y_gradient.shape(), g);
    Tensor<T, B> result(x.backend(), kernel.shape());
    B& backend = x.backend();
    if constexpr (requires { convolution_kernel_gradient(backend, g, x.data(), y_gradient.data(), result.data()); }) {
        convolution_kernel_gradient(backend, g, x.data(), y_gradient.data(), result.data());
    } else {
        generic::convolution_kernel_gradient(backend, g, x.data(), y_gradient.data(), result.data());
    }
    return result;
}

/// A backend that has a layout of its own for kernels that are used often.
template <class B, class T>
concept PacksKernels = requires(B& backend, const ConvGeometry& g, const T* kernel) {
    *pack_kernel(backend, g, kernel);
};

/// What pack_kernel() makes: it has the kernel's shape(), and unpack(T*) gives it back.
template <class T, class B>
using PackedKernelOf =
    std::remove_cvref_t<decltype(*pack_kernel(std::declval<B&>(), ConvGeometry{}, static_cast<const T*>(nullptr)))>;

/// conv2d_into() with a packed kernel.
template <Scalar T, Backend B>
requires PacksKernels<B, T>
void conv2d_into(const Tensor<T, B>& y, const Tensor<T, B>& x, const PackedKernelOf<T, B>& kernel,
                 const Tensor<T, B>& bias, const ConvOptions& options) {
    const ConvGeometry g = detail::conv_geometry(x.shape(), kernel.shape(), options);
    detail::require_conv_bias(bias, g);
    detail::require_conv_output("conv2d", y.shape(), g);
    convolution(x.backend(), g, static_cast<const T*>(x.data()), kernel,
                static_cast<const T*>(bias.defined() ? bias.data() : nullptr), y.data());
}

/// conv2d() with a packed kernel.
template <Scalar T, Backend B>
requires PacksKernels<B, T>
[[nodiscard]] Tensor<T, B> conv2d(const Tensor<T, B>& x, const PackedKernelOf<T, B>& kernel, const Tensor<T, B>& bias,
                                  const ConvOptions& options) {
    const ConvGeometry g = detail::conv_geometry(x.shape(), kernel.shape(), options);
    const Tensor<T, B> y(x.backend(), {g.images, g.out_height, g.out_width, g.out_channels});
    conv2d_into(y, x, kernel, bias, options);
    return y;
}

/// conv2d_input_gradient() with a packed kernel.
template <Scalar T, Backend B>
requires PacksKernels<B, T>
[[nodiscard]] Tensor<T, B> conv2d_input_gradient(const Tensor<T, B>& y_gradient, const PackedKernelOf<T, B>& kernel,
                                                 const Shape& x_shape, const ConvOptions& options) {
    const ConvGeometry g = detail::conv_geometry(x_shape, kernel.shape(), options);
    detail::require_conv_output("conv2d_input_gradient", y_gradient.shape(), g);
    Tensor<T, B> x_gradient(y_gradient.backend(), x_shape);
    convolution_input_gradient(y_gradient.backend(), g, static_cast<const T*>(y_gradient.data()), kernel,
                               x_gradient.data());
    return x_gradient;
}

} // namespace reel
