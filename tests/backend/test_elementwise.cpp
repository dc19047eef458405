#include <doctest/doctest.h>

#include <reel/backend/cpu/elementwise.hpp>
#include <reel/backend/generic/elementwise.hpp>

#include "backend/compare.hpp"
#include "backend/plain_backend.hpp"

using namespace reel;

namespace {

/// Normal numbers, then a sweep from -50 to 50, then extremes; the length is odd on purpose.
std::vector<double> inputs() {
    auto x = near::randoms(9001, 1, 3);
    for (int i = -200; i <= 200; ++i) {
        x.push_back(i * 0.25);
    }
    for (const double extreme : {-1e4, -100.0, -0.0, 0.0, 1e-30, 100.0, 1e4}) {
        x.push_back(static_cast<double>(static_cast<float>(extreme)));
    }
    return x;
}

template <class T, class F>
void check(F f) {
    const auto x = inputs();
    const auto y_gradient = near::randoms(static_cast<index_t>(x.size()), 2);
    const auto tx = near::as<T>(x);
    const auto ty_gradient = near::as<T>(y_gradient);
    Plain plain;
    const auto count = static_cast<index_t>(x.size());
    std::vector<double> expected(x.size());
    std::vector<double> expected_gradient(x.size());
    generic::map_unary(plain, f, x.data(), expected.data(), count);
    generic::map_unary_backward(plain, f, x.data(), y_gradient.data(), expected_gradient.data(), count);
    for (const int threads : {1, 2}) {
        Cpu cpu(threads);
        std::vector<T> y(x.size());
        std::vector<T> gradient(x.size());
        map_unary(cpu, f, tx.data(), y.data(), count);
        map_unary_backward(cpu, f, tx.data(), ty_gradient.data(), gradient.data(), count);
        for (std::size_t i = 0; i < x.size(); ++i) {
            CAPTURE(x[i]);
            // Element by element: the error is one of a number of size 1 or of the result.
            const double error = std::abs(static_cast<double>(y[i]) - expected[i]) / (1 + std::abs(expected[i]));
            const double slope_error = std::abs(static_cast<double>(gradient[i]) - expected_gradient[i]) /
                                       (1 + std::abs(expected_gradient[i]));
            REQUIRE(error < near::bound<T>);
            REQUIRE(slope_error < near::bound<T>);
        }
    }
}

} // namespace

TEST_CASE("activations at known places") {
    CHECK(generic::Silu{}(0.0) == 0);
    CHECK(std::abs(generic::Silu{}(1.0) - 0.7310585786300049) < 1e-15);
    CHECK(std::abs(generic::Gelu{}(1.0) - 0.8413447460685429) < 1e-15);
    CHECK(std::abs(generic::QuickGelu{}(1.0) - 0.8457957659328212) < 1e-15);
    CHECK(generic::Relu{}(-2.0) == 0);
    CHECK(generic::Relu{}(2.0) == 2);
}

TEST_CASE("slopes are the derivatives of the values") {
    const auto compare = [](auto f) {
        for (double x = -6; x < 6; x += 0.37) {
            const double h = 1e-5;
            CHECK(std::abs(f.slope(x) - (f(x + h) - f(x - h)) / (2 * h)) < 1e-9);
        }
    };
    compare(generic::Silu{});
    compare(generic::Gelu{});
    compare(generic::QuickGelu{});
    compare(generic::Relu{});
}

TEST_CASE_TEMPLATE("Cpu activations equal the generic ones", T, float, double) {
    SUBCASE("silu") {
        check<T>(generic::Silu{});
    }
    SUBCASE("gelu") {
        check<T>(generic::Gelu{});
    }
    SUBCASE("quick_gelu") {
        check<T>(generic::QuickGelu{});
    }
    SUBCASE("relu") {
        check<T>(generic::Relu{});
    }
}

TEST_CASE_TEMPLATE("Cpu geglu equals the generic one", T, float, double) {
    for (const index_t width : {1, 5, 512, 700, 1300}) {
        const index_t rows = 9;
        const auto x = near::randoms(rows * 2 * width, 1, 2);
        const auto y_gradient = near::randoms(rows * width, 2);
        const auto tx = near::as<T>(x);
        const auto ty_gradient = near::as<T>(y_gradient);
        Plain plain;
        std::vector<double> expected(y_gradient.size());
        std::vector<double> expected_gradient(x.size());
        generic::geglu(plain, x.data(), expected.data(), rows, width);
        generic::geglu_backward(plain, x.data(), y_gradient.data(), expected_gradient.data(), rows, width);
        for (const int threads : {1, 2}) {
            Cpu cpu(threads);
            std::vector<T> y(y_gradient.size());
            std::vector<T> gradient(x.size());
            geglu(cpu, tx.data(), y.data(), rows, width);
            geglu_backward(cpu, tx.data(), ty_gradient.data(), gradient.data(), rows, width);
            CAPTURE(width);
            CHECK(near::relative_error(y, expected) < near::bound<T>);
            CHECK(near::relative_error(gradient, expected_gradient) < near::bound<T>);
        }
    }
}

TEST_CASE("Cpu loops: every index once, whatever the grain") {
    for (const int threads : {1, 2}) {
        Cpu cpu(threads);
        for (const index_t count : {0, 1, 5, 4095, 10000}) {
            for (const index_t grain : {1, 7, 100000}) {
                std::vector<int> calls(static_cast<std::size_t>(count), 0);
                cpu.for_each_index(
                    count, [&](index_t i) { ++calls[static_cast<std::size_t>(i)]; }, grain);
                CHECK(calls == std::vector<int>(calls.size(), 1));
            }
        }
    }
}
