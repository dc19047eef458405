#include <doctest/doctest.h>

#include <reel/autograd/layers.hpp>

#include "autograd/gradient_check.hpp"

using namespace reel;
using near::check_gradients;
using near::tensor;
using near::Variables;

TEST_CASE_TEMPLATE("gradients: linear", B, Cpu, Plain) {
    B backend;
    const auto x = tensor(backend, {2, 5, 7}, 1);
    const auto weight = tensor(backend, {3, 7}, 2);
    check_gradients<B>({x, weight, tensor(backend, {3}, 3)},
                       [](const Variables<B>& v) { return linear(v[0], v[1], v[2]); });
    check_gradients<B>({x, weight}, [](const Variables<B>& v) { return linear(v[0], v[1]); });
    // A matrix of 40 x 40 is split over threads.
    check_gradients<B>({tensor(backend, {40, 40}, 1), tensor(backend, {40, 40}, 2), tensor(backend, {40}, 3)},
                       [](const Variables<B>& v) { return linear(v[0], v[1], v[2]); });
}

TEST_CASE_TEMPLATE("gradients: conv2d", B, Cpu, Plain) {
    B backend;
    const auto x = tensor(backend, {2, 6, 5, 3}, 1);
    const auto bias = tensor(backend, {4}, 3);
    const auto check = [&](const Shape& kernel, const ConvOptions& options) {
        check_gradients<B>({x, tensor(backend, kernel, 2), bias},
                           [&](const Variables<B>& v) { return conv2d(v[0], v[1], v[2], options); });
    };
    check({4, 3, 3, 3}, ConvOptions::same_pad(1));
    check({4, 1, 1, 3}, {});
    check({4, 3, 3, 3}, ConvOptions::same_pad(1, 2));
    check({4, 3, 3, 3}, {.stride = 2, .pad_bottom = 1, .pad_right = 1}); // the VAE's
    check({4, 1, 1, 3}, {.stride = 2});
    check({4, 2, 3, 3}, {.stride = 1, .pad_top = 2, .pad_left = 1});
    check_gradients<B>({x, tensor(backend, {4, 3, 3, 3}, 2)}, [](const Variables<B>& v) {
        return conv2d(v[0], v[1], Variable<double, B>{}, ConvOptions::same_pad(1));
    });
}

TEST_CASE_TEMPLATE("gradients: group and layer norm", B, Cpu, Plain) {
    B backend;
    const auto x = tensor(backend, {2, 3, 4, 6}, 1, 2);
    const auto gamma = tensor(backend, {6}, 2);
    const auto beta = tensor(backend, {6}, 3);
    for (const bool silu : {false, true}) {
        for (const NormOptions& options : {NormOptions{.sets = 2, .groups = 3}, NormOptions{.sets = 1, .groups = 2},
                                           NormOptions{.sets = 24, .groups = 1}}) {
            NormOptions chosen = options;
            chosen.silu = silu;
            check_gradients<B>({x, gamma, beta},
                               [&](const Variables<B>& v) { return group_norm(v[0], v[1], v[2], chosen); });
            check_gradients<B>({x}, [&](const Variables<B>& v) {
                return group_norm(v[0], Variable<double, B>{}, Variable<double, B>{}, chosen);
            });
        }
    }
}

TEST_CASE_TEMPLATE("gradients: attention", B, Cpu, Plain) {
    B backend;
    const auto check = [&](const Shape& q, const Shape& k, const AttentionOptions& options) {
        check_gradients<B>(
            {tensor(backend, q, 1), tensor(backend, k, 2), tensor(backend, k, 3)},
            [&](const Variables<B>& v) { return scaled_dot_product_attention(v[0], v[1], v[2], options); });
    };
    check({2, 5, 6}, {2, 7, 6}, {.heads = 2});
    check({1, 40, 6}, {1, 35, 6}, {.heads = 1}); // the tiled way
    check({2, 6, 6}, {2, 6, 6}, {.heads = 3, .causal = true});
    AttentionOptions sparse{.heads = 2};
    sparse.key_batches = sparse_causal_keys(2, 3);
    sparse.lists = 2;
    check({6, 4, 6}, {6, 4, 6}, sparse);
    AttentionOptions text{.heads = 2};
    text.key_batches = shared_keys(2, 3);
    check({6, 4, 6}, {2, 7, 6}, text);
    check({6, 4, 6}, {6, 4, 6}, {.heads = 2, .frames = 3});
}

TEST_CASE_TEMPLATE("gradients: self attention, one tensor as queries, keys and values", B, Cpu, Plain) {
    B backend;
    check_gradients<B>({tensor(backend, {2, 5, 6}, 1)}, [](const Variables<B>& v) {
        return scaled_dot_product_attention(v[0], v[0], v[0], {.heads = 2});
    });
}
