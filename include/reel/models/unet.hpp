#pragma once

#include <reel/models/unet_blocks.hpp>
#include <reel/models/unet_config.hpp>
#include <reel/models/unet_requirements.hpp>

namespace reel {

/// What a UNet is told beside time and text.
template <class V>
struct UNetCondition {
    V class_embedding{};                    ///< undefined: none
    std::optional<double> guidance_scale{}; ///< of a distilled one; none: the UNet's own guidance_scale
};

/// Stable Diffusion's UNet over clips: diffusers' UNet2DConditionModel with sparse-causal self-attention and, when
/// config.temporal, attention along frames (Wu et al. 2022, Tune-A-Video, arXiv:2212.11565). With one frame per clip
/// and without temporal attention it is the 2D UNet. Parameter names are the reference's UNet3DConditionModel's.
/// `Parts` says which linear layer, attention and temporal block it is made of: nn/parts.hpp.
template <class T, class B = Cpu, class Parts = DefaultParts>
struct UNet3DConditionModel {
    static_assert(Scalar<T>, "reel: UNet3DConditionModel: expected float, double, bfloat16 or half");
    static_assert(check_backend<B>());
    static_assert(check_parts<Parts, T, B>());

    UNetConfig config;
    Conv2d<T, B> conv_in;
    TimestepEmbedding<T, B, Parts> time_embedding;
    std::optional<Embedding<T, B>> class_table;
    std::optional<TimestepEmbedding<T, B, Parts>> class_projection;
    std::vector<DownBlock<T, B, Parts>> down_blocks;
    MidBlock<T, B, Parts> mid_block;
    std::vector<UpBlock<T, B, Parts>> up_blocks;
    GroupNorm<T, B> conv_norm_out;
    Conv2d<T, B> conv_out;

    /// When set, gradients are computed with less memory and one more forward pass.
    std::optional<CheckpointMode> gradient_checkpointing;

    /// What a distilled UNet is told in calls that say no scale; without it it is not told any, as in diffusers where
    /// no timestep_cond is given.
    std::optional<double> guidance_scale;

    /// What an inpainting UNet sees beside every sample, as its last channels: [frames, height, width, channels], the
    /// same for all clips of a call; undefined: nothing. See inpainting_channels().
    Tensor<T, B> beside;

    /// Declares the parameters; they are undefined until loaded or initialised.
    explicit UNet3DConditionModel(const UNetConfig& unet)
        : config(checked(unet)), conv_in(conv3x3<T, B>(unet.in_channels, unet.block_out_channels.front())),
          time_embedding(unet.block_out_channels.front(), unet.time_channels(), unet.time_cond_proj_dim),
          mid_block(spec(unet, unet.levels() - 1)),
          conv_norm_out(unet.norm_num_groups, unet.block_out_channels.front(), unet.norm_eps),
          conv_out(conv3x3<T, B>(unet.block_out_channels.front(), unet.out_channels)) {
        add_blocks();
    }

    static void members(auto& self, const auto& visit) {
        visit("conv_in", self.conv_in);
        visit("time_embedding", self.time_embedding);
        visit("class_embedding", self.class_table);
        visit("class_embedding", self.class_projection);
        visit("down_blocks", self.down_blocks);
        if (self.config.mid_block) {
            visit("mid_block", self.mid_block);
        }
        visit("up_blocks", self.up_blocks);
        visit("conv_norm_out", self.conv_norm_out);
        visit("conv_out", self.conv_out);
    }

    /// sample [clips * frames, height, width, in_channels, less those of `beside`]; one timestep per clip, or one for
    /// all (a number will do); text [clips, tokens, cross_attention_dim]. Returns the prediction, [clips * frames,
    /// height, width, out_channels].
    template <class V, class Times, class Text>
    [[nodiscard]] V operator()(const V& sample, const Times& timesteps, const Text& text, index_t frames) const {
        static_assert(check_unet_call<T, B, V, Times, Text>());
        require(config.class_embedding == ClassEmbedding::none,
                "UNet3DConditionModel: this model wants a class embedding; give it as the last argument");
        return run(sample, detail::timesteps_of(timesteps), text, frames, UNetCondition<V>{});
    }

    /// With a class embedding [clips, time channels], made by embed_classes().
    template <class V, class Times, class Text>
    [[nodiscard]] V operator()(const V& sample, const Times& timesteps, const Text& text, index_t frames,
                               const V& class_embedding) const {
        static_assert(check_unet_call<T, B, V, Times, Text>());
        require(config.class_embedding != ClassEmbedding::none,
                "UNet3DConditionModel: a class embedding is given, but this model takes none");
        return run(sample, detail::timesteps_of(timesteps), text, frames, UNetCondition<V>{class_embedding});
    }

    /// True of a UNet that was distilled to be told the guidance scale in place of being asked twice (Meng et al. 2022,
    /// arXiv:2210.03142).
    [[nodiscard]] bool takes_guidance_scale() const { return config.time_cond_proj_dim > 0; }

    /// The guided prediction of such a UNet, in one call. Throws Error for another.
    template <class V, class Times, class Text>
    [[nodiscard]] V at_guidance_scale(double scale, const V& sample, const Times& timesteps, const Text& text,
                                      index_t frames) const {
        static_assert(check_unet_call<T, B, V, Times, Text>());
        require(takes_guidance_scale() && config.class_embedding == ClassEmbedding::none,
                "UNet3DConditionModel: a guidance scale is given, but this model takes none (\"time_cond_proj_dim\")");
        return run(sample, detail::timesteps_of(timesteps), text, frames, UNetCondition<V>{V{}, scale});
    }

    /// Class embedding of one label per clip: an index into the table, or a number embedded like a timestep. A model
    /// whose class_embed_type is "identity" takes vectors as they are and needs no call.
    template <class V>
    [[nodiscard]] V embed_classes(B& backend, std::span<const double> labels) const {
        if (class_table) {
            std::vector<std::int32_t> rows;
            for (const double label : labels) {
                require(label == std::floor(label), "embed_classes: label ", label, " is not an index");
                rows.push_back(static_cast<std::int32_t>(label));
            }
            return class_table->template lookup<V>(std::span<const std::int32_t>(rows));
        }
        require(class_projection.has_value(), "embed_classes: this model has no class embedding to look up");
        return (*class_projection)(V(sinusoids(backend, labels)));
    }

private:
    static const UNetConfig& checked(const UNetConfig& unet) {
        unet.validate("UNet3DConditionModel");
        return unet;
    }

    static BlockSpec spec(const UNetConfig& unet, index_t level) {
        const auto i = static_cast<std::size_t>(level);
        return {.channels = unet.block_out_channels[i],
                .time_channels = unet.time_channels(),
                .text_channels = unet.cross_attention_dim,
                .heads = unet.heads[i],
                .groups = unet.norm_num_groups,
                .epsilon = unet.norm_eps,
                .linear_projection = unet.use_linear_projection,
                .temporal = unet.temporal};
    }

    [[nodiscard]] Tensor<T, B> sinusoids(B& backend, std::span<const double> numbers) const {
        return timestep_embedding<T>(backend, numbers, config.block_out_channels.front(), config.flip_sin_to_cos,
                                     config.freq_shift);
    }

    /// A call's samples with what the UNet sees beside them. Throws Error unless that makes in_channels.
    template <class V>
    [[nodiscard]] V with_beside(const V& sample) const;

    /// What a configuration has beside the members that every one has.
    void add_blocks();

    template <class V>
    [[nodiscard]] V run(const V& sample, std::span<const double> timesteps, const V& text, index_t frames,
                        const UNetCondition<V>& told) const;

    template <class V>
    [[nodiscard]] static V centered(const V& sample) {
        return axpby(2, sample, -1, V(Tensor<T, B>::full(sample.backend(), sample.shape(), T(1))));
    }
};

// Outside of the class: what is inside is compiled wherever it is called, compiled already or not.

template <class T, class B, class Parts>
void UNet3DConditionModel<T, B, Parts>::add_blocks() {
    if (config.class_embedding == ClassEmbedding::table) {
        class_table.emplace(config.num_class_embeds, config.time_channels());
    } else if (config.class_embedding == ClassEmbedding::timestep) {
        class_projection.emplace(config.block_out_channels.front(), config.time_channels());
    }
    const index_t levels = config.levels();
    std::vector<index_t> skip_channels{config.block_out_channels.front()};
    index_t in = config.block_out_channels.front();
    for (index_t level = 0; level < levels; ++level) {
        const BlockSpec s = spec(config, level);
        const bool last = level == levels - 1;
        down_blocks.emplace_back(s, in, config.layers_per_block,
                                 config.down_block_attention[static_cast<std::size_t>(level)], !last);
        skip_channels.insert(skip_channels.end(), static_cast<std::size_t>(config.layers_per_block + (last ? 0 : 1)),
                             s.channels);
        in = s.channels;
    }
    for (index_t i = 0; i < levels; ++i) {
        const BlockSpec s = spec(config, levels - 1 - i);
        std::vector<index_t> own;
        for (index_t layer = 0; layer <= config.layers_per_block; ++layer) {
            own.push_back(skip_channels.back());
            skip_channels.pop_back();
        }
        up_blocks.emplace_back(s, in, own, config.up_block_attention[static_cast<std::size_t>(i)], i != levels - 1);
        in = s.channels;
    }
}

template <class T, class B, class Parts>
template <class V>
V UNet3DConditionModel<T, B, Parts>::with_beside(const V& sample) const {
    const index_t more = beside.defined() ? beside.shape(3) : 0;
    require(sample.rank() == 4 && sample.shape(3) + more == config.in_channels, "UNet3DConditionModel: sample ",
            sample.shape(), "; expected [clips * frames, height, width, ", config.in_channels - more, "]",
            more == 0 && config.is_inpainting() && sample.shape(3) == config.out_channels
                ? ", or the channels that an inpainting UNet sees beside it: its mask and the masked clip's latents"
                : "");
    if (more == 0) {
        return sample;
    }
    require(sample.shape(0) % beside.shape(0) == 0 &&
                sample.shape().with(3, more) == beside.shape().with(0, sample.shape(0)),
            "UNet3DConditionModel: sample ", sample.shape(), ", and beside it ", beside.shape(),
            "; expected as many frames, or clips of so many, of one size");
    const std::vector<Tensor<T, B>> clips(static_cast<std::size_t>(sample.shape(0) / beside.shape(0)), beside);
    return concat_channels(sample, V(concat_rows(std::span<const Tensor<T, B>>(clips))));
}

template <class T, class B, class Parts>
template <class V>
V UNet3DConditionModel<T, B, Parts>::run(const V& samples, std::span<const double> timesteps, const V& text,
                                         index_t frames, const UNetCondition<V>& told) const {
    const V sample = with_beside(samples);
    require(frames > 0 && sample.shape(0) % frames == 0, "UNet3DConditionModel: ", sample.shape(0),
            " pictures in clips of ", frames, " frames");
    const index_t clips = sample.shape(0) / frames;
    require(text.rank() == 3 && text.shape(0) == clips && text.shape(2) == config.cross_attention_dim,
            "UNet3DConditionModel: text ", text.shape(), "; expected [", clips, ", tokens, ",
            config.cross_attention_dim, "]");
    require(timesteps.size() == 1 || static_cast<index_t>(timesteps.size()) == clips,
            "UNet3DConditionModel: ", timesteps.size(), " timesteps for ", clips, " clips");
    std::vector<double> per_clip(timesteps.begin(), timesteps.end());
    per_clip.resize(static_cast<std::size_t>(clips), per_clip.front());

    V condition;
    if (const auto scale = told.guidance_scale ? told.guidance_scale : guidance_scale;
        scale && takes_guidance_scale()) {
        condition = V(guidance_scale_embedding<T>(sample.backend(), *scale, clips, config.time_cond_proj_dim));
    }
    V time = time_embedding(V(sinusoids(sample.backend(), per_clip)), condition);
    if (told.class_embedding.defined()) {
        time = add(time, told.class_embedding);
    }
    const BlockContext<V> context{activate(Silu{}, time), text, frames, gradient_checkpointing};
    V x = conv_in(config.center_input_sample ? centered(sample) : sample);
    std::vector<V> skips{x};
    for (const auto& block : down_blocks) {
        x = block(std::move(x), context, skips);
    }
    if (config.mid_block) {
        x = mid_block(x, context);
    }
    for (const auto& block : up_blocks) {
        x = block(std::move(x), context, skips);
    }
    return conv_out(conv_norm_out(x, clips, true));
}

#ifdef REEL_COMPILED // reel/compiled/models_*.cpp have these
extern template Tensor<float> UNet3DConditionModel<float>::run(const Tensor<float>&, std::span<const double>,
                                                               const Tensor<float>&, index_t,
                                                               const UNetCondition<Tensor<float>>&) const;
extern template Variable<float> UNet3DConditionModel<float>::run(const Variable<float>&, std::span<const double>,
                                                                 const Variable<float>&, index_t,
                                                                 const UNetCondition<Variable<float>>&) const;
extern template struct UNet3DConditionModel<float>;
extern template bool trains(const UNet3DConditionModel<float>&);
extern template void zero_grad(const UNet3DConditionModel<float>&);
extern template index_t set_trainable_modules(UNet3DConditionModel<float>&, const std::vector<std::string>&);
extern template Tensor<double> UNet3DConditionModel<double>::run(const Tensor<double>&, std::span<const double>,
                                                                 const Tensor<double>&, index_t,
                                                                 const UNetCondition<Tensor<double>>&) const;
extern template Variable<double> UNet3DConditionModel<double>::run(const Variable<double>&, std::span<const double>,
                                                                   const Variable<double>&, index_t,
                                                                   const UNetCondition<Variable<double>>&) const;
extern template struct UNet3DConditionModel<double>;
extern template bool trains(const UNet3DConditionModel<double>&);
extern template void zero_grad(const UNet3DConditionModel<double>&);
extern template index_t set_trainable_modules(UNet3DConditionModel<double>&, const std::vector<std::string>&);
extern template Tensor<bfloat16> UNet3DConditionModel<bfloat16>::run(const Tensor<bfloat16>&, std::span<const double>,
                                                                     const Tensor<bfloat16>&, index_t,
                                                                     const UNetCondition<Tensor<bfloat16>>&) const;
extern template Variable<bfloat16> UNet3DConditionModel<bfloat16>::run(const Variable<bfloat16>&,
                                                                       std::span<const double>,
                                                                       const Variable<bfloat16>&, index_t,
                                                                       const UNetCondition<Variable<bfloat16>>&) const;
extern template struct UNet3DConditionModel<bfloat16>;
extern template bool trains(const UNet3DConditionModel<bfloat16>&);
extern template void zero_grad(const UNet3DConditionModel<bfloat16>&);
extern template index_t set_trainable_modules(UNet3DConditionModel<bfloat16>&, const std::vector<std::string>&);
#endif

} // namespace reel
