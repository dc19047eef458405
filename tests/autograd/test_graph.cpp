#include <doctest/doctest.h>

#include <reel/autograd/checkpoint.hpp>
#include <reel/autograd/functions.hpp>
#include <reel/autograd/layers.hpp>

#include "autograd/gradient_check.hpp"

using namespace reel;
using near::tensor;

namespace {

using Var = Variable<double>;
using Values = std::vector<double>;

Var leaf(Cpu& backend, std::initializer_list<double> values) {
    return Var::leaf(Tensor<double>::from_host(backend, {static_cast<index_t>(values.size())}, values));
}

} // namespace

TEST_CASE("constants record nothing and have no gradient") {
    Cpu backend(1);
    const Var x(Tensor<double>::full(backend, {2}, 3));
    const Var y = multiply(x, x);
    CHECK_FALSE(y.requires_grad());
    CHECK(y.node() == nullptr);
    CHECK_FALSE(x.grad().defined());
    CHECK_THROWS_WITH_AS(backward(y, x.value()), doctest::Contains("nothing that wants a gradient"), Error);
    CHECK_FALSE(Var{}.defined());
}

TEST_CASE("backward: what it asks for") {
    Cpu backend(1);
    const Var x = leaf(backend, {1, 2});
    CHECK_THROWS_WITH_AS(backward(scale(x, 2)), doctest::Contains("expected a scalar, got [2]"), Error);
    CHECK_THROWS_WITH_AS(backward(scale(x, 2), Tensor<double>::zeros(backend, {3})),
                         doctest::Contains("backward: shapes [2] and [3]"), Error);
    CHECK_FALSE(x.grad().defined());
    backward(x, Tensor<double>::full(backend, {2}, 5)); // of a leaf itself
    CHECK(x.grad().to_host() == Values{5, 5});
}

TEST_CASE("gradients add up over uses and over backward passes") {
    Cpu backend(1);
    const Var x = leaf(backend, {1, 2});
    const auto one = Tensor<double>::full(backend, {2}, 1);
    backward(add(multiply(x, x), scale(x, 10)), one);
    CHECK(x.grad().to_host() == Values{12, 14});
    backward(scale(x, 3), one);
    CHECK(x.grad().to_host() == Values{15, 17});
    backward(mse_loss(x, one), 0.5);
    CHECK(x.grad().to_host() == Values{15, 17.5});
    CHECK(one.to_host() == Values{1, 1});
}

TEST_CASE("gradients that share memory are not written through one another") {
    Cpu backend(1);
    // add sends the very same tensor to both inputs; x then gets more, y must not see it.
    const Var x = leaf(backend, {1, 1});
    const Var y = leaf(backend, {1, 1});
    const auto seed = Tensor<double>::from_host(backend, {2}, {1, 2});
    backward(add(add(x, y), scale(x, 10)), seed);
    CHECK(x.grad().to_host() == Values{11, 22});
    CHECK(y.grad().to_host() == Values{1, 2});
    CHECK(seed.to_host() == Values{1, 2});

    // A gradient that the caller keeps does not change in the next pass.
    const auto kept = y.grad();
    backward(scale(y, 5), seed);
    CHECK(kept.to_host() == Values{1, 2});
    CHECK(y.grad().to_host() == Values{6, 12});

    // The same through a reshape, which shares too.
    const Var a = leaf(backend, {1, 1});
    const Var b = leaf(backend, {1, 1});
    backward(reshape(add(reshape(a, {2, 1}), reshape(b, {2, 1})), {2}), seed);
    backward(scale(a, 1), seed);
    CHECK(a.grad().to_host() == Values{2, 4});
    CHECK(b.grad().to_host() == Values{1, 2});
}

TEST_CASE("a diamond's corner is run back once, after all that it feeds") {
    Cpu backend(1);
    const Var x = leaf(backend, {2});
    const Var corner = multiply(x, x);
    Var deep = corner;
    for (int i = 0; i < 5; ++i) {
        deep = scale(deep, 2);
    }
    backward(add(deep, corner), Tensor<double>::full(backend, {1}, 1)); // 33 x^2
    CHECK(x.grad().to_host() == Values{132});
}

TEST_CASE("a recording is run back once; a second time is an error, not a silent nothing") {
    Cpu backend(1);
    const Var x = leaf(backend, {3});
    const auto one = Tensor<double>::full(backend, {1}, 1);
    const Var y = multiply(x, x);
    backward(y, one);
    CHECK_THROWS_WITH_AS(backward(y, one), doctest::Contains("already"), Error);
    CHECK(x.grad().to_host() == Values{6});

    // Also where only a part is shared between two outputs.
    const Var trunk = multiply(x, x);
    const Var left = scale(trunk, 2);
    const Var right = scale(trunk, 3);
    backward(left, one);
    CHECK_THROWS_WITH_AS(backward(right, one), doctest::Contains("already"), Error);
}

TEST_CASE("memory: what a recording keeps is given back, run back or not") {
    Cpu backend(1);
    const auto in_use = [&] { return backend.memory().statistics().in_use; };
    const Var x = Var::leaf(tensor(backend, {64, 64}, 1));
    const Var weight = Var::leaf(tensor(backend, {64, 64}, 2));
    const std::size_t before = in_use();
    const auto run = [&] { return mse_loss(activate(Silu{}, linear(x, weight)), x.value()); };
    static_cast<void>(run());
    CHECK(in_use() == before);
    {
        const Var loss = run();
        CHECK(in_use() > before + 2 * 64 * 64 * 8);
        backward(loss);
        // Two gradients and the loss itself, though its variable still lives.
        CHECK(in_use() < before + 2 * 64 * 64 * 8 + 1024);
    }
    x.node()->gradient = {};
    weight.node()->gradient = {};
    CHECK(in_use() == before);
}

TEST_CASE("memory: frozen parameters make operations keep less") {
    Cpu backend(1);
    const auto kept = [&](const Var& x, const Var& weight) {
        const std::size_t before = backend.memory().statistics().in_use;
        const Var y = linear(scale(x, 2), weight); // the scaled input is kept for the weight's gradient only
        return backend.memory().statistics().in_use - before;
    };
    const auto value = tensor(backend, {64, 64}, 1);
    CHECK(kept(Var::leaf(value), Var(value)) + 64 * 64 * 8 == kept(Var::leaf(value), Var::leaf(value)));
}

TEST_CASE("deep recordings: run back, and dropped without") {
    Cpu backend(1);
    constexpr int depth = 100000;
    const Var x = leaf(backend, {1});
    const auto chain = [&x] {
        Var y = x;
        for (int i = 0; i < depth; ++i) {
            y = add(y, x);
        }
        return y;
    };
    backward(chain(), Tensor<double>::full(backend, {1}, 1));
    CHECK(x.grad().to_host() == Values{depth + 1});
    static_cast<void>(chain()); // must not use up the stack
    x.node()->gradient = {};
    CHECK(backend.memory().statistics().in_use == 64);
}
