#include <cmath>
#include <set>
#include <vector>

#include <doctest/doctest.h>

#include <reel/backend/cpu/cpu.hpp>
#include <reel/core/random.hpp>
#include <reel/tensor.hpp>

#include "random_golden.hpp"

using namespace reel;

namespace {

template <class T, std::size_t N>
std::vector<T> golden(const T (&values)[N]) {
    return {values, values + N};
}

template <class T>
double largest_difference(const std::vector<T>& a, const std::vector<T>& b) {
    REQUIRE(a.size() == b.size());
    double largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        largest = std::max(largest, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    }
    return largest;
}

template <class T>
std::vector<T> randn(TorchCpuGenerator& random, std::size_t count) {
    std::vector<T> values(count);
    random.randn(std::span<T>(values));
    return values;
}

template <class T>
std::vector<T> rand(TorchCpuGenerator& random, std::size_t count) {
    std::vector<T> values(count);
    random.rand(std::span<T>(values));
    return values;
}

} // namespace

TEST_CASE("Philox: the published known answers of Philox4x32-10") {
    // Random123's kat_vectors: counter, key, result.
    using Words = std::array<std::uint32_t, 4>;
    CHECK(Philox(0, 0).block(0) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    CHECK(Philox(~0ULL, ~0ULL).block(~0ULL) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    CHECK(Philox(0x299f31d0a4093822ULL, 0x0370734413198a2eULL).block(0x85a308d3243f6a88ULL) ==
          Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("Philox: a normal is the Box-Muller formula of its two words") {
    const Philox random(33, 5);
    double worst = 0;
    for (std::uint64_t i = 0; i < 20000; ++i) {
        const auto words = random.block(i / 4);
        const std::size_t pair = i % 4 / 2 * 2;
        const double u = (words[pair] + 0.5) * 0x1p-32;
        const double angle = 6.28318530717958647693 * (words[pair + 1] * 0x1p-32);
        const double expected = std::sqrt(-2 * std::log(u)) * (i % 2 == 0 ? std::cos(angle) : std::sin(angle));
        worst = std::max(worst, std::abs(random.normal(i) - expected));
    }
    CHECK(worst < 4e-15); // of which the reference's rounded angle is the larger part
}

TEST_CASE("Philox: normals have the moments and tails of a normal distribution") {
    const Philox random(1, 2);
    const int count = 400000;
    double sum = 0;
    double squares = 0;
    double fourths = 0;
    double neighbours = 0;
    int beyond_two = 0;
    double last = 0;
    for (int i = 0; i < count; ++i) {
        const double x = random.normal(static_cast<std::uint64_t>(i));
        sum += x;
        squares += x * x;
        fourths += x * x * x * x;
        neighbours += x * last;
        beyond_two += std::abs(x) > 2 ? 1 : 0;
        last = x;
    }
    // Five standard errors each.
    const double error = 5 / std::sqrt(static_cast<double>(count));
    CHECK(std::abs(sum / count) < error);
    CHECK(std::abs(squares / count - 1) < std::sqrt(2.0) * error);
    CHECK(std::abs(fourths / count - 3) < std::sqrt(96.0) * error);
    CHECK(std::abs(neighbours / count) < error);
    CHECK(std::abs(static_cast<double>(beyond_two) / count - 0.0455003) < std::sqrt(0.0455 * 0.9545) * error);
}

TEST_CASE("Philox: seeds, streams and indices give different numbers; the same give the same") {
    std::set<std::uint32_t> seen;
    for (const std::uint64_t seed : {0ULL, 1ULL, 1ULL << 32}) {
        for (const std::uint64_t stream : {0ULL, 1ULL, 1ULL << 32}) {
            for (const std::uint64_t index : {0ULL, 1ULL, 4ULL, 1ULL << 34}) {
                seen.insert(Philox(seed, stream).bits(index));
            }
        }
    }
    CHECK(seen.size() == 36);
    CHECK(Philox(3, 4).normal(17) == Philox(3, 4).normal(17));
    for (std::uint64_t i = 0; i < 1000; ++i) {
        CHECK(Philox(9).uniform(i) >= 0);
        CHECK(Philox(9).uniform(i) < 1);
        CHECK(Philox(9).below(i, 7) < 7);
    }
}

TEST_CASE("Philox: pinned bits, which no backend, compiler or release may change") {
    const Philox random(33, 1);
    CHECK(random.normal(0) == -0x1.edb81f3bb1f5bp-2);
    CHECK(random.normal(1) == 0x1.456778084f53dp-1);
    CHECK(random.normal(2) == -0x1.fc128af91277dp-2);
    CHECK(random.normal(1000003) == 0x1.e3a2ba2aece83p+0);
}

TEST_CASE("fill_normal and fill_uniform do not depend on the number of threads") {
    Cpu one(1);
    Cpu two(2);
    const Tensor<float> a(one, {5, 1001});
    const Tensor<float> b(two, {5, 1001});
    fill_normal(one, a, 7, 3);
    fill_normal(two, b, 7, 3);
    CHECK(a.to_host() == b.to_host());
    CHECK(a.to_host()[4321] == static_cast<float>(Philox(7, 3).normal(4321)));
    fill_normal(two, b, 7, 4);
    CHECK(a.to_host() != b.to_host());

    const Tensor<double> d(one, {3});
    fill_normal(one, d, 7, 3);
    CHECK(d.to_host()[2] == Philox(7, 3).normal(2));
    const Tensor<bfloat16> small(one, {3});
    fill_normal(one, small, 7, 3);
    CHECK(small.to_host()[2].bits == bfloat16(static_cast<float>(Philox(7, 3).normal(2))).bits);

    fill_uniform(one, a, 7, 3);
    fill_uniform(two, b, 7, 3);
    CHECK(a.to_host() == b.to_host());
    double sum = 0;
    for (const float x : a.to_host()) {
        REQUIRE(x >= 0);
        REQUIRE(x < 1);
        sum += static_cast<double>(x);
    }
    CHECK(std::abs(sum / 5005 - 0.5) < 5 * 0.2887 / std::sqrt(5005.0));
}

TEST_CASE("TorchCpuGenerator: rand and randint repeat PyTorch exactly") {
    using namespace torch_golden;
    TorchCpuGenerator random(33);
    CHECK(rand<float>(random, 9) == golden(rand_float));
    random.manual_seed(33);
    CHECK(rand<double>(random, 9) == golden(rand_double));
    random.manual_seed(33);
    for (const std::int64_t expected : randint_thousand) {
        CHECK(random.randint(0, 1000) == expected);
    }
    const auto check = [&random](std::int64_t low, std::int64_t high, const std::vector<std::int64_t>& expected) {
        random.manual_seed(7);
        std::vector<std::int64_t> values(expected.size());
        random.randint(low, high, values);
        CHECK(values == expected);
    };
    check(-5, (1 << 28) - 6, golden(randint_below_2_28));
    check(-5, (1 << 28) - 5, golden(randint_from_2_28));
    check(std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max(), golden(randint_wide));
    CHECK_THROWS_WITH_AS(static_cast<void>(random.randint(3, 3)), doctest::Contains("randint: from 3 to 3"), Error);
}

TEST_CASE("TorchCpuGenerator: randn repeats PyTorch") {
    using namespace torch_golden;
    TorchCpuGenerator random(33);
    std::vector<float> small = randn<float>(random, 3);
    for (const std::size_t count : {15, 2}) {
        const auto more = randn<float>(random, count);
        small.insert(small.end(), more.begin(), more.end());
    }
    CHECK(small == golden(randn_small_float)); // in double, rounded once: equal
    random.manual_seed(1);
    CHECK(largest_difference(randn<double>(random, 5), golden(randn_small_double)) < 1e-15);
    random.manual_seed(33);
    CHECK(largest_difference(randn<float>(random, 16), golden(randn_16_float)) < 1e-6);
    random.manual_seed(0);
    CHECK(largest_difference(randn<float>(random, 45), golden(randn_45_float)) < 1e-6);
    random.manual_seed(123);
    CHECK(largest_difference(randn<double>(random, 37), golden(randn_37_double)) < 1e-14);
}

TEST_CASE("TorchCpuGenerator: mixed draws stay in step, and only the seed's low 32 bits count") {
    TorchCpuGenerator random((1ULL << 32) + 33);
    std::vector<float> values;
    for (int step = 0; step < 3; ++step) {
        const auto noise = randn<float>(random, 72);
        values.insert(values.end(), noise.begin(), noise.end());
        values.push_back(static_cast<float>(random.randint(0, 1000)));
        const auto few = randn<float>(random, 3);
        values.insert(values.end(), few.begin(), few.end());
    }
    CHECK(largest_difference(values, golden(torch_golden::mixed)) < 1e-6);
}

TEST_CASE("TorchCpuGenerator: a whole clip's noise, by its sums") {
    TorchCpuGenerator random(33);
    const auto values = randn<float>(random, 4 * 24 * 64 * 64);
    double sum = 0;
    double weighted = 0;
    double squares = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const double x = static_cast<double>(values[i]);
        sum += x;
        weighted += x * (static_cast<double>(i % 97) - 48);
        squares += x * x;
    }
    CHECK(std::abs(sum - torch_golden::randn_long_sum) < 1e-3);
    CHECK(std::abs(weighted - torch_golden::randn_long_weighted) < 0.03);
    CHECK(std::abs(squares - torch_golden::randn_long_squares) < 2e-3);
}
