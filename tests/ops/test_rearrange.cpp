#include <numeric>

#include <doctest/doctest.h>

#include <reel/ops/rearrange.hpp>
#include <reel/ops/resample.hpp>

#include "ops/support.hpp"

using namespace reel;

namespace {

template <class B>
Tensor<float, B> counting(B& backend, const Shape& shape) {
    std::vector<float> values(static_cast<std::size_t>(shape.size()));
    std::iota(values.begin(), values.end(), 0.0F);
    return Tensor<float, B>::from_host(backend, shape, std::span<const float>(values));
}

} // namespace

TEST_CASE_TEMPLATE("permute", B, Cpu, Plain) {
    B backend;
    const auto x = counting(backend, {2, 3});
    CHECK(permute(x, {1, 0}).shape() == Shape{3, 2});
    CHECK(permute(x, {1, 0}).to_host() == std::vector<float>{0, 3, 1, 4, 2, 5});

    const auto y = counting(backend, {2, 3, 4, 5});
    const auto z = permute(y, {2, 0, 3, 1});
    CHECK(z.shape() == Shape{4, 2, 5, 3});
    const auto values = z.to_host();
    for (int a = 0; a < 4; ++a) {
        for (int b = 0; b < 2; ++b) {
            for (int c = 0; c < 5; ++c) {
                for (int d = 0; d < 3; ++d) {
                    const auto at = static_cast<std::size_t>(((a * 2 + b) * 5 + c) * 3 + d);
                    REQUIRE(values[at] == static_cast<float>(((b * 3 + d) * 4 + a) * 5 + c));
                }
            }
        }
    }
    CHECK(permute(counting(backend, {1, 1, 2, 1, 1, 2}), {5, 0, 1, 2, 3, 4}).to_host() ==
          std::vector<float>{0, 2, 1, 3});
    CHECK(permute(counting(backend, {}), std::span<const int>()).to_host() == std::vector<float>{0});
    CHECK_THROWS_WITH_AS(static_cast<void>(permute(x, {0, 0})), doctest::Contains("permute: axis 0"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(permute(x, {0, 2})), doctest::Contains("for [2, 3]"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(permute(x, {0})), "permute: 1 axes for [2, 3]", Error);
}

TEST_CASE_TEMPLATE("slice, place and concat along channels", B, Cpu, Plain) {
    B backend;
    const auto x = counting(backend, {2, 4});
    CHECK(slice_channels(x, 1, 3).to_host() == std::vector<float>{1, 2, 5, 6});
    CHECK(slice_channels(x, 2, 2).size() == 0);
    CHECK(place_channels(slice_channels(x, 1, 3), 4, 1, 3).to_host() == std::vector<float>{0, 1, 2, 0, 0, 5, 6, 0});
    const auto joined = concat_channels(slice_channels(x, 3, 4), x);
    CHECK(joined.shape() == Shape{2, 5});
    CHECK(joined.to_host() == std::vector<float>{3, 0, 1, 2, 3, 7, 4, 5, 6, 7});
    CHECK(concat_channels(x, slice_channels(x, 0, 0)).to_host() == x.to_host());

    CHECK_THROWS_WITH_AS(static_cast<void>(slice_channels(x, 3, 5)), "slice_channels: 3 to 5 of [2, 4]", Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(place_channels(x, 5, 2, 6)), doctest::Contains("place_channels: [2, 4]"),
                         Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(concat_channels(x, x.slice(0, 1))),
                         "concat_channels: [2, 4] and [1, 4] differ before the last axis", Error);
    CHECK_THROWS_AS(static_cast<void>(concat_channels(x, x.reshape({1, 2, 4}))), Error);
}

TEST_CASE_TEMPLATE("concat_rows", B, Cpu, Plain) {
    B backend;
    const auto x = counting(backend, {2, 2});
    const auto y = counting(backend, {1, 2});
    const auto z = concat_rows({x, y, x});
    CHECK(z.shape() == Shape{5, 2});
    CHECK(z.to_host() == std::vector<float>{0, 1, 2, 3, 0, 1, 0, 1, 2, 3});
    CHECK_THROWS_WITH_AS(static_cast<void>(concat_rows({x, counting(backend, {2, 3})})),
                         doctest::Contains("concat_rows: [2, 3] and [2, 2]"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(concat_rows(std::span<const Tensor<float, B>>())),
                         "concat_rows: nothing to join", Error);
}

TEST_CASE_TEMPLATE("embedding and its gradient, rows repeated", B, Cpu, Plain) {
    B backend;
    const auto table = counting(backend, {4, 3});
    const std::vector<std::int32_t> rows{2, 0, 2};
    const std::span<const std::int32_t> view(rows);
    const auto y = embedding(table, view);
    CHECK(y.shape() == Shape{3, 3});
    CHECK(y.to_host() == std::vector<float>{6, 7, 8, 0, 1, 2, 6, 7, 8});
    CHECK(embedding_gradient(table.shape(), view, y).to_host() ==
          std::vector<float>{0, 1, 2, 0, 0, 0, 12, 14, 16, 0, 0, 0});
    for (const std::int32_t bad : {-1, 4}) {
        const std::vector<std::int32_t> wrong{0, bad};
        CHECK_THROWS_WITH_AS(static_cast<void>(embedding(table, std::span<const std::int32_t>(wrong))),
                             doctest::Contains("in a table of 4 rows"), Error);
    }
    CHECK_THROWS_WITH_AS(static_cast<void>(embedding(table.reshape({12}), view)), doctest::Contains("got [12]"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(embedding_gradient(table.shape(), view, y.slice(0, 2))),
                         doctest::Contains("[2, 3]"), Error);
}

TEST_CASE_TEMPLATE("upsample_nearest: doubled, and to odd sizes", B, Cpu, Plain) {
    B backend;
    const auto x = counting(backend, {1, 2, 2, 1});
    CHECK(upsample_nearest(x, 4, 4).to_host() == std::vector<float>{0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3});
    CHECK(upsample_nearest(x, 2, 3).to_host() == std::vector<float>{0, 0, 1, 2, 2, 3});
    CHECK(upsample_nearest(x, 2, 2).to_host() == x.to_host());
    const auto y = counting(backend, {2, 3, 3, 4});
    const auto odd = upsample_nearest(y, 5, 7);
    CHECK(odd.shape() == Shape{2, 5, 7, 4});
    const auto values = odd.to_host();
    for (index_t n = 0; n < 2; ++n) {
        for (index_t i = 0; i < 5; ++i) {
            for (index_t j = 0; j < 7; ++j) {
                const auto from = ((n * 3 + static_cast<index_t>(std::floor(static_cast<double>(i) * 3 / 5))) * 3 +
                                   static_cast<index_t>(std::floor(static_cast<double>(j) * 3 / 7))) *
                                      4 +
                                  1;
                REQUIRE(values[static_cast<std::size_t>(((n * 5 + i) * 7 + j) * 4 + 1)] == static_cast<float>(from));
            }
        }
    }
    CHECK_THROWS_WITH_AS(static_cast<void>(upsample_nearest(x, 1, 4)),
                         doctest::Contains("upsample_nearest: [1, 2, 2, 1] to 1 x 4"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(upsample_nearest(counting(backend, {1, 0, 2, 1}), 2, 2)),
                         doctest::Contains("upsample_nearest: [1, 0, 2, 1]"), Error);
}

TEST_CASE_TEMPLATE("upsample_nearest's gradient is its adjoint", B, Cpu, Plain) {
    B backend;
    for (const auto& [height, width] : {std::pair{6, 8}, std::pair{5, 7}, std::pair{3, 4}, std::pair{11, 4}}) {
        const auto x = near::tensor(backend, {2, 3, 4, 3}, 1);
        const auto g = near::tensor(backend, {2, height, width, 3}, 2);
        CHECK(near::dot(upsample_nearest(x, height, width), g) ==
              doctest::Approx(near::dot(x, upsample_nearest_gradient(g, x.shape()))).epsilon(1e-13));
    }
    const auto g = near::tensor(backend, {1, 6, 8, 3}, 2);
    CHECK_THROWS_WITH_AS(static_cast<void>(upsample_nearest_gradient(g, {2, 3, 4, 3})),
                         doctest::Contains("[1, 6, 8, 3]"), Error);
}
