#include <doctest/doctest.h>

#include <reel/ops/conv.hpp>
#include <reel/ops/linear.hpp>

#include "ops/support.hpp"

using namespace reel;

TEST_CASE_TEMPLATE("matmul with every transposition", B, Cpu, Plain) {
    B backend;
    const auto a = Tensor<double, B>::from_host(backend, {2, 3}, {1, 2, 3, 4, 5, 6});
    const auto b = Tensor<double, B>::from_host(backend, {3, 2}, {1, 0, 2, 1, -1, 3});
    const auto at = Tensor<double, B>::from_host(backend, {3, 2}, {1, 4, 2, 5, 3, 6});
    const auto bt = Tensor<double, B>::from_host(backend, {2, 3}, {1, 2, -1, 0, 1, 3});
    const std::vector<double> expected{2, 11, 8, 23};
    CHECK(matmul(a, b).to_host() == expected);
    CHECK(matmul(at, b, true, false).to_host() == expected);
    CHECK(matmul(a, bt, false, true).to_host() == expected);
    CHECK(matmul(at, bt, true, true).to_host() == expected);
    CHECK_THROWS_WITH_AS(static_cast<void>(matmul(a, a)), "matmul: inner extents differ: [2, 3] times [2, 3]", Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(matmul(a, a.reshape({6}))), doctest::Contains("got [2, 3] and [6]"), Error);
}

TEST_CASE_TEMPLATE("linear: values and shapes", B, Cpu, Plain) {
    B backend;
    const auto x = Tensor<double, B>::from_host(backend, {1, 2, 3}, {1, 2, 3, 4, 5, 6});
    const auto weight = Tensor<double, B>::from_host(backend, {2, 3}, {1, 0, -1, 2, 2, 2});
    const auto bias = Tensor<double, B>::from_host(backend, {2}, {10, 20});
    const auto y = linear(x, weight, bias);
    CHECK(y.shape() == Shape{1, 2, 2});
    CHECK(y.to_host() == std::vector<double>{8, 32, 8, 50});
    CHECK(linear(x, weight).to_host() == std::vector<double>{-2, 12, -2, 30});
    CHECK(linear(x.reshape({6}).slice(0, 3), weight).shape() == Shape{2});
    CHECK(linear(Tensor<double, B>(backend, {0, 3}), weight, bias).shape() == Shape{0, 2});

    CHECK_THROWS_WITH_AS(static_cast<void>(linear(x.reshape({3, 2}), weight)),
                         doctest::Contains("linear: input [3, 2] with weight [2, 3]"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(linear(x, weight, x.reshape({6}))), "linear: bias [6] with weight [2, 3]",
                         Error);
}

TEST_CASE_TEMPLATE("linear's gradients are its adjoints", B, Cpu, Plain) {
    B backend;
    const auto x = near::tensor(backend, {2, 5, 7}, 1);
    const auto weight = near::tensor(backend, {4, 7}, 2);
    const auto g = near::tensor(backend, {2, 5, 4}, 3);
    const double product = near::dot(linear(x, weight), g);
    const auto for_x = linear_input_gradient(g, weight);
    const auto for_weight = linear_weight_gradient(x, g);
    CHECK(for_x.shape() == x.shape());
    CHECK(for_weight.shape() == weight.shape());
    CHECK(near::dot(x, for_x) == doctest::Approx(product).epsilon(1e-13));
    CHECK(near::dot(weight, for_weight) == doctest::Approx(product).epsilon(1e-13));
    CHECK_THROWS_AS(static_cast<void>(linear_weight_gradient(x, g.slice(0, 1))), Error);
}

namespace {

/// Straight from the definition: pads a copy, then sums.
std::vector<double> naive_conv(const std::vector<double>& x, const Shape& shape, const std::vector<double>& kernel,
                               const Shape& k, const std::vector<double>& bias, const ConvOptions& o, Shape& out) {
    const index_t height = shape[1] + o.pad_top + o.pad_bottom;
    const index_t width = shape[2] + o.pad_left + o.pad_right;
    const auto at = [](index_t i) { return static_cast<std::size_t>(i); };
    std::vector<double> padded(at(shape[0] * height * width * shape[3]), 0.0);
    for (index_t n = 0; n < shape[0]; ++n) {
        for (index_t i = 0; i < shape[1]; ++i) {
            for (index_t j = 0; j < shape[2]; ++j) {
                for (index_t c = 0; c < shape[3]; ++c) {
                    padded[at(((n * height + i + o.pad_top) * width + j + o.pad_left) * shape[3] + c)] =
                        x[at(((n * shape[1] + i) * shape[2] + j) * shape[3] + c)];
                }
            }
        }
    }
    out = {shape[0], (height - k[1]) / o.stride + 1, (width - k[2]) / o.stride + 1, k[0]};
    std::vector<double> y;
    for (index_t n = 0; n < out[0]; ++n) {
        for (index_t i = 0; i < out[1]; ++i) {
            for (index_t j = 0; j < out[2]; ++j) {
                for (index_t f = 0; f < k[0]; ++f) {
                    double sum = bias.empty() ? 0.0 : bias[at(f)];
                    for (index_t a = 0; a < k[1]; ++a) {
                        for (index_t b = 0; b < k[2]; ++b) {
                            for (index_t c = 0; c < k[3]; ++c) {
                                sum +=
                                    kernel[at(((f * k[1] + a) * k[2] + b) * k[3] + c)] *
                                    padded[at(((n * height + i * o.stride + a) * width + j * o.stride + b) * k[3] + c)];
                            }
                        }
                    }
                    y.push_back(sum);
                }
            }
        }
    }
    return y;
}

const std::vector<ConvOptions> conv_cases{
    {1, 1, 1, 1, 1}, {1, 0, 0, 0, 0}, {2, 1, 1, 1, 1}, {2, 0, 1, 0, 1}, {1, 2, 0, 0, 3}, {3, 1, 2, 0, 1},
};

} // namespace

TEST_CASE_TEMPLATE("conv2d equals its definition, its gradients are its adjoints", B, Cpu, Plain) {
    B backend;
    for (const Shape& kernel_shape : {Shape{4, 3, 3, 2}, Shape{3, 1, 1, 2}, Shape{3, 2, 3, 2}}) {
        for (std::size_t i = 0; i < conv_cases.size(); ++i) {
            CAPTURE(i);
            CAPTURE(concat_text(kernel_shape));
            const ConvOptions& options = conv_cases[i];
            const auto x = near::tensor(backend, {2, 7, 6, 2}, 1);
            const auto kernel = near::tensor(backend, kernel_shape, 2);
            const auto bias = near::tensor(backend, {kernel_shape[0]}, 3);
            Shape expected_shape;
            const auto expected = naive_conv(x.to_host(), x.shape(), kernel.to_host(), kernel_shape, bias.to_host(),
                                             options, expected_shape);
            const auto y = conv2d(x, kernel, bias, options);
            CHECK(y.shape() == expected_shape);
            CHECK(near::relative_error(y.to_host(), expected) < 1e-14);

            const auto g = near::tensor(backend, y.shape(), 4);
            const double product = near::dot(conv2d(x, kernel, Tensor<double, B>{}, options), g);
            const auto for_x = conv2d_input_gradient(g, kernel, x.shape(), options);
            const auto for_kernel = conv2d_kernel_gradient(x, g, kernel, options);
            CHECK(near::dot(x, for_x) == doctest::Approx(product).epsilon(1e-12));
            CHECK(near::dot(kernel, for_kernel) == doctest::Approx(product).epsilon(1e-12));
        }
    }
}

TEST_CASE("conv2d: errors name the shapes") {
    Cpu backend(1);
    const auto x = near::tensor(backend, {1, 4, 4, 2}, 1);
    const auto kernel = near::tensor(backend, {3, 3, 3, 2}, 1);
    const Tensor<double> none;
    CHECK_THROWS_WITH_AS(static_cast<void>(conv2d(x, near::tensor(backend, {3, 3, 3, 5}, 1), none, {})),
                         doctest::Contains("conv2d: input [1, 4, 4, 2] with kernel [3, 3, 3, 5]"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(conv2d(x.reshape({4, 4, 2}), kernel, none, {})),
                         doctest::Contains("conv2d: input [4, 4, 2]"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(conv2d(x.reshape({1, 16, 1, 2}), kernel, none, {})),
                         doctest::Contains("is larger than the padded input [1, 16, 1, 2]"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(conv2d(x, kernel, near::tensor(backend, {2}, 1), {})),
                         "conv2d: bias [2] with kernel [3, 3, 3, 2]", Error);
    CHECK_THROWS_AS(static_cast<void>(conv2d(x, kernel, none, {.stride = 0})), Error);
    const auto g = near::tensor(backend, {1, 3, 2, 3}, 1);
    CHECK_THROWS_WITH_AS(static_cast<void>(conv2d_input_gradient(g, kernel, x.shape(), {})),
                         doctest::Contains("[1, 3, 2, 3]"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(conv2d_kernel_gradient(x, g, kernel, {})), doctest::Contains("[1, 3, 2, 3]"),
                         Error);
}
