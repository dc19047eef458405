#pragma once

#include <optional>
#include <string>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/core/scalar.hpp>

namespace reel {

/// How a UNet is told a class beside the text.
enum class ClassEmbedding {
    none,
    table,    ///< an index into num_class_embeds learned vectors
    timestep, ///< a number, embedded like a timestep
    identity, ///< a vector of the time embedding's width
};

/// What config.json of a Stable Diffusion 1.x or 2.x unet/ says, under its names. Defaults are diffusers'.
struct UNetConfig {
    static constexpr index_t limit = 1 << 20; ///< of any width: a file's numbers must not overflow, nor fill the memory

    index_t sample_size = 64;
    index_t in_channels = 4;
    index_t out_channels = 4;
    bool center_input_sample = false;
    bool flip_sin_to_cos = true;
    double freq_shift = 0;
    std::vector<index_t> block_out_channels{320, 640, 1280, 1280};
    std::vector<bool> down_block_attention{true, true, true, false}; ///< CrossAttnDownBlock or DownBlock
    std::vector<bool> up_block_attention{false, true, true, true};
    index_t layers_per_block = 2;
    index_t norm_num_groups = 32;
    double norm_eps = 1e-5;
    index_t cross_attention_dim = 1280;
    std::vector<index_t> heads{8, 8, 8, 8}; ///< per level; "attention_head_dim" in the file, in spite of its name
    bool use_linear_projection = false;
    bool upcast_attention = false;
    ClassEmbedding class_embedding = ClassEmbedding::none;
    index_t num_class_embeds = 0;
    bool mid_block = true; ///< false: "mid_block_type" null, the lowest level is left as the down blocks made it
    index_t time_cond_proj_dim = 0; ///< width of the embedded guidance scale that a distilled UNet is told; 0: none
    bool temporal = true;           ///< with attention along frames: the inflated UNet

    [[nodiscard]] index_t levels() const { return static_cast<index_t>(block_out_channels.size()); }
    /// Whether it sees a mask and a masked clip's latents beside the noisy ones.
    [[nodiscard]] bool is_inpainting() const { return in_channels == 2 * out_channels + 1; }
    [[nodiscard]] index_t time_channels() const { return 4 * block_out_channels.front(); }

    /// Throws Error, naming `where`, unless the lists fit each other and every count is in a sensible range.
    void validate(const std::string& where) const {
        const std::size_t n = block_out_channels.size();
        require(n > 0, where, ": block_out_channels is empty");
        require(down_block_attention.size() == n && up_block_attention.size() == n && heads.size() == n, where, ": ", n,
                " block_out_channels, ", down_block_attention.size(), " down_block_types, ", up_block_attention.size(),
                " up_block_types and ", heads.size(), " attention_head_dim; expected equal numbers");
        const auto bounded = [&](const char* key, index_t value, index_t most) {
            require(value > 0 && value <= most, where, ": \"", key, "\" is ", value, ", expected 1 to ", most);
        };
        bounded("in_channels", in_channels, limit);
        bounded("out_channels", out_channels, limit);
        bounded("layers_per_block", layers_per_block, 64);
        bounded("norm_num_groups", norm_num_groups, limit);
        bounded("cross_attention_dim", cross_attention_dim, limit);
        require(time_cond_proj_dim >= 0 && time_cond_proj_dim <= limit && time_cond_proj_dim % 2 == 0 &&
                    time_cond_proj_dim != 2,
                where, ": \"time_cond_proj_dim\" is ", time_cond_proj_dim, ", expected an even number from 4 to ",
                limit);
        for (std::size_t i = 0; i < n; ++i) {
            bounded("block_out_channels", block_out_channels[i], limit);
            require(block_out_channels[i] % norm_num_groups == 0, where, ": block_out_channels ", block_out_channels[i],
                    " is not a multiple of norm_num_groups ", norm_num_groups);
            require(heads[i] > 0 && block_out_channels[i] % heads[i] == 0, where, ": block_out_channels ",
                    block_out_channels[i], " is not a multiple of attention_head_dim (number of heads) ", heads[i]);
        }
        require(block_out_channels.front() % 2 == 0, where, ": the first of block_out_channels must be even");
    }
};

} // namespace reel
