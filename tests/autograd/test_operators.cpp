#include <doctest/doctest.h>

#include "autograd/expressions.hpp"
#include "autograd/gradient_check.hpp"

using namespace reel;
using near::check_gradients;
using near::tensor;
using near::Variables;

TEST_CASE_TEMPLATE("gradients: operators between variables, tensors and numbers", B, Cpu, Plain) {
    B backend;
    const auto x = tensor(backend, {2, 3, 4}, 1);
    const auto y = tensor(backend, {2, 3, 4}, 2);
    const auto far = exp(tensor(backend, {2, 3, 4}, 3)); // from 0
    check_gradients<B>({x, y}, [](const Variables<B>& v) { return v[0] + v[1]; });
    check_gradients<B>({x, y}, [](const Variables<B>& v) { return v[0] - v[1]; });
    check_gradients<B>({x, y}, [](const Variables<B>& v) { return v[0] * v[1]; });
    check_gradients<B>({x, far}, [](const Variables<B>& v) { return v[0] / v[1]; });
    check_gradients<B>({x}, [&](const Variables<B>& v) { return y + v[0] - y * v[0] + v[0] * y - (y - v[0]); });
    check_gradients<B>({far}, [&](const Variables<B>& v) { return y / v[0] - v[0] / far + (v[0] - y) + (v[0] + y); });
    check_gradients<B>({far}, [](const Variables<B>& v) { return 2 / v[0] + v[0] / 3 - 1.5 * v[0] + v[0] * 2.F; });
    check_gradients<B>({x}, [](const Variables<B>& v) { return -(1 - v[0]) + (v[0] - 2) + (3 + v[0]) + (v[0] + 4); });
    check_gradients<B>({x, tensor(backend, {2, 3, 1}, 4)}, [](const Variables<B>& v) { return masked(v[0], v[1]); });
    check_gradients<B>({x}, [&](const Variables<B>& v) { return masked(v[0], tensor(backend, {2, 3, 1}, 4)); });
}

TEST_CASE_TEMPLATE("operators: values, and errors that name the shapes", B, Cpu, Plain) {
    B backend;
    const auto x = Tensor<double, B>::from_host(backend, {3}, {1, -2, 4});
    const auto y = Tensor<double, B>::from_host(backend, {3}, {4, 5, 8});
    using Values = std::vector<double>;
    CHECK((x + y).to_host() == Values{5, 3, 12});
    CHECK((x - y).to_host() == Values{-3, -7, -4});
    CHECK((x * y).to_host() == Values{4, -10, 32});
    CHECK((x / y).to_host() == Values{0.25, -0.4, 0.5});
    CHECK((-x).to_host() == Values{-1, 2, -4});
    CHECK((x + 1).to_host() == Values{2, -1, 5});
    CHECK((1 + x).to_host() == Values{2, -1, 5});
    CHECK((x - 1).to_host() == Values{0, -3, 3});
    CHECK((1 - x).to_host() == Values{0, 3, -3});
    CHECK((x * 2).to_host() == Values{2, -4, 8});
    CHECK((2 * x).to_host() == Values{2, -4, 8});
    CHECK((x / 2).to_host() == Values{0.5, -1, 2});
    CHECK((2 / x).to_host() == Values{2, -1, 0.5});
    const auto pixels = Tensor<double, B>::from_host(backend, {2, 2}, {1, 2, 3, 4});
    const auto mask = Tensor<double, B>::from_host(backend, {2, 1}, {1, 0.5});
    CHECK(masked(pixels, mask).to_host() == Values{1, 2, 1.5, 2});
    CHECK_THROWS_WITH_AS(static_cast<void>(x + pixels), "add: shapes [3] and [2, 2] differ", Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(x / pixels), "divide: shapes [3] and [2, 2] differ", Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(masked(pixels, pixels)),
                         "masked: [2, 2] by a mask [2, 2]; expected the same shape with one channel", Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(x.item()), "item: expected one element, got [3]", Error);
}

TEST_CASE_TEMPLATE("gradients: functions of single numbers", B, Cpu, Plain) {
    B backend;
    const auto x = tensor(backend, {5, 7}, 1);
    const auto positive = exp(x);
    check_gradients<B>({x}, [](const Variables<B>& v) { return exp(v[0]); });
    check_gradients<B>({positive}, [](const Variables<B>& v) { return log(v[0]); });
    check_gradients<B>({positive}, [](const Variables<B>& v) { return sqrt(v[0]); });
    check_gradients<B>({x}, [](const Variables<B>& v) { return abs(v[0]); });
    check_gradients<B>({x}, [](const Variables<B>& v) { return square(v[0]); });
    const auto y = Tensor<double, B>::from_host(backend, {3}, {0, 1, -4});
    CHECK(exp(y).to_host() == std::vector<double>{1, std::exp(1.0), std::exp(-4.0)});
    CHECK(log(square(y)).to_host()[2] == std::log(16.0));
    CHECK(sqrt(abs(y)).to_host() == std::vector<double>{0, 1, 2});
    const auto at_zero = Variable<double, B>::leaf(y);
    backward(sum(abs(at_zero)));
    CHECK(at_zero.grad().to_host() == std::vector<double>{0, 1, -1});
}

TEST_CASE_TEMPLATE("gradients: sums, means and softmax", B, Cpu, Plain) {
    B backend;
    const auto x = tensor(backend, {3, 4, 5}, 1);
    check_gradients<B>({x}, [](const Variables<B>& v) { return sum(v[0]); });
    check_gradients<B>({x}, [](const Variables<B>& v) { return mean(v[0]); });
    for (const int axis : {0, 1, 2, -1}) {
        check_gradients<B>({x}, [&](const Variables<B>& v) { return sum(v[0], axis); });
        check_gradients<B>({x}, [&](const Variables<B>& v) { return mean(v[0], axis); });
    }
    check_gradients<B>({x}, [](const Variables<B>& v) { return softmax(v[0]); });

    const auto y = Tensor<double, B>::from_host(backend, {2, 3}, {1, 2, 3, 4, 5, 9});
    CHECK(sum(y).item() == 24);
    CHECK(mean(y).item() == 4);
    CHECK(mean(y).shape() == Shape{});
    CHECK(sum(y, 0).to_host() == std::vector<double>{5, 7, 12});
    CHECK(mean(y, -1).to_host() == std::vector<double>{2, 6});
    CHECK(mean(y, -1).shape() == Shape{2});
    const auto odds = softmax(log(Tensor<double, B>::from_host(backend, {2, 3}, {1, 2, 3, 1, 1, 2})));
    CHECK(near::relative_error(odds.to_host(), std::vector<double>{1. / 6, 2. / 6, 3. / 6, 0.25, 0.25, 0.5}) < 1e-15);
    const auto large = softmax(Tensor<float, B>::from_host(backend, {1, 2}, {1e4F, -1e4F}));
    CHECK(large.to_host() == std::vector<float>{1, 0});
    CHECK_THROWS_WITH_AS(static_cast<void>(sum(y, 2)), "Shape: axis 2 of a shape of rank 2", Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(mean(y.slice(0, 0), 0)), "mean: axis 0 of [0, 3] is empty", Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(mean(y.slice(0, 0))), "mean: no elements in [0, 3]", Error);
}

TEST_CASE_TEMPLATE("gradients: rows and shapes", B, Cpu, Plain) {
    B backend;
    const auto x = tensor(backend, {4, 2, 3}, 1);
    const auto y = tensor(backend, {2, 2, 3}, 2);
    check_gradients<B>({x}, [](const Variables<B>& v) { return v[0].slice(1, 3); });
    check_gradients<B>({x}, [](const Variables<B>& v) { return slice(v[0], 1, 4) - slice(v[0], 0, 3); });
    check_gradients<B>({x}, [](const Variables<B>& v) { return v[0].reshape({2, -1}); });
    check_gradients<B>({x}, [](const Variables<B>& v) { return v[0].reshape(Shape{8, 3}); });
    check_gradients<B>({x, y}, [](const Variables<B>& v) { return concat_rows({v[0], v[1], v[0]}); });
    check_gradients<B>({x}, [](const Variables<B>& v) {
        static const std::vector<std::int32_t> rows{3, 0, 3};
        return index_select(v[0], std::span<const std::int32_t>(rows));
    });
    const auto leaf = Variable<double, B>::leaf(x);
    CHECK_FALSE(leaf.detach().requires_grad());
    CHECK(leaf.detach().value().data() == x.data());
    const std::vector<std::int32_t> rows{2, 0};
    const auto selected = index_select(x, std::span<const std::int32_t>(rows));
    CHECK(selected.to_host() == concat_rows({x.slice(2, 3), x.slice(0, 1)}).to_host());
    CHECK(selected.shape() == Shape{2, 2, 3});
}

TEST_CASE("gradients of joined leaves are their own") {
    // An optimizer scales gradients in place: those of different leaves must not be parts of one.
    Cpu cpu;
    const auto a = Variable<double>::leaf(tensor(cpu, {1, 2}, 1));
    const auto b = Variable<double>::leaf(tensor(cpu, {3, 2}, 2));
    const auto c = Variable<double>::leaf(tensor(cpu, {4, 2}, 3));
    backward(sum(concat_rows({a, b}) + c));
    a.grad().fill(7);
    CHECK(b.grad().to_host() == std::vector<double>(6, 1));
    CHECK(c.grad().to_host() == std::vector<double>(8, 1));
}

TEST_CASE_TEMPLATE("gradients: matmul, in batches and with one matrix for all", B, Cpu, Plain) {
    B backend;
    for (const bool ta : {false, true}) {
        for (const bool tb : {false, true}) {
            CAPTURE(ta);
            CAPTURE(tb);
            const auto product = [=](const Variables<B>& v) { return matmul(v[0], v[1], ta, tb); };
            const auto extents = [](std::initializer_list<index_t> batch, bool t, index_t rows, index_t columns) {
                Shape shape(batch);
                shape.append(t ? columns : rows);
                shape.append(t ? rows : columns);
                return shape;
            };
            for (const auto& batch : {std::initializer_list<index_t>{}, {3}, {2, 3}}) {
                check_gradients<B>(
                    {tensor(backend, extents(batch, ta, 4, 5), 1), tensor(backend, extents(batch, tb, 5, 2), 2)},
                    product);
            }
            if (!ta) {
                check_gradients<B>({tensor(backend, {2, 3, 4, 5}, 1), tensor(backend, extents({}, tb, 5, 2), 2)},
                                   product);
            }
        }
    }
    const auto a = tensor(backend, {2, 3, 4}, 1);
    const auto b = tensor(backend, {2, 4, 5}, 2);
    const auto c = matmul(a, b);
    CHECK(c.shape() == Shape{2, 3, 5});
    for (index_t i = 0; i < 2; ++i) {
        const auto one = matmul(a.slice(i, i + 1).reshape({3, 4}), b.slice(i, i + 1).reshape({4, 5}));
        CHECK(near::relative_error(c.slice(i, i + 1).to_host(), one.to_host()) < 1e-14);
        const auto shared = matmul(permute(a, {0, 2, 1}), b.slice(0, 1).reshape({4, 5}), true);
        CHECK(near::relative_error(shared.slice(i, i + 1).to_host(),
                                   matmul(a, b.slice(0, 1).reshape({4, 5})).slice(i, i + 1).to_host()) < 1e-14);
    }
    CHECK_THROWS_WITH_AS(static_cast<void>(matmul(a, b.slice(0, 1))), doctest::Contains("matmul: batches differ"),
                         Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(matmul(a.reshape({6, 4}), b)), doctest::Contains("got [6, 4] and [2, 4, 5]"),
                         Error);
    using V = Variable<double, B>;
    CHECK_THROWS_WITH_AS(
        static_cast<void>(matmul(V::leaf(permute(a, {0, 2, 1})), V(b.slice(0, 1).reshape({4, 5})), true)),
        doctest::Contains("has no gradient"), Error);
}

TEST_CASE("an expression in every type is what it is in double") {
    Plain plain;
    const auto expected = near::expression_and_gradients<double>(plain);
    for (const int threads : {1, 2}) {
        Cpu cpu(threads);
        CHECK(near::relative_error(near::expression_and_gradients<double>(cpu), expected) < 1e-13);
        CHECK(near::relative_error(near::expression_and_gradients<float>(cpu), expected) < 1e-5);
        CHECK(near::relative_error(near::expression_and_gradients<bfloat16>(cpu), expected) < 3e-2);
        CHECK(near::relative_error(near::expression_and_gradients<half>(cpu), expected) < 4e-3);
    }
}
