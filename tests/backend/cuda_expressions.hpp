#pragma once
// Operators, sums, softmax and batched products, with gradients, on the backend Cuda against the plain one in double.

#include "autograd/expressions.hpp"
#include "backend/cuda_support.hpp"

namespace cuda_test {

TEST_CASE_TEMPLATE("Cuda: an expression and its gradients", T, float, double, reel::bfloat16, reel::half) {
    Plain plain;
    Cuda cuda;
    CHECK(near::relative_error(near::expression_and_gradients<T>(cuda), near::expression_and_gradients<double>(plain)) <
          bound<T> * 2);
    CHECK(cuda.memory().statistics().in_use == 0);
}

} // namespace cuda_test
