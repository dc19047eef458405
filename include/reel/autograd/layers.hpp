#pragma once

#include <reel/autograd/variable.hpp>
#include <reel/ops/attention.hpp>
#include <reel/ops/conv.hpp>
#include <reel/ops/linear.hpp>
#include <reel/ops/norm.hpp>
#include <reel/ops/reduce.hpp>

/// The operations that layers are made of, with gradients. What only a parameter's gradient needs is kept only when
/// that parameter is being trained.
namespace reel {

/// x times the transpose of weight, plus bias where there is one, with gradients of all three.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> linear(const Variable<T, B>& x, const Variable<T, B>& weight,
                                    const Variable<T, B>& bias = {}) {
    const auto for_weight = weight.requires_grad() ? x.value() : Tensor<T, B>{};
    const auto for_x = x.requires_grad() ? weight.value() : Tensor<T, B>{};
    return record(linear(x.value(), weight.value(), bias.value()), {x, weight, bias},
                  [for_weight, for_x](Node<T, B>& node) {
                      if (node.needs(0)) {
                          node.send(0, linear_input_gradient(node.gradient, for_x));
                      }
                      if (node.needs(1)) {
                          node.send(1, linear_weight_gradient(for_weight, node.gradient));
                      }
                      if (node.needs(2)) {
                          node.send(2, sum_rows(node.gradient));
                      }
                  });
}

/// matmul() of tensors, with gradients of both.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> matmul(const Variable<T, B>& a, const Variable<T, B>& b, bool transpose_a = false,
                                    bool transpose_b = false) {
    require(b.rank() == a.rank() || !transpose_a || !any_requires_grad(a, b), "matmul: ", a.shape(),
            " transposed times one matrix ", b.shape(), " has no gradient; give matrices in equal batches");
    const auto for_a = a.requires_grad() ? b.value() : Tensor<T, B>{};
    const auto for_b = b.requires_grad() ? a.value() : Tensor<T, B>{};
    return record(matmul(a.value(), b.value(), transpose_a, transpose_b), {a, b},
                  [for_a, for_b, b_rank = b.rank(), transpose_a, transpose_b](Node<T, B>& node) {
                      const Tensor<T, B>& c = node.gradient;
                      if (node.needs(0)) {
                          node.send(0, transpose_a ? matmul(for_a, c, transpose_b, true)
                                                   : matmul(c, for_a, false, !transpose_b));
                      }
                      if (node.needs(1)) {
                          // One matrix for all of a gets the sum over the batches: that of all rows.
                          const bool one = b_rank == 2;
                          const Tensor<T, B> rows = one ? for_b.reshape({-1, for_b.shape(-1)}) : for_b;
                          const Tensor<T, B> of_rows = one ? c.reshape({-1, c.shape(-1)}) : c;
                          node.send(1, transpose_b ? matmul(of_rows, rows, true, transpose_a)
                                                   : matmul(rows, of_rows, !transpose_a, false));
                      }
                  });
}

/// `conv2d` of tensors, with gradients of x, kernel and bias.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> conv2d(const Variable<T, B>& x, const Variable<T, B>& kernel, const Variable<T, B>& bias,
                                    const ConvOptions& options) {
    const auto for_kernel = kernel.requires_grad() ? x.value() : Tensor<T, B>{};
    return record(conv2d(x.value(), kernel.value(), bias.value(), options), {x, kernel, bias},
                  [for_kernel, weights = kernel.value(), shape = x.shape(), options](Node<T, B>& node) {
                      if (node.needs(0)) {
                          node.send(0, conv2d_input_gradient(node.gradient, weights, shape, options));
                      }
                      if (node.needs(1)) {
                          node.send(1, conv2d_kernel_gradient(for_kernel, node.gradient, weights, options));
                      }
                      if (node.needs(2)) {
                          node.send(2, sum_rows(node.gradient));
                      }
                  });
}

/// `conv2d` with a packed kernel, which is frozen, with gradients of x and bias.
template <Scalar T, Backend B>
requires PacksKernels<B, T>
[[nodiscard]] Variable<T, B> conv2d(const Variable<T, B>& x, const std::shared_ptr<const PackedKernelOf<T, B>>& kernel,
                                    const Variable<T, B>& bias, const ConvOptions& options) {
    return record(conv2d(x.value(), *kernel, bias.value(), options), {x, bias},
                  [kernel, shape = x.shape(), options](Node<T, B>& node) {
                      if (node.needs(0)) {
                          node.send(0, conv2d_input_gradient(node.gradient, *kernel, shape, options));
                      }
                      if (node.needs(1)) {
                          node.send(1, sum_rows(node.gradient));
                      }
                  });
}

/// `group_norm` of tensors, with gradients of x, gamma and beta.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> group_norm(const Variable<T, B>& x, const Variable<T, B>& gamma,
                                        const Variable<T, B>& beta, const NormOptions& options) {
    const bool keep = any_requires_grad(x, gamma, beta);
    NormResult<T, B> result = norm(x.value(), gamma.value(), beta.value(), options, keep);
    return record(std::move(result.y), {x, gamma, beta},
                  [inputs = NormInputs<T, B>{x.value(), gamma.value(), beta.value()},
                   statistics = NormStatistics<T, B>{result.mean, result.inverse_std}, options](Node<T, B>& node) {
                      const auto gradients = norm_gradients(inputs, options, statistics, node.gradient,
                                                            {node.needs(0), node.needs(1), node.needs(2)});
                      if (node.needs(0)) {
                          node.send(0, gradients.x);
                      }
                      if (node.needs(1)) {
                          node.send(1, gradients.gamma);
                      }
                      if (node.needs(2)) {
                          node.send(2, gradients.beta);
                      }
                  });
}

/// `scaled_dot_product_attention` of tensors, with gradients of q, k and v.
template <Scalar T, Backend B>
[[nodiscard]] Variable<T, B> scaled_dot_product_attention(const Variable<T, B>& q, const Variable<T, B>& k,
                                                          const Variable<T, B>& v, const AttentionOptions& options) {
    const bool keep = any_requires_grad(q, k, v);
    const AttentionResult<T, B> result = attention(q.value(), k.value(), v.value(), options, keep);
    return record(result.out, {q, k, v},
                  [inputs = AttentionInputs<T, B>{q.value(), k.value(), v.value()}, options, result](Node<T, B>& node) {
                      const auto gradients = attention_gradients(inputs, options, result, node.gradient,
                                                                 {node.needs(0), node.needs(1), node.needs(2)});
                      if (node.needs(0)) {
                          node.send(0, gradients.q);
                      }
                      if (node.needs(1)) {
                          node.send(1, gradients.k);
                      }
                      if (node.needs(2)) {
                          node.send(2, gradients.v);
                      }
                  });
}

} // namespace reel
