#pragma once

#include <cmath>
#include <string_view>

#include <reel/core/random.hpp>
#include <reel/nn/module.hpp>

namespace reel {

/// A number for a name (FNV-1a, 64 bits): the random stream of a parameter, so that its start does not depend on what
/// else a model holds.
[[nodiscard]] constexpr std::uint64_t stream_of(std::string_view name) {
    std::uint64_t hash = 0xcbf29ce484222325ULL;
    for (const char c : name) {
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    }
    return hash;
}

namespace functors {

/// Four values at a time: what one block of random bits gives.
template <class T>
struct UniformAround {
    T* x;
    index_t count;
    Philox random;
    double bound;
    constexpr void operator()(index_t block) const {
        const auto words = random.block(static_cast<std::uint64_t>(block));
        const index_t first = 4 * block;
        for (index_t i = first; i < first + 4 && i < count; ++i) {
            const double unit = static_cast<double>(words[static_cast<std::size_t>(i - first)]) * 0x1p-32;
            x[i] = static_cast<T>((2 * unit - 1) * bound);
        }
    }
};

template <class T>
struct NormalAround {
    T* x;
    Philox random;
    double deviation;
    constexpr void operator()(index_t i) const {
        x[i] = static_cast<T>(random.normal(static_cast<std::uint64_t>(i)) * deviation);
    }
};

} // namespace functors

namespace detail {

template <Real T, Backend B>
[[nodiscard]] Tensor<T, B> initial_value(const ParameterSpec& spec, B& backend, const Philox& random) {
    Tensor<T, B> value(backend, spec.shape);
    switch (spec.init) {
    case ParameterInit::zeros:
        value.fill(T(0));
        break;
    case ParameterInit::ones:
        value.fill(T(1));
        break;
    case ParameterInit::fan_in_uniform: {
        const double bound = 1.0 / std::sqrt(static_cast<double>(std::max<index_t>(spec.fan_in, 1)));
        backend.for_each_index((value.size() + 3) / 4,
                               functors::UniformAround<T>{value.data(), value.size(), random, bound});
        break;
    }
    case ParameterInit::normal:
        backend.for_each_index(value.size(), functors::NormalAround<T>{value.data(), random, spec.deviation});
        break;
    }
    return value;
}

} // namespace detail

/// Gives a parameter its declared start. Equal seeds and names give equal values on every backend, and of 16 bits the
/// rounded ones.
template <Scalar T, Backend B>
void initialize(Parameter<T, B>& parameter, B& backend, const std::string& name, std::uint64_t seed) {
    const auto start = [spec = parameter.spec(), at = &backend, random = Philox(seed, stream_of(name))] {
        return detail::initial_value<compute_t<T>>(spec, *at, random);
    };
    if (parameter.requires_grad()) {
        parameter.set_master(start());
    } else {
        parameter.set(detail::stored_as<T>(start()));
        parameter.set_exact(start);
    }
}

/// Gives every parameter of a module its declared start.
template <class M, class B>
void initialize(M& module, B& backend, std::uint64_t seed) {
    static_assert(check_module<M>());
    static_assert(check_backend<B>());
    for_each_parameter(module,
                       [&](const std::string& name, auto& parameter) { initialize(parameter, backend, name, seed); });
}

} // namespace reel
