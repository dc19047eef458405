#include <doctest/doctest.h>

#include <reel/ops/activation.hpp>
#include <reel/ops/elementwise.hpp>
#include <reel/ops/reduce.hpp>

#include "ops/support.hpp"

using namespace reel;

TEST_CASE_TEMPLATE("sums, differences, products, limits", B, Cpu, Plain) {
    B backend;
    const auto x = Tensor<float, B>::from_host(backend, {2, 2}, {1, -2, 3, 4});
    const auto y = Tensor<float, B>::from_host(backend, {2, 2}, {10, 20, 30, 40});
    CHECK(axpby(2, x, 0.5F, y).to_host() == std::vector<float>{7, 6, 21, 28});
    CHECK(add(x, y).to_host() == std::vector<float>{11, 18, 33, 44});
    CHECK(subtract(x, y).to_host() == std::vector<float>{-9, -22, -27, -36});
    CHECK(multiply(x, y).to_host() == std::vector<float>{10, -40, 90, 160});
    CHECK(scale(x, -2).to_host() == std::vector<float>{-2, 4, -6, -8});
    CHECK(clamp(x, -1, 3.5F).to_host() == std::vector<float>{1, -1, 3, 3.5F});
    CHECK(std::isnan(clamp(scale(x, NAN), 0, 1).to_host()[0])); // a NaN is not hidden
    CHECK(add(x, y).shape() == Shape{2, 2});
    CHECK(x.to_host() == std::vector<float>{1, -2, 3, 4});

    accumulate_(y, x);
    CHECK(y.to_host() == std::vector<float>{11, 18, 33, 44});
    accumulate_(y, x, -1);
    CHECK(y.to_host() == std::vector<float>{10, 20, 30, 40});

    const auto z = x.reshape({4});
    CHECK_THROWS_WITH_AS(static_cast<void>(add(x, z)), "add: shapes [2, 2] and [4] differ", Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(subtract(x, z)), "subtract: shapes [2, 2] and [4] differ", Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(multiply(x, z)), "multiply: shapes [2, 2] and [4] differ", Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(axpby(1, x, 1, z)), "axpby: shapes [2, 2] and [4] differ", Error);
    CHECK_THROWS_WITH_AS(accumulate_(x, z), doctest::Contains("accumulate_: shapes"), Error);
}

TEST_CASE_TEMPLATE("add_vectors gives each vector an equal share of the rows", B, Cpu, Plain) {
    B backend;
    const auto x = Tensor<float, B>::from_host(backend, {4, 1, 2}, {0, 0, 1, 1, 2, 2, 3, 3});
    const auto vectors = Tensor<float, B>::from_host(backend, {2, 2}, {10, 20, 30, 40});
    CHECK(add_vectors(x, vectors).to_host() == std::vector<float>{10, 20, 11, 21, 32, 42, 33, 43});
    CHECK(add_vectors(x, vectors.slice(0, 1)).to_host() == std::vector<float>{10, 20, 11, 21, 12, 22, 13, 23});
    CHECK_THROWS_WITH_AS(static_cast<void>(add_vectors(x.slice(0, 3), vectors)),
                         doctest::Contains("add_vectors: 3 rows for 2 vectors"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(add_vectors(x, vectors.reshape({1, 4}))),
                         "add_vectors: vectors [1, 4] to [4, 1, 2]", Error);
}

TEST_CASE_TEMPLATE("cast keeps numbers, rounds once", B, Cpu, Plain) {
    B backend;
    const auto x = Tensor<double, B>::from_host(backend, {4}, {1, -0.1, 65504, 1e6});
    CHECK(cast<float>(x).to_host() == std::vector<float>{1, -0.1F, 65504, 1e6F});
    const auto h = cast<half>(x);
    CHECK(cast<double>(h).to_host() == std::vector<double>{1, -0.0999755859375, 65504, INFINITY});
    const auto b = cast<bfloat16>(cast<float>(x));
    CHECK(cast<float>(b).to_host() == std::vector<float>{1, -0.10009765625F, 65536, 999424});
    CHECK(cast<half>(b).to_host()[1].bits == half(-0.10009765625F).bits);
}

TEST_CASE_TEMPLATE("sums", B, Cpu, Plain) {
    B backend;
    const auto x = Tensor<float, B>::from_host(backend, {2, 3}, {1, 2, 3, 4, 5, 6});
    CHECK(sum_all(x) == 21);
    CHECK(squared_norm(x) == 91);
    CHECK(sum_rows(x).to_host() == std::vector<float>{5, 7, 9});
    CHECK(sum_rows(x.reshape({3, 1, 2})).to_host() == std::vector<float>{9, 12});
    // [1, 2, 3] and [3, 2, 1]: what lies between the outer and inner axis goes.
    CHECK(sum_middle(x, 1, 3).to_host() == std::vector<float>{5, 7, 9});
    CHECK(sum_middle(x, 3, 1).to_host() == std::vector<float>{3, 7, 11});
    CHECK(sum_middle(x, 1, 1).to_host() == std::vector<float>{21});
    CHECK(sum_middle(x, 3, 1).shape() == Shape{3, 1});
    CHECK(sum_all(Tensor<float, B>(backend, {0, 3})) == 0);

    const auto y = Tensor<float, B>::from_host(backend, {2, 3}, {1, 2, 3, 4, 5, 9});
    CHECK(mse(x, y) == 1.5);
    CHECK_THROWS_WITH_AS(static_cast<void>(mse(x, y.reshape({6}))), doctest::Contains("[2, 3] and [6]"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(mse(x.slice(0, 0), y.slice(0, 0))), "mse: no elements in [0, 3]", Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(sum_middle(x, 4, 1)), doctest::Contains("sum_middle: [2, 3]"), Error);
}

TEST_CASE("long sums keep their digits and do not depend on threads") {
    Cpu one(1);
    Cpu two(2);
    const index_t count = 1 << 22;
    const auto x = Tensor<float>::full(one, {count}, 0.1F);
    CHECK(sum_all(x) == doctest::Approx(static_cast<double>(0.1F) * static_cast<double>(count)).epsilon(1e-12));
    const auto values = near::as<float>(near::randoms(100003, 1));
    const auto a = Tensor<float>::from_host(one, {100003}, std::span<const float>(values));
    const auto b = Tensor<float>::from_host(two, {100003}, std::span<const float>(values));
    CHECK(sum_all(a) == sum_all(b));
    CHECK(squared_norm(a) == squared_norm(b));
}

namespace {

/// An activation of a user's own: the two members are all there is to it.
struct Cube {
    template <class T>
    constexpr T operator()(T x) const {
        return x * x * x;
    }
    template <class T>
    constexpr T slope(T x) const {
        return 3 * x * x;
    }
};
static_assert(Activation<Cube>);

} // namespace

TEST_CASE_TEMPLATE("activations: ours and a user's own", B, Cpu, Plain) {
    B backend;
    const auto x = Tensor<double, B>::from_host(backend, {2, 2}, {-2, 0, 1, 3});
    const auto g = Tensor<double, B>::from_host(backend, {2, 2}, {1, 1, 10, 1});
    CHECK(activate(Relu{}, x).to_host() == std::vector<double>{0, 0, 1, 3});
    CHECK(activate_gradient(Relu{}, x, g).to_host() == std::vector<double>{0, 0, 10, 1});
    CHECK(activate(Cube{}, x).to_host() == std::vector<double>{-8, 0, 1, 27});
    CHECK(activate_gradient(Cube{}, x, g).to_host() == std::vector<double>{12, 0, 30, 27});
    const std::vector<double> silu{-2 / (1 + std::exp(2.0)), 0, 1 / (1 + std::exp(-1.0)), 3 / (1 + std::exp(-3.0))};
    CHECK(near::relative_error(activate(Silu{}, x).to_host(), silu) < 1e-15);
    CHECK_THROWS_WITH_AS(static_cast<void>(activate_gradient(Silu{}, x, g.reshape({4}))),
                         doctest::Contains("[2, 2] and [4]"), Error);
}

TEST_CASE_TEMPLATE("geglu: the first half times gelu of the second", B, Cpu, Plain) {
    B backend;
    const auto x = near::tensor(backend, {3, 2, 10}, 1);
    const auto y = geglu(x);
    CHECK(y.shape() == Shape{3, 2, 5});
    const auto in = x.to_host();
    std::vector<double> expected;
    for (std::size_t row = 0; row < 6; ++row) {
        for (std::size_t c = 0; c < 5; ++c) {
            const double gate = in[row * 10 + 5 + c];
            expected.push_back(in[row * 10 + c] * gate * 0.5 * std::erfc(-gate / std::sqrt(2.0)));
        }
    }
    CHECK(near::relative_error(y.to_host(), expected) < 1e-14);
    CHECK_THROWS_WITH_AS(static_cast<void>(geglu(near::tensor(backend, {2, 3}, 1))),
                         doctest::Contains("geglu: the last extent of [2, 3]"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(geglu_gradient(x, x)), doctest::Contains("geglu"), Error);
}

TEST_CASE_TEMPLATE("geglu's gradient takes the memory of an input that is given away", B, Cpu, Plain) {
    B backend;
    const auto kept = near::tensor(backend, {30, 38}, 1);
    const auto y_gradient = near::tensor(backend, {30, 19}, 2);
    const auto expected = geglu_gradient(kept, y_gradient);
    CHECK(expected.data() != kept.data());
    auto given = kept.clone();
    const auto* const memory = given.data();
    const auto shared = given; // somebody looks at it still
    CHECK(geglu_gradient(std::move(given), y_gradient).data() != memory);
    CHECK(shared.to_host() == kept.to_host());
    auto alone = kept.clone();
    const auto* const reused = alone.data();
    const auto found = geglu_gradient(std::move(alone), y_gradient);
    CHECK(found.data() == reused);
    CHECK(found.to_host() == expected.to_host());
}
