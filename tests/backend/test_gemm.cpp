#include <doctest/doctest.h>

#include <reel/backend/cpu/gemm.hpp>
#include <reel/backend/cpu/products.hpp>
#include <reel/backend/generic/gemm.hpp>

#include "backend/compare.hpp"
#include "backend/plain_backend.hpp"

using namespace reel;

namespace {

struct Case {
    index_t m;
    index_t n;
    index_t k;
    index_t batch = 1;
    index_t padding = 0; ///< added to every leading dimension
    double alpha = 1;
    double beta = 0;
    bool bias = false;
    bool share_b = false; ///< one B for the whole batch
};

template <class T>
struct Problem {
    std::vector<T> a, b, c, bias;
    GemmProblem<T> problem;

    Problem(const Case& s, bool transpose_a, bool transpose_b) {
        const index_t a_rows = transpose_a ? s.k : s.m;
        const index_t b_rows = transpose_b ? s.n : s.k;
        problem.transpose_a = transpose_a;
        problem.transpose_b = transpose_b;
        problem.m = s.m;
        problem.n = s.n;
        problem.k = s.k;
        problem.lda = (transpose_a ? s.m : s.k) + s.padding;
        problem.ldb = (transpose_b ? s.k : s.n) + s.padding;
        problem.ldc = s.n + s.padding;
        problem.batch = s.batch;
        problem.stride_a = a_rows * problem.lda + 3;
        problem.stride_b = s.share_b ? 0 : b_rows * problem.ldb;
        problem.stride_c = s.m * problem.ldc + 1;
        problem.alpha = static_cast<T>(s.alpha);
        problem.beta = static_cast<T>(s.beta);
        a = near::as<T>(near::randoms(s.batch * problem.stride_a, 1));
        b = near::as<T>(near::randoms(s.batch * b_rows * problem.ldb, 2));
        c = near::as<T>(near::randoms(s.batch * problem.stride_c, 3));
        bias = near::as<T>(near::randoms(s.n, 4));
        for (auto* values : {&a, &b, &c, &bias}) {
            values->reserve(1); // an empty tensor, too, has an address
        }
        if (s.beta == 0) { // the old content must not be read
            for (index_t batch = 0; batch < s.batch; ++batch) {
                for (index_t i = 0; i < s.m; ++i) {
                    std::fill_n(c.begin() + batch * problem.stride_c + i * problem.ldc, s.n,
                                std::numeric_limits<T>::quiet_NaN());
                }
            }
        }
        problem.a = a.data();
        problem.b = b.data();
        problem.c = c.data();
        problem.bias = s.bias ? bias.data() : nullptr;
    }
};

template <class T>
void check(const Case& s) {
    for (const int threads : {1, 2}) {
        Cpu cpu(threads);
        for (const bool transpose_a : {false, true}) {
            for (const bool transpose_b : {false, true}) {
                Plain plain;
                Problem<double> reference(s, transpose_a, transpose_b);
                generic::gemm(plain, reference.problem);
                Problem<T> tested(s, transpose_a, transpose_b);
                gemm(cpu, tested.problem);
                CAPTURE(threads);
                CAPTURE(transpose_a);
                CAPTURE(transpose_b);
                CHECK(near::relative_error(tested.c, reference.c) < near::bound<T>);
            }
        }
    }
}

} // namespace

TEST_CASE("generic gemm against sums written out") {
    Plain plain;
    const std::vector<double> a{1, 2, 3, 4, 5, 6};  // [2, 3]
    const std::vector<double> b{1, 0, 2, 1, -1, 3}; // [3, 2]
    const std::vector<double> bias{100, 200};
    std::vector<double> c{1, 1, 1, 1};
    generic::gemm(plain, GemmProblem<double>{.m = 2,
                                             .n = 2,
                                             .k = 3,
                                             .alpha = 2,
                                             .a = a.data(),
                                             .lda = 3,
                                             .b = b.data(),
                                             .ldb = 2,
                                             .beta = -1,
                                             .c = c.data(),
                                             .ldc = 2,
                                             .bias = bias.data()});
    // a b = [[1+4-3, 0+2+9], [4+10-6, 0+5+18]] = [[2, 11], [8, 23]]
    CHECK(c == std::vector<double>{103, 221, 115, 245});
    const std::vector<double> at{1, 4, 2, 5, 3, 6};
    const std::vector<double> bt{1, 2, -1, 0, 1, 3};
    generic::gemm(plain, GemmProblem<double>{.transpose_a = true,
                                             .transpose_b = true,
                                             .m = 2,
                                             .n = 2,
                                             .k = 3,
                                             .a = at.data(),
                                             .lda = 2,
                                             .b = bt.data(),
                                             .ldb = 3,
                                             .c = c.data(),
                                             .ldc = 2});
    CHECK(c == std::vector<double>{2, 11, 8, 23});
}

TEST_CASE_TEMPLATE("Cpu gemm equals the generic one", T, float, double) {
    for (const Case& s : {Case{1, 1, 1}, Case{5, 7, 3}, Case{33, 17, 40}, Case{100, 16, 50}, Case{16, 100, 50},
                          Case{130, 129, 31}, Case{1, 70, 300}, Case{300, 1, 70}}) {
        CAPTURE(s.m);
        CAPTURE(s.n);
        check<T>(s);
    }
}

TEST_CASE_TEMPLATE("Cpu gemm: leading dimensions, alpha, beta, bias", T, float, double) {
    for (const double beta : {0.0, 1.0, -0.5}) {
        for (const bool bias : {false, true}) {
            check<T>({.m = 37, .n = 41, .k = 30, .padding = 5, .alpha = 1.5, .beta = beta, .bias = bias});
            check<T>({.m = 4, .n = 3, .k = 2, .padding = 1, .alpha = -1, .beta = beta, .bias = bias});
        }
    }
}

TEST_CASE_TEMPLATE("Cpu gemm: batches, split over threads by matrix or inside", T, float, double) {
    check<T>({.m = 5, .n = 6, .k = 7, .batch = 9, .padding = 2, .bias = true});
    check<T>({.m = 40, .n = 40, .k = 40, .batch = 3, .beta = 1, .bias = true});
    check<T>({.m = 40, .n = 70, .k = 40, .batch = 1, .padding = 1});
    check<T>({.m = 33, .n = 20, .k = 25, .batch = 4, .share_b = true});
}

TEST_CASE_TEMPLATE("Cpu gemm: empty extents", T, float, double) {
    check<T>({.m = 4, .n = 5, .k = 0, .bias = true});
    check<T>({.m = 4, .n = 5, .k = 0, .beta = 2});
    check<T>({.m = 0, .n = 5, .k = 3});
    check<T>({.m = 5, .n = 0, .k = 3});
    check<T>({.m = 5, .n = 4, .k = 3, .batch = 0});
}

TEST_CASE("without oneDNN it is said that Eigen is alone, and what would be faster") {
    CHECK(products_text().starts_with("products by Eigen " + eigen_version() + " alone; "));
    CHECK(products_text().find("twice as fast built with oneDNN") != std::string::npos);
}
