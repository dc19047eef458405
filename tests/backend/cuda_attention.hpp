#pragma once
// Attention of the backend Cuda against generic/ in double.

#include <reel/backend/generic/attention.hpp>

#include "backend/cuda_support.hpp"

namespace cuda_test {

using reel::AttentionProblem;
using reel::bfloat16;
using reel::half;

struct AttentionCase {
    index_t batches;
    index_t heads;
    index_t head_size;
    index_t queries;
    index_t keys;
    bool causal = false;
    std::vector<double> key_batches = {}; ///< with `lists` per query batch; empty: each its own
    index_t lists = 1;
    index_t frames = 0; ///< along the frames of two clips: batches are tokens, queries and keys are frames
    double spread = 1;
};

template <class T, class B>
struct AttentionRun {
    index_t channels;
    index_t key_batch_count;
    Array<T, B> q, k, v, out_gradient, out;
    Array<reel::compute_t<T>, B> normaliser, q_gradient, k_gradient, v_gradient;
    Array<std::int32_t, B> lists;
    AttentionProblem<T> p;

    AttentionRun(B& backend, const AttentionCase& s)
        : channels(s.heads * s.head_size),
          key_batch_count(s.key_batches.empty() ? s.batches
                                                : 1 + static_cast<index_t>(*std::max_element(s.key_batches.begin(),
                                                                                             s.key_batches.end()))),
          q(backend, near::randoms(s.batches * s.queries * channels, 1, s.spread)),
          k(backend, near::randoms(key_batch_count * s.keys * channels, 2, s.spread)),
          v(backend, near::randoms(key_batch_count * s.keys * channels, 3)),
          out_gradient(backend, near::randoms(s.batches * s.queries * channels, 4)),
          out(backend, s.batches * s.queries * channels, nan),
          normaliser(backend, s.batches * s.heads * s.queries, nan),
          q_gradient(backend, s.batches * s.queries * channels, nan),
          k_gradient(backend, key_batch_count * s.keys * channels, 0),
          v_gradient(backend, key_batch_count * s.keys * channels, 0), lists(backend, s.key_batches) {
        p.batches = s.batches;
        p.heads = s.heads;
        p.head_size = s.head_size;
        p.queries = s.queries;
        p.keys = s.keys;
        p.key_batch_count = key_batch_count;
        p.lists = s.lists;
        p.key_batches = s.key_batches.empty() ? nullptr : lists.data();
        p.causal = s.causal;
        p.scale = static_cast<reel::compute_t<T>>(1 / std::sqrt(static_cast<double>(s.head_size)));
        p.query_layout = {1, s.queries * channels, 0, channels};
        p.key_layout = {1, s.keys * channels, 0, channels};
        if (s.frames > 0) {
            const index_t tokens = s.batches / 2;
            p.query_layout = {tokens, s.frames * tokens * channels, channels, tokens * channels};
            p.key_layout = p.query_layout;
        }
        p.q = q.data();
        p.k = k.data();
        p.v = v.data();
        p.out = out.data();
        p.log_sum_exp = normaliser.data();
        p.out_gradient = out_gradient.data();
        p.q_gradient = q_gradient.data();
        p.k_gradient = k_gradient.data();
        p.v_gradient = v_gradient.data();
    }
};

/// Relative to the largest, or to 1 where all are small: with one key the gradients of its score vanish.
template <class T>
double gradient_error(std::vector<T> found, std::vector<double> expected) {
    found.push_back(T(1));
    expected.push_back(1);
    return near::relative_error(found, expected);
}

template <class T>
void check_attention(const AttentionCase& s, double factor = 1,
                     reel::Float32MatmulPrecision precision = reel::Float32MatmulPrecision::highest) {
    const double limit = bound<T> * factor;
    CAPTURE(s.queries);
    CAPTURE(s.keys);
    CAPTURE(s.head_size);
    Cuda cuda;
    cuda.float32_matmul_precision = precision;
    Plain plain;
    {
        const AttentionRun<T, Cuda> found(cuda, s);
        const AttentionRun<double, Plain> expected(plain, s);
        attention_forward(cuda, found.p);
        reel::generic::attention_forward(plain, expected.p);
        CHECK(near::relative_error(found.out.host(), expected.out.host()) < limit);
        CHECK(near::relative_error(found.normaliser.host(), expected.normaliser.host()) < limit);
        attention_backward(cuda, found.p);
        reel::generic::attention_backward(plain, expected.p);
        CHECK(gradient_error(found.q_gradient.host(), expected.q_gradient.host()) < limit);
        CHECK(gradient_error(found.k_gradient.host(), expected.k_gradient.host()) < limit);
        CHECK(gradient_error(found.v_gradient.host(), expected.v_gradient.host()) < limit);
    }
    CHECK(cuda.memory().statistics().in_use == 0);
}

TEST_CASE("Cuda attention: heads and head sizes") {
    for (const index_t head_size : {1, 40, 64, 80, 160}) {
        check_attention<float>({.batches = 1, .heads = 2, .head_size = head_size, .queries = 35, .keys = 40});
        check_attention<double>({.batches = 1, .heads = 2, .head_size = head_size, .queries = 35, .keys = 40});
    }
    check_attention<float>({.batches = 2, .heads = 1, .head_size = 40, .queries = 5, .keys = 7}); // the short way
    check_attention<float>({.batches = 1, .heads = 1, .head_size = 256, .queries = 20, .keys = 35});
    check_attention<double>({.batches = 1, .heads = 1, .head_size = 200, .queries = 3, .keys = 5});  // generic/
    check_attention<float>({.batches = 1, .heads = 1, .head_size = 512, .queries = 18, .keys = 18}); // VAE; backward
                                                                                                     // by generic/
    check_attention<float>({.batches = 1, .heads = 1, .head_size = 520, .queries = 3, .keys = 3});
}

TEST_CASE_TEMPLATE("Cuda attention: more queries and keys than a tile", T, float, double, bfloat16, half) {
    check_attention<T>({.batches = 1, .heads = 1, .head_size = 8, .queries = 130, .keys = 40});
    check_attention<T>({.batches = 2, .heads = 2, .head_size = 8, .queries = 33, .keys = 129});
    check_attention<T>({.batches = 1, .heads = 1, .head_size = 4, .queries = 1, .keys = 150});
}

TEST_CASE_TEMPLATE("Cuda attention: causal", T, float, double, bfloat16, half) {
    check_attention<T>({.batches = 2, .heads = 2, .head_size = 8, .queries = 77, .keys = 77, .causal = true});
    check_attention<T>({.batches = 2, .heads = 2, .head_size = 8, .queries = 9, .keys = 9, .causal = true});
    check_attention<T>({.batches = 1, .heads = 1, .head_size = 8, .queries = 100, .keys = 20, .causal = true});
    check_attention<T>({.batches = 1, .heads = 1, .head_size = 8, .queries = 20, .keys = 100, .causal = true});
}

TEST_CASE_TEMPLATE("Cuda attention: key lists, as of sparse-causal and of text attention", T, float, double, bfloat16,
                   half) {
    // Two clips of three frames: the first and the former frame.
    const std::vector<double> sparse{0, -1, 0, -1, 0, 1, 3, -1, 3, -1, 3, 4};
    check_attention<T>(
        {.batches = 6, .heads = 2, .head_size = 8, .queries = 20, .keys = 20, .key_batches = sparse, .lists = 2});
    check_attention<T>(
        {.batches = 6, .heads = 1, .head_size = 8, .queries = 70, .keys = 70, .key_batches = sparse, .lists = 2});
    // One text per clip, seen by all its frames.
    check_attention<T>(
        {.batches = 6, .heads = 1, .head_size = 8, .queries = 20, .keys = 77, .key_batches = {0, 0, 0, 1, 1, 1}});
    check_attention<T>({.batches = 3, .heads = 1, .head_size = 8, .queries = 6, .keys = 6, .key_batches = {2, 2, 1}});
    // The same key batch twice, and three lists with a gap.
    check_attention<T>({.batches = 2,
                        .heads = 1,
                        .head_size = 8,
                        .queries = 40,
                        .keys = 9,
                        .key_batches = {1, 1, -1, 0, -1, 1},
                        .lists = 3});
    check_attention<T>({.batches = 2,
                        .heads = 1,
                        .head_size = 8,
                        .queries = 40,
                        .keys = 40,
                        .causal = true,
                        .key_batches = {0, 1, 1, -1},
                        .lists = 2});
}

TEST_CASE_TEMPLATE("Cuda attention: along the frames of clips", T, float, double, bfloat16, half) {
    check_attention<T>({.batches = 2 * 5, .heads = 2, .head_size = 8, .queries = 8, .keys = 8, .frames = 8});
    check_attention<T>({.batches = 2 * 2, .heads = 2, .head_size = 8, .queries = 40, .keys = 40, .frames = 40});
    check_attention<T>({.batches = 2 * 3, .heads = 1, .head_size = 5, .queries = 1, .keys = 1, .frames = 1});
    check_attention<T>(
        {.batches = 2 * 3, .heads = 1, .head_size = 5, .queries = 6, .keys = 6, .causal = true, .frames = 6});
}

TEST_CASE_TEMPLATE("Cuda attention: large scores neither overflow nor vanish", T, float, double) {
    check_attention<T>({.batches = 1, .heads = 1, .head_size = 16, .queries = 40, .keys = 200, .spread = 12}, 300);
}

TEST_CASE_TEMPLATE("Cuda attention of 16-bit tensors", T, bfloat16, half) {
    for (const index_t head_size : {1, 40, 64, 80, 160, 200}) {
        check_attention<T>({.batches = 1, .heads = 2, .head_size = head_size, .queries = 35, .keys = 70});
    }
    check_attention<T>({.batches = 2, .heads = 1, .head_size = 40, .queries = 130, .keys = 129});
    check_attention<T>({.batches = 2, .heads = 1, .head_size = 40, .queries = 5, .keys = 7}); // the short way
    check_attention<T>({.batches = 1, .heads = 1, .head_size = 512, .queries = 18, .keys = 18});
}

inline double forward_error(const AttentionCase& s, reel::Float32MatmulPrecision precision) {
    Plain plain;
    const AttentionRun<double, Plain> expected(plain, s);
    reel::generic::attention_forward(plain, expected.p);
    Cuda cuda;
    cuda.float32_matmul_precision = precision;
    const AttentionRun<float, Cuda> found(cuda, s);
    attention_forward(cuda, found.p);
    return near::relative_error(found.out.host(), expected.out.host());
}

TEST_CASE("Cuda attention on tensor cores, factors rounded to bfloat16") {
    const auto check = [](const AttentionCase& s) {
        check_attention<float>(s, 2e-2 / bound<float>, reel::Float32MatmulPrecision::medium);
    };
    for (const index_t head_size : {1, 40, 64, 80, 160}) {
        check({.batches = 1, .heads = 2, .head_size = head_size, .queries = 35, .keys = 70});
    }
    check({.batches = 2, .heads = 1, .head_size = 40, .queries = 130, .keys = 129});
    check({.batches = 1, .heads = 1, .head_size = 8, .queries = 77, .keys = 77, .causal = true});
    check({.batches = 1, .heads = 1, .head_size = 8, .queries = 100, .keys = 20, .causal = true});
    check({.batches = 1, .heads = 1, .head_size = 8, .queries = 20, .keys = 200, .causal = true});
    check({.batches = 6,
           .heads = 2,
           .head_size = 8,
           .queries = 40,
           .keys = 70,
           .key_batches = {0, -1, 0, -1, 0, 1, 3, -1, 3, -1, 3, 4},
           .lists = 2});
    check({.batches = 2 * 2, .heads = 2, .head_size = 8, .queries = 40, .keys = 40, .frames = 40});
    // It is what it says: not float32, and only where asked for.
    const AttentionCase s{.batches = 1, .heads = 1, .head_size = 40, .queries = 40, .keys = 70};
    const auto error = [&](reel::Float32MatmulPrecision precision) { return forward_error(s, precision); };
    CHECK(error(reel::Float32MatmulPrecision::medium) > 1e-4);
    CHECK(error(reel::Float32MatmulPrecision::high) < bound<float>);

    // Maxima that rise tile by tile, far beyond what is let pass: scores of 30 whose error is a bfloat16's.
    const AttentionCase steep{.batches = 1, .heads = 1, .head_size = 4, .queries = 33, .keys = 400, .spread = 3};
    CHECK(forward_error(steep, reel::Float32MatmulPrecision::medium) < 5e-2);
}

TEST_CASE("Cuda attention: gradients one by one, and no log-sum-exp unless asked for") {
    const AttentionCase s{.batches = 2, .heads = 1, .head_size = 8, .queries = 20, .keys = 40};
    Cuda cuda;
    const AttentionRun<float, Cuda> all(cuda, s);
    attention_forward(cuda, all.p);
    attention_backward(cuda, all.p);
    AttentionRun<float, Cuda> without(cuda, s);
    without.p.log_sum_exp = nullptr;
    attention_forward(cuda, without.p);
    CHECK(without.out.host() == all.out.host());
    for (int only = 0; only < 3; ++only) {
        AttentionRun<float, Cuda> one(cuda, s);
        attention_forward(cuda, one.p);
        one.p.q_gradient = only == 0 ? one.p.q_gradient : nullptr;
        one.p.k_gradient = only == 1 ? one.p.k_gradient : nullptr;
        one.p.v_gradient = only == 2 ? one.p.v_gradient : nullptr;
        attention_backward(cuda, one.p);
        const AttentionRun<float, Cuda> untouched(cuda, s);
        const auto same = [](const Array<float, Cuda>& gradient, const Array<float, Cuda>& wanted) {
            CHECK(near::relative_error(gradient.host(), wanted.host()) == 0);
        };
        same(one.q_gradient, only == 0 ? all.q_gradient : untouched.q_gradient);
        same(one.k_gradient, only == 1 ? all.k_gradient : untouched.k_gradient);
        same(one.v_gradient, only == 2 ? all.v_gradient : untouched.v_gradient);
    }
}

} // namespace cuda_test
