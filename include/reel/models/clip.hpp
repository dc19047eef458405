#pragma once

#include <algorithm>

#include <reel/core/ranges.hpp>
#include <reel/models/clip_text.hpp>
#include <reel/models/clip_vision.hpp>

namespace reel {

/// What config.json of a whole CLIP says. The default is ViT-B/32.
struct CLIPConfig {
    CLIPTextConfig text{.hidden_size = 512, .intermediate_size = 2048, .num_attention_heads = 8};
    CLIPVisionConfig vision{};
    index_t projection_dim = 512;
};

/// Where a prompt ends: the position of the first of the largest ids of each row of `tokens` ids. In every CLIP
/// vocabulary the end token has the largest id, and the padding of CLIP's own tokenizers is that token, too. This is
/// the rule of transformers up to 4.30 (and later where eos_token_id is 2, as in the published configurations); with
/// another eos_token_id, later releases look for that id, which is the same token.
[[nodiscard]] inline std::vector<std::size_t> end_positions(std::span<const std::int32_t> ids, index_t prompts) {
    require(prompts > 0 && !ids.empty() && ids.size() % static_cast<std::size_t>(prompts) == 0,
            "end_positions: ", ids.size(), " ids for ", prompts, " prompts");
    const std::size_t tokens = ids.size() / static_cast<std::size_t>(prompts);
    std::vector<std::size_t> positions;
    for (std::size_t first = 0; first < ids.size(); first += tokens) {
        const auto row = ids.subspan(first, tokens);
        positions.push_back(static_cast<std::size_t>(ranges::max_element(row) - row.begin()));
    }
    return positions;
}

/// Both towers of CLIP and their projections into one space (Radford et al. 2021, arXiv:2103.00020), transformers'
/// CLIPModel.
template <Scalar T, Backend B = Cpu>
struct CLIPModel {
    CLIPConfig config;
    CLIPTextModel<T, B> text;
    CLIPVisionModel<T, B> vision;
    Linear<T, B> text_projection;
    Linear<T, B> visual_projection;
    Parameter<T, B> logit_scale; ///< the logarithm of the softmax's scale; metrics do not use it

    explicit CLIPModel(const CLIPConfig& c)
        : config(c), text(c.text), vision(c.vision), text_projection(c.text.hidden_size, c.projection_dim, false),
          visual_projection(c.vision.hidden_size, c.projection_dim, false), logit_scale({.shape = {}}) {}

    static void members(auto& self, const auto& visit) {
        visit("logit_scale", self.logit_scale);
        self.text.members(self.text, visit);
        self.vision.members(self.vision, visit);
        visit("text_projection", self.text_projection);
        visit("visual_projection", self.visual_projection);
    }

    /// Prompts' embeddings [prompts, projection_dim], not normalised: ids as CLIPTextModel takes them.
    [[nodiscard]] Tensor<T, B> text_features(std::span<const std::int32_t> ids, index_t prompts = 1) const {
        const Tensor<T, B> states = text(ids, prompts);
        const auto ends = end_positions(ids, prompts);
        Tensor<T, B> pooled(states.backend(), {prompts, states.shape(2)});
        for (index_t i = 0; i < prompts; ++i) {
            const Tensor<T, B> rows = states.slice(i, i + 1).reshape({states.shape(1), states.shape(2)});
            const auto end = static_cast<index_t>(ends[static_cast<std::size_t>(i)]);
            pooled.slice(i, i + 1).copy_from(rows.slice(end, end + 1));
        }
        return text_projection(pooled);
    }

    /// Pictures' embeddings [pictures, projection_dim], not normalised: pixels as CLIPVisionModel takes them.
    [[nodiscard]] Tensor<T, B> image_features(const Tensor<T, B>& pixels) const {
        return visual_projection(vision(pixels).pooled);
    }
};

} // namespace reel
