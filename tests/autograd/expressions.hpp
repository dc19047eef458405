#pragma once
// Every operator and reduction in one computation, to be run on any backend in any type.

#include <reel/autograd/functions.hpp>
#include <reel/autograd/layers.hpp>

#include "ops/support.hpp"

namespace near {

/// x and y [4, 3, 6], mask [4, 3, 1]: the scalar that is trained, in Tensors or Variables.
template <class V>
[[nodiscard]] V expression(const V& x, const V& y, const V& mask) {
    const V positive = square(x) + 0.5; // for log, sqrt and division
    const V a = 2 * x - y / positive + (1 - x) * y;
    const V b = exp(-abs(y)) + log(positive) - sqrt(positive) / 3 + 1 / positive;
    const V smooth = slice(a, 1, 4) - a.slice(0, 3);
    const V weights = softmax(matmul(a, b, false, true) * 0.25);     // [4, 3, 3]
    const V shared = matmul(weights, b.slice(2, 3).reshape({3, 6})); // one matrix for all
    const V joined = reel::concat_rows({matmul(weights, b), shared, permute(weights, {0, 2, 1}).reshape({2, 3, 6})});
    return mean(square(masked(a, mask))) + sum(abs(smooth)) / 50 + mean(sum(joined, -1)) +
           mean(square(mean(joined, 0))) + mean(mean(joined, 1)) * 2;
}

/// expression() and its three gradients, one after the other, in double.
template <class T, class B>
[[nodiscard]] std::vector<double> expression_and_gradients(B& backend) {
    using Variable = reel::Variable<T, B>;
    const auto x = Variable::leaf(tensor<T>(backend, {4, 3, 6}, 1));
    const auto y = Variable::leaf(tensor<T>(backend, {4, 3, 6}, 2));
    const auto mask = Variable::leaf(tensor<T>(backend, {4, 3, 1}, 3));
    const Variable loss = expression(x, y, mask);
    CHECK(loss.shape() == reel::Shape{});
    CHECK(static_cast<double>(expression(x.value(), y.value(), mask.value()).item()) ==
          static_cast<double>(loss.item()));
    backward(loss);
    std::vector<double> all{static_cast<double>(loss.item())};
    for (const auto& leaf : {x, y, mask}) {
        for (const T value : leaf.grad().to_host()) {
            all.push_back(static_cast<double>(value));
        }
    }
    return all;
}

} // namespace near
