#pragma once

#include <reel/autograd/checkpoint.hpp>
#include <reel/models/transformer.hpp>
#include <reel/nn/resnet.hpp>

namespace reel {

/// What all blocks of a UNet are told beside their input.
template <class V>
struct BlockContext {
    V activated_time; ///< [clips, time channels], after SiLU
    V text;           ///< [clips, text tokens, text channels]
    index_t frames = 1;
    std::optional<CheckpointMode> checkpointing; ///< for every resnet and transformer of the down and up blocks
};

/// What the blocks of one level have in common.
struct BlockSpec {
    index_t channels = 0;
    index_t time_channels = 0;
    index_t text_channels = 0;
    index_t heads = 1;
    index_t groups = 32;
    double epsilon = 1e-5;
    bool linear_projection = false;
    bool temporal = true;
};

namespace detail {

template <Scalar T, Backend B, class Parts>
[[nodiscard]] Transformer3DModel<T, B, Parts> make_transformer(const BlockSpec& s) {
    return Transformer3DModel<T, B, Parts>({.channels = s.channels,
                                            .text_channels = s.text_channels,
                                            .heads = s.heads,
                                            .groups = s.groups,
                                            .linear_projection = s.linear_projection,
                                            .temporal = s.temporal});
}

/// One resnet and, where the block has them, its transformer, each checkpointed when asked for. The resnet sees the
/// channels of x followed by those of `skip`, unless that is undefined; what a checkpoint keeps is both as they are.
template <class Resnet, class Transformer, class V>
[[nodiscard]] V run_layer(const Resnet& resnet, const Transformer* transformer, V x, V skip,
                          const BlockContext<V>& context) {
    const index_t frames = context.frames;
    const index_t clips = x.shape(0) / frames;
    const V& time = context.activated_time;
    // Checkpoints run them on tensors first.
    const auto resnet_step = [&resnet, clips](const auto&... in) { return resnet(in..., clips); };
    const auto transformer_step = [transformer, frames](const auto& in, const auto& text) {
        return (*transformer)(in, text, frames);
    };
    V h;
    if constexpr (requires { x.requires_grad(); }) {
        if (context.checkpointing) {
            const CheckpointMode mode = *context.checkpointing;
            h = skip.defined() ? checkpoint(mode, trains(resnet), resnet_step, x, skip, time)
                               : checkpoint(mode, trains(resnet), resnet_step, x, time);
            return transformer == nullptr ? h
                                          : checkpoint(mode, trains(*transformer), transformer_step, h, context.text);
        }
    }
    h = skip.defined() ? resnet_step(x, skip, time) : resnet_step(x, time);
    x = V{};
    skip = V{}; // no longer needed, while the transformer needs memory
    return transformer == nullptr ? h : transformer_step(h, context.text);
}

} // namespace detail

/// CrossAttnDownBlock or, without attentions, DownBlock.
template <Scalar T, Backend B = Cpu, class Parts = DefaultParts>
struct DownBlock {
    std::vector<Transformer3DModel<T, B, Parts>> attentions;
    std::vector<ResnetBlock<T, B, Parts>> resnets;
    std::vector<Downsample<T, B>> downsamplers;

    DownBlock(const BlockSpec& spec, index_t in, index_t layers, bool attention, bool downsample) {
        for (index_t i = 0; i < layers; ++i) {
            resnets.emplace_back(i == 0 ? in : spec.channels, spec.channels, spec.time_channels, spec.groups,
                                 spec.epsilon);
            if (attention) {
                attentions.push_back(detail::make_transformer<T, B, Parts>(spec));
            }
        }
        if (downsample) {
            downsamplers.emplace_back(spec.channels, true);
        }
    }

    static void members(auto& self, const auto& visit) {
        visit("attentions", self.attentions);
        visit("resnets", self.resnets);
        visit("downsamplers", self.downsamplers);
    }

    /// Appends what the up blocks will join to `skips`.
    template <class V>
    [[nodiscard]] V operator()(V x, const BlockContext<V>& context, std::vector<V>& skips) const {
        for (std::size_t i = 0; i < resnets.size(); ++i) {
            x = detail::run_layer(resnets[i], attentions.empty() ? nullptr : &attentions[i], std::move(x), V{},
                                  context);
            skips.push_back(x);
        }
        for (const auto& downsample : downsamplers) {
            x = downsample(x);
            skips.push_back(x);
        }
        return x;
    }
};

/// UNetMidBlock2DCrossAttn, inflated. Never checkpointed, as in the reference.
template <Scalar T, Backend B = Cpu, class Parts = DefaultParts>
struct MidBlock {
    std::vector<Transformer3DModel<T, B, Parts>> attentions;
    std::vector<ResnetBlock<T, B, Parts>> resnets;

    explicit MidBlock(const BlockSpec& spec) {
        attentions.push_back(detail::make_transformer<T, B, Parts>(spec));
        for (int i = 0; i < 2; ++i) {
            resnets.emplace_back(spec.channels, spec.channels, spec.time_channels, spec.groups, spec.epsilon);
        }
    }

    static void members(auto& self, const auto& visit) {
        visit("attentions", self.attentions);
        visit("resnets", self.resnets);
    }

    template <class V>
    [[nodiscard]] V operator()(const V& x, const BlockContext<V>& context) const {
        const index_t clips = x.shape(0) / context.frames;
        const V h = attentions[0](resnets[0](x, context.activated_time, clips), context.text, context.frames);
        return resnets[1](h, context.activated_time, clips);
    }
};

/// CrossAttnUpBlock or, without attentions, UpBlock.
template <Scalar T, Backend B = Cpu, class Parts = DefaultParts>
struct UpBlock {
    std::vector<Transformer3DModel<T, B, Parts>> attentions;
    std::vector<ResnetBlock<T, B, Parts>> resnets;
    std::vector<Upsample<T, B>> upsamplers;

    /// `skip_channels`: channels of the skips that the layers join, in the order of use.
    UpBlock(const BlockSpec& spec, index_t in, const std::vector<index_t>& skip_channels, bool attention,
            bool upsample) {
        for (std::size_t i = 0; i < skip_channels.size(); ++i) {
            resnets.emplace_back((i == 0 ? in : spec.channels) + skip_channels[i], spec.channels, spec.time_channels,
                                 spec.groups, spec.epsilon);
            if (attention) {
                attentions.push_back(detail::make_transformer<T, B, Parts>(spec));
            }
        }
        if (upsample) {
            upsamplers.emplace_back(spec.channels);
        }
    }

    static void members(auto& self, const auto& visit) {
        visit("attentions", self.attentions);
        visit("resnets", self.resnets);
        visit("upsamplers", self.upsamplers);
    }

    /// Takes its skips from the end of `skips`; an enlarged result gets the size of the skip that the next block
    /// takes, so that a size which halved unevenly comes back.
    template <class V>
    [[nodiscard]] V operator()(V x, const BlockContext<V>& context, std::vector<V>& skips) const {
        for (std::size_t i = 0; i < resnets.size(); ++i) {
            require(!skips.empty(), "UpBlock: no skip left to join");
            V skip = std::move(skips.back());
            skips.pop_back();
            x = detail::run_layer(resnets[i], attentions.empty() ? nullptr : &attentions[i], std::move(x),
                                  std::move(skip), context);
        }
        for (const auto& upsample : upsamplers) {
            x = skips.empty() ? upsample(x) : upsample(x, skips.back().shape(1), skips.back().shape(2));
        }
        return x;
    }
};

} // namespace reel
