#include <numeric>

#include <doctest/doctest.h>

#include <reel/backend/cpu/convolution.hpp>
#include <reel/backend/generic/convolution.hpp>

#include "backend/compare.hpp"
#include "backend/plain_backend.hpp"

using namespace reel;

namespace {

/// Geometry with bottom and right padding given; dilation_in spreads the input.
ConvGeometry geometry(index_t images, index_t height, index_t width, index_t in, index_t out, index_t kernel,
                      index_t stride, index_t top, index_t bottom, index_t left, index_t right, index_t dilation = 1) {
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

const std::vector<ConvGeometry>& geometries() {
    static const std::vector<ConvGeometry> all{
        geometry(2, 5, 7, 3, 4, 3, 1, 1, 1, 1, 1),    // the usual one
        geometry(2, 6, 5, 8, 3, 1, 1, 0, 0, 0, 0),    // pointwise: a plain product
        geometry(1, 6, 5, 3, 2, 1, 1, 0, 1, 0, 0),    // 1x1 with padding is not
        geometry(1, 8, 6, 3, 5, 3, 2, 1, 1, 1, 1),    // UNet's downsampling
        geometry(2, 8, 7, 3, 5, 3, 2, 0, 1, 0, 1),    // the VAE's, padded below and right only
        geometry(1, 7, 9, 2, 3, 1, 2, 0, 0, 0, 0),    // strided 1x1
        geometry(1, 4, 5, 2, 3, 3, 1, 2, 0, 0, 3),    // uneven sides
        geometry(2, 4, 3, 5, 2, 3, 1, 1, 2, 1, 2, 2), // input gradient of a stride-2 convolution
        geometry(1, 4, 3, 5, 2, 3, 1, 2, 2, 2, 2, 2), //
        geometry(1, 6, 6, 2, 3, 3, 1, -1, -1, -1,
                 0),                               // negative padding: gradient of more padding than the kernel needs
        geometry(1, 1, 1, 3, 2, 3, 1, 1, 1, 1, 1), // one pixel
        geometry(1, 40, 40, 64, 20, 3, 1, 1, 1, 1, 1), // a bigger one
    };
    return all;
}

} // namespace

TEST_CASE("generic convolution against a picture worked by hand") {
    Plain plain;
    // One 3x3 picture of one channel, 2x2 kernel, stride 1, padding above and left.
    const std::vector<double> x{1, 2, 3, 4, 5, 6, 7, 8, 9};
    const std::vector<double> kernel{1, 10, 100, 1000};
    const double bias = 0.5;
    const ConvGeometry g = geometry(1, 3, 3, 1, 1, 2, 1, 1, 0, 1, 0);
    std::vector<double> y(9);
    generic::convolution(plain, g, x.data(), kernel.data(), &bias, y.data());
    CHECK(y == std::vector<double>{1000.5, 2100.5, 3200.5, 4010.5, 5421.5, 6532.5, 7040.5, 8754.5, 9865.5});
    // Kernel gradient with an output gradient that is one in a single place: the patch it saw.
    std::vector<double> y_gradient(9, 0.0);
    y_gradient[5] = 1;
    std::vector<double> kernel_gradient(4);
    generic::convolution_kernel_gradient(plain, g, x.data(), y_gradient.data(), kernel_gradient.data());
    CHECK(kernel_gradient == std::vector<double>{2, 3, 5, 6});
}

TEST_CASE("generic convolution: dilation_in is a picture with zeros between its pixels") {
    Plain plain;
    const ConvGeometry dilated = geometry(1, 3, 4, 2, 3, 3, 1, 1, 1, 1, 1, 2);
    const ConvGeometry spread = geometry(1, 5, 7, 2, 3, 3, 1, 1, 1, 1, 1);
    REQUIRE(dilated.out_rows() == spread.out_rows());
    const auto x = near::randoms(3 * 4 * 2, 1);
    const auto kernel = near::randoms(3 * 9 * 2, 2);
    std::vector<double> wide(5 * 7 * 2, 0.0);
    for (std::size_t row = 0; row < 3; ++row) {
        for (std::size_t column = 0; column < 4; ++column) {
            for (std::size_t c = 0; c < 2; ++c) {
                wide[(2 * row * 7 + 2 * column) * 2 + c] = x[(row * 4 + column) * 2 + c];
            }
        }
    }
    std::vector<double> a(static_cast<std::size_t>(dilated.out_rows() * 3));
    std::vector<double> b = a;
    generic::convolution<Plain, double>(plain, dilated, x.data(), kernel.data(), nullptr, a.data());
    generic::convolution<Plain, double>(plain, spread, wide.data(), kernel.data(), nullptr, b.data());
    CHECK(near::relative_error(a, b) < 1e-15);
}

TEST_CASE_TEMPLATE("Cpu convolution and kernel gradient equal the generic ones", T, float, double) {
    for (const int threads : {1, 2}) {
        Cpu cpu(threads);
        Plain plain;
        for (std::size_t i = 0; i < geometries().size(); ++i) {
            const ConvGeometry& g = geometries()[i];
            CAPTURE(threads);
            CAPTURE(i);
            const auto x = near::randoms(g.images * g.height * g.width * g.in_channels, 1);
            const auto kernel = near::randoms(g.out_channels * g.patch(), 2);
            const auto bias = near::randoms(g.out_channels, 3);
            const auto y_gradient = near::randoms(g.out_rows() * g.out_channels, 4);
            const auto tx = near::as<T>(x);
            const auto t_kernel = near::as<T>(kernel);
            const auto t_bias = near::as<T>(bias);
            const auto ty_gradient = near::as<T>(y_gradient);

            std::vector<double> expected(y_gradient.size());
            std::vector<T> y(y_gradient.size(), std::numeric_limits<T>::quiet_NaN());
            generic::convolution(plain, g, x.data(), kernel.data(), bias.data(), expected.data());
            convolution(cpu, g, tx.data(), t_kernel.data(), t_bias.data(), y.data());
            CHECK(near::relative_error(y, expected) < near::bound<T>);

            generic::convolution<Plain, double>(plain, g, x.data(), kernel.data(), nullptr, expected.data());
            convolution<T>(cpu, g, tx.data(), t_kernel.data(), nullptr, y.data());
            CHECK(near::relative_error(y, expected) < near::bound<T>);

            std::vector<double> expected_gradient(kernel.size());
            std::vector<T> gradient(kernel.size(), std::numeric_limits<T>::quiet_NaN());
            generic::convolution_kernel_gradient(plain, g, x.data(), y_gradient.data(), expected_gradient.data());
            convolution_kernel_gradient(cpu, g, tx.data(), ty_gradient.data(), gradient.data());
            CHECK(near::relative_error(gradient, expected_gradient) < near::bound<T>);
        }
        CHECK(cpu.memory().statistics().in_use == 0);
    }
}

TEST_CASE_TEMPLATE("the input gradient is the adjoint of the convolution, on Cpu as in generic", T, float, double) {
    for (const int threads : {1, 2}) {
        Cpu cpu(threads);
        Plain plain;
        for (std::size_t i = 0; i < geometries().size(); ++i) {
            const ConvGeometry& g = geometries()[i];
            if (g.dilation_in != 1) {
                continue; // only a convolution's own gradient is asked for
            }
            CAPTURE(threads);
            CAPTURE(i);
            const auto x = near::randoms(g.images * g.height * g.width * g.in_channels, 1);
            const auto kernel = near::randoms(g.out_channels * g.patch(), 2);
            const auto y_gradient = near::randoms(g.out_rows() * g.out_channels, 4);
            std::vector<double> expected(x.size(), std::numeric_limits<double>::quiet_NaN());
            generic::convolution_input_gradient(plain, g, y_gradient.data(), kernel.data(), expected.data());

            std::vector<double> y(y_gradient.size());
            generic::convolution<Plain, double>(plain, g, x.data(), kernel.data(), nullptr, y.data());
            const double forward = std::inner_product(y.begin(), y.end(), y_gradient.begin(), 0.0);
            const double backward = std::inner_product(x.begin(), x.end(), expected.begin(), 0.0);
            CHECK(forward == doctest::Approx(backward).epsilon(1e-12));

            const auto t_kernel = near::as<T>(kernel);
            const auto ty_gradient = near::as<T>(y_gradient);
            std::vector<T> gradient(x.size(), std::numeric_limits<T>::quiet_NaN());
            convolution_input_gradient(cpu, g, ty_gradient.data(), t_kernel.data(), gradient.data());
            CHECK(near::relative_error(gradient, expected) < near::bound<T>);
        }
        CHECK(cpu.memory().statistics().in_use == 0);
    }
}

TEST_CASE("Cpu convolution: several chunks of patches give what one gives") {
    // 64 * 9 * 600 * 8 bytes of patch rows exceed one chunk's cache share many times over.
    Cpu cpu(2);
    Plain plain;
    const ConvGeometry g = geometry(3, 24, 24, 600, 2, 3, 1, 1, 1, 1, 1);
    REQUIRE(cpu::rows_per_chunk<double>(g, 1) < g.out_rows());
    const auto x = near::randoms(g.images * g.height * g.width * g.in_channels, 1);
    const auto kernel = near::randoms(g.out_channels * g.patch(), 2);
    const auto y_gradient = near::randoms(g.out_rows() * g.out_channels, 4);
    std::vector<double> expected(y_gradient.size());
    std::vector<double> y(y_gradient.size());
    generic::convolution<Plain, double>(plain, g, x.data(), kernel.data(), nullptr, expected.data());
    convolution<double>(cpu, g, x.data(), kernel.data(), nullptr, y.data());
    CHECK(near::relative_error(y, expected) < 1e-13);
    std::vector<double> expected_gradient(kernel.size());
    std::vector<double> gradient(kernel.size());
    generic::convolution_kernel_gradient(plain, g, x.data(), y_gradient.data(), expected_gradient.data());
    convolution_kernel_gradient(cpu, g, x.data(), y_gradient.data(), gradient.data());
    CHECK(near::relative_error(gradient, expected_gradient) < 1e-13);
}

TEST_CASE("Cpu convolution without pictures") {
    Cpu cpu(1);
    const ConvGeometry g = geometry(0, 4, 4, 3, 2, 3, 1, 1, 1, 1, 1);
    std::vector<double> kernel(54, 1.0);
    std::vector<double> gradient(54, std::numeric_limits<double>::quiet_NaN());
    convolution<double>(cpu, g, nullptr, kernel.data(), nullptr, nullptr);
    convolution_kernel_gradient<double>(cpu, g, nullptr, nullptr, gradient.data());
    CHECK(gradient == std::vector<double>(54, 0.0));
}
