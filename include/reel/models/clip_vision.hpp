#pragma once

#include <reel/models/clip_layers.hpp>
#include <reel/ops/conv.hpp>
#include <reel/ops/rearrange.hpp>

namespace reel {

/// What config.json of a CLIP says of its image tower, under its names. Defaults are those of ViT-B/32.
struct CLIPVisionConfig {
    index_t hidden_size = 768;
    index_t intermediate_size = 3072;
    index_t num_hidden_layers = 12;
    index_t num_attention_heads = 12;
    index_t num_channels = 3;
    index_t image_size = 224;
    index_t patch_size = 32;
    double layer_norm_eps = 1e-5;
    bool quick_gelu = true; ///< hidden_act "quick_gelu"; otherwise "gelu"

    /// Tokens of a picture: its patches and the class token before them.
    [[nodiscard]] index_t tokens() const { return (image_size / patch_size) * (image_size / patch_size) + 1; }
};

/// What the image tower gives.
template <class T, Backend B = Cpu>
struct CLIPVisionOutput {
    Tensor<T, B> last_hidden_state; ///< [pictures, tokens, hidden_size], without the final norm
    Tensor<T, B> pooled;            ///< [pictures, hidden_size]: the class token after the final norm
};

/// CLIP's image tower (Radford et al. 2021, arXiv:2103.00020), a vision transformer; transformers' CLIPVisionModel. For
/// measuring: it computes and records no gradients.
template <Scalar T, Backend B = Cpu>
struct CLIPVisionModel {
    CLIPVisionConfig config;
    Parameter<T, B> class_embedding;
    Parameter<T, B> patch_embedding; ///< a convolution without bias whose stride is the patch
    Parameter<T, B> position_embedding;
    LayerNorm<T, B> pre_layrnorm; ///< spelt as in the checkpoints
    std::vector<CLIPEncoderLayer<T, B>> layers;
    LayerNorm<T, B> post_layernorm;

    explicit CLIPVisionModel(const CLIPVisionConfig& c)
        : config(c), class_embedding({.shape = {c.hidden_size}, .init = ParameterInit::normal, .deviation = 0.02}),
          patch_embedding({.shape = {c.hidden_size, c.patch_size, c.patch_size, c.num_channels},
                           .layout = ParameterLayout::conv,
                           .init = ParameterInit::normal,
                           .deviation = 0.02}),
          position_embedding({.shape = {c.tokens(), c.hidden_size}, .init = ParameterInit::normal, .deviation = 0.02}),
          pre_layrnorm(c.hidden_size, c.layer_norm_eps), post_layernorm(c.hidden_size, c.layer_norm_eps) {
        require(c.num_attention_heads > 0 && c.hidden_size % c.num_attention_heads == 0,
                "CLIPVisionModel: hidden_size ", c.hidden_size, " is not a multiple of num_attention_heads ",
                c.num_attention_heads);
        require(c.patch_size > 0 && c.image_size >= c.patch_size, "CLIPVisionModel: image_size ", c.image_size,
                " with patch_size ", c.patch_size, "; expected at least one patch");
        for (index_t i = 0; i < c.num_hidden_layers; ++i) {
            layers.emplace_back(c, false);
        }
    }

    static void members(auto& self, const auto& visit) {
        visit("vision_model.embeddings.class_embedding", self.class_embedding);
        visit("vision_model.embeddings.patch_embedding.weight", self.patch_embedding);
        visit("vision_model.embeddings.position_embedding.weight", self.position_embedding);
        visit("vision_model.pre_layrnorm", self.pre_layrnorm);
        visit("vision_model.encoder.layers", self.layers);
        visit("vision_model.post_layernorm", self.post_layernorm);
    }

    /// pixels: [pictures, image_size, image_size, channels], normalised as CLIP's preprocessing does
    /// (reel/metrics/clip_pictures.hpp). Throws Error for another size.
    [[nodiscard]] CLIPVisionOutput<T, B> operator()(const Tensor<T, B>& pixels) const {
        require(pixels.rank() == 4 && pixels.shape(0) > 0 && pixels.shape(1) == config.image_size &&
                    pixels.shape(2) == config.image_size && pixels.shape(3) == config.num_channels,
                "CLIPVisionModel: pixels ", pixels.shape(), "; expected [pictures, ", config.image_size, ", ",
                config.image_size, ", ", config.num_channels, "]");
        B& backend = pixels.backend();
        const index_t pictures = pixels.shape(0);
        const index_t tokens = config.tokens();
        const index_t width = config.hidden_size;
        const Tensor<T, B> patches =
            conv2d(pixels, patch_embedding.value(), Tensor<T, B>{}, {.stride = config.patch_size});
        const Tensor<T, B> by_picture = patches.reshape({pictures, tokens - 1, width});
        const Tensor<T, B> first = class_embedding.value().reshape({1, width});
        Tensor<T, B> x(backend, {pictures, tokens, width});
        for (index_t i = 0; i < pictures; ++i) {
            const Tensor<T, B> all = concat_rows({first, by_picture.slice(i, i + 1).reshape({tokens - 1, width})});
            x.slice(i, i + 1).copy_from(add(all, position_embedding.value()).reshape({1, tokens, width}));
        }
        x = pre_layrnorm(x);
        for (const auto& layer : layers) {
            x = layer(std::move(x));
        }
        Tensor<T, B> classes(backend, {pictures, width});
        for (index_t i = 0; i < pictures; ++i) {
            const Tensor<T, B> rows = x.slice(i, i + 1).reshape({tokens, width});
            classes.slice(i, i + 1).copy_from(rows.slice(0, 1));
        }
        return {x, post_layernorm(classes)};
    }
};

} // namespace reel
