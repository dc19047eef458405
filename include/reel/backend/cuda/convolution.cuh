#pragma once

#include <reel/backend/cuda/gemm.cuh>
#include <reel/backend/cuda/packs.cuh>
#include <reel/backend/cuda/scratch.cuh>
#include <reel/backend/generic/convolution.hpp>

namespace reel {

namespace cuda {

/// The patches of a run of output rows as a matrix [rows, taps * in_channels], `width` channels per index. The channels
/// are a multiple of width, and x begins at a multiple of a pack.
template <class T, class Out, int width>
struct GatherPatches {
    ConvGeometry g;
    const T* x;
    index_t first_row;
    Out* patches;

    __host__ __device__ void operator()(index_t index) const {
        const index_t packs = g.in_channels / width;
        const index_t channel = index % packs * width;
        const index_t tap = index / packs % (g.kernel_h * g.kernel_w);
        const index_t row = first_row + index / packs / (g.kernel_h * g.kernel_w);
        const index_t line = row / g.out_width;
        const index_t image = line / g.out_height;
        const index_t source_row =
            generic::conv_source(line % g.out_height, tap / g.kernel_w, g.stride, g.pad_top, g.dilation_in, g.height);
        const index_t source_column =
            generic::conv_source(row % g.out_width, tap % g.kernel_w, g.stride, g.pad_left, g.dilation_in, g.width);
        Pack<T, width> from{};
        if (source_row >= 0 && source_column >= 0) {
            from = Pack<T, width>::load(
                x + ((image * g.height + source_row) * g.width + source_column) * g.in_channels + channel);
        }
        Pack<Out, width> to;
        for (int i = 0; i < width; ++i) {
            to.values[i] = converted<Out>(from.values[i]);
        }
        to.store(patches + index * width);
    }
};

/// kernel [out, taps, in] as the kernel of the input's gradient, [in, taps in reverse order, out].
template <class T, class Out>
struct TurnKernel {
    const T* kernel;
    Out* turned;
    index_t in;
    index_t out;
    index_t taps;

    __host__ __device__ void operator()(index_t index) const {
        const index_t o = index % out;
        const index_t tap = index / out % taps;
        const index_t i = index / out / taps;
        turned[index] = converted<Out>(kernel[(o * taps + taps - 1 - tap) * in + i]);
    }
};

[[nodiscard]] inline bool is_pointwise(const ConvGeometry& g) {
    return g.kernel_h == 1 && g.kernel_w == 1 && g.stride == 1 && g.dilation_in == 1 && g.pad_top == 0 &&
           g.pad_left == 0 && g.out_height == g.height && g.out_width == g.width;
}

/// Bytes of patches that exist at once: most of it stays in the cache of a large GPU between its writing and its use.
inline constexpr index_t patch_bytes = index_t{32} << 20;

/// Output rows whose patches are gathered and multiplied at once.
template <class Out>
[[nodiscard]] index_t rows_per_chunk(const ConvGeometry& g) {
    const index_t fitting = patch_bytes / (g.patch() * static_cast<index_t>(sizeof(Out)));
    constexpr index_t step = 128; // whole tiles of the product
    const index_t rows = fitting >= step ? fitting / step * step : step;
    return rows < g.out_rows() ? rows : g.out_rows();
}

/// patches = those of output rows [first_row, first_row + rows)
template <class Out, class T>
void gather_patches(Cuda& backend, const ConvGeometry& g, const T* x, index_t first_row, index_t rows, Out* patches) {
    using Wider = std::conditional_t<(sizeof(T) > sizeof(Out)), T, Out>;
    const auto run = [&]<int width>() {
        backend.for_each_index(rows * g.patch() / width, GatherPatches<T, Out, width>{g, x, first_row, patches});
    };
    with_pack_width<Wider>(run, g.in_channels, x, patches);
}

/// y [out_rows, out_channels] = patches times kernel [out_channels, patch] (+ bias), a chunk of rows at a time.
template <class In, class T>
void patch_product(Cuda& backend, const ConvGeometry& g, const T* x, const In* kernel, const T* bias, T* y) {
    const index_t chunk = rows_per_chunk<In>(g);
    const Scratch<In> patches(backend, chunk * g.patch());
    for (index_t first = 0; first < g.out_rows(); first += chunk) {
        const index_t rows = chunk < g.out_rows() - first ? chunk : g.out_rows() - first;
        gather_patches(backend, g, x, first, rows, patches.data());
        multiply(backend,
                 MatrixProduct<In, T>{.transpose_b = true,
                                      .m = rows,
                                      .n = g.out_channels,
                                      .k = g.patch(),
                                      .a = patches.data(),
                                      .lda = g.patch(),
                                      .b = kernel,
                                      .ldb = g.patch(),
                                      .c = y + first * g.out_channels,
                                      .ldc = g.out_channels},
                 bias);
    }
}

/// Whether the factors of a float32 convolution are rounded to bfloat16.
template <class T>
[[nodiscard]] bool rounds_factors(const Cuda& backend) {
    return std::same_as<T, float> && backend.float32_matmul_precision == Float32MatmulPrecision::medium &&
           backend.multiplies_bfloat16();
}

} // namespace cuda

/// Convolution as a product of patches and the kernel through cuBLAS; a chunk of the patch matrix exists at a time.
template <class T>
void convolution(Cuda& backend, const ConvGeometry& g, const T* x, const T* kernel, const T* bias, T* y) {
    const index_t rows = g.out_rows();
    if (rows * g.out_channels == 0) {
        return;
    }
    if (cuda::is_pointwise(g)) {
        gemm(backend, GemmProblem<T>{.transpose_b = true,
                                     .m = rows,
                                     .n = g.out_channels,
                                     .k = g.in_channels,
                                     .a = x,
                                     .lda = g.in_channels,
                                     .b = kernel,
                                     .ldb = g.in_channels,
                                     .c = y,
                                     .ldc = g.out_channels,
                                     .bias = bias});
    } else if (cuda::rounds_factors<T>(backend)) {
        const index_t count = g.out_channels * g.patch();
        const cuda::Scratch<bfloat16> rounded(backend, count);
        backend.for_each_index(count, cuda::Convert<T, bfloat16>{kernel, rounded.data()});
        cuda::patch_product<bfloat16>(backend, g, x, rounded.data(), bias, y);
    } else {
        cuda::patch_product<T>(backend, g, x, kernel, bias, y);
    }
}

/// As generic::convolution_input_gradient: patches of the output's gradient, spread by the stride, times the turned
/// kernel.
template <class T>
void convolution_input_gradient(Cuda& backend, const ConvGeometry& g, const T* y_gradient, const T* kernel,
                                T* x_gradient) {
    const index_t count = g.images * g.height * g.width * g.in_channels;
    if (count == 0) {
        return;
    }
    if (cuda::is_pointwise(g)) {
        gemm(backend, GemmProblem<T>{.m = g.out_rows(),
                                     .n = g.in_channels,
                                     .k = g.out_channels,
                                     .a = y_gradient,
                                     .lda = g.out_channels,
                                     .b = kernel,
                                     .ldb = g.in_channels,
                                     .c = x_gradient,
                                     .ldc = g.in_channels});
        return;
    }
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
    const auto turned_product = [&]<class In>(In) {
        const index_t elements = g.out_channels * g.patch();
        const cuda::Scratch<In> turned(backend, elements);
        backend.for_each_index(elements, cuda::TurnKernel<T, In>{kernel, turned.data(), g.in_channels, g.out_channels,
                                                                 g.kernel_h * g.kernel_w});
        cuda::patch_product<In, T>(backend, back, y_gradient, turned.data(), nullptr, x_gradient);
    };
    if (cuda::rounds_factors<T>(backend)) {
        turned_product(bfloat16{});
    } else {
        turned_product(T{});
    }
}

/// As generic::convolution_kernel_gradient; a chunk of patches at a time, added up in float32 or wider. float32 factors
/// are never rounded to bfloat16: the sums run over all pixels, and these gradients train weights.
template <class T>
void convolution_kernel_gradient(Cuda& backend, const ConvGeometry& g, const T* x, const T* y_gradient,
                                 T* kernel_gradient) {
    using C = compute_t<T>;
    const index_t rows = g.out_rows();
    const index_t elements = g.out_channels * g.patch();
    const bool direct = cuda::is_pointwise(g);
    const index_t chunk = direct ? rows : cuda::rows_per_chunk<T>(g);
    if (chunk >= rows) { // one product, rounded once
        const cuda::Scratch<T> patches(backend, direct ? 0 : rows * g.patch());
        if (!direct && rows > 0) {
            cuda::gather_patches(backend, g, x, 0, rows, patches.data());
        }
        gemm(backend, GemmProblem<T>{.transpose_a = true,
                                     .m = g.out_channels,
                                     .n = g.patch(),
                                     .k = rows,
                                     .a = y_gradient,
                                     .lda = g.out_channels,
                                     .b = direct ? x : patches.data(),
                                     .ldb = g.patch(),
                                     .c = kernel_gradient,
                                     .ldc = g.patch()});
        return;
    }
    constexpr bool narrow = !std::same_as<T, C>;
    const cuda::Scratch<T> patches(backend, chunk * g.patch());
    const cuda::Scratch<C> wide(backend, narrow ? elements : 0);
    C* sums = wide.data();
    if constexpr (!narrow) {
        sums = kernel_gradient;
    }
    for (index_t first = 0; first < rows; first += chunk) {
        const index_t here = chunk < rows - first ? chunk : rows - first;
        cuda::gather_patches(backend, g, x, first, here, patches.data());
        cuda::multiply(backend,
                       cuda::MatrixProduct<T, C>{.transpose_a = true,
                                                 .m = g.out_channels,
                                                 .n = g.patch(),
                                                 .k = here,
                                                 .a = y_gradient + first * g.out_channels,
                                                 .lda = g.out_channels,
                                                 .b = patches.data(),
                                                 .ldb = g.patch(),
                                                 .beta = first == 0 ? C(0) : C(1),
                                                 .c = sums,
                                                 .ldc = g.patch()},
                       static_cast<const C*>(nullptr));
    }
    if constexpr (narrow) {
        backend.for_each_index(elements, cuda::Convert<C, T>{sums, kernel_gradient});
    }
}

} // namespace reel
