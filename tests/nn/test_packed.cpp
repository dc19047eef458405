// Kernels that a backend keeps in its own layout: the same results as with the values they replace, and the values
// when they are asked for.

#include <doctest/doctest.h>

#include <random>
#include <thread>

#include <reel/core/random.hpp>
#include <reel/nn/layers.hpp>

using namespace reel;

namespace {

constexpr std::uint64_t seed = 7;

template <class T>
[[nodiscard]] Tensor<T> random(Cpu& cpu, const Shape& shape, std::uint64_t stream) {
    Tensor<float> x(cpu, shape);
    fill_normal(cpu, x, seed, stream);
    if constexpr (std::same_as<T, float>) {
        return x;
    } else {
        return cast<T>(x);
    }
}

/// A tensor's elements in a type that is compared.
template <class T>
[[nodiscard]] std::vector<double> host(const Tensor<T>& x) {
    std::vector<double> values;
    for (const T value : x.to_host()) {
        values.push_back(static_cast<double>(static_cast<compute_t<T>>(value)));
    }
    return values;
}

/// Two equal convolutions: one whose kernel has a value, one whose kernel waits.
template <class T>
struct Pair {
    Conv2d<T> plain;
    Conv2d<T> waiting;
    Tensor<T> kernel;

    Pair(Cpu& cpu, index_t in, index_t out, index_t size, const ConvOptions& options)
        : plain(in, out, size, options), waiting(in, out, size, options),
          kernel(scale(random<T>(cpu, {out, size, size, in}, 1), 0.05F)) {
        const Tensor<T> bias = random<T>(cpu, {out}, 2);
        plain.weight.set(kernel);
        waiting.weight.set_later([kernel = kernel] { return kernel.clone(); });
        plain.bias.set(bias);
        waiting.bias.set(bias);
    }
};

/// Whether kernels of this type are packed here.
template <class T>
[[nodiscard]] bool packs(Cpu& cpu) {
    if constexpr (PacksKernels<Cpu, T>) {
        const Tensor<T> kernel = random<T>(cpu, {64, 3, 3, 64}, 1);
        return pack_kernel(cpu, detail::conv_geometry({2, 16, 16, 64}, kernel.shape(), ConvOptions::same_pad(1)),
                           static_cast<const T*>(kernel.data())) != nullptr;
    } else {
        return false;
    }
}

template <class T>
void compare(Cpu& cpu, index_t in, index_t out, index_t size, const ConvOptions& options, const Shape& x_shape) {
    CAPTURE(in);
    CAPTURE(out);
    CAPTURE(size);
    CAPTURE(options.stride);
    const Pair<T> pair(cpu, in, out, size, options);
    const Tensor<T> x = random<T>(cpu, x_shape, 3);
    for (int again = 0; again < 2; ++again) {
        const Tensor<T> expected = pair.plain(x);
        CHECK(host(pair.waiting(x)) == host(expected));
        const Tensor<T> into(cpu, expected.shape());
        pair.waiting.into(into, x);
        CHECK(host(into) == host(expected));

        const Tensor<T> y_gradient = random<T>(cpu, expected.shape(), 4);
        const auto gradient = [&](const Conv2d<T>& conv) {
            const auto input = Variable<T>::leaf(x.clone());
            const Variable<T> y = conv(input);
            CHECK(host(y.value()) == host(expected));
            backward(y, y_gradient);
            return host(input.grad());
        };
        CHECK(gradient(pair.waiting) == gradient(pair.plain));
    }
    CHECK(host(pair.waiting.weight.exact()) == host(pair.plain.weight.exact()));
    CHECK(pair.waiting.weight.waits() == packs<T>(cpu)); // exact() leaves it as it is
    CHECK(pair.waiting.weight.in_memory());
    CHECK(host(pair.waiting.weight.value()) == host(pair.kernel));
    CHECK_FALSE(pair.waiting.weight.waits());
    CHECK(host(pair.waiting(x)) == host(pair.plain(x)));
}

} // namespace

TEST_CASE_TEMPLATE("a kernel that waits is packed in place of its value", T, float, bfloat16, half, double) {
    for (const int threads : {1, 2}) {
        Cpu cpu(threads);
        const ConvOptions same = ConvOptions::same_pad(1);
        compare<T>(cpu, 64, 128, 3, same, {2, 16, 16, 64});
        compare<T>(cpu, 32, 64, 3, ConvOptions::same_pad(1, 2), {3, 17, 16, 32});
        compare<T>(cpu, 32, 48, 3, {.stride = 2, .pad_bottom = 1, .pad_right = 1}, {2, 16, 16, 32});
        compare<T>(cpu, 4, 96, 3, same, {2, 24, 24, 4});
        compare<T>(cpu, 96, 4, 3, same, {2, 24, 24, 96});
        compare<T>(cpu, 96, 64, 1, {}, {2, 16, 16, 96});
    }
}

TEST_CASE("a packed kernel serves pictures that would not have been worth packing, and another precision") {
    Cpu cpu(2);
    const Pair<float> pair(cpu, 64, 64, 3, ConvOptions::same_pad(1));
    for (const index_t side : {16, 1, 2, 40, 16}) {
        CAPTURE(side);
        const Tensor<float> x = random<float>(cpu, {1, side, side, 64}, 3);
        CHECK(pair.waiting(x).to_host() == pair.plain(x).to_host());
    }
    CHECK(pair.waiting.weight.waits() == packs<float>(cpu));
    cpu.float32_matmul_precision = Float32MatmulPrecision::medium;
    const Tensor<float> x = random<float>(cpu, {1, 16, 16, 64}, 3);
    CHECK(pair.waiting(x).to_host() == pair.plain(x).to_host());
}

TEST_CASE("a packed kernel's bias must fit") {
    Cpu cpu(1);
    const ConvOptions options = ConvOptions::same_pad(1);
    const Tensor<float> x = random<float>(cpu, {1, 16, 16, 64}, 3);
    const Tensor<float> plain = random<float>(cpu, {64, 3, 3, 64}, 1);
    if constexpr (PacksKernels<Cpu, float>) {
        const auto kernel = pack_kernel(cpu, detail::conv_geometry(x.shape(), plain.shape(), options),
                                        static_cast<const float*>(plain.data()));
        REQUIRE(kernel != nullptr);
        CHECK_THROWS_WITH_AS(static_cast<void>(conv2d(x, *kernel, random<float>(cpu, {63}, 2), options)),
                             doctest::Contains("bias [63] with kernel [64, 3, 3, 64]"), Error);
    } else {
        MESSAGE("skipped: no layout of its own on this backend");
    }
}

TEST_CASE("a kernel that is rounded for its products is not packed") {
    Cpu cpu(1);
    cpu.float32_matmul_precision = Float32MatmulPrecision::medium;
    const bool kept = !packs<float>(cpu);
    cpu.float32_matmul_precision = Float32MatmulPrecision::highest;
    CHECK((kept || !packs<bfloat16>(cpu))); // without instructions for bfloat16 nothing is rounded
}

TEST_CASE("a packed kernel takes the memory that its value took") {
    Cpu cpu(1);
    if (!packs<float>(cpu)) {
        MESSAGE("skipped: no layout of its own on this backend");
        return;
    }
    constexpr index_t channels = 256;
    Conv2d<float> conv = conv3x3<float>(channels, channels);
    conv.weight.set_later([&] { return random<float>(cpu, {channels, 3, 3, channels}, 1); });
    conv.bias.set(random<float>(cpu, {channels}, 2));
    const std::size_t bytes = sizeof(float) * 9 * channels * channels;
    const auto used = [&] { return cpu.memory().statistics().in_use; };
    const std::size_t before = used();
    static_cast<void>(conv(random<float>(cpu, {1, 16, 16, channels}, 3)));
    CHECK(used() == before + bytes);
    const Conv2d<float> copy = conv;
    static_cast<void>(copy(random<float>(cpu, {1, 16, 16, channels}, 3)));
    CHECK(used() == before + bytes);
    {
        const Tensor<float> unpacked = conv.weight.exact();
        CHECK(used() == before + 2 * bytes);
    }
    static_cast<void>(conv.weight.value());
    CHECK(used() == before + bytes);
    static_cast<void>(copy(random<float>(cpu, {1, 16, 16, channels}, 3)));
    CHECK(used() == before + bytes);
}

TEST_CASE("a packed kernel can be trained") {
    Cpu cpu(2);
    Pair<float> pair(cpu, 64, 64, 3, ConvOptions::same_pad(1));
    const Tensor<float> x = random<float>(cpu, {2, 16, 16, 64}, 3);
    static_cast<void>(pair.waiting(x));
    const auto gradient = [&](Conv2d<float>& conv) {
        conv.weight.train(true);
        const Variable<float> y = conv(Variable<float>(x));
        backward(y, random<float>(cpu, y.shape(), 4));
        return conv.weight.grad().to_host();
    };
    CHECK(gradient(pair.waiting) == gradient(pair.plain));
    CHECK(pair.waiting.weight.value().to_host() == pair.kernel.to_host());
}

TEST_CASE("any thread may pack a kernel, and any may ask for its value meanwhile") {
    Cpu cpu(1);
    const Pair<float> pair(cpu, 64, 64, 3, ConvOptions::same_pad(1));
    const std::vector<float> x = random<float>(cpu, {1, 16, 16, 64}, 3).to_host();
    const std::vector<float> expected = pair.plain(Tensor<float>::from_host(cpu, {1, 16, 16, 64}, x)).to_host();
    const std::vector<float> kernel = pair.kernel.to_host();
    std::vector<int> right(4, 0);
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < right.size(); ++i) {
            threads.emplace_back([&, i] {
                for (int again = 0; again < 20; ++again) {
                    const bool asks = i == 0 && again == 10;
                    right[i] += asks ? int{pair.waiting.weight.value().to_host() == kernel}
                                     : int{pair.waiting(Tensor<float>::from_host(cpu, {1, 16, 16, 64}, x)).to_host() ==
                                           expected};
                }
            });
        }
    }
    CHECK(right == std::vector<int>(4, 20));
}
