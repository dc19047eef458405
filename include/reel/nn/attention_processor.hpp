#pragma once

#include <atomic>
#include <memory>
#include <string>

#include <reel/nn/attention_probabilities.hpp>
#include <reel/nn/couples.hpp>
#include <reel/nn/module.hpp>
#include <reel/nn/processor_functions.hpp>

namespace reel {

/// What an attention processor is given, tensors or variables: queries [batches, queries, channels], keys and values
/// [key batches, keys, channels] after their projections, channels being equal runs of heads. A batch is a frame: frame
/// f of the piece's clip c is batch c * frames + f. `options` says which key batches a batch sees: see AttentionOptions
/// (of attention along the frames, options.frames is not 0).
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

    /// softmax(q k^T) as numbers: see attention_probabilities(). The map of word w of a prompt is column w.
    [[nodiscard]] V probabilities() const { return attention_probabilities(query, key, options); }

    /// What the layer would give with these probabilities instead.
    [[nodiscard]] V attend_with(const V& probabilities) const {
        return reel::attend_with(probabilities, value, options);
    }
};

/// A function in the place of a layer's attention, kept for tensors and for variables.
template <Scalar T, Backend B>
struct AttentionProcessor {
    using Functions = ProcessorFunctions<LayerAttention, T, B>;

    std::string name;
    Couples couples;
    Functions functions;
    mutable std::atomic<bool> checked = false; ///< what it is said to couple has been found true

    AttentionProcessor(std::string layer, Couples claim, Functions both)
        : name(std::move(layer)), couples(claim), functions(std::move(both)) {}

    template <class V>
    [[nodiscard]] V operator()(const V& query, const V& key, const V& value, const AttentionOptions& options,
                               const ClipPiece& piece) const {
        V result = functions(LayerAttention<V>{query, key, value, name, options, piece}, "attention processor");
        require(result.defined() && result.shape() == query.shape(), name, ": its attention processor gave ",
                result.shape(), ", expected the queries' ", query.shape());
        return result;
    }
};

namespace detail {

template <Scalar T, Backend B, class F>
[[nodiscard]] std::shared_ptr<const AttentionProcessor<T, B>>
processor_of(const std::shared_ptr<const AttentionProcessor<T, B>>& /*slot*/, const std::string& name,
             const std::shared_ptr<F>& processor, Couples couples) {
    return std::make_shared<const AttentionProcessor<T, B>>(
        name, couples, ProcessorFunctions<LayerAttention, T, B>::of(processor, "set_attn_processor: " + name));
}

} // namespace detail

/// Puts processor(const LayerAttention<V>&) in the place of the attention of chosen layers: those whose name ends with
/// `layers`, such as "attn2" or "mid_block.attentions.0.transformer_blocks.0.attn1", or for which layers(name) is true.
/// The projections stay as they are. A generic function serves tensors and variables; one that takes tensors only
/// cannot be trained through. With checkpointing it runs on tensors first and on variables going back. What it
/// `couples` beyond the keys that a query sees: one that treats frames alike may say Couples::nothing or tokens, and
/// gets some frames at a time of a clip that is too long for the memory; that is tried once, on random numbers. One
/// that does not say gets all clips of a call at once. Returns how many layers; throws Error when none is chosen.
template <class M, class Choice, class Processor>
index_t set_attn_processor(M& model, const Choice& layers, Processor processor, Couples couples = Couples::everything) {
    const auto shared = std::make_shared<Processor>(std::move(processor));
    index_t count = 0;
    for_each_submodule(model, [&](const std::string& name, auto& part) {
        if constexpr (requires { part.processor->checked; }) {
            bool chosen = false;
            if constexpr (std::is_invocable_r_v<bool, const Choice&, const std::string&>) {
                chosen = layers(name);
            } else {
                chosen = name.ends_with(std::string_view(layers));
            }
            if (chosen) {
                part.processor = detail::processor_of(part.processor, name, shared, couples);
                ++count;
            }
        }
    });
    require(
        count > 0,
        "set_attn_processor: no attention layer is chosen; their names end with \"attn1\", \"attn2\" or \"attn_temp\"");
    return count;
}

/// Takes all processors away.
template <class M>
void set_default_attn_processor(M& model) {
    for_each_submodule(model, [](const std::string&, auto& part) {
        if constexpr (requires { part.processor->checked; }) {
            part.processor = nullptr;
        }
    });
}

} // namespace reel
