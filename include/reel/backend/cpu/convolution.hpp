#pragma once

#include <reel/backend/cpu/gemm.hpp>
#include <reel/backend/generic/convolution.hpp>

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

/// Memory from the backend for the length of a scope.
template <class T>
class Scratch {
public:
    Scratch(Cpu& backend, index_t count)
        : backend_(backend), bytes_(static_cast<std::size_t>(count) * sizeof(T)),
          data_(static_cast<T*>(backend.allocate(bytes_))) {}
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() { backend_.deallocate(data_, bytes_); }
    [[nodiscard]] T* data() const { return data_; }

private:
    Cpu& backend_;
    std::size_t bytes_;
    T* data_;
};

} // namespace cpu

/// Convolution as matrix products over chunks of rows: the patch matrix never exists whole where it is larger than the
/// kernel.
template <class T>
void convolution(Cpu& backend, const ConvGeometry& g, const T* x, const T* kernel, const T* bias, T* y) {
    GemmProblem<T> problem{.transpose_b = true,
                           .m = g.out_rows(),
                           .n = g.out_channels,
                           .k = g.patch(),
                           .a = x,
                           .lda = g.patch(),
                           .b = kernel,
                           .ldb = g.patch(),
                           .c = y,
                           .ldc = g.out_channels,
                           .bias = bias};
    if (cpu::is_pointwise(g)) {
        gemm(backend, problem);
        return;
    }
    if (g.out_rows() < g.out_channels) {
        // Few pixels, many channels: the kernel is the larger matrix. It is read once, its rows shared out.
        const cpu::Scratch<T> patches(backend, g.out_rows() * g.patch());
        backend.for_each_range(
            g.out_rows(),
            [&](index_t begin, index_t end) {
                cpu::gather_patches(g, x, begin, end, patches.data() + begin * g.patch());
            },
            8);
        problem.a = patches.data();
        gemm(backend, problem);
        return;
    }
    const index_t rows = cpu::rows_per_chunk<T>(g, backend.threads());
    const index_t chunks = (g.out_rows() + rows - 1) / rows;
    backend.for_each_task(chunks, [&](index_t chunk) {
        const index_t begin = chunk * rows;
        const index_t end = std::min(begin + rows, g.out_rows());
        const cpu::Scratch<T> patches(backend, (end - begin) * g.patch());
        cpu::gather_patches(g, x, begin, end, patches.data());
        GemmProblem<T> part = problem;
        part.m = end - begin;
        part.a = patches.data();
        part.c = y + begin * g.out_channels;
        cpu::gemm_serial(part);
    });
}

/// As generic::convolution_kernel_gradient; a chunk of patches at a time.
template <class T>
void convolution_kernel_gradient(Cpu& backend, const ConvGeometry& g, const T* x, const T* y_gradient,
                                 T* kernel_gradient) {
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

} // namespace reel
