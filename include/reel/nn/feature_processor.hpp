#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <reel/nn/module.hpp>
#include <reel/nn/processor_functions.hpp>

namespace reel {

/// What a feature processor is given, tensors or variables: what a residual block has made of its input, before it is
/// added to that.
template <class V>
struct LayerFeatures {
    V features;              ///< [clips * frames, height, width, channels]
    const std::string& name; ///< the block's, such as "up_blocks.1.resnets.1"
    index_t clips = 1;       ///< with guidance 2, first the half without the prompt
};

/// A function of a residual block's features, kept for tensors and for variables.
template <Scalar T, Backend B>
struct FeatureProcessor {
    std::string name;
    ProcessorFunctions<LayerFeatures, T, B> functions;

    template <class V>
    [[nodiscard]] V operator()(const V& features, index_t clips) const {
        V result = functions(LayerFeatures<V>{features, name, clips}, "feature processor");
        require(result.defined() && result.shape() == features.shape(), name, ": its feature processor gave ",
                result.shape(), ", expected the features' ", features.shape());
        return result;
    }
};

namespace detail {

template <Scalar T, Backend B, class F>
[[nodiscard]] std::shared_ptr<const FeatureProcessor<T, B>>
feature_processor_of(const std::shared_ptr<const FeatureProcessor<T, B>>& /*slot*/, const std::string& name,
                     const std::shared_ptr<F>& processor) {
    return std::make_shared<const FeatureProcessor<T, B>>(
        name, ProcessorFunctions<LayerFeatures, T, B>::of(processor, "set_feature_processor: " + name));
}

} // namespace detail

/// Puts processor(const LayerFeatures<V>&) behind chosen residual blocks: those whose name ends with `blocks`, such as
/// "up_blocks.1.resnets.1", or for which blocks(name) is true. What it gives is added to the block's input in place of
/// the features. It gets all pictures of a call at once; of a clip that goes through in pieces one tensor more of the
/// result's size is needed for that. A generic function serves tensors and variables; one that takes tensors only
/// cannot be trained through. With checkpointing it runs on tensors first and on variables going back. Returns how many
/// blocks; throws Error when none is chosen.
template <class M, class Choice, class Processor>
index_t set_feature_processor(M& model, const Choice& blocks, Processor processor) {
    const auto shared = std::make_shared<Processor>(std::move(processor));
    index_t count = 0;
    for_each_submodule(model, [&](const std::string& name, auto& part) {
        if constexpr (requires { part.feature_processor; }) {
            bool chosen = false;
            if constexpr (std::is_invocable_r_v<bool, const Choice&, const std::string&>) {
                chosen = blocks(name);
            } else {
                chosen = name.ends_with(std::string_view(blocks));
            }
            if (chosen) {
                part.feature_processor = detail::feature_processor_of(part.feature_processor, name, shared);
                ++count;
            }
        }
    });
    require(count > 0, "set_feature_processor: no residual block is chosen; their names end with \"resnets.0\", "
                       "\"resnets.1\", ...");
    return count;
}

/// Takes all feature processors away.
template <class M>
void set_default_feature_processor(M& model) {
    for_each_submodule(model, [](const std::string&, auto& part) {
        if constexpr (requires { part.feature_processor; }) {
            part.feature_processor = nullptr;
        }
    });
}

} // namespace reel
