#include <doctest/doctest.h>

#include <cmath>

#include <reel/io/weights/safetensors.hpp>
#include <reel/ops/reduce.hpp>
#include <reel/optim/adamw_8bit_state.hpp>

#include <io/temporary_folder.hpp>
#include <schedulers/support.hpp>

using namespace reel;
using namespace reel::test;

namespace {

template <class T>
using Parameters = std::vector<NamedParameter<T>>;

/// The gradients of make_8bit_golden.py.
template <class T>
[[nodiscard]] Tensor<T> gradient(Cpu& cpu, index_t size, int step) {
    std::vector<T> values;
    for (index_t i = 0; i < size; ++i) {
        values.push_back(static_cast<T>(std::sin(0.1 * static_cast<double>(i + 1) * (step + 1)) *
                                        std::pow(10.0, -static_cast<double>(i % 5))));
    }
    return Tensor<T>::from_host(cpu, {size}, values);
}

template <class T>
[[nodiscard]] Tensor<T> start(Cpu& cpu, index_t size) {
    std::vector<T> values;
    for (index_t i = 0; i < size; ++i) {
        values.push_back(static_cast<T>(std::cos(0.3 * static_cast<double>(i))));
    }
    return Tensor<T>::from_host(cpu, {size}, values);
}

} // namespace

TEST_CASE("the dynamic maps are those of the paper's bit patterns, and what their names say") {
    const StateDict golden = read_safetensors("optim/golden/adamw_8bit.safetensors");
    for (const bool is_signed : {true, false}) {
        const auto map = dynamic_map(is_signed);
        const auto expected = golden.at(is_signed ? "map.signed" : "map.unsigned").to_vector<double>();
        CHECK(gap(std::vector<double>(map.begin(), map.end()), expected) < 1e-15);
        CHECK(std::is_sorted(map.begin(), map.end()));
        CHECK(std::adjacent_find(map.begin(), map.end()) == map.end()); // 256 different values
        CHECK(map.back() == 1);
        CHECK(std::find(map.begin(), map.end(), 0.0) != map.end());
        CHECK((is_signed ? map.front() > -1 && map.front() < -0.99 : map.front() == 0));
    }
}

TEST_CASE_TEMPLATE("a code is the nearest value's", T, double, float) {
    Cpu cpu(1);
    for (const bool is_signed : {true, false}) {
        const DynamicMap<T> map(cpu, is_signed);
        const auto values = dynamic_map(is_signed);
        for (int i = 0; i < 20000; ++i) {
            const double at = (is_signed ? 2.0 : 1.0) * i / 20000 - (is_signed ? 1.0 : 0.0);
            const double x = at * std::pow(10.0, -static_cast<double>(i % 7));
            const double found = values[map.view().code(static_cast<T>(x))];
            double nearest = 2;
            for (const double value : values) {
                nearest = std::min(nearest, std::abs(value - x));
            }
            REQUIRE(std::abs(found - x) <= nearest + 1e-7);
        }
    }
}

TEST_CASE("quantization is within half a bin of each decade, block by block") {
    Cpu cpu(2);
    const DynamicMap<double> map(cpu, true);
    std::vector<double> values;
    for (int i = 0; i < 1000; ++i) {
        // blocks of 64 whose magnitudes differ by powers of ten, and one of zeros
        const double scale = i / 64 == 3 ? 0 : std::pow(10.0, static_cast<double>(i / 64 - 8));
        values.push_back(scale * std::sin(static_cast<double>(i)) * std::pow(10.0, -static_cast<double>(i % 4)));
    }
    const auto x = Tensor<double>::from_host(cpu, {10, 100}, values);
    const auto packed = quantize_blockwise(x, map, 64);
    CHECK(packed.codes.shape() == Shape{10, 100});
    CHECK(packed.absmax.shape() == Shape{16});
    CHECK(packed.bytes() == 1000 + 16 * sizeof(double));
    const auto absmax = packed.absmax.to_host();
    const auto y = dequantize_blockwise(packed, map, 64).to_host();
    for (std::size_t i = 0; i < values.size(); ++i) {
        const double scale = absmax[i / 64];
        const double share = scale > 0 ? std::abs(values[i]) / scale : 0;
        // a decade of n bins from 0.1 to 1: 0.45 / n of its upper end
        double bound = 0.55e-6;
        for (int decade = 0; decade < 7; ++decade) {
            if (share > std::pow(10.0, -decade - 1)) {
                bound = 0.45 / (64 >> decade) * std::pow(10.0, -decade);
                break;
            }
        }
        REQUIRE(std::abs(y[i] - values[i]) <= scale * bound * (1 + 1e-9));
    }
    // What is rounded once stays: unsigned, where the largest is one of the values.
    const DynamicMap<double> positive(cpu, false);
    const auto squares = quantize_blockwise(multiply(x, x), positive, 64);
    CHECK(quantize_blockwise(dequantize_blockwise(squares, positive, 64), positive, 64).codes.to_host() ==
          squares.codes.to_host());
    CHECK_THROWS_WITH_AS(quantize_blockwise(x, map, 0), doctest::Contains("block_size is 0"), Error);
    CHECK_THROWS_WITH_AS(dequantize_blockwise(packed, map, 128), doctest::Contains("blocks of 128"), Error);
}

TEST_CASE_TEMPLATE("8-bit AdamW equals the paper's, written independently", T, double, float) {
    Cpu cpu(2);
    const StateDict golden = read_safetensors("optim/golden/adamw_8bit.safetensors");
    const index_t size = golden.at("value").element_count();
    const auto value = start<T>(cpu, size);
    AdamW8bit<T> optimizer({.adamw = {.learning_rate = 0.01, .weight_decay = 0.01}});
    for (int step = 1; step <= 12; ++step) {
        optimizer.step(Parameters<T>{{"p", value, gradient<T>(cpu, size, step)}}, 0.01);
    }
    const auto& state = optimizer.states().at("p");
    CHECK(state.step == 12);
    const auto codes = [&](const char* name) { return golden.at(name).template to_vector<std::uint8_t>(); };
    const auto differing = [](const std::vector<std::uint8_t>& a, const std::vector<std::uint8_t>& b) {
        std::size_t count = 0;
        for (std::size_t i = 0; i < a.size(); ++i) {
            count += a[i] == b[i] ? 0 : 1;
        }
        return static_cast<double>(count) / static_cast<double>(a.size());
    };
    const bool exact = std::is_same_v<T, double>; // a float's rounding moves what lies at a bin's edge
    CHECK(differing(state.exp_avg.codes.to_host(), codes("m.codes")) <= (exact ? 0 : 0.002));
    CHECK(differing(state.exp_avg_sq.codes.to_host(), codes("v.codes")) <= (exact ? 0 : 0.002));
    CHECK(gap(state.exp_avg.absmax, golden_tensor<T>(cpu, golden, "m.absmax")) < (exact ? 1e-13 : 1e-4));
    CHECK(gap(state.exp_avg_sq.absmax, golden_tensor<T>(cpu, golden, "v.absmax")) < (exact ? 1e-13 : 1e-4));
    CHECK(gap(value, golden_tensor<T>(cpu, golden, "value")) < (exact ? 1e-13 : 1e-3));
}

TEST_CASE("8-bit AdamW descends a quadratic as AdamW does, in a quarter of the memory") {
    Cpu cpu(2);
    const index_t size = 8192;
    const auto target = gradient<float>(cpu, size, 0);
    const auto run = [&](auto& optimizer, int steps) {
        const auto value = start<float>(cpu, size);
        double loss = 0;
        for (int step = 0; step < steps; ++step) {
            const auto difference = subtract(value, target);
            loss = squared_norm(difference) / static_cast<double>(size);
            optimizer.step(Parameters<float>{{"p", value, difference}}, 0.02 * (1 - step / 400.0));
        }
        return loss;
    };
    const AdamWOptions options{.weight_decay = 0};
    AdamW8bit<float> narrow({.adamw = options});
    AdamW<float> wide(options);
    const double before = run(narrow, 1);
    AdamW8bit<float> fresh({.adamw = options});
    const double narrow_loss = run(fresh, 400);
    const double wide_loss = run(wide, 400);
    CAPTURE(narrow_loss);
    CAPTURE(wide_loss);
    CHECK(before > 0.1);
    CHECK(wide_loss < 1e-4 * before);
    CHECK(narrow_loss < 1e-3 * before);
    CHECK(fresh.state_bytes() == 2 * (8192 + 4 * sizeof(float))); // 8192 / 2048 = 4 blocks
    CHECK(fresh.state_bytes() < 0.26 * 2 * 8192 * sizeof(float));
}

TEST_CASE("small parameters are AdamW's to the bit, and with min_8bit_size never all are") {
    Cpu cpu(1);
    const AdamWOptions options{.learning_rate = 0.01};
    AdamW<float> plain(options);
    AdamW8bit<float> mixed({.adamw = options});
    AdamW8bit<float> never({.adamw = options, .min_8bit_size = AdamW8bitOptions::never});
    const auto run = [&](auto& optimizer) {
        Parameters<float> parameters{{"small", start<float>(cpu, 4095), {}}, {"large", start<float>(cpu, 4096), {}}};
        for (int step = 0; step < 3; ++step) {
            for (auto& parameter : parameters) {
                parameter.gradient = gradient<float>(cpu, parameter.value.size(), step);
            }
            optimizer.step(parameters, 0.01);
        }
        return std::pair(parameters[0].value.to_host(), parameters[1].value.to_host());
    };
    const auto expected = run(plain);
    const auto got = run(mixed);
    CHECK(got.first == expected.first);
    CHECK(got.second != expected.second);
    CHECK(run(never) == expected);
    CHECK(mixed.states().size() == 1);
    CHECK(mixed.small().states().size() == 1);
    CHECK(never.states().empty());
    CHECK(adamw_state_dict(never).size() == adamw_state_dict(plain).size());
}

TEST_CASE("8-bit state is saved and resumed to the bit; what does not fit is named") {
    Cpu cpu(2);
    const auto advance = [&](AdamW8bit<float>& optimizer, const Parameters<float>& parameters, int from, int to) {
        for (int step = from; step < to; ++step) {
            Parameters<float> given = parameters;
            for (auto& parameter : given) {
                parameter.gradient = gradient<float>(cpu, parameter.value.size(), step);
            }
            optimizer.step(given, 0.01);
        }
    };
    const auto fresh = [&] {
        return Parameters<float>{{"large", start<float>(cpu, 5000), {}}, {"small", start<float>(cpu, 10), {}}};
    };
    const reel_test::TemporaryFolder folder;
    const Parameters<float> straight = fresh();
    AdamW8bit<float> whole;
    advance(whole, straight, 0, 8);
    const Parameters<float> broken = fresh();
    {
        AdamW8bit<float> first;
        advance(first, broken, 0, 4);
        write_safetensors(folder / "optimizer.safetensors", adamw_state_dict(first));
    }
    AdamW8bit<float> second;
    load_adamw_state_dict(second, cpu, read_safetensors(folder / "optimizer.safetensors"), "file");
    advance(second, broken, 4, 8);
    CHECK(broken[0].value.to_host() == straight[0].value.to_host());
    CHECK(broken[1].value.to_host() == straight[1].value.to_host());

    const StateDict good = adamw_state_dict(second);
    CHECK(good.size() == 8);
    const auto refuses = [&](AdamW8bitOptions options, const std::string& name, const HostTensor* replacement,
                             const char* part) {
        StateDict bad = good;
        bad.erase(name);
        if (replacement != nullptr) {
            bad.emplace(name, *replacement);
        }
        AdamW8bit<float> other(options);
        CHECK_THROWS_WITH_AS(load_adamw_state_dict(other, cpu, bad, "file"), doctest::Contains(part), Error);
        CHECK(other.states().empty());
        CHECK(other.small().states().empty());
    };
    const auto floats = HostTensor::make({2}, std::vector<float>{1, 2});
    refuses({}, "exp_avg_codes.large", nullptr, "file: tensor \"exp_avg_codes.large\" is missing");
    refuses({}, "step_8bit.large", nullptr, "is unexpected in the state of AdamW");
    refuses({}, "exp_avg_sq_codes.large", &floats, "has type float32, expected uint8");
    refuses({}, "exp_avg_absmax.large", &floats, "scales [2] and [3]");
    refuses({}, "step_8bit.large", &floats, "is not one int64");
    refuses({}, "exp_avg.small", nullptr, "tensor \"exp_avg.small\" is missing");
    refuses({.block_size = 256}, "", nullptr, "20 scales (blocks of 256)");
    refuses({.min_8bit_size = 6000}, "", nullptr, "parameters of 5000 elements are kept in full");
    refuses({.min_8bit_size = 0}, "", nullptr, "parameters of 10 elements are kept in 8 bits");

    const auto other = Tensor<float>::full(cpu, {4096}, 1.0F);
    CHECK_THROWS_WITH_AS(second.step(Parameters<float>{{"large", other, other.clone()}}, 0.1),
                         doctest::Contains("restored state of \"large\" has shape [5000]"), Error);
    CHECK_THROWS_WITH_AS(AdamW8bit<float>({.block_size = 0}), doctest::Contains("block_size is 0"), Error);
}
