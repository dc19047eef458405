#pragma once

#include <functional>
#include <memory>
#include <queue>
#include <utility>
#include <vector>

#include <reel/ops/elementwise.hpp>
#include <reel/tensor.hpp>

namespace reel {

/// One step of a recorded computation: where gradients gather and how they go on.
template <Scalar T, Backend B>
struct Node {
    Tensor<T, B> gradient;                     ///< undefined until something arrives
    std::vector<std::shared_ptr<Node>> inputs; ///< null where no gradient is wanted
    /// Sends this node's gradient to its inputs; empty for a leaf. Takes the node itself.
    std::function<void(Node&)> backward;
    std::size_t depth = 0; ///< longest way to a leaf: inputs have smaller depths
    bool spent = false;    ///< has been run back, and its saved tensors released

    Node() = default;
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;

    /// Drops a long recording without one nested call per step, which would use up the stack.
    ~Node() {
        std::vector<std::shared_ptr<Node>> pending = std::move(inputs);
        while (!pending.empty()) {
            const std::shared_ptr<Node> node = std::move(pending.back());
            pending.pop_back();
            if (node && node.use_count() == 1) {
                pending.insert(pending.end(), node->inputs.begin(), node->inputs.end());
                node->inputs.clear();
            }
        }
    }

    [[nodiscard]] bool is_leaf() const { return !backward && !spent; }

    /// True when input i wants a gradient.
    [[nodiscard]] bool needs(std::size_t i) const { return inputs[i] != nullptr; }

    /// Adds to the gradient of input i.
    void send(std::size_t i, const Tensor<T, B>& value) const { inputs[i]->receive(value); }

    void receive(const Tensor<T, B>& value) {
        if (!gradient.defined()) {
            gradient = value;
        } else if (gradient.unique()) {
            accumulate_(gradient, value);
        } else {
            gradient = add(gradient, value);
        }
    }
};

/// A tensor that may remember how it was made. Without a node it is a constant.
template <Scalar T, Backend B = Cpu>
class Variable {
public:
    using value_type = T;
    using backend_type = B;

    Variable() = default;
    [[gnu::noinline]] Variable(const Variable&) = default; // as a tensor's
    [[gnu::noinline]] Variable(Variable&&) noexcept = default;
    [[gnu::noinline]] Variable& operator=(const Variable&) = default;
    [[gnu::noinline]] Variable& operator=(Variable&&) noexcept = default;
    [[gnu::noinline]] ~Variable() = default;

    /// A constant.
    explicit Variable(Tensor<T, B> value) : value_(std::move(value)) {}

    Variable(Tensor<T, B> value, std::shared_ptr<Node<T, B>> node) : value_(std::move(value)), node_(std::move(node)) {}

    /// A leaf whose gradient is wanted.
    [[nodiscard]] static Variable leaf(Tensor<T, B> value) {
        return Variable(std::move(value), std::make_shared<Node<T, B>>());
    }

    [[nodiscard]] const Tensor<T, B>& value() const { return value_; }
    [[nodiscard]] const std::shared_ptr<Node<T, B>>& node() const { return node_; }
    [[nodiscard]] bool defined() const { return value_.defined(); }
    [[nodiscard]] bool requires_grad() const { return node_ != nullptr; }
    [[nodiscard]] const Shape& shape() const { return value_.shape(); }
    [[nodiscard]] index_t shape(int axis) const { return value_.shape(axis); }
    [[nodiscard]] int rank() const { return value_.rank(); }
    [[nodiscard]] index_t size() const { return value_.size(); }
    [[nodiscard]] B& backend() const { return value_.backend(); }

    /// The value of a variable of one element, as Tensor::item.
    [[nodiscard]] T item() const { return value_.item(); }

    /// The value as a constant: nothing before it gets a gradient.
    [[nodiscard]] Variable detach() const { return Variable(value_); }

    /// The same values in another shape, as Tensor::reshape, recorded.
    [[nodiscard]] Variable reshape(const std::initializer_list<index_t>& extents) const {
        return record(value_.reshape(extents), {*this},
                      [shape = shape()](Node<T, B>& node) { node.send(0, node.gradient.reshape(shape)); });
    }
    [[nodiscard]] Variable reshape(const Shape& target) const {
        return record(value_.reshape(target), {*this},
                      [shape = shape()](Node<T, B>& node) { node.send(0, node.gradient.reshape(shape)); });
    }

    /// Rows [begin, end) of the leading axis, as Tensor::slice, recorded.
    [[nodiscard]] Variable slice(index_t begin, index_t end) const {
        return record(value_.slice(begin, end), {*this}, [shape = shape(), begin, end](Node<T, B>& node) {
            const auto rows = Tensor<T, B>::zeros(node.gradient.backend(), shape);
            rows.slice(begin, end).copy_from(node.gradient);
            node.send(0, rows);
        });
    }

    /// Gradient of a leaf after backward; undefined when none arrived.
    [[nodiscard]] Tensor<T, B> grad() const { return node_ ? node_->gradient : Tensor<T, B>{}; }

private:
    Tensor<T, B> value_;
    std::shared_ptr<Node<T, B>> node_;
};

/// True when any of the variables wants a gradient: otherwise an operation need keep nothing.
template <class... Variables>
[[nodiscard]] bool any_requires_grad(const Variables&... variables) {
    return (variables.requires_grad() || ...);
}

/// A variable made from others. `backward` takes the node, whose gradient is then set, and sends to the inputs that
/// need it. Nothing is recorded when no input wants a gradient.
template <Scalar T, Backend B, class Backward>
[[nodiscard]] Variable<T, B> record(Tensor<T, B> value, std::span<const Variable<T, B>> inputs, Backward backward) {
    std::size_t depth = 0;
    bool wanted = false;
    for (const auto& input : inputs) {
        if (input.requires_grad()) {
            wanted = true;
            depth = std::max(depth, input.node()->depth + 1);
        }
    }
    if (!wanted) {
        return Variable<T, B>(std::move(value));
    }
    auto node = std::make_shared<Node<T, B>>();
    node->depth = depth;
    for (const auto& input : inputs) {
        node->inputs.push_back(input.node());
    }
    node->backward = std::move(backward);
    return Variable<T, B>(std::move(value), std::move(node));
}

/// The same with the inputs written in place.
template <Scalar T, Backend B, class Backward>
[[nodiscard]] Variable<T, B> record(Tensor<T, B> value, std::initializer_list<Variable<T, B>> inputs,
                                    Backward backward) {
    return record(std::move(value), std::span<const Variable<T, B>>(inputs.begin(), inputs.size()),
                  std::move(backward));
}

namespace detail {

/// backward() from a node. Nothing here holds on to the value that it made.
template <Scalar T, Backend B>
void run_back(const std::shared_ptr<Node<T, B>>& from, const Tensor<T, B>& gradient) {
    require(from != nullptr, "backward: the output depends on nothing that wants a gradient; choose parameters to "
                             "train first");
    using Pointer = std::shared_ptr<Node<T, B>>;
    const auto shallower = [](const Pointer& a, const Pointer& b) { return a->depth < b->depth; };
    std::priority_queue<Pointer, std::vector<Pointer>, decltype(shallower)> waiting(shallower);
    from->receive(gradient);
    waiting.push(from);
    while (!waiting.empty()) {
        const Pointer node = waiting.top();
        waiting.pop();
        if (node->is_leaf() || !node->gradient.defined()) {
            continue; // a leaf, or done: it waited more than once
        }
        require(!node->spent,
                "backward: a part of this recording has been run back already. Record it again; a value that "
                "checkpointed blocks share must be an input of theirs");
        const auto step = std::move(node->backward);
        node->backward = nullptr;
        node->spent = true;
        step(*node);
        node->gradient = {};
        for (const auto& input : node->inputs) {
            if (input && !input->is_leaf() && input->gradient.defined()) {
                waiting.push(input);
            }
        }
        node->inputs.clear();
    }
}

} // namespace detail

/// Sends `gradient` back from `output` to every leaf it was made from; leaves add it to what they have. Each step's
/// saved tensors are released as soon as it is done, so a recording can be run back once.
template <Scalar T, Backend B>
void backward(const Variable<T, B>& output, const Tensor<T, B>& gradient) {
    detail::require_same_shape("backward", output.value(), gradient);
    detail::run_back(output.node(), gradient);
}

/// The same of an output that is given away: its value goes before the work begins.
template <Scalar T, Backend B>
void backward(Variable<T, B>&& output, const Tensor<T, B>& gradient) {
    detail::require_same_shape("backward", output.value(), gradient);
    const auto from = std::exchange(output, {}).node();
    detail::run_back(from, gradient);
}

} // namespace reel
