#include <doctest/doctest.h>

#include <reel/autograd/functions.hpp>

#include "autograd/gradient_check.hpp"

using namespace reel;
using near::check_gradients;
using near::tensor;
using near::Variables;

TEST_CASE_TEMPLATE("gradients: arithmetic", B, Cpu, Plain) {
    B backend;
    const auto x = tensor(backend, {2, 3, 4}, 1);
    const auto y = tensor(backend, {2, 3, 4}, 2);
    check_gradients<B>({x, y}, [](const Variables<B>& v) { return axpby(1.5, v[0], -0.5, v[1]); });
    check_gradients<B>({x, y}, [](const Variables<B>& v) { return add(v[0], v[1]); });
    check_gradients<B>({x, y}, [](const Variables<B>& v) { return subtract(v[0], v[1]); });
    check_gradients<B>({x, y}, [](const Variables<B>& v) { return multiply(v[0], v[1]); });
    check_gradients<B>({x}, [](const Variables<B>& v) { return scale(v[0], -3); });
    check_gradients<B>({tensor(backend, {2, 6, 4}, 1), tensor(backend, {3, 4}, 2)},
                       [](const Variables<B>& v) { return add_vectors(v[0], v[1]); });
    check_gradients<B>({tensor(backend, {6, 4}, 1), tensor(backend, {1, 4}, 2)},
                       [](const Variables<B>& v) { return add_vectors(v[0], v[1]); });
}

TEST_CASE_TEMPLATE("gradients: one input used twice by one operation", B, Cpu, Plain) {
    B backend;
    const auto x = tensor(backend, {3, 4}, 1);
    check_gradients<B>({x}, [](const Variables<B>& v) { return multiply(v[0], v[0]); });
    check_gradients<B>({x}, [](const Variables<B>& v) { return add(v[0], v[0]); });
    check_gradients<B>({x}, [](const Variables<B>& v) { return axpby(2, v[0], -0.5, v[0]); });
    check_gradients<B>({x}, [](const Variables<B>& v) { return concat_channels(v[0], v[0]); });
}

TEST_CASE_TEMPLATE("gradients: activations", B, Cpu, Plain) {
    B backend;
    const auto x = tensor(backend, {5, 7}, 1, 2);
    check_gradients<B>({x}, [](const Variables<B>& v) { return activate(Silu{}, v[0]); });
    check_gradients<B>({x}, [](const Variables<B>& v) { return activate(Gelu{}, v[0]); });
    check_gradients<B>({x}, [](const Variables<B>& v) { return activate(QuickGelu{}, v[0]); });
    check_gradients<B>({x}, [](const Variables<B>& v) { return activate(Relu{}, v[0]); });
    check_gradients<B>({tensor(backend, {2, 3, 8}, 1)}, [](const Variables<B>& v) { return geglu(v[0]); });
}

TEST_CASE_TEMPLATE("gradients: moving elements", B, Cpu, Plain) {
    B backend;
    const auto x = tensor(backend, {2, 3, 4, 5}, 1);
    check_gradients<B>({x}, [](const Variables<B>& v) { return reshape(v[0], {6, -1}); });
    check_gradients<B>({x}, [](const Variables<B>& v) { return permute(v[0], {2, 0, 3, 1}); });
    check_gradients<B>({x}, [](const Variables<B>& v) { return slice_channels(v[0], 1, 4); });
    check_gradients<B>({x, tensor(backend, {2, 3, 4, 2}, 2)},
                       [](const Variables<B>& v) { return concat_channels(v[0], v[1]); });
    check_gradients<B>({x}, [](const Variables<B>& v) { return upsample_nearest(v[0], 6, 8); });
    check_gradients<B>({x}, [](const Variables<B>& v) { return upsample_nearest(v[0], 5, 7); });
    check_gradients<B>({tensor(backend, {5, 3}, 1)}, [](const Variables<B>& v) {
        static const std::vector<std::int32_t> rows{4, 0, 4, 2};
        return embedding(v[0], std::span<const std::int32_t>(rows));
    });
}

TEST_CASE_TEMPLATE("gradients: mse_loss", B, Cpu, Plain) {
    B backend;
    const auto target = tensor(backend, {3, 4}, 2);
    check_gradients<B>({tensor(backend, {3, 4}, 1)}, [&](const Variables<B>& v) { return mse_loss(v[0], target); });

    const auto x = Variable<double, B>::leaf(Tensor<double, B>::from_host(backend, {2}, {3, 5}));
    const auto loss = mse_loss(x, Tensor<double, B>::from_host(backend, {2}, {1, 6}));
    CHECK(loss.shape() == Shape{});
    CHECK(loss.value().to_host() == std::vector<double>{2.5});
    backward(loss, 0.5); // half of d/dx = 2 (x - target) / 2
    CHECK(x.grad().to_host() == std::vector<double>{1, -0.5});
}

TEST_CASE_TEMPLATE("gradients: a value used by several operations", B, Cpu, Plain) {
    B backend;
    check_gradients<B>({tensor(backend, {4, 6}, 1), tensor(backend, {4, 6}, 2)}, [](const Variables<B>& v) {
        const auto a = multiply(v[0], v[1]);
        const auto b = activate(Silu{}, a);
        const auto c = add(a, b);      // a again
        const auto d = multiply(c, a); // and again
        return subtract(add(d, v[0]), scale(c, 0.3));
    });
}
