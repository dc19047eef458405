#pragma once
// Blockwise dynamic quantization: 8 bits for each number of a tensor, and one scale for each block of them.

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include <reel/tensor.hpp>

namespace reel {

/// The 256 values in -1..1 (signed) or 0..1 that a byte stands for, in ascending order: 0, 1, and in each of the seven
/// decades below 1 the middles of equal bins, whose number halves from decade to decade (signed 64, 32, ... of either
/// sign; unsigned 128, 64, ...). Small numbers keep their order of magnitude, large ones more digits. The "dynamic"
/// data type of Dettmers et al. 2022, arXiv:2110.02861, section 2, with the bins of bitsandbytes.
[[nodiscard]] inline std::array<double, 256> dynamic_map(bool is_signed) {
    std::vector<double> values{0.0, 1.0};
    double decade = 1e-6; // the upper end of the lowest
    for (int i = 0; i < 7; ++i, decade *= 10) {
        const int bins = 1 << (is_signed ? i : i + 1);
        for (int bin = 0; bin < bins; ++bin) {
            const double middle = decade * (0.1 + 0.9 * (bin + 0.5) / bins);
            values.push_back(middle);
            if (is_signed) {
                values.push_back(-middle);
            }
        }
    }
    std::sort(values.begin(), values.end());
    std::array<double, 256> map{};
    std::copy(values.begin(), values.end(), map.begin());
    return map;
}

/// What a device needs to look at a dynamic map.
template <class T>
struct DynamicMapView {
    const T* values; ///< 256, ascending
    const T* bounds; ///< 255: bounds[i] lies halfway between values[i] and values[i + 1]

    /// The code of the nearest value; of two, the lower.
    constexpr std::uint8_t code(T x) const {
        int code = 0;
        for (int step = 128; step > 0; step /= 2) {
            code += bounds[code + step - 1] < x ? step : 0;
        }
        return static_cast<std::uint8_t>(code);
    }
};

/// A dynamic map where a backend can read it.
template <Real T, Backend B = Cpu>
class DynamicMap {
public:
    DynamicMap(B& backend, bool is_signed) {
        const std::array<double, 256> map = dynamic_map(is_signed);
        std::vector<T> table;
        for (const double value : map) {
            table.push_back(static_cast<T>(value));
        }
        for (std::size_t i = 0; i + 1 < map.size(); ++i) {
            table.push_back(static_cast<T>((map[i] + map[i + 1]) / 2));
        }
        table_ = Tensor<T, B>::from_host(backend, {static_cast<index_t>(table.size())}, table);
    }

    [[nodiscard]] DynamicMapView<T> view() const { return {table_.data(), table_.data() + 256}; }

private:
    Tensor<T, B> table_;
};

/// A tensor in 8 bits: element i is map.values[codes[i]] * absmax[i / block size].
template <Real T, Backend B = Cpu>
struct BlockwiseTensor {
    Tensor<std::uint8_t, B> codes; ///< of the tensor's shape
    Tensor<T, B> absmax;           ///< [blocks]: the largest magnitude of each; of a block of zeros 0

    /// Zeros of a shape, in blocks of `block_size` elements.
    [[nodiscard]] static BlockwiseTensor zeros(B& backend, const Shape& shape, index_t block_size) {
        return {Tensor<std::uint8_t, B>::zeros(backend, shape),
                Tensor<T, B>::zeros(backend, {block_count(shape.size(), block_size)})};
    }

    [[nodiscard]] static index_t block_count(index_t size, index_t block_size) {
        return (size + block_size - 1) / block_size;
    }

    [[nodiscard]] std::size_t bytes() const {
        return static_cast<std::size_t>(codes.size()) + static_cast<std::size_t>(absmax.size()) * sizeof(T);
    }
};

namespace functors {

/// What a block's values are multiplied by before they are looked up; 0 where all are 0.
template <class T>
constexpr T inverse_absmax(T absmax) {
    return absmax > T(0) ? T(1) / absmax : T(0);
}

/// Quantizes one block.
template <class T>
struct QuantizeBlock {
    const T* x;
    DynamicMapView<T> map;
    std::uint8_t* codes;
    T* absmax;
    index_t count;
    index_t block_size;
    constexpr void operator()(index_t block) const {
        const index_t begin = block * block_size;
        const index_t end = begin + block_size < count ? begin + block_size : count;
        T largest = T(0);
        for (index_t i = begin; i < end; ++i) {
            const T magnitude = x[i] < T(0) ? -x[i] : x[i];
            largest = magnitude > largest ? magnitude : largest;
        }
        const T factor = inverse_absmax(largest);
        for (index_t i = begin; i < end; ++i) {
            codes[i] = map.code(x[i] * factor);
        }
        absmax[block] = largest;
    }
};

template <class T>
struct Dequantize {
    DynamicMapView<T> map;
    const std::uint8_t* codes;
    const T* absmax;
    T* y;
    index_t block_size;
    constexpr void operator()(index_t i) const { y[i] = map.values[codes[i]] * absmax[i / block_size]; }
};

} // namespace functors

/// A tensor in 8 bits, each block scaled by its own largest magnitude. Finite values only.
template <Real T, Backend B>
[[nodiscard]] BlockwiseTensor<T, B> quantize_blockwise(const Tensor<T, B>& x, const DynamicMap<T, B>& map,
                                                       index_t block_size) {
    require(block_size > 0, "quantize_blockwise: block_size is ", block_size, "; expected 1 or more");
    auto y = BlockwiseTensor<T, B>::zeros(x.backend(), x.shape(), block_size);
    x.backend().for_each_index(
        y.absmax.size(),
        functors::QuantizeBlock<T>{x.data(), map.view(), y.codes.data(), y.absmax.data(), x.size(), block_size},
        index_t{1});
    return y;
}

/// What quantize_blockwise() kept of a tensor.
template <Real T, Backend B>
[[nodiscard]] Tensor<T, B> dequantize_blockwise(const BlockwiseTensor<T, B>& x, const DynamicMap<T, B>& map,
                                                index_t block_size) {
    require(block_size > 0 && x.absmax.size() == BlockwiseTensor<T, B>::block_count(x.codes.size(), block_size),
            "dequantize_blockwise: ", x.codes.shape(), " with ", x.absmax.size(), " scales for blocks of ", block_size);
    Tensor<T, B> y(x.codes.backend(), x.codes.shape());
    y.backend().for_each_index(
        y.size(), functors::Dequantize<T>{map.view(), x.codes.data(), x.absmax.data(), y.data(), block_size});
    return y;
}

} // namespace reel
