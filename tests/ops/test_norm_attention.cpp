#include <doctest/doctest.h>

#include <reel/ops/attention.hpp>
#include <reel/ops/norm.hpp>

#include "ops/support.hpp"

using namespace reel;

TEST_CASE_TEMPLATE("group norm equals its definition", B, Cpu, Plain) {
    B backend;
    const NormOptions options{.sets = 2, .groups = 3, .epsilon = 1e-3, .silu = true};
    const auto x = near::tensor(backend, {2, 5, 7, 6}, 1, 2);
    const auto gamma = near::tensor(backend, {6}, 2);
    const auto beta = near::tensor(backend, {6}, 3);
    const auto result = norm(x, gamma, beta, options, true);
    const auto in = x.to_host();
    const auto weight = gamma.to_host();
    const auto shift = beta.to_host();
    std::vector<double> expected(in.size());
    for (std::size_t set = 0; set < 2; ++set) {
        for (std::size_t group = 0; group < 3; ++group) {
            double mean = 0;
            double square = 0;
            for (std::size_t row = 0; row < 35; ++row) {
                for (std::size_t c = 2 * group; c < 2 * group + 2; ++c) {
                    const double value = in[(set * 35 + row) * 6 + c];
                    mean += value / 70;
                    square += value * value / 70;
                }
            }
            const double inverse = 1 / std::sqrt(square - mean * mean + 1e-3);
            CHECK(result.mean.to_host()[set * 3 + group] == doctest::Approx(mean).epsilon(1e-12));
            CHECK(result.inverse_std.to_host()[set * 3 + group] == doctest::Approx(inverse).epsilon(1e-12));
            for (std::size_t row = 0; row < 35; ++row) {
                for (std::size_t c = 2 * group; c < 2 * group + 2; ++c) {
                    const std::size_t i = (set * 35 + row) * 6 + c;
                    const double value = (in[i] - mean) * inverse * weight[c] + shift[c];
                    expected[i] = value / (1 + std::exp(-value));
                }
            }
        }
    }
    CHECK(result.y.shape() == x.shape());
    CHECK(near::relative_error(result.y.to_host(), expected) < 1e-13);
    CHECK(near::relative_error(group_norm(x, gamma, beta, options).to_host(), expected) < 1e-13);
    CHECK_FALSE(norm(x, gamma, beta, options).mean.defined());
}

TEST_CASE_TEMPLATE("layer norm is one set per row; rows become mean 0 and variance 1", B, Cpu, Plain) {
    B backend;
    const auto x = near::tensor(backend, {3, 4, 50}, 1, 5);
    const auto y = group_norm(x, {}, {}, {.sets = 12, .epsilon = 0}).to_host();
    for (std::size_t row = 0; row < 12; ++row) {
        double mean = 0;
        double square = 0;
        for (std::size_t c = 0; c < 50; ++c) {
            mean += y[row * 50 + c] / 50;
            square += y[row * 50 + c] * y[row * 50 + c] / 50;
        }
        CHECK(std::abs(mean) < 1e-14);
        CHECK(std::abs(square - 1) < 1e-13);
    }
}

TEST_CASE("norm: gradients only where asked, errors name the numbers") {
    Cpu backend(1);
    const auto x = near::tensor(backend, {4, 6}, 1);
    const auto gamma = near::tensor(backend, {6}, 2);
    const Tensor<double> none;
    const NormOptions options{.sets = 2, .groups = 2};
    const auto r = norm(x, gamma, none, options, true);
    const auto gradients = norm_gradients({x, gamma, none}, options, {r.mean, r.inverse_std}, x, {.gamma = true});
    CHECK_FALSE(gradients.x.defined());
    CHECK(gradients.gamma.shape() == Shape{6});
    CHECK_FALSE(gradients.beta.defined());

    CHECK_THROWS_WITH_AS(static_cast<void>(norm(x, gamma, none, {.groups = 4})),
                         doctest::Contains("norm: 6 channels in 4 groups"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(norm(x, gamma, none, {.sets = 3})),
                         doctest::Contains("norm: 4 rows in 3 sets"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(norm(x, near::tensor(backend, {5}, 1), none, {})),
                         doctest::Contains("norm: weight [5]"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(norm_gradients({x, gamma, none}, options, {r.mean, r.inverse_std},
                                                          x.slice(0, 2), {.x = true, .gamma = true})),
                         doctest::Contains("[2, 6]"), Error);
}

namespace {

/// softmax(q k^T / sqrt(d)) v with the whole score row in memory; rows(n) lists the key rows that query n sees.
template <class Rows>
std::vector<double> naive_attention(const std::vector<double>& q, const std::vector<double>& k,
                                    const std::vector<double>& v, std::size_t query_rows, std::size_t heads,
                                    std::size_t size, const Rows& rows) {
    std::vector<double> out(q.size(), 0.0);
    const std::size_t channels = heads * size;
    for (std::size_t n = 0; n < query_rows; ++n) {
        for (std::size_t head = 0; head < heads; ++head) {
            const std::vector<std::size_t> seen = rows(n);
            std::vector<double> weights;
            double sum = 0;
            for (const std::size_t row : seen) {
                double score = 0;
                for (std::size_t c = head * size; c < (head + 1) * size; ++c) {
                    score += q[n * channels + c] * k[row * channels + c];
                }
                weights.push_back(std::exp(score / std::sqrt(static_cast<double>(size))));
                sum += weights.back();
            }
            for (std::size_t i = 0; i < seen.size(); ++i) {
                for (std::size_t c = head * size; c < (head + 1) * size; ++c) {
                    out[n * channels + c] += weights[i] / sum * v[seen[i] * channels + c];
                }
            }
        }
    }
    return out;
}

} // namespace

TEST_CASE("key lists of sparse-causal and text attention") {
    CHECK(sparse_causal_keys(2, 3) == std::vector<std::int32_t>{0, -1, 0, -1, 0, 1, 3, -1, 3, -1, 3, 4});
    CHECK(sparse_causal_keys(1, 1) == std::vector<std::int32_t>{0, -1});
    CHECK(shared_keys(2, 3) == std::vector<std::int32_t>{0, 0, 0, 1, 1, 1});
}

TEST_CASE_TEMPLATE("attention: own keys, causal or not", B, Cpu, Plain) {
    B backend;
    const auto q = near::tensor(backend, {3, 5, 8}, 1);
    const auto k = near::tensor(backend, {3, 5, 8}, 2);
    const auto v = near::tensor(backend, {3, 5, 8}, 3);
    for (const bool causal : {false, true}) {
        const auto out = scaled_dot_product_attention(q, k, v, {.heads = 2, .causal = causal});
        const auto expected = naive_attention(q.to_host(), k.to_host(), v.to_host(), 15, 2, 4, [causal](std::size_t n) {
            std::vector<std::size_t> rows;
            for (std::size_t i = 0; i < (causal ? n % 5 + 1 : 5); ++i) {
                rows.push_back(n / 5 * 5 + i);
            }
            return rows;
        });
        CHECK(out.shape() == q.shape());
        CHECK(near::relative_error(out.to_host(), expected) < 1e-14);
    }
}

TEST_CASE_TEMPLATE("attention: sparse-causal equals concatenated keys of the first and former frame", B, Cpu, Plain) {
    B backend;
    const auto q = near::tensor(backend, {6, 4, 6}, 1);
    const auto k = near::tensor(backend, {6, 4, 6}, 2);
    const auto v = near::tensor(backend, {6, 4, 6}, 3);
    AttentionOptions options{.heads = 3};
    options.key_batches = sparse_causal_keys(2, 3);
    options.lists = 2;
    const auto out = scaled_dot_product_attention(q, k, v, options);
    const auto expected = naive_attention(q.to_host(), k.to_host(), v.to_host(), 24, 3, 2, [](std::size_t n) {
        // As the reference does it: always two frames, the first twice for frames 0 and 1.
        const std::size_t clip = n / 12;
        const std::size_t frame = n / 4 % 3;
        std::vector<std::size_t> rows;
        for (const std::size_t from : {std::size_t{0}, frame == 0 ? 0 : frame - 1}) {
            for (std::size_t i = 0; i < 4; ++i) {
                rows.push_back((clip * 3 + from) * 4 + i);
            }
        }
        return rows;
    });
    CHECK(near::relative_error(out.to_host(), expected) < 1e-14);
}

TEST_CASE_TEMPLATE("attention: shared text keys, and along frames", B, Cpu, Plain) {
    B backend;
    const auto q = near::tensor(backend, {6, 4, 6}, 1);
    const auto text_k = near::tensor(backend, {2, 7, 6}, 2);
    const auto text_v = near::tensor(backend, {2, 7, 6}, 3);
    AttentionOptions options{.heads = 2};
    options.key_batches = shared_keys(2, 3);
    const auto out = scaled_dot_product_attention(q, text_k, text_v, options);
    const auto expected = naive_attention(q.to_host(), text_k.to_host(), text_v.to_host(), 24, 2, 3, [](std::size_t n) {
        std::vector<std::size_t> rows;
        for (std::size_t i = 0; i < 7; ++i) {
            rows.push_back(n / 12 * 7 + i);
        }
        return rows;
    });
    CHECK(near::relative_error(out.to_host(), expected) < 1e-14);

    const auto k = near::tensor(backend, {6, 4, 6}, 2);
    const auto v = near::tensor(backend, {6, 4, 6}, 3);
    const auto over_time = scaled_dot_product_attention(q, k, v, {.heads = 2, .frames = 3});
    const auto expected_over_time = naive_attention(q.to_host(), k.to_host(), v.to_host(), 24, 2, 3, [](std::size_t n) {
        const std::size_t clip = n / 12;
        return std::vector<std::size_t>{clip * 12 + n % 4, clip * 12 + 4 + n % 4, clip * 12 + 8 + n % 4};
    });
    CHECK(near::relative_error(over_time.to_host(), expected_over_time) < 1e-14);
}

TEST_CASE("attention: errors name the numbers") {
    Cpu backend(1);
    const auto q = near::tensor(backend, {4, 5, 6}, 1);
    const auto k = near::tensor(backend, {2, 5, 6}, 1);
    const auto run = [&](const Tensor<double>& keys, const AttentionOptions& options) {
        static_cast<void>(scaled_dot_product_attention(q, keys, keys, options));
    };
    CHECK_THROWS_WITH_AS(run(q, {.heads = 4}), doctest::Contains("attention: 6 channels in 4 heads"), Error);
    CHECK_THROWS_WITH_AS(run(k, {}), doctest::Contains("4 query batches and 2 key batches"), Error);
    CHECK_THROWS_WITH_AS(run(k, {.key_batches = {0, 1}}), doctest::Contains("2 key batch indices for 4"), Error);
    CHECK_THROWS_WITH_AS(run(k, {.key_batches = {0, 1, 2, 0}}), doctest::Contains("key batch 2 of 2"), Error);
    CHECK_THROWS_WITH_AS(run(k, {.key_batches = {0, 1, -1, 0}}), doctest::Contains("key batch -1 of 2"), Error);
    CHECK_THROWS_WITH_AS(run(near::tensor(backend, {4, 5, 8}, 1), {}), doctest::Contains("[4, 5, 8]"), Error);
    CHECK_THROWS_WITH_AS(run(q, {.frames = 3}), doctest::Contains("4 pictures in clips of 3"), Error);
    CHECK_THROWS_WITH_AS(run(k, {.frames = 2}), doctest::Contains("attention along frames"), Error);
    CHECK_THROWS_WITH_AS(run(near::tensor(backend, {4, 0, 6}, 1), {}), doctest::Contains("[4, 0, 6]"), Error);
}
