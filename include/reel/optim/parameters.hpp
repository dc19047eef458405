#pragma once

#include <string>

#include <reel/tensor.hpp>

namespace reel {

/// What an optimizer sees of a parameter: handles to its elements and to its gradient's, under its state-dict name.
/// An undefined gradient means that none arrived: the parameter is left out of everything, weight decay included.
template <Scalar T, Backend B = Cpu>
struct NamedParameter {
    std::string name;
    Tensor<T, B> value;
    Tensor<T, B> gradient;
};

} // namespace reel
