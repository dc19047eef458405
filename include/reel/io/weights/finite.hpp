#pragma once
// Whether weights are numbers. Needs no library.

#include <reel/core/error.hpp>
#include <reel/core/scalar.hpp>
#include <reel/io/files/mapped_file.hpp>
#include <reel/io/weights/host_tensor.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>

namespace reel {

namespace detail {

/// The first element of `bytes` whose exponent (the bits of `mask`) is all ones, an Inf or NaN.
template <class Bits>
[[nodiscard]] std::optional<std::size_t> first_non_finite(std::span<const std::byte> bytes, Bits mask) {
    constexpr std::size_t block = 4096;
    const std::size_t count = bytes.size() / sizeof(Bits);
    const auto at = [&](std::size_t i) {
        Bits value;
        std::memcpy(&value, bytes.data() + i * sizeof(Bits), sizeof(Bits));
        return value;
    };
    for (std::size_t begin = 0; begin < count; begin += block) {
        const std::size_t end = std::min(count, begin + block);
        Bits found = 0; // no branch in the loop, so that it runs as fast as memory
        for (std::size_t i = begin; i < end; ++i) {
            found |= static_cast<Bits>((at(i) & mask) == mask ? 1 : 0);
        }
        for (std::size_t i = begin; found != 0 && i < end; ++i) {
            if ((at(i) & mask) == mask) {
                return i;
            }
        }
    }
    return std::nullopt;
}

} // namespace detail

/// Index of a tensor's first Inf or NaN; nothing for a tensor without, or of integers. Reads each byte once.
[[nodiscard]] inline std::optional<std::size_t> first_non_finite(const HostTensor& tensor) {
    switch (tensor.dtype) {
    case DType::f64:
        return detail::first_non_finite<std::uint64_t>(tensor.bytes(), std::uint64_t{0x7ff} << 52);
    case DType::f32:
        return detail::first_non_finite<std::uint32_t>(tensor.bytes(), 0x7f800000U);
    case DType::f16:
        return detail::first_non_finite<std::uint16_t>(tensor.bytes(), std::uint16_t{0x7c00});
    case DType::bf16:
        return detail::first_non_finite<std::uint16_t>(tensor.bytes(), std::uint16_t{0x7f80});
    default:
        return std::nullopt;
    }
}

/// Throws Error naming `where` (a file), the first tensor with an Inf or NaN, and the place in it: such weights make
/// pictures of one colour, or none, after a whole sampling.
///
///     StateDict unet = load_weights(folder, diffusers_weight_names);
///     require_finite(unet, folder.string());
///
/// Gives each tensor's memory back afterwards (see HostTensor::drop_pages), so that a model is not in memory twice.
inline void require_finite(const StateDict& tensors, const std::string& where) {
    for (const auto& [name, tensor] : tensors) {
        if (const auto place = first_non_finite(tensor)) {
            HostTensor one = tensor;
            one.shape = {1};
            one.data = tensor.data + *place * size_of(tensor.dtype);
            fail(where, ": tensor \"", name, "\" of shape ", shape_text(tensor.shape), " holds ",
                 one.to_vector<double>().front(), " at element ", *place,
                 "; the file is damaged, or the run that saved it had diverged");
        }
        tensor.drop_pages();
    }
}

} // namespace reel
