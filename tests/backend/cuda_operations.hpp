#pragma once
// Every operation of the backend Cuda against generic/ in double.

#include <reel/backend/generic/convolution.hpp>
#include <reel/backend/generic/elementwise.hpp>
#include <reel/backend/generic/gemm.hpp>
#include <reel/ops/reduce.hpp>

#include "backend/cuda_support.hpp"

namespace cuda_test {

using reel::bfloat16;
using reel::compute_t;
using reel::ConvGeometry;
using reel::Float32MatmulPrecision;
using reel::GemmProblem;
using reel::half;
using reel::NormProblem;

// ---- products ----

struct GemmCase {
    index_t m;
    index_t n;
    index_t k;
    index_t batch = 1;
    index_t padding = 0; ///< added to every leading dimension
    double alpha = 1;
    double beta = 0;
    bool bias = false;
    bool share_b = false; ///< one B for the whole batch
};

/// C after the product, on any backend; paddings included.
template <class T, class B, class Run>
std::vector<T> product(B& backend, const GemmCase& s, bool transpose_a, bool transpose_b, const Run& run) {
    const index_t a_rows = transpose_a ? s.k : s.m;
    const index_t b_rows = transpose_b ? s.n : s.k;
    GemmProblem<T> p{.transpose_a = transpose_a, .transpose_b = transpose_b, .m = s.m, .n = s.n, .k = s.k};
    // cuBLAS, like everyone, wants rows that are not longer than the distance between them.
    p.lda = std::max<index_t>((transpose_a ? s.m : s.k) + s.padding, 1);
    p.ldb = std::max<index_t>((transpose_b ? s.k : s.n) + s.padding, 1);
    p.ldc = s.n + s.padding;
    p.batch = s.batch;
    p.stride_a = a_rows * p.lda + 3;
    p.stride_b = s.share_b ? 0 : b_rows * p.ldb;
    p.stride_c = s.m * p.ldc + 1;
    p.alpha = static_cast<reel::compute_t<T>>(s.alpha);
    p.beta = static_cast<reel::compute_t<T>>(s.beta);
    auto c_values = near::randoms(s.batch * p.stride_c, 3);
    if (s.beta == 0) { // the old content must not be read
        for (index_t batch = 0; batch < s.batch; ++batch) {
            for (index_t i = 0; i < s.m; ++i) {
                std::fill_n(c_values.begin() + batch * p.stride_c + i * p.ldc, s.n, nan);
            }
        }
    }
    const auto array = [&](const std::vector<double>& values) {
        const auto floats = near::as<float>(values);
        std::vector<T> typed;
        for (std::size_t i = 0; i < values.size(); ++i) {
            if constexpr (std::same_as<T, double>) {
                typed.push_back(values[i]);
            } else {
                typed.push_back(T(floats[i]));
            }
        }
        return Tensor<T, B>::from_host(backend, {static_cast<index_t>(typed.size())}, std::span<const T>(typed));
    };
    const auto a = array(near::randoms(s.batch * p.stride_a, 1));
    const auto b = array(near::randoms(s.batch * b_rows * p.ldb, 2));
    const auto c = array(c_values);
    const auto bias = array(near::randoms(s.n, 4));
    p.a = a.data();
    p.b = b.data();
    p.c = c.data();
    p.bias = s.bias ? bias.data() : nullptr;
    run(p);
    return c.to_host();
}

template <class T>
void check_gemm(const GemmCase& s, double limit = bound<T>) {
    Cuda cuda;
    Plain plain;
    for (const bool transpose_a : {false, true}) {
        for (const bool transpose_b : {false, true}) {
            CAPTURE(transpose_a);
            CAPTURE(transpose_b);
            const auto found = product<T>(cuda, s, transpose_a, transpose_b, [&](const auto& p) { gemm(cuda, p); });
            const auto expected = product<double>(plain, s, transpose_a, transpose_b,
                                                  [&](const auto& p) { reel::generic::gemm(plain, p); });
            std::vector<double> numbers;
            for (const T value : found) {
                if constexpr (reel::Real<T>) {
                    numbers.push_back(static_cast<double>(value));
                } else {
                    numbers.push_back(static_cast<double>(static_cast<float>(value)));
                }
            }
            CHECK(near::relative_error(numbers, expected) < limit);
        }
    }
    CHECK(cuda.memory().statistics().in_use == 0);
}

TEST_CASE_TEMPLATE("Cuda gemm equals the generic one", T, float, double) {
    for (const GemmCase& s : {GemmCase{1, 1, 1}, GemmCase{5, 7, 3}, GemmCase{33, 17, 40}, GemmCase{130, 129, 31},
                              GemmCase{1, 70, 300}, GemmCase{300, 1, 70}}) {
        check_gemm<T>(s);
    }
    for (const double beta : {0.0, 1.0, -0.5}) {
        for (const bool bias : {false, true}) {
            check_gemm<T>({.m = 44, .n = 36, .k = 28, .alpha = 1.5, .beta = beta, .bias = bias}); // whole packs
            check_gemm<T>({.m = 37, .n = 41, .k = 30, .padding = 5, .alpha = 1.5, .beta = beta, .bias = bias});
        }
    }
}

TEST_CASE_TEMPLATE("Cuda gemm: batches and empty extents", T, float, double) {
    check_gemm<T>({.m = 5, .n = 6, .k = 7, .batch = 9, .padding = 2, .bias = true});
    check_gemm<T>({.m = 40, .n = 30, .k = 20, .batch = 3, .beta = 1, .bias = true});
    check_gemm<T>({.m = 33, .n = 20, .k = 25, .batch = 4, .share_b = true});
    check_gemm<T>({.m = 4, .n = 5, .k = 0, .bias = true});
    check_gemm<T>({.m = 4, .n = 5, .k = 0, .beta = 2});
    check_gemm<T>({.m = 0, .n = 5, .k = 3});
    check_gemm<T>({.m = 5, .n = 0, .k = 3});
    check_gemm<T>({.m = 5, .n = 4, .k = 3, .batch = 0});
}

TEST_CASE("Cuda gemm of 16-bit numbers sums in float32") {
    // Inputs and result are rounded to 8 and 11 bits; sums of 300 terms would lose far more if they were, too.
    for (const bool bias : {false, true}) {
        check_gemm<reel::bfloat16>({.m = 20, .n = 24, .k = 300, .batch = 2, .beta = 1, .bias = bias}, 1.2e-2);
        check_gemm<reel::half>({.m = 20, .n = 24, .k = 300, .batch = 2, .beta = 1, .bias = bias}, 1.5e-3);
        check_gemm<reel::bfloat16>({.m = 24, .n = 40, .k = 296, .beta = 1, .bias = bias}, 1.2e-2); // whole packs
        check_gemm<reel::half>({.m = 24, .n = 40, .k = 296, .beta = 1, .bias = bias}, 1.5e-3);
    }
}

TEST_CASE("Cuda rounds float32 factors when asked to, and only then") {
    Cuda cuda;
    Plain plain;
    const GemmCase s{.m = 32, .n = 32, .k = 64};
    const auto expected =
        near::as<float>(product<double>(plain, s, false, true, [&](const auto& p) { reel::generic::gemm(plain, p); }));
    const auto error = [&](Float32MatmulPrecision precision) {
        cuda.float32_matmul_precision = precision;
        return near::relative_error(product<float>(cuda, s, false, true, [&](const auto& p) { gemm(cuda, p); }),
                                    expected);
    };
    CHECK(error(Float32MatmulPrecision::highest) < bound<float>);
    for (const auto precision : {Float32MatmulPrecision::high, Float32MatmulPrecision::medium}) {
        CHECK(error(precision) < 2e-3);
        CHECK(error(precision) > bound<float>); // or it would not be what was asked for
    }
}

// ---- convolution ----

inline ConvGeometry geometry(index_t images, index_t height, index_t width, index_t in, index_t out, index_t kernel,
                             index_t stride, index_t top, index_t bottom, index_t left, index_t right,
                             index_t dilation = 1) {
    const index_t spread_h = (height - 1) * dilation + 1;
    const index_t spread_w = (width - 1) * dilation + 1;
    return {.images = images,
            .height = height,
            .width = width,
            .in_channels = in,
            .out_channels = out,
            .kernel_h = kernel,
            .kernel_w = kernel,
            .stride = stride,
            .pad_top = top,
            .pad_left = left,
            .out_height = (spread_h + top + bottom - kernel) / stride + 1,
            .out_width = (spread_w + left + right - kernel) / stride + 1,
            .dilation_in = dilation};
}

template <class T, class B>
struct ConvRun {
    Array<T, B> x, kernel, bias, y_gradient, y, x_gradient, kernel_gradient;

    ConvRun(B& backend, const ConvGeometry& g)
        : x(backend, near::randoms(g.images * g.height * g.width * g.in_channels, 1)),
          kernel(backend, near::randoms(g.out_channels * g.patch(), 2)),
          bias(backend, near::randoms(g.out_channels, 3)),
          y_gradient(backend, near::randoms(g.out_rows() * g.out_channels, 4)),
          y(backend, g.out_rows() * g.out_channels, nan),
          x_gradient(backend, g.images * g.height * g.width * g.in_channels, nan),
          kernel_gradient(backend, g.out_channels * g.patch(), nan) {}
};

template <class T>
void check_convolution(const ConvGeometry& g, double limit = bound<T>,
                       Float32MatmulPrecision precision = Float32MatmulPrecision::highest) {
    Cuda cuda;
    cuda.float32_matmul_precision = precision;
    Plain plain;
    {
        const ConvRun<T, Cuda> found(cuda, g);
        const ConvRun<double, Plain> expected(plain, g);
        for (const bool bias : {false, true}) {
            convolution<T>(cuda, g, found.x.data(), found.kernel.data(), bias ? found.bias.data() : nullptr,
                           found.y.data());
            reel::generic::convolution<Plain, double>(plain, g, expected.x.data(), expected.kernel.data(),
                                                      bias ? expected.bias.data() : nullptr, expected.y.data());
            CHECK(near::relative_error(found.y.host(), expected.y.host()) < limit);
        }
        convolution_kernel_gradient(cuda, g, found.x.data(), found.y_gradient.data(), found.kernel_gradient.data());
        reel::generic::convolution_kernel_gradient(plain, g, expected.x.data(), expected.y_gradient.data(),
                                                   expected.kernel_gradient.data());
        CHECK(near::relative_error(found.kernel_gradient.host(), expected.kernel_gradient.host()) < limit);
        if (g.dilation_in == 1) { // only a convolution's own gradient is asked for
            convolution_input_gradient(cuda, g, found.y_gradient.data(), found.kernel.data(), found.x_gradient.data());
            reel::generic::convolution_input_gradient(plain, g, expected.y_gradient.data(), expected.kernel.data(),
                                                      expected.x_gradient.data());
            CHECK(near::relative_error(found.x_gradient.host(), expected.x_gradient.host()) < limit);
        }
    }
    CHECK(cuda.memory().statistics().in_use == 0);
}

inline std::vector<ConvGeometry> convolutions() {
    return {
        geometry(2, 5, 7, 3, 4, 3, 1, 1, 1, 1, 1),    // the usual one
        geometry(2, 5, 7, 8, 12, 3, 1, 1, 1, 1, 1),   // four channels at a time
        geometry(2, 6, 5, 8, 3, 1, 1, 0, 0, 0, 0),    // pointwise: a plain product
        geometry(1, 6, 5, 3, 2, 1, 1, 0, 1, 0, 0),    // 1x1 with padding is not
        geometry(1, 8, 6, 4, 5, 3, 2, 1, 1, 1, 1),    // UNet's downsampling
        geometry(2, 8, 7, 3, 5, 3, 2, 0, 1, 0, 1),    // the VAE's, padded below and right only
        geometry(1, 7, 9, 2, 3, 1, 2, 0, 0, 0, 0),    // strided 1x1
        geometry(1, 4, 5, 2, 3, 3, 1, 2, 0, 0, 3),    // uneven sides
        geometry(2, 4, 3, 5, 2, 3, 1, 1, 2, 1, 2, 2), // input gradient of a stride-2 convolution
        geometry(1, 6, 6, 2, 3, 3, 1, -1, -1, -1, 0), // negative padding
        geometry(1, 1, 1, 3, 2, 3, 1, 1, 1, 1, 1),    // one pixel
        geometry(0, 4, 4, 3, 2, 3, 1, 1, 1, 1, 1),    // no picture
    };
}

TEST_CASE_TEMPLATE("Cuda convolution and its gradients equal the generic ones", T, float, double, bfloat16, half) {
    const auto all = convolutions();
    for (std::size_t i = 0; i < all.size(); ++i) {
        CAPTURE(i);
        check_convolution<T>(all[i]);
    }
}

TEST_CASE_TEMPLATE("Cuda convolution: several chunks of patches give what one gives", T, float, bfloat16) {
    const ConvGeometry g = geometry(1, 20, 24, 4200, 1, 3, 1, 1, 1, 1, 1);
    REQUIRE(reel::cuda::rows_per_chunk<T>(g) < g.out_rows());
    check_convolution<T>(g);
}

TEST_CASE("Cuda convolution with factors rounded to bfloat16") {
    for (const ConvGeometry& g : convolutions()) {
        check_convolution<float>(g, 1.5e-2, Float32MatmulPrecision::medium);
    }
}

// ---- element by element ----

/// `count` results of run(x, gradient, y) whose arrays begin `offset` elements into their memory.
template <class T, class B, class Run>
std::vector<T> mapped(B& backend, index_t offset, index_t in, index_t gradients, index_t out, const Run& run) {
    const Array<T, B> x(backend, near::randoms(in + offset, 1, 2));
    const Array<T, B> gradient(backend, near::randoms(gradients + offset, 2));
    const Array<T, B> y(backend, out + offset, nan);
    run(x.data() + offset, gradient.data() + offset, y.data() + offset);
    auto values = y.host();
    values.erase(values.begin(), values.begin() + offset);
    return values;
}

TEST_CASE_TEMPLATE("Cuda activations and GEGLU, in packs and one by one", T, float, double, bfloat16, half) {
    Cuda cuda;
    Plain plain;
    for (const index_t offset : {0, 1}) {
        for (const index_t width : {16, 21, 8}) {
            CAPTURE(width);
            constexpr index_t rows = 3;
            const index_t count = rows * width;
            const auto check = [&](index_t in, index_t gradients, index_t out, const auto& on_cuda,
                                   const auto& expected) {
                CHECK(near::relative_error(mapped<T>(cuda, offset, in, gradients, out, on_cuda),
                                           mapped<double>(plain, offset, in, gradients, out, expected)) < bound<T>);
            };
            check(
                count, 0, count,
                [&](const T* x, const T*, T* y) { map_unary(cuda, reel::generic::Silu{}, x, y, count); },
                [&](const double* x, const double*, double* y) {
                    reel::generic::map_unary(plain, reel::generic::Silu{}, x, y, count);
                });
            check(
                count, count, count,
                [&](const T* x, const T* gradient, T* y) {
                    map_unary_backward(cuda, reel::generic::Gelu{}, x, gradient, y, count);
                },
                [&](const double* x, const double* gradient, double* y) {
                    reel::generic::map_unary_backward(plain, reel::generic::Gelu{}, x, gradient, y, count);
                });
            check(
                2 * count, 0, count, [&](const T* x, const T*, T* y) { geglu(cuda, x, y, rows, width); },
                [&](const double* x, const double*, double* y) { reel::generic::geglu(plain, x, y, rows, width); });
            check(
                2 * count, count, 2 * count,
                [&](const T* x, const T* gradient, T* y) { geglu_backward(cuda, x, gradient, y, rows, width); },
                [&](const double* x, const double* gradient, double* y) {
                    reel::generic::geglu_backward(plain, x, gradient, y, rows, width);
                });
        }
    }
}

// ---- normalisation ----

struct NormCase {
    index_t sets;
    index_t rows;
    index_t channels;
    index_t groups;
    bool affine = true;
    bool silu = false;
    bool statistics = true;
    double shift = 0; ///< added to the input: far from zero, variance is a small difference
};

template <class T, class B>
struct NormRun {
    Array<T, B> x, gamma, beta, y, y_gradient, x_gradient;
    Array<compute_t<T>, B> mean, inverse_std, gamma_gradient, beta_gradient;
    NormProblem<T> p;

    static std::vector<double> shifted(const NormCase& s) {
        auto values = near::randoms(s.sets * s.rows * s.channels, 1);
        for (double& value : values) {
            value = static_cast<double>(static_cast<float>(value + s.shift));
        }
        return values;
    }

    NormRun(B& backend, const NormCase& s)
        : x(backend, shifted(s)), gamma(backend, near::randoms(s.channels, 2)),
          beta(backend, near::randoms(s.channels, 3)), y(backend, s.sets * s.rows * s.channels, nan),
          y_gradient(backend, near::randoms(s.sets * s.rows * s.channels, 4)),
          x_gradient(backend, s.sets * s.rows * s.channels, nan), mean(backend, s.sets * s.groups, nan),
          inverse_std(backend, s.sets * s.groups, nan), gamma_gradient(backend, s.channels, 2),
          beta_gradient(backend, s.channels, 3), p{.sets = s.sets,
                                                   .rows = s.rows,
                                                   .channels = s.channels,
                                                   .groups = s.groups,
                                                   .epsilon = compute_t<T>(1e-5),
                                                   .silu = s.silu,
                                                   .x = x.data(),
                                                   .gamma = s.affine ? gamma.data() : nullptr,
                                                   .beta = s.affine ? beta.data() : nullptr,
                                                   .y = y.data(),
                                                   .mean = s.statistics ? mean.data() : nullptr,
                                                   .inverse_std = s.statistics ? inverse_std.data() : nullptr,
                                                   .y_gradient = y_gradient.data(),
                                                   .x_gradient = x_gradient.data(),
                                                   .gamma_gradient = gamma_gradient.data(),
                                                   .beta_gradient = beta_gradient.data()} {}
};

template <class T>
void check_norm(const NormCase& s, double factor = 1) {
    const double limit = bound<T> * factor;
    Cuda cuda;
    Plain plain;
    {
        const NormRun<T, Cuda> found(cuda, s);
        const NormRun<double, Plain> expected(plain, s);
        norm_forward(cuda, found.p);
        reel::generic::norm_forward(plain, expected.p);
        CHECK(near::relative_error(found.y.host(), expected.y.host()) < limit);
        if (!s.statistics) {
            return;
        }
        CHECK(near::relative_error(found.inverse_std.host(), expected.inverse_std.host()) < limit);
        const auto means = found.mean.host();
        const auto expected_means = expected.mean.host();
        for (std::size_t i = 0; i < means.size(); ++i) { // may all be near 0
            CHECK(std::abs(static_cast<double>(means[i]) - expected_means[i]) < limit * (1 + std::abs(s.shift)));
        }
        norm_backward(cuda, found.p);
        reel::generic::norm_backward(plain, expected.p);
        CHECK(near::relative_error(found.x_gradient.host(), expected.x_gradient.host()) < limit);
        CHECK(near::relative_error(found.gamma_gradient.host(), expected.gamma_gradient.host()) < limit);
        CHECK(near::relative_error(found.beta_gradient.host(), expected.beta_gradient.host()) < limit);

        // In two steps, the second for a part of a set's rows at a time.
        NormRun<T, Cuda> steps(cuda, s);
        norm_statistics(cuda, steps.p);
        const NormProblem<T> whole = steps.p;
        for (index_t set = 0; set < s.sets; ++set) {
            for (const auto& [begin, end] : {std::pair{index_t{0}, s.rows / 2}, std::pair{s.rows / 2, s.rows}}) {
                const index_t at = (set * s.rows + begin) * s.channels;
                NormProblem<T> part = whole;
                part.sets = 1;
                part.rows = end - begin;
                part.x = whole.x + at;
                part.y = whole.y + at;
                part.mean = whole.mean + set * s.groups;
                part.inverse_std = whole.inverse_std + set * s.groups;
                norm_apply(cuda, part);
            }
        }
        CHECK(near::relative_error(steps.y.host(), expected.y.host()) < limit);

        // Gradients are optional one by one.
        for (int only = 0; only < 3; ++only) {
            NormRun<T, Cuda> one(cuda, s);
            norm_forward(cuda, one.p);
            one.p.x_gradient = only == 0 ? one.p.x_gradient : nullptr;
            one.p.gamma_gradient = only == 1 ? one.p.gamma_gradient : nullptr;
            one.p.beta_gradient = only == 2 ? one.p.beta_gradient : nullptr;
            norm_backward(cuda, one.p);
            const auto same = [&](const auto& gradient, const auto& wanted) {
                CHECK(near::relative_error(gradient.host(), wanted.host()) == 0);
            };
            const NormRun<T, Cuda> untouched(cuda, s);
            same(one.x_gradient, only == 0 ? found.x_gradient : untouched.x_gradient);
            same(one.gamma_gradient, only == 1 ? found.gamma_gradient : untouched.gamma_gradient);
            same(one.beta_gradient, only == 2 ? found.beta_gradient : untouched.beta_gradient);
        }
    }
    CHECK(cuda.memory().statistics().in_use == 0);
}

TEST_CASE_TEMPLATE("Cuda group norm equals the generic one", T, float, double, bfloat16, half) {
    for (const bool silu : {false, true}) {
        CAPTURE(silu);
        check_norm<T>({.sets = 2, .rows = 35, .channels = 12, .groups = 4, .silu = silu});
        check_norm<T>({.sets = 1, .rows = 150, .channels = 320, .groups = 32, .silu = silu}); // chunks, wide rows
        check_norm<T>({.sets = 3, .rows = 64, .channels = 6, .groups = 6, .silu = silu});
        check_norm<T>({.sets = 2, .rows = 1, .channels = 8, .groups = 2, .silu = silu});
    }
    check_norm<T>({.sets = 2, .rows = 70, .channels = 8, .groups = 2, .affine = false, .silu = true});
    check_norm<T>({.sets = 2, .rows = 70, .channels = 8, .groups = 1, .statistics = false});
}

TEST_CASE_TEMPLATE("Cuda layer norm equals the generic one", T, float, double, bfloat16, half) {
    for (const bool silu : {false, true}) {
        check_norm<T>({.sets = 77, .rows = 1, .channels = 40, .groups = 1, .silu = silu});
        check_norm<T>({.sets = 9, .rows = 1, .channels = 33, .groups = 1, .silu = silu});
    }
    check_norm<T>({.sets = 9, .rows = 1, .channels = 8, .groups = 1, .affine = false});
    check_norm<T>({.sets = 9, .rows = 1, .channels = 8, .groups = 1, .statistics = false});
}

TEST_CASE_TEMPLATE("Cuda norm far from zero: the variance keeps its digits", T, float, double) {
    check_norm<T>({.sets = 2, .rows = 200, .channels = 8, .groups = 2, .shift = 30}, 30);
    check_norm<T>({.sets = 20, .rows = 1, .channels = 64, .groups = 1, .shift = 30}, 30);
}

// ---- sums, indices, random numbers ----

TEST_CASE_TEMPLATE("Cuda column sums", T, float, double, bfloat16, half) {
    Cuda cuda;
    for (const auto& [rows, columns] : {std::pair<index_t, index_t>{0, 3}, {1, 1}, {31, 300}, {1000, 5}, {40000, 2}}) {
        CAPTURE(rows);
        const auto values = near::randoms(rows * columns, 1);
        const Array<T, Cuda> x(cuda, values);
        const Array<T, Cuda> y(cuda, columns, nan);
        column_sums(cuda, x.data(), y.data(), rows, columns);
        std::vector<double> expected(static_cast<std::size_t>(columns), 0.0);
        for (std::size_t i = 0; i < values.size(); ++i) {
            expected[i % expected.size()] += values[i];
        }
        CHECK(near::relative_error(y.host(), expected) < bound<T>);
    }
}

TEST_CASE_TEMPLATE("Cuda sums of all elements and of their squares", T, float, double, bfloat16, half) {
    Cuda cuda;
    Plain plain;
    for (const index_t count : {0, 1, 700, 20001}) {
        CAPTURE(count);
        const auto values = near::as<T>(near::randoms(count, 1));
        const auto found = Tensor<T, Cuda>::from_host(cuda, {count}, std::span<const T>(values));
        const auto expected = Tensor<T, Plain>::from_host(plain, {count}, std::span<const T>(values));
        const double squares = reel::squared_norm(expected);
        CHECK(std::abs(reel::squared_norm(found) - squares) <= 1e-12 * squares);
        CHECK(std::abs(reel::sum_all(found) - reel::sum_all(expected)) <= 1e-12 * squares);
        CHECK(reel::sum_all(found) == reel::sum_all(found)); // the same bits
    }
    CHECK(cuda.memory().statistics().in_use == 0);
}

template <class T>
struct CountCalls {
    T* calls;
    constexpr void operator()(index_t i) const { calls[i] += T(1); }
};

TEST_CASE("Cuda loops: every index once") {
    Cuda cuda;
    for (const index_t count : {0, 1, 255, 10000}) {
        const Array<float, Cuda> calls(cuda, count, 0);
        cuda.for_each_index(count, CountCalls<float>{calls.data()});
        CHECK(calls.host() == std::vector<float>(static_cast<std::size_t>(count), 1.0F));
    }
}

TEST_CASE("Cuda noise is the processor's noise, bit for bit") {
    Cuda cuda;
    Plain plain;
    const auto compare = [&]<class T>(T) {
        const Tensor<T, Cuda> on_device(cuda, {5001});
        const Tensor<T, Plain> on_host(plain, {5001});
        const auto same = [&] {
            const auto a = on_device.to_host();
            const auto b = on_host.to_host();
            return std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
        };
        reel::fill_normal(cuda, on_device, 33, 7);
        reel::fill_normal(plain, on_host, 33, 7);
        CHECK(same());
        reel::fill_uniform(cuda, on_device, 33, 8);
        reel::fill_uniform(plain, on_host, 33, 8);
        CHECK(same());
    };
    compare(float{});
    compare(double{});
    compare(reel::bfloat16{});
}

} // namespace cuda_test
