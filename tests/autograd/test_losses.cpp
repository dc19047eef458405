#include <doctest/doctest.h>

#include <reel/autograd/functions.hpp>
#include <reel/autograd/losses.hpp>

#include "autograd/gradient_check.hpp"

using namespace reel;
using near::check_gradients;
using near::tensor;
using near::Variables;

TEST_CASE_TEMPLATE("gradients: losses", B, Cpu, Plain) {
    B backend;
    const auto x = tensor(backend, {4, 2, 3}, 1);
    const auto target = tensor(backend, {4, 2, 3}, 2);
    const std::vector<double> weights{0.5, 2.0};
    check_gradients<B>({x}, [&](const Variables<B>& v) { return mse_loss(v[0], target); });
    check_gradients<B>(
        {x}, [&](const Variables<B>& v) { return weighted_mse_loss(v[0], target, std::span<const double>(weights)); });
    const auto moments = tensor(backend, {2, 3, 3, 8}, 3);
    const auto noise = tensor(backend, {2, 3, 3, 4}, 4);
    check_gradients<B>({moments}, [&](const Variables<B>& v) { return reparameterize(v[0], noise); });
    check_gradients<B>({moments}, [&](const Variables<B>& v) { return kl_loss(v[0]); });
    const std::vector<std::int32_t> labels{2, 0, 4};
    check_gradients<B>({tensor(backend, {3, 5}, 5)}, [&](const Variables<B>& v) {
        return cross_entropy_loss(v[0], std::span<const std::int32_t>(labels));
    });
}

TEST_CASE("cross_entropy_loss is the mean of -log softmax, for logits of any size") {
    Cpu cpu;
    const auto loss = [&](std::vector<double> logits, const std::vector<std::int32_t>& labels) {
        const auto rows = static_cast<index_t>(labels.size());
        const auto x = Tensor<double>::from_host(cpu, {rows, static_cast<index_t>(logits.size()) / rows}, logits);
        return cross_entropy_loss(Variable<double>(x), std::span<const std::int32_t>(labels)).value().to_host()[0];
    };
    CHECK(loss({0, std::log(3.0), 5, 5}, {1, 0}) == doctest::Approx((-std::log(0.75) - std::log(0.5)) / 2));
    CHECK(loss({1000, 0, -1000}, {0}) == doctest::Approx(0.0));
    CHECK(loss({1000, 0, -1000}, {2}) == doctest::Approx(2000.0));
    CHECK_THROWS_AS((void)loss({1, 2, 3}, {3}), Error);
    CHECK_THROWS_AS((void)loss({1, 2, 3}, {-1}), Error);
    const auto two_rows = Variable<double>(Tensor<double>::zeros(cpu, {2, 3}));
    const std::vector<std::int32_t> one{0};
    CHECK_THROWS_AS((void)cross_entropy_loss(two_rows, std::span<const std::int32_t>(one)), Error);
}

TEST_CASE("weighted_mse_loss weighs equal shares of the leading axis") {
    Cpu cpu;
    const auto x = Tensor<double>::from_host(cpu, {4, 1}, {1, 2, 3, 4});
    const auto zero = Tensor<double>::zeros(cpu, {4, 1});
    const std::vector<double> weights{1, 10};
    const auto loss = weighted_mse_loss(Variable<double>(x), zero, std::span<const double>(weights));
    CHECK(loss.value().to_host()[0] == doctest::Approx((1 + 4 + 90 + 160) / 4.0));
    const std::vector<double> three{1, 1, 1};
    CHECK_THROWS_AS((void)weighted_mse_loss(Variable<double>(x), zero, std::span<const double>(three)), Error);
}

TEST_CASE("kl_loss is the divergence per latent, in nats") {
    Cpu cpu;
    // mean 2, log variance 0: 2; mean 0, log variance log(4): (4 - 1 - log 4) / 2
    const auto moments = Tensor<double>::from_host(cpu, {1, 4}, {2, 0, 0, std::log(4.0)});
    CHECK(kl_loss(Variable<double>(moments)).value().to_host()[0] ==
          doctest::Approx((2 + (3 - std::log(4.0)) / 2) / 2));
    CHECK_THROWS_AS((void)kl_loss(Variable<double>(Tensor<double>::zeros(cpu, {1, 3}))), Error);
}

TEST_CASE("reparameterize without spread is the mean") {
    Cpu cpu;
    const auto moments = Tensor<double>::from_host(cpu, {1, 1, 1, 4}, {3, -1, -80, -80});
    const auto noise = Tensor<double>::full(cpu, {1, 1, 1, 2}, 1);
    const std::vector<double> sample = reparameterize(Variable<double>(moments), noise).value().to_host();
    CHECK(sample[0] == doctest::Approx(3));
    CHECK(sample[1] == doctest::Approx(-1));
    CHECK_THROWS_AS((void)reparameterize(Variable<double>(moments), Tensor<double>::zeros(cpu, {1, 1, 1, 3})), Error);
}
