#pragma once

#include <reel/core/shape.hpp>

namespace reel {

/// How a parameter's axes in a checkpoint map to its axes in memory.
enum class ParameterLayout {
    plain,     ///< the same
    conv,      ///< file [out, in, h, w], memory [out, h, w, in]
    pointwise, ///< file [out, in, 1, 1], memory [out, in]
};

/// How an untrained parameter starts, after PyTorch's defaults.
enum class ParameterInit {
    zeros,
    ones,
    fan_in_uniform, ///< uniform in +-1/sqrt(fan_in): torch.nn.Linear and Conv2d
    normal,         ///< normal with a standard deviation of its own
};

/// What is known of a parameter before it has values.
struct ParameterSpec {
    Shape shape; ///< in memory
    ParameterLayout layout = ParameterLayout::plain;
    ParameterInit init = ParameterInit::zeros;
    index_t fan_in = 1;     ///< of fan_in_uniform
    double deviation = 1.0; ///< of normal

    /// The shape that a checkpoint gives.
    [[nodiscard]] Shape file_shape() const {
        switch (layout) {
        case ParameterLayout::conv:
            return {shape[0], shape[3], shape[1], shape[2]};
        case ParameterLayout::pointwise:
            return {shape[0], shape[1], 1, 1};
        case ParameterLayout::plain:
            break;
        }
        return shape;
    }
};

} // namespace reel
