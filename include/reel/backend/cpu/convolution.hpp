#pragma once

#include <reel/backend/cpu/gemm.hpp>
#include <reel/backend/generic/convolution.hpp>
#ifdef REEL_ONEDNN
#include <reel/backend/cpu/onednn/convolution.hpp>
#endif

namespace reel {

namespace cpu {

/// Copies the input patches of output rows [begin, end) to `patches` [end - begin, kernel_h * kernel_w * in_channels].
template <class T>
void gather_patches(const ConvGeometry& g, const T* x, index_t begin, index_t end, T* patches) {
    const index_t patch = g.patch();
    const bool whole_lines = g.stride == 1 && g.dilation_in == 1;
    for (index_t r = begin; r < end; ++r) {
        const index_t column = r % g.out_width;
        const index_t row = r / g.out_width % g.out_height;
        const T* image = x + r / (g.out_width * g.out_height) * g.height * g.width * g.in_channels;
        T* to = patches + (r - begin) * patch;
        for (index_t i = 0; i < g.kernel_h; ++i) {
            const index_t source_row = generic::conv_source(row, i, g.stride, g.pad_top, g.dilation_in, g.height);
            const index_t line = g.kernel_w * g.in_channels;
            const index_t left = column - g.pad_left;
            if (source_row < 0) {
                std::fill_n(to, line, T(0));
            } else if (whole_lines && left >= 0 && left + g.kernel_w <= g.width) {
                std::copy_n(image + (source_row * g.width + left) * g.in_channels, line, to);
            } else {
                for (index_t j = 0; j < g.kernel_w; ++j) {
                    const index_t source =
                        generic::conv_source(column, j, g.stride, g.pad_left, g.dilation_in, g.width);
                    if (source < 0) {
                        std::fill_n(to + j * g.in_channels, g.in_channels, T(0));
                    } else {
                        std::copy_n(image + (source_row * g.width + source) * g.in_channels, g.in_channels,
                                    to + j * g.in_channels);
                    }
                }
            }
            to += line;
        }
    }
}

[[nodiscard]] inline bool is_pointwise(const ConvGeometry& g) {
    return g.kernel_h == 1 && g.kernel_w == 1 && g.stride == 1 && g.dilation_in == 1 && g.pad_top == 0 &&
           g.pad_left == 0 && g.out_height == g.height && g.out_width == g.width;
}

/// Output rows that are gathered and multiplied at once: enough to repay the packing of the kernel, few enough that
/// the patches stay in the shared cache.
template <class T>
[[nodiscard]] index_t rows_per_chunk(const ConvGeometry& g, index_t threads) {
    constexpr index_t patch_bytes = index_t{6} << 20;
    const index_t cached = std::max<index_t>(patch_bytes / (g.patch() * static_cast<index_t>(sizeof(T))), 64);
    const index_t share = (g.out_rows() + threads - 1) / threads;
    const index_t chunks = std::max<index_t>((share + cached - 1) / cached, 1);
    return std::max<index_t>((share + chunks - 1) / chunks, 1);
}

} // namespace cpu

namespace cpu {

/// Runs a panel product whose rows are the patches of x, one run per kernel tap. p's rows, runs, run_length and strides
/// of y are filled in here.
template <class T>
void patch_product(Cpu& backend, const ConvGeometry& g, const T* x, PanelProblem<T> p) {
    p.rows = g.out_rows();
    p.columns = g.out_channels;
    p.runs = g.kernel_h * g.kernel_w;
    p.run_length = g.in_channels;
    p.y_stride = g.out_channels;
    if (p.rows == 0) {
        return;
    }
    const std::vector<T> border(static_cast<std::size_t>(g.in_channels), T(0));
    panel_product(backend, p, [&](index_t first, index_t count, index_t run, const T** pointers) {
        const index_t tap_row = run / g.kernel_w;
        const index_t tap_column = run % g.kernel_w;
        for (index_t i = 0; i < count; ++i) {
            const index_t at = first + i;
            const index_t line = at / g.out_width;
            const index_t image = line / g.out_height;
            const index_t row =
                generic::conv_source(line % g.out_height, tap_row, g.stride, g.pad_top, g.dilation_in, g.height);
            const index_t column =
                generic::conv_source(at % g.out_width, tap_column, g.stride, g.pad_left, g.dilation_in, g.width);
            pointers[i] = row < 0 || column < 0 ? border.data()
                                                : x + ((image * g.height + row) * g.width + column) * g.in_channels;
        }
    });
}

} // namespace cpu

/// Convolution as a product of patches and the kernel; the patch matrix never exists.
template <class T>
void convolution(Cpu& backend, const ConvGeometry& g, const T* x, const T* kernel, const T* bias, T* y) {
#ifdef REEL_ONEDNN
    if constexpr (cpu::onednn::is_served<T>) {
        if (cpu::onednn::suits(g) && cpu::onednn::multiplies<T>()) {
            const auto given = cpu::onednn::plain_kernel(backend.extension<cpu::onednn::Library>(), g, kernel);
            cpu::onednn::convolution(backend, g, x, given, bias, y);
            return;
        }
    }
#endif
    if constexpr (cpu::is_narrow<T>) {
        const cpu::Widened<T> wide_x(backend, x, g.images * g.height * g.width * g.in_channels);
        const cpu::Widened<T> wide_kernel(backend, kernel, g.out_channels * g.patch());
        const cpu::Widened<T> wide_bias(backend, bias, g.out_channels);
        const cpu::Scratch<compute_t<T>> wide_y(backend, g.out_rows() * g.out_channels);
        convolution(backend, g, wide_x.data(), wide_kernel.data(), wide_bias.data(), wide_y.data());
        cpu::store(backend, wide_y.data(), g.out_rows() * g.out_channels, y);
    } else {
        cpu::patch_product(
            backend, g, x,
            cpu::PanelProblem<T>{
                .weights = kernel, .run_stride = g.in_channels, .column_stride = g.patch(), .bias = bias, .y = y});
    }
}

/// As generic::convolution_input_gradient: patches of the output's gradient, spread by the stride, times the kernel
/// with its taps in reverse order. The kernel is used as it lies.
template <class T>
void convolution_input_gradient(Cpu& backend, const ConvGeometry& g, const T* y_gradient, const T* kernel,
                                T* x_gradient) {
#ifdef REEL_ONEDNN
    if constexpr (cpu::onednn::is_served<T>) {
        if (cpu::onednn::suits(g) && cpu::onednn::multiplies<T>()) {
            const auto given = cpu::onednn::plain_kernel(backend.extension<cpu::onednn::Library>(), g, kernel);
            cpu::onednn::convolution_input_gradient(backend, g, y_gradient, given, x_gradient);
            return;
        }
    }
#endif
    if constexpr (cpu::is_narrow<T>) {
        const cpu::Widened<T> wide_y(backend, y_gradient, g.out_rows() * g.out_channels);
        const cpu::Widened<T> wide_kernel(backend, kernel, g.out_channels * g.patch());
        const index_t count = g.images * g.height * g.width * g.in_channels;
        const cpu::Scratch<compute_t<T>> wide_x(backend, count);
        convolution_input_gradient(backend, g, wide_y.data(), wide_kernel.data(), wide_x.data());
        cpu::store(backend, wide_x.data(), count, x_gradient);
        return;
    } else {
        const ConvGeometry back{.images = g.images,
                                .height = g.out_height,
                                .width = g.out_width,
                                .in_channels = g.out_channels,
                                .out_channels = g.in_channels,
                                .kernel_h = g.kernel_h,
                                .kernel_w = g.kernel_w,
                                .stride = 1,
                                .pad_top = g.kernel_h - 1 - g.pad_top,
                                .pad_left = g.kernel_w - 1 - g.pad_left,
                                .out_height = g.height,
                                .out_width = g.width,
                                .dilation_in = g.stride};
        cpu::patch_product(backend, back, y_gradient,
                           cpu::PanelProblem<T>{.weights = kernel + (g.kernel_h * g.kernel_w - 1) * g.in_channels,
                                                .run_stride = -g.in_channels,
                                                .column_stride = g.patch(),
                                                .transposed = true,
                                                .y = x_gradient});
    }
}

/// As generic::convolution_kernel_gradient; a chunk of patches at a time.
template <class T>
void convolution_kernel_gradient(Cpu& backend, const ConvGeometry& g, const T* x, const T* y_gradient,
                                 T* kernel_gradient) {
#ifdef REEL_ONEDNN
    if constexpr (cpu::onednn::is_served<T>) {
        if (cpu::onednn::suits(g) && cpu::onednn::multiplies<T>()) {
            if constexpr (cpu::is_narrow<T>) {
                const cpu::Scratch<compute_t<T>> sums(backend, g.out_channels * g.patch());
                cpu::onednn::convolution_kernel_gradient(backend, g, x, y_gradient, sums.data(), true);
                cpu::store(backend, sums.data(), g.out_channels * g.patch(), kernel_gradient);
            } else {
                cpu::onednn::convolution_kernel_gradient(backend, g, x, y_gradient, kernel_gradient,
                                                         cpu::onednn::rounds<T>(backend));
            }
            return;
        }
    }
#endif
    if constexpr (cpu::is_narrow<T>) {
        const cpu::Widened<T> wide_x(backend, x, g.images * g.height * g.width * g.in_channels);
        const cpu::Widened<T> wide_y(backend, y_gradient, g.out_rows() * g.out_channels);
        const cpu::Scratch<compute_t<T>> sums(backend, g.out_channels * g.patch());
        convolution_kernel_gradient(backend, g, wide_x.data(), wide_y.data(), sums.data());
        cpu::store(backend, sums.data(), g.out_channels * g.patch(), kernel_gradient);
        return;
    } else {
        if (g.out_rows() == 0) { // no product runs that would clear it
            std::fill_n(kernel_gradient, g.out_channels * g.patch(), T(0));
            return;
        }
        const bool direct = cpu::is_pointwise(g);
        const index_t rows = direct ? g.out_rows() : cpu::rows_per_chunk<T>(g, backend.threads());
        const cpu::Scratch<T> patches(backend, direct ? 0 : rows * g.patch());
        for (index_t begin = 0; begin < g.out_rows(); begin += rows) {
            const index_t end = std::min(begin + rows, g.out_rows());
            if (!direct) {
                backend.for_each_range(
                    end - begin,
                    [&](index_t first, index_t last) {
                        cpu::gather_patches(g, x, begin + first, begin + last, patches.data() + first * g.patch());
                    },
                    16);
            }
            gemm(backend, GemmProblem<T>{.transpose_a = true,
                                         .m = g.out_channels,
                                         .n = g.patch(),
                                         .k = end - begin,
                                         .a = y_gradient + begin * g.out_channels,
                                         .lda = g.out_channels,
                                         .b = direct ? x : patches.data(),
                                         .ldb = g.patch(),
                                         .beta = begin == 0 ? T(0) : T(1),
                                         .c = kernel_gradient,
                                         .ldc = g.patch()});
        }
    }
}

#ifdef REEL_ONEDNN

/// A kernel [out, h, w, in] in the layout that convolutions of this geometry are fastest with, to be used instead of it
/// from then on, forward and back; null where it would be used as it lies.
template <class T>
requires cpu::onednn::is_served<T>
[[nodiscard]] std::shared_ptr<const cpu::onednn::PackedKernel<T>> pack_kernel(Cpu& backend, const ConvGeometry& g,
                                                                              const T* kernel) {
    const bool served = cpu::onednn::suits(g) && cpu::onednn::multiplies<T>();
    return served ? cpu::onednn::pack_kernel(backend, g, kernel) : nullptr;
}

/// convolution() with a packed kernel.
template <class T>
void convolution(Cpu& backend, const ConvGeometry& g, const T* x, const cpu::onednn::PackedKernel<T>& kernel,
                 const T* bias, T* y) {
    if (cpu::onednn::suits(g)) {
        cpu::onednn::convolution(backend, g, x, kernel.memory(), bias, y);
        return;
    }
    const cpu::Scratch<T> plain(backend, g.out_channels * g.patch());
    kernel.unpack(plain.data());
    convolution(backend, g, x, static_cast<const T*>(plain.data()), bias, y);
}

/// convolution_input_gradient() with a packed kernel.
template <class T>
void convolution_input_gradient(Cpu& backend, const ConvGeometry& g, const T* y_gradient,
                                const cpu::onednn::PackedKernel<T>& kernel, T* x_gradient) {
    if (cpu::onednn::suits(g)) {
        cpu::onednn::convolution_input_gradient(backend, g, y_gradient, kernel.memory(), x_gradient);
        return;
    }
    const cpu::Scratch<T> plain(backend, g.out_channels * g.patch());
    kernel.unpack(plain.data());
    convolution_input_gradient(backend, g, y_gradient, static_cast<const T*>(plain.data()), x_gradient);
}

#endif // REEL_ONEDNN

#ifdef REEL_COMPILED // 16 bits go through float, which kernels_float.cpp has
extern template void convolution(Cpu&, const ConvGeometry&, const float*, const float*, const float*, float*);
extern template void convolution_input_gradient(Cpu&, const ConvGeometry&, const float*, const float*, float*);
extern template void convolution_kernel_gradient(Cpu&, const ConvGeometry&, const float*, const float*, float*);
#endif

} // namespace reel
