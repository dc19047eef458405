#include <string>

#include <reel/ops/activation.hpp>
#include <reel/ops/arithmetic.hpp>
#include <reel/ops/attention.hpp>
#include <reel/ops/conv.hpp>
#include <reel/ops/linear.hpp>
#include <reel/ops/norm.hpp>
#include <reel/ops/pointwise.hpp>
#include <reel/ops/rearrange.hpp>
#include <reel/ops/reduce.hpp>
#include <reel/ops/resample.hpp>
#include <reel/ops/softmax.hpp>

#include "support.hpp"

// Operations on 16-bit elements against the same operations in double on the same numbers. Sums are floats and results
// are rounded once: no element is further off than that rounding and what float sums may lose.

using namespace reel;

namespace {

/// Half the distance from 1 to the next number.
template <class T>
constexpr double rounding = std::same_as<T, bfloat16> ? 0x1p-8 : 0x1p-11;

/// Largest error beyond one rounding of the result, over the largest result.
template <class T>
double error_beyond_rounding(const std::vector<T>& values, const std::vector<double>& expected) {
    REQUIRE(values.size() == expected.size());
    double largest = 0;
    double beyond = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const double error = std::abs(static_cast<double>(values[i]) - expected[i]);
        if (!std::isfinite(error)) {
            return std::numeric_limits<double>::infinity();
        }
        largest = std::max(largest, std::abs(expected[i]));
        beyond = std::max(beyond, error - 1.001 * rounding<T> * std::abs(expected[i]));
    }
    return beyond / std::max(largest, std::numeric_limits<double>::min());
}

constexpr double summing = 3e-6;

/// Runs `operation`, a generic function of a vector of tensors, on random inputs of the given shapes in both types.
template <class T, class B, class Operation>
void check(const std::string& name, B& backend, const std::vector<Shape>& shapes, const Operation& operation,
           double bound = summing) {
    CAPTURE(name);
    std::vector<Tensor<T, B>> narrow;
    Plain plain; // the reference is generic/ in double
    std::vector<Tensor<double, Plain>> wide;
    for (std::size_t i = 0; i < shapes.size(); ++i) {
        narrow.push_back(near::tensor<T>(backend, shapes[i], i + 1));
        const auto values = narrow.back().to_host();
        const std::vector<double> numbers(values.begin(), values.end());
        wide.push_back(Tensor<double, Plain>::from_host(plain, shapes[i], std::span<const double>(numbers)));
    }
    const Tensor<T, B> found = operation(narrow);
    const Tensor<double, Plain> expected = operation(wide);
    REQUIRE(found.shape() == expected.shape());
    CHECK(error_beyond_rounding(found.to_host(), expected.to_host()) < bound);
}

template <class T, class B>
void check_pointwise(B& backend) {
    const Shape s{5, 7, 90};
    check<T>("axpby", backend, {s, s}, [](const auto& x) { return axpby(0.3125F, x[0], -1.75F, x[1]); });
    check<T>("add", backend, {s, s}, [](const auto& x) { return add(x[0], x[1]); });
    check<T>("multiply", backend, {s, s}, [](const auto& x) { return multiply(x[0], x[1]); });
    check<T>("scale", backend, {s}, [](const auto& x) { return scale(x[0], 0.3125F); });
    check<T>("clamp", backend, {s}, [](const auto& x) { return clamp(x[0], -0.5F, 0.25F); });
    check<T>("accumulate_", backend, {s, s}, [](const auto& x) {
        const auto sum = x[0].clone();
        accumulate_(sum, x[1], 0.3125F);
        return sum;
    });
    check<T>("affine", backend, {s}, [](const auto& x) { return 1 - x[0] * 2; });
    check<T>(
        "divide", backend, {s, s}, [](const auto& x) { return x[0] / exp(x[1]); }, 1e-2); // exp is rounded too
    check<T>("divide by a number", backend, {s}, [](const auto& x) { return x[0] / 3; });
    check<T>("exp", backend, {s}, [](const auto& x) { return exp(x[0]); });
    check<T>("square", backend, {s}, [](const auto& x) { return square(x[0]); });
    check<T>("masked", backend, {s, {5, 7, 1}}, [](const auto& x) { return masked(x[0], x[1]); });
    check<T>("sum", backend, {s}, [](const auto& x) { return sum(x[0]); });
    check<T>("mean", backend, {s}, [](const auto& x) { return mean(x[0], 1); });
    check<T>("softmax", backend, {s}, [](const auto& x) { return softmax(x[0]); });
    check<T>("softmax's gradient", backend, {s, s}, [](const auto& x) { return softmax_gradient(x[0], x[1]); });
    check<T>("add_vectors", backend, {s, {5, 90}}, [](const auto& x) { return add_vectors(x[0], x[1]); });
    check<T>("silu", backend, {s}, [](const auto& x) { return activate(Silu{}, x[0]); });
    check<T>("gelu", backend, {s}, [](const auto& x) { return activate(Gelu{}, x[0]); });
    check<T>("silu's gradient", backend, {s, s}, [](const auto& x) { return activate_gradient(Silu{}, x[0], x[1]); });
    check<T>("geglu", backend, {s}, [](const auto& x) { return geglu(x[0]); });
    check<T>("geglu's gradient", backend, {s, {5, 7, 45}}, [](const auto& x) { return geglu_gradient(x[0], x[1]); });
    check<T>("permute", backend, {s}, [](const auto& x) { return permute(x[0], {2, 0, 1}); });
    check<T>("concat_channels", backend, {s, s}, [](const auto& x) { return concat_channels(x[0], x[1]); });
    check<T>("sum_rows", backend, {s}, [](const auto& x) { return sum_rows(x[0]); });
    check<T>("sum_middle", backend, {s}, [](const auto& x) { return sum_middle(x[0], 5, 90); });
    check<T>("upsample_nearest", backend, {{2, 3, 4, 70}}, [](const auto& x) { return upsample_nearest(x[0], 6, 7); });
    check<T>("upsample_nearest's gradient", backend, {{2, 6, 7, 70}}, [](const auto& x) {
        return upsample_nearest_gradient(x[0], {2, 3, 4, 70});
    });
}

template <class T, class B>
void check_products(B& backend, index_t rows) {
    check<T>("linear", backend, {{rows, 72}, {96, 72}, {96}}, [](const auto& x) { return linear(x[0], x[1], x[2]); });
    check<T>("linear without bias", backend, {{rows, 72}, {96, 72}}, [](const auto& x) { return linear(x[0], x[1]); });
    check<T>("linear's gradients", backend, {{rows, 96}, {96, 72}, {rows, 72}}, [](const auto& x) {
        return concat_rows({linear_input_gradient(x[0], x[1]), linear_weight_gradient(x[2], x[0])});
    });
    check<T>("conv2d", backend, {{2, 9, 10, 24}, {32, 3, 3, 24}, {32}},
             [](const auto& x) { return conv2d(x[0], x[1], x[2], ConvOptions::same_pad(1)); });
    check<T>("conv2d with a stride", backend, {{2, 18, 18, 24}, {32, 3, 3, 24}, {32}},
             [](const auto& x) { return conv2d(x[0], x[1], x[2], ConvOptions::same_pad(1, 2)); });
    check<T>("conv2d, tiny", backend, {{1, 3, 3, 4}, {3, 3, 3, 4}, {3}},
             [](const auto& x) { return conv2d(x[0], x[1], x[2], ConvOptions::same_pad(1)); });
    const ConvOptions halved = ConvOptions::same_pad(1, 2);
    check<T>("conv2d's input gradient", backend, {{2, 9, 9, 32}, {32, 3, 3, 24}}, [&](const auto& x) {
        return conv2d_input_gradient(x[0], x[1], {2, 18, 18, 24}, halved);
    });
    check<T>("conv2d's kernel gradient", backend, {{2, 18, 18, 24}, {2, 9, 9, 32}, {32, 3, 3, 24}},
             [&](const auto& x) { return conv2d_kernel_gradient(x[0], x[1], x[2], halved); });
}

/// norm and its three gradients, one below the other.
template <class X>
X norm_all(const X& x, const X& gamma, const X& beta, const X& y_gradient, const NormOptions& options) {
    const auto result = norm(x, gamma, beta, options, true);
    const auto gradients =
        norm_gradients({x, gamma, beta}, options, {result.mean, result.inverse_std}, y_gradient, {true, true, true});
    return concat_rows({result.y, gradients.x, gradients.gamma.reshape({1, -1}), gradients.beta.reshape({1, -1})});
}

template <class T, class B>
void check_norms(B& backend) {
    for (const bool silu : {false, true}) {
        CAPTURE(silu);
        check<T>("group norm", backend, {{300, 64}, {64}, {64}, {300, 64}}, [&](const auto& x) {
            return norm_all(x[0], x[1], x[2], x[3], {.sets = 2, .groups = 8, .silu = silu});
        });
        check<T>("layer norm", backend, {{150, 70}, {70}, {70}, {150, 70}},
                 [&](const auto& x) { return norm_all(x[0], x[1], x[2], x[3], {.sets = 150, .silu = silu}); });
    }
}

template <class X>
X attend_all(const X& q, const X& k, const X& v, const X& gradient, const AttentionOptions& options) {
    const auto result = attention(q, k, v, options, true);
    const auto gradients = attention_gradients({q, k, v}, options, result, gradient, {true, true, true});
    return concat_rows({result.out, gradients.q, gradients.k, gradients.v});
}

template <class T, class B>
void check_attention(B& backend) {
    // A gradient goes through the rounded output, so that it is off by a little more than its own rounding.
    const double through_output = rounding<T>;
    // oneDNN multiplies the softmax's weights as bfloat16: they are rounded as well.
    const double of_weights = std::same_as<B, Cpu> && std::same_as<T, bfloat16> ? rounding<T> : summing;
    const auto all = [&](const std::string& name, const std::vector<Shape>& shapes, const AttentionOptions& options) {
        check<T>(
            name, backend, shapes, [&](const auto& x) { return attention(x[0], x[1], x[2], options).out; }, of_weights);
        if (shapes[0] == shapes[1]) {
            check<T>(
                name, backend, {shapes[0], shapes[1], shapes[2], shapes[0]},
                [&](const auto& x) { return attend_all(x[0], x[1], x[2], x[3], options); }, through_output);
        }
    };
    const Shape s{3, 40, 80};
    all("own keys", {s, s, s}, {.heads = 2});
    all("causal", {s, s, s}, {.heads = 1, .causal = true});
    all("first and former", {s, s, s}, {.heads = 4, .key_batches = sparse_causal_keys(1, 3), .lists = 2});
    all("text", {s, {1, 77, 80}, {1, 77, 80}}, {.heads = 2, .key_batches = shared_keys(1, 3)});
    all("along frames", {{6, 5, 80}, {6, 5, 80}, {6, 5, 80}}, {.heads = 2, .frames = 3});
    all("several tiles", {{1, 150, 48}, {1, 600, 48}, {1, 600, 48}}, {.heads = 1});
}

} // namespace

TEST_CASE("bfloat16 on Cpu is computed in float and rounded once") {
    for (const int threads : {1, 2}) {
        Cpu cpu(threads);
        check_pointwise<bfloat16>(cpu);
        check_products<bfloat16>(cpu, 5);
        check_products<bfloat16>(cpu, 300); // large enough for oneDNN
        check_norms<bfloat16>(cpu);
        check_attention<bfloat16>(cpu);
        CHECK(cpu.memory().statistics().in_use == 0);
    }
}

TEST_CASE("half on Cpu is computed in float and rounded once") {
    Cpu cpu(2);
    check_products<half>(cpu, 300);
    check_norms<half>(cpu);
}

TEST_CASE("bfloat16 in generic/ is computed in float and rounded once") {
    Plain plain;
    check_pointwise<bfloat16>(plain);
    check_products<bfloat16>(plain, 5);
    check_norms<bfloat16>(plain);
    check_attention<bfloat16>(plain);
}

TEST_CASE("products of bfloat16 keep what lies between rows, add, scale, and run in batches") {
    for (const index_t k : {20, 200}) {
        Cpu cpu(2);
        Plain plain;
        const auto a = near::as<bfloat16>(near::randoms(3 * 40 * 210, 1));
        const auto b = near::as<bfloat16>(near::randoms(3 * 50 * 210, 2));
        const auto before = near::as<bfloat16>(near::randoms(3 * 40 * 60, 3));
        const auto bias = near::as<bfloat16>(near::randoms(50, 4));
        for (const index_t batch : {1, 3}) {
            for (const float alpha : {1.0F, 0.5F}) {
                for (const bool add : {false, true}) {
                    auto found = before;
                    auto expected = before;
                    GemmProblem<bfloat16> p{.transpose_b = true,
                                            .m = 40,
                                            .n = 50,
                                            .k = k,
                                            .alpha = alpha,
                                            .a = a.data(),
                                            .lda = 210,
                                            .b = b.data(),
                                            .ldb = 210,
                                            .beta = add ? 1.0F : 0.0F,
                                            .c = found.data(),
                                            .ldc = 60,
                                            .bias = add ? nullptr : bias.data(),
                                            .batch = batch,
                                            .stride_a = 40 * 210,
                                            .stride_b = 50 * 210,
                                            .stride_c = 40 * 60};
                    gemm(cpu, p);
                    p.c = expected.data();
                    generic::gemm(plain, p);
                    CHECK(near::relative_error(found, expected) < 0x1p-7);
                    for (index_t row = 0; row < 120; ++row) {
                        for (index_t column = row < 40 * batch ? 50 : 0; column < 60; ++column) {
                            const auto i = static_cast<std::size_t>(row * 60 + column);
                            REQUIRE(found[i].bits == before[i].bits);
                        }
                    }
                }
            }
        }
    }
}
