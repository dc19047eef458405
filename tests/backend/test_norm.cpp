#include <doctest/doctest.h>

#include <reel/backend/cpu/norm_backward.hpp>
#include <reel/backend/generic/norm.hpp>

#include "backend/compare.hpp"
#include "backend/plain_backend.hpp"

using namespace reel;

namespace {

struct Case {
    index_t sets;
    index_t rows;
    index_t channels;
    index_t groups;
    bool affine = true;
    bool silu = false;
    bool statistics = true;
    double shift = 0; ///< added to the input: far from zero, variance is a small difference
};

template <class T>
struct Problem {
    std::vector<T> x, gamma, beta, y, mean, inverse_std, y_gradient, x_gradient, gamma_gradient, beta_gradient;
    NormProblem<T> p;

    explicit Problem(const Case& s) {
        auto values = near::randoms(s.sets * s.rows * s.channels, 1);
        for (double& value : values) {
            value = static_cast<double>(static_cast<float>(value + s.shift));
        }
        x = near::as<T>(values);
        gamma = near::as<T>(near::randoms(s.channels, 2));
        beta = near::as<T>(near::randoms(s.channels, 3));
        y_gradient = near::as<T>(near::randoms(s.sets * s.rows * s.channels, 4));
        y.resize(x.size());
        x_gradient.resize(x.size());
        mean.resize(static_cast<std::size_t>(s.sets * s.groups));
        inverse_std.resize(mean.size());
        gamma_gradient.assign(gamma.size(), T(0));
        beta_gradient.assign(gamma.size(), T(0));
        p = {.sets = s.sets,
             .rows = s.rows,
             .channels = s.channels,
             .groups = s.groups,
             .epsilon = T(1e-5),
             .silu = s.silu,
             .x = x.data(),
             .gamma = s.affine ? gamma.data() : nullptr,
             .beta = s.affine ? beta.data() : nullptr,
             .y = y.data(),
             .mean = s.statistics ? mean.data() : nullptr,
             .inverse_std = s.statistics ? inverse_std.data() : nullptr,
             .y_gradient = y_gradient.data(),
             .x_gradient = x_gradient.data(),
             .gamma_gradient = gamma_gradient.data(),
             .beta_gradient = beta_gradient.data()};
    }
};

template <class T>
void check(const Case& s, double factor = 1) {
    const double bound = near::bound<T> * factor;
    Plain plain;
    Problem<double> reference(s);
    generic::norm_forward(plain, reference.p);
    if (s.statistics) {
        generic::norm_backward(plain, reference.p);
    }
    for (const int threads : {1, 2}) {
        Cpu cpu(threads);
        Problem<T> tested(s);
        norm_forward(cpu, tested.p);
        CAPTURE(threads);
        CHECK(near::relative_error(tested.y, reference.y) < bound);
        if (!s.statistics) {
            continue;
        }
        CHECK(near::relative_error(tested.inverse_std, reference.inverse_std) < bound);
        // Means of normal numbers may all be near 0: their error is one of the inputs', not of theirs.
        for (std::size_t i = 0; i < tested.mean.size(); ++i) {
            CHECK(std::abs(static_cast<double>(tested.mean[i]) - reference.mean[i]) < bound * (1 + std::abs(s.shift)));
        }
        norm_backward(cpu, tested.p);
        CHECK(near::relative_error(tested.x_gradient, reference.x_gradient) < bound);
        CHECK(near::relative_error(tested.gamma_gradient, reference.gamma_gradient) < bound);
        CHECK(near::relative_error(tested.beta_gradient, reference.beta_gradient) < bound);

        // Gradients are optional one by one, and the affine ones are added to.
        Problem<T> some(s);
        norm_forward(cpu, some.p);
        some.p.x_gradient = nullptr;
        some.p.beta_gradient = nullptr;
        std::fill(some.gamma_gradient.begin(), some.gamma_gradient.end(), T(2));
        norm_backward(cpu, some.p);
        for (T& value : some.gamma_gradient) {
            value -= T(2);
        }
        CHECK(near::relative_error(some.gamma_gradient, reference.gamma_gradient) < 2 * bound);
        CHECK(some.beta_gradient == std::vector<T>(some.beta_gradient.size(), T(0)));
        CHECK(some.x_gradient == std::vector<T>(some.x_gradient.size(), T(0)));
        CHECK(cpu.memory().statistics().in_use == 0);
    }
}

} // namespace

TEST_CASE("generic norm against numbers worked by hand") {
    Plain plain;
    // One set of two rows and four channels in two groups: {1, 3, 5, 7} and {2, 2, 2, 2}.
    const std::vector<double> x{1, 3, 2, 2, 5, 7, 2, 2};
    const std::vector<double> gamma{1, 2, 1, 1};
    const std::vector<double> beta{0, 10, 4, 0};
    std::vector<double> y(8);
    std::vector<double> mean(2);
    std::vector<double> inverse(2);
    generic::norm_forward(plain, NormProblem<double>{.sets = 1,
                                                     .rows = 2,
                                                     .channels = 4,
                                                     .groups = 2,
                                                     .epsilon = 4,
                                                     .x = x.data(),
                                                     .gamma = gamma.data(),
                                                     .beta = beta.data(),
                                                     .y = y.data(),
                                                     .mean = mean.data(),
                                                     .inverse_std = inverse.data()});
    // First group: mean 4, variance 5, 1 / sqrt(9); second: mean 2, variance 0, 1 / sqrt(4).
    CHECK(mean == std::vector<double>{4, 2});
    CHECK(near::relative_error(inverse, std::vector<double>{1.0 / 3, 0.5}) < 1e-15);
    CHECK(near::relative_error(y, std::vector<double>{-1, 10 - 2.0 / 3, 4, 0, 1.0 / 3, 12, 4, 0}) < 1e-15);
}

TEST_CASE_TEMPLATE("Cpu group norm equals the generic one", T, float, double) {
    for (const bool silu : {false, true}) {
        CAPTURE(silu);
        check<T>({.sets = 2, .rows = 35, .channels = 12, .groups = 4, .silu = silu});
        check<T>({.sets = 1, .rows = 150, .channels = 64, .groups = 32, .silu = silu}); // several row blocks
        check<T>({.sets = 3, .rows = 64, .channels = 6, .groups = 6, .silu = silu});
        check<T>({.sets = 2, .rows = 1, .channels = 8, .groups = 2, .silu = silu});
        check<T>({.sets = 2, .rows = 20, .channels = 8, .groups = 1, .silu = silu});
    }
}

TEST_CASE_TEMPLATE("Cpu layer norm equals the generic one", T, float, double) {
    for (const bool silu : {false, true}) {
        check<T>({.sets = 77, .rows = 1, .channels = 40, .groups = 1, .silu = silu});
        check<T>({.sets = 700, .rows = 1, .channels = 33, .groups = 1, .silu = silu});
    }
}

TEST_CASE_TEMPLATE("Cpu norm without weight and bias, and without statistics", T, float, double) {
    check<T>({.sets = 2, .rows = 70, .channels = 8, .groups = 2, .affine = false, .silu = true});
    check<T>({.sets = 9, .rows = 1, .channels = 8, .groups = 1, .affine = false});
    check<T>({.sets = 2, .rows = 70, .channels = 8, .groups = 2, .statistics = false});
    check<T>({.sets = 9, .rows = 1, .channels = 8, .groups = 1, .statistics = false});
}

TEST_CASE_TEMPLATE("Cpu norm far from zero: the variance keeps its digits", T, float, double) {
    // Inputs near 30 lose log2(30) bits to the offset in any case.
    check<T>({.sets = 2, .rows = 200, .channels = 8, .groups = 2, .shift = 30}, 30);
    check<T>({.sets = 20, .rows = 1, .channels = 64, .groups = 1, .shift = 30}, 30);
}
