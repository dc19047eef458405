#pragma once

#include <array>
#include <utility>

#include <reel/autograd/variable.hpp>

namespace reel {

/// Who decides whether a checkpointed block is recorded at all.
enum class CheckpointMode {
    /// Gradients of inputs and of everything trained inside the block: the same numbers as without checkpointing, bit
    /// for bit but for an input that is used outside too, whose parts are added in another order.
    exact,
    /// Only when an input wants a gradient, so that parameters before the first such input get none. This is what
    /// torch.utils.checkpoint with use_reentrant=True does, and with it the reference's training.
    inputs_only,
};

/// Runs a block without recording, and runs it again, recorded, when its gradient is asked for: memory for one block
/// instead of all, for one more forward pass. `block` takes and returns variables and must compute the same again. What
/// it captures must be constants and parameters (leaves): a recorded value must come in as an argument, or backward
/// throws.
/// `trains` says whether the block holds a parameter that is being trained. Chen et al. 2016, arXiv:1604.06174.
template <class Block, Scalar T, Backend B, class... More>
[[nodiscard]] Variable<T, B> checkpoint(CheckpointMode mode, bool trains, Block block, const Variable<T, B>& first,
                                        const More&... more) {
    const bool recorded = any_requires_grad(first, more...) || (mode == CheckpointMode::exact && trains);
    const auto constant = [](const Variable<T, B>& x) { return Variable<T, B>(x.value()); };
    // Inputs as constants; parameters inside the block record their operations, and those nodes die with this scope.
    Tensor<T, B> value = block(constant(first), constant(more)...).value();
    if (!recorded) {
        return Variable<T, B>(std::move(value));
    }
    auto node = std::make_shared<Node<T, B>>();
    const std::array inputs{first, more...};
    for (const auto& input : inputs) {
        node->inputs.push_back(input.node());
        node->depth = std::max(node->depth, input.requires_grad() ? input.node()->depth + 1 : 0);
    }
    node->backward = [block, inputs](Node<T, B>& self) {
        auto again = inputs;
        for (auto& input : again) {
            input = input.requires_grad() ? Variable<T, B>::leaf(input.value()) : Variable<T, B>(input.value());
        }
        const auto output = std::apply(block, again);
        backward(output, self.gradient);
        for (std::size_t i = 0; i < again.size(); ++i) {
            if (self.needs(i) && again[i].grad().defined()) {
                self.send(i, again[i].grad());
            }
        }
    };
    return Variable<T, B>(std::move(value), std::move(node));
}

} // namespace reel
