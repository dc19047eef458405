#include <doctest/doctest.h>

#include "ops/support.hpp"

using namespace reel;

TEST_CASE_TEMPLATE("Tensor: values go in and out", B, Cpu, Plain) {
    B backend;
    const auto x = Tensor<float, B>::from_host(backend, {2, 3}, {1, 2, 3, 4, 5, 6});
    CHECK(x.shape() == Shape{2, 3});
    CHECK(x.shape(-1) == 3);
    CHECK(x.size() == 6);
    CHECK(x.rank() == 2);
    CHECK(&x.backend() == &backend);
    CHECK(x.to_host() == std::vector<float>{1, 2, 3, 4, 5, 6});
    CHECK(Tensor<double, B>::zeros(backend, {2, 2}).to_host() == std::vector<double>(4, 0.0));
    CHECK(Tensor<double, B>::full(backend, {}, 7).to_host() == std::vector<double>{7});
    CHECK(Tensor<float, B>(backend, {0, 4}).to_host().empty());
    CHECK_THROWS_WITH_AS(static_cast<void>(Tensor<float, B>::from_host(backend, {2, 2}, {1, 2, 3})),
                         "Tensor::from_host: 3 values for shape [2, 2]", Error);
}

TEST_CASE("Tensor: undefined until made") {
    const Tensor<float> x;
    CHECK_FALSE(x.defined());
    CHECK(x.size() == 0);
    CHECK(x.data() == nullptr);
    CHECK_THROWS_WITH_AS(static_cast<void>(x.backend()), doctest::Contains("undefined tensor"), Error);
    CHECK_THROWS_AS(static_cast<void>(x.clone()), Error);
}

TEST_CASE("Tensor: copies share elements, clones do not") {
    Cpu backend(1);
    const auto x = Tensor<float>::from_host(backend, {2}, {1, 2});
    CHECK(x.unique());
    const auto shared = x;
    const auto own = x.clone();
    CHECK_FALSE(x.unique());
    CHECK(own.unique());
    x.fill(9);
    CHECK(shared.to_host() == std::vector<float>{9, 9});
    CHECK(own.to_host() == std::vector<float>{1, 2});
    shared.copy_from(own);
    CHECK(x.to_host() == std::vector<float>{1, 2});
    CHECK_THROWS_WITH_AS(x.copy_from(Tensor<float>(backend, {3})), "copy_from: [3] into [2]", Error);
}

TEST_CASE("Tensor: reshape and slice look at the same elements") {
    Cpu backend(1);
    const auto x = Tensor<float>::from_host(backend, {3, 2}, {1, 2, 3, 4, 5, 6});
    CHECK(x.reshape({2, -1}).shape() == Shape{2, 3});
    CHECK(x.reshape({-1}).shape() == Shape{6});
    CHECK(x.reshape(Shape{6, 1}).data() == x.data());
    CHECK(x.slice(1, 3).to_host() == std::vector<float>{3, 4, 5, 6});
    CHECK(x.slice(1, 1).size() == 0);
    x.slice(2, 3).fill(0);
    CHECK(x.to_host() == std::vector<float>{1, 2, 3, 4, 0, 0});
    CHECK(x.slice(1, 3).slice(0, 1).to_host() == std::vector<float>{3, 4});

    CHECK_THROWS_WITH_AS(static_cast<void>(x.reshape({4, -1})), doctest::Contains("reshape: [3, 2]"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(x.reshape({-1, -1})), doctest::Contains("more than one"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(x.reshape(Shape{5})), doctest::Contains("[3, 2] to [5]"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(x.slice(2, 4)), "slice: rows 2 to 4 of [3, 2]", Error);
    CHECK_THROWS_AS(static_cast<void>(x.slice(2, 1)), Error);
    CHECK_THROWS_AS(static_cast<void>(x.slice(-1, 1)), Error);
}

TEST_CASE("Tensor: memory of someone else is kept as long as needed and never freed") {
    Cpu backend(1);
    auto values = std::make_shared<std::vector<float>>(std::vector<float>{1, 2, 3});
    const std::weak_ptr<std::vector<float>> watch = values;
    Tensor<float> view;
    {
        const Tensor<float> x(backend, {3}, values->data(), values);
        view = x.slice(1, 3);
    }
    values.reset();
    CHECK_FALSE(watch.expired());
    CHECK(view.to_host() == std::vector<float>{2, 3});
    view = {};
    CHECK(watch.expired());
    CHECK(backend.memory().statistics().in_use == 0);
}

TEST_CASE_TEMPLATE("Tensor: memory goes back with the last copy", B, Cpu, Plain) {
    B backend;
    const auto used = [&backend] {
        if constexpr (std::same_as<B, Cpu>) {
            return backend.memory().statistics().in_use;
        } else {
            return backend.blocks;
        }
    };
    Tensor<float, B> kept;
    {
        const Tensor<float, B> x(backend, {100});
        kept = x.slice(3, 4);
    }
    CHECK(used() > 0);
    kept = {};
    CHECK(used() == 0);
}
