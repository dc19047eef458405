#include <doctest/doctest.h>

#include <reel/backend/cpu/attention.hpp>
#include <reel/backend/cpu/convolution.hpp>
#include <reel/backend/cpu/products.hpp>
#include <reel/backend/cpu/rehearsal.hpp>
#include <reel/backend/generic/attention.hpp>
#include <reel/backend/generic/gemm.hpp>

#include "backend/compare.hpp"
#include "backend/plain_backend.hpp"

// The Cpu backend where oneDNN serves it. test_gemm and test_convolution are built without it.
static_assert(REEL_ONEDNN);

using namespace reel;

namespace {

constexpr double exact = 1e-5;
constexpr double rounded = 1e-2;

const Float32MatmulPrecision precisions[] = {Float32MatmulPrecision::highest, Float32MatmulPrecision::medium};

/// Checks two results of one call against the reference: near, equal to each other, and rounded only when asked for.
void check(const Cpu& cpu, const std::vector<float>& values, const std::vector<float>& again,
           const std::vector<double>& expected) {
    const double error = near::relative_error(values, expected);
    if (cpu::onednn::rounds(cpu)) {
        CHECK(error < rounded);
        CHECK(error > exact / 10);
    } else {
        CHECK(error < exact);
    }
    CHECK(std::equal(values.begin(), values.end(), again.begin(), again.end(), [](float a, float b) {
        return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
    }));
}

/// Calls work(cpu) for 1 to 3 threads in both precisions.
template <class Work>
void for_each_cpu(const Work& work) {
    for (const int threads : {1, 2, 3}) {
        for (const auto precision : precisions) {
            Cpu cpu(threads);
            cpu.float32_matmul_precision = precision;
            CAPTURE(threads);
            CAPTURE(static_cast<int>(precision));
            work(cpu);
            CHECK(cpu.memory().statistics().in_use == 0);
        }
    }
}

std::vector<float> nans(std::size_t count) {
    return std::vector<float>(count, std::numeric_limits<float>::quiet_NaN());
}

void check_convolution(const ConvGeometry& g) {
    Plain plain;
    const auto x = near::randoms(g.images * g.height * g.width * g.in_channels, 1);
    const auto kernel = near::randoms(g.out_channels * g.patch(), 2);
    const auto bias = near::randoms(g.out_channels, 3);
    const auto y_gradient = near::randoms(g.out_rows() * g.out_channels, 4);
    std::vector<double> y(y_gradient.size());
    std::vector<double> without_bias(y.size());
    std::vector<double> x_gradient(x.size());
    std::vector<double> kernel_gradient(kernel.size());
    generic::convolution(plain, g, x.data(), kernel.data(), bias.data(), y.data());
    generic::convolution<Plain, double>(plain, g, x.data(), kernel.data(), nullptr, without_bias.data());
    generic::convolution_input_gradient(plain, g, y_gradient.data(), kernel.data(), x_gradient.data());
    generic::convolution_kernel_gradient(plain, g, x.data(), y_gradient.data(), kernel_gradient.data());
    const auto fx = near::as<float>(x);
    const auto f_kernel = near::as<float>(kernel);
    const auto f_bias = near::as<float>(bias);
    const auto fy_gradient = near::as<float>(y_gradient);
    for_each_cpu([&](Cpu& cpu) {
        const auto twice = [&](const std::vector<double>& expected, const auto& work) {
            std::vector<float> result = nans(expected.size());
            std::vector<float> again = nans(expected.size());
            work(result.data());
            work(again.data());
            check(cpu, result, again, expected);
        };
        const bool bfloat16 = cpu::onednn::rounds(cpu);
        const auto packed = cpu::onednn::pack_kernel(cpu, g, f_kernel.data());
        CHECK((packed == nullptr) == bfloat16);
        const auto both_ways = [&](const dnnl::memory& layout) {
            const auto forward = [&](const float* with) {
                return [&, with](float* to) { cpu::onednn::convolution(cpu, g, fx.data(), layout, with, to); };
            };
            twice(y, forward(f_bias.data()));
            twice(without_bias, forward(nullptr));
            twice(x_gradient,
                  [&](float* to) { cpu::onednn::convolution_input_gradient(cpu, g, fy_gradient.data(), layout, to); });
        };
        both_ways(cpu::onednn::plain_kernel(cpu.extension<cpu::onednn::Library>(), g, f_kernel.data()));
        if (packed) {
            both_ways(packed->memory());
            std::vector<float> unpacked = nans(f_kernel.size());
            packed->unpack(unpacked.data());
            CHECK(unpacked == f_kernel);
        }
        twice(kernel_gradient, [&](float* to) {
            cpu::onednn::convolution_kernel_gradient(cpu, g, fx.data(), fy_gradient.data(), to, bfloat16);
        });
    });
}

struct Product {
    index_t m;
    index_t n;
    index_t k;
    index_t padding = 0; ///< added to every leading dimension
    float beta = 0;
    bool bias = false;
};

void check_product(const Product& s, bool transpose_a, bool transpose_b) {
    Plain plain;
    GemmProblem<double> p{.transpose_a = transpose_a,
                          .transpose_b = transpose_b,
                          .m = s.m,
                          .n = s.n,
                          .k = s.k,
                          .lda = (transpose_a ? s.m : s.k) + s.padding,
                          .ldb = (transpose_b ? s.k : s.n) + s.padding,
                          .beta = static_cast<double>(s.beta),
                          .ldc = s.n + s.padding};
    const auto a = near::randoms((transpose_a ? s.k : s.m) * p.lda, 1);
    const auto b = near::randoms((transpose_b ? s.n : s.k) * p.ldb, 2);
    auto before = near::randoms(s.m * p.ldc, 3); // what lies between the rows must stay
    if (s.beta == 0) {
        for (index_t i = 0; i < s.m; ++i) {
            std::fill_n(before.begin() + i * p.ldc, s.n, std::numeric_limits<double>::quiet_NaN());
        }
    }
    const auto bias = near::randoms(s.n, 4);
    auto expected = before;
    p.a = a.data();
    p.b = b.data();
    p.c = expected.data();
    p.bias = s.bias ? bias.data() : nullptr;
    generic::gemm(plain, p);
    const auto fa = near::as<float>(a);
    const auto fb = near::as<float>(b);
    const auto f_bias = near::as<float>(bias);
    for_each_cpu([&](Cpu& cpu) {
        const auto run = [&] {
            auto c = near::as<float>(before);
            const GemmProblem<float> problem{.transpose_a = transpose_a,
                                             .transpose_b = transpose_b,
                                             .m = s.m,
                                             .n = s.n,
                                             .k = s.k,
                                             .a = fa.data(),
                                             .lda = p.lda,
                                             .b = fb.data(),
                                             .ldb = p.ldb,
                                             .beta = s.beta,
                                             .c = c.data(),
                                             .ldc = p.ldc,
                                             .bias = s.bias ? f_bias.data() : nullptr};
            REQUIRE(cpu::onednn::suits(problem));
            cpu::onednn::gemm(cpu, problem, cpu::onednn::rounds(cpu));
            return c;
        };
        check(cpu, run(), run(), expected);
        for (index_t i = 0; i < s.m; ++i) {
            const auto c = run();
            CHECK(std::equal(c.begin() + i * p.ldc + s.n, c.begin() + (i + 1) * p.ldc,
                             near::as<float>(before).begin() + i * p.ldc + s.n));
            i += std::max<index_t>(s.m / 3, 1); // a few rows tell
        }
    });
}

} // namespace

TEST_CASE("oneDNN's convolutions equal the generic ones") {
    const auto geometry = [](index_t images, index_t height, index_t width, index_t in, index_t out, index_t kernel,
                             index_t stride, index_t top, index_t left, index_t bottom, index_t right) {
        return ConvGeometry{.images = images,
                            .height = height,
                            .width = width,
                            .in_channels = in,
                            .out_channels = out,
                            .kernel_h = kernel,
                            .kernel_w = kernel,
                            .stride = stride,
                            .pad_top = top,
                            .pad_left = left,
                            .out_height = (height + top + bottom - kernel) / stride + 1,
                            .out_width = (width + left + right - kernel) / stride + 1};
    };
    for (const ConvGeometry& g : {
             geometry(2, 8, 8, 16, 32, 3, 1, 1, 1, 1, 1),   // images divide by two threads
             geometry(5, 6, 7, 16, 16, 3, 1, 1, 1, 1, 1),   // and here by none
             geometry(1, 12, 9, 16, 20, 3, 1, 1, 1, 1, 1),  // rows of one image
             geometry(1, 2, 40, 20, 24, 3, 1, 1, 1, 1, 1),  // fewer rows than threads
             geometry(3, 15, 14, 16, 32, 3, 2, 1, 1, 1, 1), // stride, last column unseen
             geometry(1, 26, 20, 16, 16, 3, 2, 0, 0, 1, 1), // diffusers' downsampling pads below only
             geometry(1, 20, 26, 24, 16, 3, 2, 0, 0, 0, 0), // last row and column unseen
             geometry(3, 10, 10, 37, 29, 1, 1, 0, 0, 0, 0), // 1 x 1, odd channels
             geometry(3, 17, 24, 48, 56, 1, 2, 0, 0, 0, 0), // 1 x 1 with a stride: rows that no output sees
             geometry(1, 14, 13, 6, 40, 5, 1, 2, 0, 1, 4),  // uneven padding
             geometry(2, 24, 23, 3, 90, 3, 1, 1, 1, 1, 1),  // few channels in
             geometry(2, 24, 23, 90, 3, 3, 1, 1, 1, 1, 1),  // few out
             geometry(2, 5, 6, 64, 192, 3, 1, 1, 1, 1, 1),  // a kernel that threads pack together
         }) {
        CAPTURE(g.images);
        CAPTURE(g.height);
        CAPTURE(g.in_channels);
        REQUIRE(cpu::onednn::suits(g));
        check_convolution(g);
    }
}

TEST_CASE("convolutions that oneDNN does not take") {
    ConvGeometry g{.images = 2,
                   .height = 12,
                   .width = 12,
                   .in_channels = 16,
                   .out_channels = 16,
                   .kernel_h = 3,
                   .kernel_w = 3,
                   .pad_top = 1,
                   .pad_left = 1,
                   .out_height = 12,
                   .out_width = 12};
    REQUIRE(cpu::onednn::suits(g));
    const auto refused = [&](auto change) {
        ConvGeometry other = g;
        change(other);
        return !cpu::onednn::suits(other);
    };
    CHECK(refused([](ConvGeometry& o) { o.dilation_in = 2; }));
    CHECK(refused([](ConvGeometry& o) { o.images = 0; }));
    CHECK(refused([](ConvGeometry& o) { o.pad_top = -1; }));
    CHECK(refused([](ConvGeometry& o) { o.pad_left = 3; }));
    CHECK(refused([](ConvGeometry& o) { o.out_width = 15; }));
    CHECK(refused([](ConvGeometry& o) { o.out_height = 8; }));
}

TEST_CASE("large products go to oneDNN, rounded in medium precision where the processor multiplies bfloat16") {
    const ConvGeometry g{.images = 1,
                         .height = 20,
                         .width = 20,
                         .in_channels = 32,
                         .out_channels = 32,
                         .out_height = 20,
                         .out_width = 20};
    const auto x = near::as<float>(near::randoms(400 * 32, 1));
    const auto kernel = near::as<float>(near::randoms(32 * 32, 2));
    for_each_cpu([&](Cpu& cpu) {
        const bool rounds = cpu::onednn::rounds(cpu);
        CHECK((!rounds || cpu.float32_matmul_precision == Float32MatmulPrecision::medium));
        std::vector<float> given = nans(400 * 32);
        std::vector<float> own = given;
        convolution<float>(cpu, g, x.data(), kernel.data(), nullptr, given.data());
        const auto plain = cpu::onednn::plain_kernel(cpu.extension<cpu::onednn::Library>(), g, kernel.data());
        cpu::onednn::convolution<float>(cpu, g, x.data(), plain, nullptr, own.data());
        CHECK(near::relative_error(given, own) == 0);
        const GemmProblem<float> p{.transpose_b = true,
                                   .m = 400,
                                   .n = 32,
                                   .k = 32,
                                   .a = x.data(),
                                   .lda = 32,
                                   .b = kernel.data(),
                                   .ldb = 32,
                                   .c = given.data(),
                                   .ldc = 32};
        gemm(cpu, p);
        CHECK(near::relative_error(given, own) <= (rounds ? 1e-6 : exact)); // a pointwise convolution is a product
    });
}

TEST_CASE("every row of a convolution is in one piece") {
    for (const index_t images : {1, 2, 3, 7}) {
        for (const index_t rows : {1, 4, 5}) {
            for (const index_t parts : {1, 2, 3, 5}) {
                for (const bool cut : {false, true}) {
                    std::vector<int> seen(static_cast<std::size_t>(images * rows));
                    for (index_t part = 0; part < parts; ++part) {
                        cpu::onednn::cut_rows(images, rows, parts, part, cut,
                                              [&](index_t image, index_t count, index_t first, index_t last) {
                                                  CHECK((count == 1 || (first == 0 && last == rows)));
                                                  CHECK((cut || (first == 0 && last == rows)));
                                                  for (index_t i = image; i < image + count; ++i) {
                                                      for (index_t row = first; row < last; ++row) {
                                                          ++seen[static_cast<std::size_t>(i * rows + row)];
                                                      }
                                                  }
                                              });
                    }
                    CHECK(seen == std::vector<int>(seen.size(), 1));
                }
            }
        }
    }
}

TEST_CASE("oneDNN's products equal the generic ones") {
    for (const bool transpose_a : {false, true}) {
        for (const bool transpose_b : {false, true}) {
            CAPTURE(transpose_a);
            CAPTURE(transpose_b);
            for (const Product& s :
                 {Product{64, 64, 64}, Product{100, 70, 50}, Product{50, 170, 40}, Product{1, 600, 450},
                  Product{600, 1, 450}, Product{520, 520, 1}, Product{300, 3, 301}, Product{5, 300, 177}}) {
                CAPTURE(s.m);
                CAPTURE(s.n);
                check_product(s, transpose_a, transpose_b);
            }
            for (const index_t padding : {0, 5}) {
                check_product({90, 61, 53, padding, 0, true}, transpose_a, transpose_b);
                check_product({61, 90, 53, padding, 0, true}, transpose_a, transpose_b);
                check_product({61, 90, 53, padding, 1}, transpose_a, transpose_b);
            }
        }
    }
}

TEST_CASE("attention of bfloat16 through oneDNN equals the generic one") {
    struct Case {
        index_t queries;
        index_t keys;
        index_t head_size;
        bool causal;
        std::vector<std::int32_t> lists; ///< two key batches for each of three query batches, or none
    };
    for (const Case& s : {Case{200, 600, 40, false, {}}, Case{130, 1024, 32, false, {0, -1, 0, -1, 0, 1}},
                          Case{300, 300, 80, true, {}}, Case{32, 128, 160, false, {2, 0, 1, -1, 0, 2}}}) {
        constexpr index_t heads = 2;
        const index_t channels = heads * s.head_size;
        const auto q = near::as<bfloat16>(near::randoms(3 * s.queries * channels, 1));
        const auto k = near::as<bfloat16>(near::randoms(3 * s.keys * channels, 2));
        const auto v = near::as<bfloat16>(near::randoms(3 * s.keys * channels, 3));
        const auto run = [&](auto& backend, auto zero, bool rehearsed = false) {
            using T = decltype(zero);
            using C = compute_t<T>;
            const auto as = [](const std::vector<bfloat16>& values) { // the same numbers, exactly
                std::vector<T> result;
                for (const bfloat16 value : values) {
                    result.push_back(static_cast<T>(static_cast<float>(value)));
                }
                return result;
            };
            const auto tq = as(q);
            const auto tk = as(k);
            const auto tv = as(v);
            std::vector<T> out(q.size(), static_cast<T>(std::numeric_limits<float>::quiet_NaN()));
            std::vector<C> normaliser(static_cast<std::size_t>(3 * heads * s.queries));
            AttentionProblem<T> p;
            p.batches = 3;
            p.heads = heads;
            p.head_size = s.head_size;
            p.queries = s.queries;
            p.keys = s.keys;
            p.key_batch_count = 3;
            p.lists = s.lists.empty() ? 1 : 2;
            p.key_batches = s.lists.empty() ? nullptr : s.lists.data();
            p.causal = s.causal;
            p.scale = static_cast<C>(1 / std::sqrt(static_cast<double>(s.head_size)));
            p.query_layout = {1, s.queries * channels, 0, channels};
            p.key_layout = {1, s.keys * channels, 0, channels};
            p.q = tq.data();
            p.k = tk.data();
            p.v = tv.data();
            p.out = out.data();
            p.log_sum_exp = normaliser.data();
            if constexpr (std::same_as<T, double>) {
                generic::attention_forward(backend, p);
            } else {
                CHECK(cpu::onednn::suits(p));
                attention_forward(backend, p);
            }
            CHECK((rehearsed || std::isfinite(static_cast<double>(static_cast<C>(out[0])))));
            std::vector<double> wide;
            for (const T value : out) {
                wide.push_back(static_cast<double>(static_cast<C>(value)));
            }
            return std::pair{wide, std::vector<double>(normaliser.begin(), normaliser.end())};
        };
        Plain plain;
        const auto expected = run(plain, 0.0);
        std::size_t peak = 0;
        for (const int threads : {1, 3}) {
            CAPTURE(threads);
            Cpu cpu(threads);
            const auto found = run(cpu, bfloat16());
            CHECK(near::relative_error(found.first, expected.first) < rounded);
            CHECK(near::relative_error(found.second, expected.second) < exact);
            CHECK(cpu.memory().statistics().in_use == 0);
            peak = threads == 1 ? cpu.memory().statistics().peak : peak;
        }
        Rehearsal rehearsal(0);
        Cpu counting(1, &rehearsal);
        (void)run(counting, bfloat16(), true);
        CHECK(counting.memory().statistics().peak == peak);
    }
}

TEST_CASE("products that oneDNN does not take") {
    const GemmProblem<float> p{.m = 100, .n = 100, .k = 100, .lda = 100, .ldb = 100, .ldc = 100};
    REQUIRE(cpu::onednn::suits(p));
    const auto refused = [&](auto change) {
        GemmProblem<float> other = p;
        change(other);
        return !cpu::onednn::suits(other);
    };
    const float bias = 0;
    CHECK(refused([](auto& o) { o.alpha = 2; }));
    CHECK(refused([](auto& o) { o.beta = -0.5F; }));
    CHECK(refused([](auto& o) { o.batch = 2; }));
    CHECK(refused([](auto& o) { o.k = 0; }));
    CHECK(refused([&](auto& o) {
        o.beta = 1;
        o.bias = &bias;
    }));
}

TEST_CASE("who multiplies is said by the library that was loaded") {
    CHECK(products_text() == concat_text("products by oneDNN ", DNNL_VERSION_MAJOR, ".", DNNL_VERSION_MINOR, ".",
                                         DNNL_VERSION_PATCH, " and Eigen ", eigen_version()));
}

TEST_CASE("an error of oneDNN's is a reel::Error") {
    CHECK_THROWS_WITH_AS(cpu::onednn::guarded([]() -> int { throw dnnl::error(dnnl_unimplemented, "no such thing"); }),
                         doctest::Contains("no such thing"), Error);
}
