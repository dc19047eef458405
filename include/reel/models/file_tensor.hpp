#pragma once
// A parameter's value as files have it.

#include <cstdint>
#include <utility>
#include <vector>

#include <reel/io/weights/host_tensor.hpp>
#include <reel/nn/parameter_spec.hpp>
#include <reel/ops/rearrange.hpp>

namespace reel {

/// A file's tensor in another floating-point type: float32, float16 or bfloat16, or float64.
[[nodiscard]] inline HostTensor converted_tensor(const HostTensor& source, DType dtype) {
    if (source.dtype == dtype) {
        return source;
    }
    switch (dtype) {
    case DType::f64:
        return HostTensor::make(source.shape, source.to_vector<double>());
    case DType::f32:
        return HostTensor::make(source.shape, source.to_vector<float>());
    case DType::f16:
        return HostTensor::make(source.shape, source.to_vector<half>());
    case DType::bf16:
        return HostTensor::make(source.shape, source.to_vector<bfloat16>());
    default:
        fail("weights cannot be saved as ", name_of(dtype), "; expected float32, float16, bfloat16 or float64");
    }
}

/// A parameter's value as a checkpoint holds it, in `dtype` (float32, float16 or bfloat16, or float64).
template <Scalar T, Backend B>
[[nodiscard]] HostTensor to_file_tensor(const Tensor<T, B>& value, const ParameterSpec& spec, DType dtype) {
    const Shape file = spec.file_shape();
    const std::vector<T> values =
        (spec.layout == ParameterLayout::conv ? permute(value, {0, 3, 1, 2}) : value).to_host();
    const std::vector<std::int64_t> shape(file.begin(), file.end());
    const auto converted = [&]<class To>(To) {
        std::vector<To> result(values.size());
        for (std::size_t i = 0; i < values.size(); ++i) {
            result[i] = static_cast<To>(static_cast<compute_t<T>>(values[i]));
        }
        return HostTensor::make(shape, std::move(result));
    };
    switch (dtype) {
    case DType::f64:
        return converted(double{});
    case DType::f32:
        return converted(float{});
    case DType::f16:
        return converted(half{});
    case DType::bf16:
        return converted(bfloat16{});
    default:
        fail("weights cannot be saved as ", name_of(dtype), "; expected float32, float16, bfloat16 or float64");
    }
}

} // namespace reel
