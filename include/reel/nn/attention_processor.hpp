#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include <reel/autograd/layers.hpp>
#include <reel/nn/couples.hpp>

namespace reel {

/// What an attention processor is given, tensors or variables: queries [batches, queries, channels], keys and values
/// [key batches, keys, channels] after their projections, channels being equal runs of heads. A batch is a frame:
/// frame f of the piece's clip c is batch c * frames + f. `options` says which key batches a batch sees: see
/// AttentionOptions (of attention along the frames, options.frames is not 0).
template <class V>
struct LayerAttention {
    V query;
    V key;
    V value;
    const std::string& name;         ///< the layer's, such as "mid_block.attentions.0.transformer_blocks.0.attn2"
    const AttentionOptions& options; ///< heads, and who sees whom
    const ClipPiece& piece;          ///< clips, frames, and which of them these are

    /// What the layer would do without a processor: [batches, queries, channels].
    [[nodiscard]] V attend() const { return attend(query, key, value); }

    /// The same with other queries, keys or values.
    [[nodiscard]] V attend(const V& q, const V& k, const V& v) const {
        return scaled_dot_product_attention(q, k, v, options);
    }
};

/// A function in the place of a layer's attention, kept for tensors and for variables.
template <Scalar T, Backend B>
struct AttentionProcessor {
    template <class V>
    using Function = std::function<V(const LayerAttention<V>&)>;

    std::string name;
    Couples couples;
    Function<Tensor<T, B>> of_tensors;
    Function<Variable<T, B>> of_variables;
    mutable std::atomic<bool> checked = false; ///< what it is said to couple has been found true

    AttentionProcessor(std::string layer, Couples claim, Function<Tensor<T, B>> tensors,
                       Function<Variable<T, B>> variables)
        : name(std::move(layer)), couples(claim), of_tensors(std::move(tensors)), of_variables(std::move(variables)) {}

    template <class V>
    [[nodiscard]] V operator()(const V& query, const V& key, const V& value, const AttentionOptions& options,
                               const ClipPiece& piece) const {
        const LayerAttention<V> inputs{query, key, value, name, options, piece};
        V result;
        if constexpr (std::same_as<V, Tensor<T, B>>) {
            require(of_tensors != nullptr, name, ": its attention processor takes variables only");
            result = of_tensors(inputs);
        } else {
            require(of_variables != nullptr, name,
                    ": its attention processor takes tensors only, so that this UNet "
                    "cannot be trained through it");
            result = of_variables(inputs);
        }
        require(result.defined() && result.shape() == query.shape(), name, ": its attention processor gave ",
                result.shape(), ", expected the queries' ", query.shape());
        return result;
    }
};

} // namespace reel
