#include <doctest/doctest.h>

#include <reel/io/weights/safetensors.hpp>
#include <reel/io/weights/weights.hpp>
#include <reel/models/state_dict.hpp>
#include <reel/nn/initialize.hpp>
#include <reel/nn/layers.hpp>

#include "io/temporary_folder.hpp"

using reel::bfloat16;
using reel::Cpu;
using reel::half;
using reel::Tensor;

namespace {

template <class T>
std::vector<float> floats(const Tensor<T>& x) {
    std::vector<float> values;
    for (const T value : x.to_host()) {
        values.push_back(static_cast<float>(value));
    }
    return values;
}

template <class T>
std::vector<float> rounded(std::vector<float> values) {
    for (float& value : values) {
        value = static_cast<float>(T(value));
    }
    return values;
}

} // namespace

TEST_CASE_TEMPLATE("what is loaded in 16 bits and trains later starts from the file's numbers", T, bfloat16, half) {
    Cpu cpu(1);
    const reel_test::TemporaryFolder folder;
    reel::Linear<float> source(24, 8);
    reel::initialize(source, cpu, 7);
    const std::vector<float> exact = source.weight.value().to_host();
    REQUIRE(rounded<T>(exact) != exact);
    const auto path = folder / "weights.safetensors";
    reel::write_safetensors(path, reel::parameter_sources(source));

    reel::Linear<T> layer(24, 8);
    reel::load_parameters(layer, cpu, reel::read_weights_file(path), path.string());
    auto& weight = layer.weight;
    CHECK(floats(weight.value()) == rounded<T>(exact));
    CHECK(floats(weight.exact()) == exact);
    CHECK(!weight.master().defined()); // nothing is kept for what does not train
    weight.train(true);
    CHECK(floats(weight.master()) == exact);
    CHECK(weight.master().owns_memory());
    CHECK(floats(weight.value()) == rounded<T>(exact));

    // What training makes of it stays when it ends, goes on, and is saved.
    const std::vector<float> moved(exact.size(), 0.1F);
    weight.master().copy_from(Tensor<float>::from_host(cpu, weight.spec().shape, moved));
    weight.round_master();
    weight.train(false);
    CHECK(floats(weight.value()) == rounded<T>(moved));
    CHECK(floats(weight.exact()) == moved);
    const auto again = folder / "again.safetensors";
    reel::write_safetensors(again, reel::parameter_sources(layer));
    const reel::StateDict saved = reel::read_safetensors(again);
    CHECK(saved.at("weight").to_vector<float>() == moved);
    CHECK(saved.at("bias").to_vector<float>() == source.bias->value().to_host()); // was never trained
    weight.train(true);
    CHECK(floats(weight.master()) == moved);

    // Another value has its own digits and no others.
    weight.train(false);
    weight.set(Tensor<T>::full(cpu, weight.spec().shape, T(0.3F)));
    CHECK(floats(weight.exact()) == rounded<T>(std::vector<float>(exact.size(), 0.3F)));
    weight.set_master(Tensor<float>::full(cpu, weight.spec().shape, 0.3F));
    CHECK(floats(weight.exact()) == std::vector<float>(exact.size(), 0.3F));
    weight.train(true);
    CHECK(floats(weight.master()) == std::vector<float>(exact.size(), 0.3F));
}

TEST_CASE_TEMPLATE("start values of 16 bits are float's, rounded, and train from float's", T, bfloat16, half) {
    Cpu cpu(1);
    reel::Linear<float> wide(24, 8);
    reel::initialize(wide, cpu, 7);
    reel::Linear<T> before(24, 8);
    before.weight.train(true);
    reel::initialize(before, cpu, 7);
    reel::Linear<T> after(24, 8);
    reel::initialize(after, cpu, 7);
    const std::vector<float> exact = wide.weight.value().to_host();
    CHECK(floats(after.weight.value()) == rounded<T>(exact));
    CHECK(floats(before.weight.value()) == rounded<T>(exact));
    CHECK(floats(before.weight.master()) == exact);
    after.weight.train(true);
    CHECK(floats(after.weight.master()) == exact);
}
