#pragma once

#include <reel/autograd/variable.hpp>

#include "ops/support.hpp"

namespace near {

template <class B>
using Tensors = std::vector<reel::Tensor<double, B>>;
template <class B>
using Variables = std::vector<reel::Variable<double, B>>;

/// Checks the gradients of f, which takes Variables<B> and returns one: along random directions, the inner product of
/// output and a random tensor changes as the gradient says (central differences). Then once more with each input alone
/// wanting a gradient, which must give the same, since an operation may keep less then.
template <class B, class F>
void check_gradients(const Tensors<B>& inputs, const F& f, double bound = 1e-6) {
    using reel::Tensor;
    using reel::Variable;
    Variables<B> constants;
    Variables<B> leaves;
    for (const auto& x : inputs) {
        constants.push_back(Variable<double, B>(x));
        leaves.push_back(Variable<double, B>::leaf(x));
    }
    const Variable<double, B> out = f(leaves);
    REQUIRE(out.requires_grad());
    REQUIRE_FALSE(f(constants).requires_grad());
    CHECK(out.value().to_host() == f(constants).value().to_host());
    const auto weights = tensor(inputs[0].backend(), out.shape(), 1001);
    backward(out, weights);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        CAPTURE(i);
        const Tensor<double, B> gradient = leaves[i].grad();
        REQUIRE(gradient.defined());
        REQUIRE(gradient.shape() == inputs[i].shape());
        for (std::uint64_t direction = 0; direction < 3; ++direction) {
            const auto step = tensor(inputs[0].backend(), inputs[i].shape(), 2000 + 10 * i + direction);
            constexpr double h = 1e-5;
            double change = 0;
            for (const double sign : {1.0, -1.0}) {
                Variables<B> moved = constants;
                moved[i] = Variable<double, B>(axpby(1.0, inputs[i], sign * h, step));
                change += sign * dot(f(moved).value(), weights) / (2 * h);
            }
            const double size = std::sqrt(dot(gradient, gradient));
            CHECK(std::abs(change - dot(gradient, step)) <= bound * (size + 1e-3));
            CHECK(size > 0); // else the comparison says nothing
        }
        Variables<B> alone = constants;
        alone[i] = Variable<double, B>::leaf(inputs[i]);
        backward(f(alone), weights);
        CHECK(relative_error(alone[i].grad().to_host(), gradient.to_host()) < 1e-14);
    }
}

} // namespace near
