#pragma once

#include <array>
#include <concepts>
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

namespace detail {

/// What a block of variables gives, without recording: on tensors where it takes them.
template <class Block, Scalar T, Backend B, class... More>
[[nodiscard]] Tensor<T, B> unrecorded(const Block& block, const Variable<T, B>& first, const More&... more) {
    if constexpr (std::invocable<const Block&, const Tensor<T, B>&, decltype(more.value())...>) {
        return block(first.value(), more.value()...);
    } else {
        // Parameters inside the block record their operations, and those nodes die with this scope.
        const auto constant = [](const Variable<T, B>& x) { return Variable<T, B>(x.value()); };
        return block(constant(first), constant(more)...).value();
    }
}

} // namespace detail

/// Runs a block without recording, and runs it again, recorded, when its gradient is asked for: memory for one block
/// instead of all, for one more forward pass. `block` takes and returns variables (where it takes and returns tensors
/// as well, it first runs on those) and must compute the same again. What it captures must be constants and parameters
/// (leaves): a recorded value must come in as an argument, or backward throws. `trains` says whether the block holds a
/// parameter that is being trained. Chen et al. 2016, arXiv:1604.06174.
template <class Block, Scalar T, Backend B, class... More>
[[nodiscard]] Variable<T, B> checkpoint(CheckpointMode mode, bool trains, Block block, const Variable<T, B>& first,
                                        const More&... more) {
    const bool recorded = any_requires_grad(first, more...) || (mode == CheckpointMode::exact && trains);
    Tensor<T, B> value = detail::unrecorded(block, first, more...);
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
        backward(std::apply(block, again), self.gradient);
        for (std::size_t i = 0; i < again.size(); ++i) {
            if (self.needs(i) && again[i].grad().defined()) {
                self.send(i, again[i].grad());
            }
        }
    };
    return Variable<T, B>(std::move(value), std::move(node));
}

/// checkpoint() of a block that treats every row of x [rows..., channels] alone and keeps their number, `at_once` rows
/// at a time: neither pass has what the block makes of more rows. The gradients of parameters are sums over the pieces,
/// added in order. `block` takes and returns tensors and variables.
template <class Block, Scalar T, Backend B>
[[nodiscard]] Variable<T, B> checkpoint_rows(bool trains, index_t at_once, const Block& block,
                                             const Variable<T, B>& x) {
    require(x.rank() > 1 && at_once > 0, "checkpoint_rows: ", at_once, " rows at once of ", x.shape());
    const index_t channels = x.shape(-1);
    const index_t rows = x.size() / std::max<index_t>(channels, 1);
    const Tensor<T, B> in = x.value().reshape({rows, channels});
    Tensor<T, B> value(x.backend(), x.shape());
    const auto each_piece = [=](const auto& run) {
        for (index_t begin = 0; begin < rows; begin += at_once) {
            run(begin, std::min(begin + at_once, rows));
        }
    };
    const Tensor<T, B> out = value.reshape({rows, channels});
    each_piece([&](index_t begin, index_t end) { out.slice(begin, end).copy_from(block(in.slice(begin, end))); });
    if (!x.requires_grad() && !trains) {
        return Variable<T, B>(std::move(value));
    }
    auto node = std::make_shared<Node<T, B>>();
    node->inputs.push_back(x.node());
    node->depth = x.requires_grad() ? x.node()->depth + 1 : 0;
    node->backward = [=, shape = x.shape()](Node<T, B>& self) {
        const Tensor<T, B> y_gradient = self.gradient.reshape({rows, channels});
        Tensor<T, B> x_gradient = self.needs(0) ? Tensor<T, B>(in.backend(), in.shape()) : Tensor<T, B>{};
        each_piece([&](index_t begin, index_t end) {
            const auto piece =
                self.needs(0) ? Variable<T, B>::leaf(in.slice(begin, end)) : Variable<T, B>(in.slice(begin, end));
            backward(block(piece), y_gradient.slice(begin, end));
            if (self.needs(0)) {
                x_gradient.slice(begin, end).copy_from(piece.grad());
            }
        });
        if (self.needs(0)) {
            self.send(0, x_gradient.reshape(shape));
        }
    };
    return Variable<T, B>(std::move(value), std::move(node));
}

} // namespace reel
