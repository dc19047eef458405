#pragma once

#include <concepts>

#include <reel/backend/generic/elementwise.hpp>

namespace reel::cpu {

/// Functions of one number that the Cpu has a version of for whole strips; others run through generic/.
template <class F>
concept StripFunction = std::same_as<F, generic::Silu> || std::same_as<F, generic::Gelu> ||
    std::same_as<F, generic::QuickGelu> || std::same_as<F, generic::Relu>;

} // namespace reel::cpu
