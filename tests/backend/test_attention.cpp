#include <doctest/doctest.h>

#include <reel/backend/cpu/attention.hpp>
#include <reel/backend/generic/attention.hpp>

#include "backend/compare.hpp"
#include "backend/plain_backend.hpp"

using namespace reel;

namespace {

struct Case {
    index_t batches;
    index_t heads;
    index_t head_size;
    index_t queries;
    index_t keys;
    bool causal = false;
    std::vector<std::int32_t> key_batches = {}; ///< with `lists` per query batch; empty: each its own
    index_t lists = 1;
    index_t frames = 0; ///< along the frames of clips: batches are tokens, queries and keys are frames
    double spread = 1;
};

template <class T>
struct Problem {
    std::vector<T> q, k, v, out, normaliser, out_gradient, q_gradient, k_gradient, v_gradient;
    AttentionProblem<T> p;

    explicit Problem(const Case& s) {
        const index_t channels = s.heads * s.head_size;
        index_t key_batches = s.batches;
        if (!s.key_batches.empty()) {
            key_batches = 1 + *std::max_element(s.key_batches.begin(), s.key_batches.end());
        }
        q = near::as<T>(near::randoms(s.batches * s.queries * channels, 1, s.spread));
        k = near::as<T>(near::randoms(key_batches * s.keys * channels, 2, s.spread));
        v = near::as<T>(near::randoms(key_batches * s.keys * channels, 3));
        out_gradient = near::as<T>(near::randoms(s.batches * s.queries * channels, 4));
        out.assign(q.size(), std::numeric_limits<T>::quiet_NaN());
        q_gradient.assign(q.size(), std::numeric_limits<T>::quiet_NaN());
        k_gradient.assign(k.size(), T(0));
        v_gradient.assign(k.size(), T(0));
        normaliser.resize(static_cast<std::size_t>(s.batches * s.heads * s.queries));
        p.batches = s.batches;
        p.heads = s.heads;
        p.head_size = s.head_size;
        p.queries = s.queries;
        p.keys = s.keys;
        p.key_batch_count = key_batches;
        p.lists = s.lists;
        p.key_batches = s.key_batches.empty() ? nullptr : s.key_batches.data();
        p.causal = s.causal;
        p.scale = static_cast<T>(1 / std::sqrt(static_cast<double>(s.head_size)));
        p.query_layout = {1, s.queries * channels, 0, channels};
        p.key_layout = {1, s.keys * channels, 0, channels};
        if (s.frames > 0) { // batches = clips * tokens; two clips
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

template <class T>
void check(const Case& s, double factor = 1) {
    const double bound = near::bound<T> * factor;
    Plain plain;
    Problem<double> reference(s);
    generic::attention_forward(plain, reference.p);
    generic::attention_backward(plain, reference.p);
    for (const int threads : {1, 2}) {
        Cpu cpu(threads);
        Problem<T> tested(s);
        attention_forward(cpu, tested.p);
        CAPTURE(threads);
        CAPTURE(s.queries);
        CAPTURE(s.keys);
        CAPTURE(s.head_size);
        CHECK(near::relative_error(tested.out, reference.out) < bound);
        CHECK(near::relative_error(tested.normaliser, reference.normaliser) < bound);
        attention_backward(cpu, tested.p);
        CHECK(near::relative_error(tested.q_gradient, reference.q_gradient) < bound);
        CHECK(near::relative_error(tested.k_gradient, reference.k_gradient) < bound);
        CHECK(near::relative_error(tested.v_gradient, reference.v_gradient) < bound);

        // Each gradient alone; no log-sum-exp asked for.
        Problem<T> some(s);
        some.p.log_sum_exp = nullptr;
        attention_forward(cpu, some.p);
        CHECK(near::relative_error(some.out, tested.out) < bound);
        for (int only = 0; only < 3; ++only) {
            Problem<T> one(s);
            one.out = tested.out;
            one.normaliser = tested.normaliser;
            one.p.out = one.out.data();
            one.p.log_sum_exp = one.normaliser.data();
            one.p.q_gradient = only == 0 ? one.q_gradient.data() : nullptr;
            one.p.k_gradient = only == 1 ? one.k_gradient.data() : nullptr;
            one.p.v_gradient = only == 2 ? one.v_gradient.data() : nullptr;
            attention_backward(cpu, one.p);
            const auto& gradient = only == 0 ? one.q_gradient : only == 1 ? one.k_gradient : one.v_gradient;
            const auto& expected = only == 0   ? reference.q_gradient
                                   : only == 1 ? reference.k_gradient
                                               : reference.v_gradient;
            CHECK(near::relative_error(gradient, expected) < bound);
        }
        CHECK(cpu.memory().statistics().in_use == 0);
    }
}

} // namespace

TEST_CASE("generic attention against numbers worked by hand") {
    Plain plain;
    // Two keys whose scores differ by log 3: weights 1/4 and 3/4.
    const std::vector<double> q{1};
    const std::vector<double> k{0, std::log(3.0)};
    const std::vector<double> v{8, 4};
    double out = 0;
    double normaliser = 0;
    const double out_gradient = 1;
    double q_gradient = 0;
    std::vector<double> k_gradient(2, 0.0);
    std::vector<double> v_gradient(2, 0.0);
    AttentionProblem<double> p;
    p.batches = 1;
    p.head_size = 1;
    p.queries = 1;
    p.keys = 2;
    p.key_batch_count = 1;
    p.query_layout = {1, 1, 0, 1};
    p.key_layout = {1, 2, 0, 1};
    p.q = q.data();
    p.k = k.data();
    p.v = v.data();
    p.out = &out;
    p.log_sum_exp = &normaliser;
    p.out_gradient = &out_gradient;
    p.q_gradient = &q_gradient;
    p.k_gradient = k_gradient.data();
    p.v_gradient = v_gradient.data();
    generic::attention_forward(plain, p);
    CHECK(std::abs(out - 5) < 1e-14);
    CHECK(std::abs(normaliser - std::log(4.0)) < 1e-15);
    generic::attention_backward(plain, p);
    CHECK(near::relative_error(v_gradient, std::vector<double>{0.25, 0.75}) < 1e-15);
    // d out / d score = weight * (v - out): 0.25 * 3 and 0.75 * -1
    CHECK(near::relative_error(k_gradient, std::vector<double>{0.75, -0.75}) < 1e-14);
    CHECK(std::abs(q_gradient - -0.75 * std::log(3.0)) < 1e-14);
}

TEST_CASE_TEMPLATE("Cpu attention: heads and head sizes", T, float, double) {
    for (const index_t head_size : {1, 8, 40, 64}) {
        check<T>({.batches = 2, .heads = 3, .head_size = head_size, .queries = 35, .keys = 40});
        check<T>({.batches = 2, .heads = 3, .head_size = head_size, .queries = 5, .keys = 7}); // the short way
    }
}

TEST_CASE_TEMPLATE("Cpu attention: more queries and keys than a tile", T, float, double) {
    check<T>({.batches = 1, .heads = 2, .head_size = 8, .queries = 300, .keys = 40});
    check<T>({.batches = 1, .heads = 1, .head_size = 8, .queries = 40, .keys = 1100});
    check<T>({.batches = 2, .heads = 1, .head_size = 4, .queries = 129, .keys = 513});
    check<T>({.batches = 1, .heads = 1, .head_size = 4, .queries = 1, .keys = 600});
}

TEST_CASE_TEMPLATE("Cpu attention: causal", T, float, double) {
    check<T>({.batches = 2, .heads = 2, .head_size = 8, .queries = 77, .keys = 77, .causal = true});
    check<T>({.batches = 1, .heads = 1, .head_size = 4, .queries = 600, .keys = 600, .causal = true});
    check<T>({.batches = 2, .heads = 2, .head_size = 8, .queries = 9, .keys = 9, .causal = true});
    check<T>({.batches = 1, .heads = 1, .head_size = 8, .queries = 50, .keys = 20, .causal = true});
    check<T>({.batches = 1, .heads = 1, .head_size = 8, .queries = 20, .keys = 50, .causal = true});
}

TEST_CASE_TEMPLATE("Cpu attention: key lists, as of sparse-causal and of text attention", T, float, double) {
    // Two clips of three frames: the first and the former frame.
    const std::vector<std::int32_t> sparse{0, -1, 0, -1, 0, 1, 3, -1, 3, -1, 3, 4};
    check<T>({.batches = 6, .heads = 2, .head_size = 8, .queries = 20, .keys = 20, .key_batches = sparse, .lists = 2});
    check<T>(
        {.batches = 6, .heads = 1, .head_size = 8, .queries = 140, .keys = 530, .key_batches = sparse, .lists = 2});
    // One text per clip, seen by all its frames.
    check<T>({.batches = 6, .heads = 2, .head_size = 8, .queries = 20, .keys = 77, .key_batches = {0, 0, 0, 1, 1, 1}});
    check<T>({.batches = 3, .heads = 1, .head_size = 8, .queries = 6, .keys = 6, .key_batches = {2, 2, 1}});
    // The same key batch twice, and three lists with a gap.
    check<T>({.batches = 2,
              .heads = 1,
              .head_size = 8,
              .queries = 40,
              .keys = 9,
              .key_batches = {1, 1, -1, 0, -1, 1},
              .lists = 3});
    check<T>({.batches = 2,
              .heads = 1,
              .head_size = 8,
              .queries = 40,
              .keys = 40,
              .causal = true,
              .key_batches = {0, 1, 1, -1},
              .lists = 2});
}

TEST_CASE_TEMPLATE("Cpu attention: along the frames of clips", T, float, double) {
    check<T>({.batches = 2 * 15, .heads = 2, .head_size = 8, .queries = 8, .keys = 8, .frames = 8});
    check<T>({.batches = 2 * 3, .heads = 2, .head_size = 8, .queries = 40, .keys = 40, .frames = 40});
    check<T>({.batches = 2 * 3, .heads = 1, .head_size = 5, .queries = 1, .keys = 1, .frames = 1});
    check<T>({.batches = 2 * 3, .heads = 1, .head_size = 5, .queries = 6, .keys = 6, .causal = true, .frames = 6});
}

TEST_CASE_TEMPLATE("Cpu attention: large scores neither overflow nor vanish", T, float, double) {
    // Scores of several hundred: exp of them alone would overflow a float. They lose digits in proportion.
    check<T>({.batches = 1, .heads = 1, .head_size = 16, .queries = 40, .keys = 600, .spread = 12}, 300);
    check<T>({.batches = 1, .heads = 1, .head_size = 16, .queries = 10, .keys = 20, .spread = 12}, 300);
}

TEST_CASE_TEMPLATE("Cpu attention: the same bits every time, whichever thread does what", T, float, double) {
    Cpu cpu(2);
    for (const Case& s : {Case{.batches = 64, .heads = 2, .head_size = 8, .queries = 8, .keys = 8},
                          Case{.batches = 4, .heads = 2, .head_size = 8, .queries = 40, .keys = 70}}) {
        Problem<T> problem(s);
        attention_forward(cpu, problem.p);
        attention_backward(cpu, problem.p);
        const auto out = problem.out;
        const auto q_gradient = problem.q_gradient;
        for (int again = 0; again < 30; ++again) {
            attention_forward(cpu, problem.p);
            attention_backward(cpu, problem.p);
            REQUIRE(problem.out == out);
            REQUIRE(problem.q_gradient == q_gradient);
        }
    }
}
