// Names and configurations of Stable Diffusion's single files. golden/ldm_names.txt.gz: diffusers' own conversion, by
// make_ldm_golden.py.

#include <doctest/doctest.h>

#include <zlib.h>

#include <array>
#include <cmath>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include <reel/io/weights/ldm_config.hpp>
#include <reel/io/weights/ldm_layout.hpp>
#include <reel/io/weights/ldm_names.hpp>

namespace {

using Line = std::tuple<std::string, std::string, std::string, int>; // part, single file's, folder's, which third

std::set<Line> golden_names(int version) {
    gzFile file = gzopen("io/golden/ldm_names.txt.gz", "rb");
    REQUIRE(file != nullptr);
    std::set<Line> lines;
    std::array<char, 1000> buffer{};
    while (gzgets(file, buffer.data(), static_cast<int>(buffer.size())) != nullptr) {
        std::istringstream line(buffer.data());
        int which = 0;
        int third = 0;
        std::string part;
        std::string ldm;
        std::string diffusers;
        line >> which >> part >> ldm >> diffusers >> third;
        REQUIRE(line.fail() == false);
        if (which == version) {
            lines.emplace(part, ldm, diffusers, third);
        }
    }
    gzclose(file);
    return lines;
}

reel::HostTensor empty(std::vector<std::int64_t> shape = {}) {
    reel::HostTensor tensor;
    tensor.shape = std::move(shape);
    return tensor;
}

reel::StateDict named(const std::set<Line>& lines) {
    reel::StateDict tensors;
    for (const auto& [part, ldm, diffusers, third] : lines) {
        tensors.emplace(ldm, empty());
    }
    return tensors;
}

} // namespace

TEST_CASE("the names of Stable Diffusion 1 and 2 are diffusers'") {
    for (const int version : {1, 2}) {
        const std::set<Line> golden = golden_names(version);
        CHECK(golden.size() == (version == 1 ? 686 + 248 + 197 : 686 + 248 + 372));
        reel::StateDict file = named(golden);
        if (version == 2) { // a whole OpenCLIP, of which the last layer is not used
            file["cond_stage_model.model.text_projection"] = empty();
            file["cond_stage_model.model.transformer.resblocks.23.ln_1.weight"] = empty();
        }
        const reel::LdmLayout layout = reel::ldm_layout(file, "file");
        CHECK(layout.unet_levels == 4);
        CHECK(layout.unet_layers == 2);
        CHECK(layout.down_attention == std::vector{true, true, true, false});
        CHECK(layout.up_attention == std::vector{false, true, true, true});
        CHECK(layout.vae_levels == 4);
        CHECK(layout.vae_layers == 2);
        CHECK(layout.text_layers == (version == 1 ? 12 : 23));
        CHECK(layout.open_clip == (version == 2));
        std::set<Line> ours;
        for (const reel::LdmName& name : reel::ldm_names(layout)) {
            const std::array<const char*, 3> parts{"unet", "vae", "text_encoder"};
            const Line line{parts[static_cast<std::size_t>(name.part)], name.ldm,
                            name.later.empty() ? name.diffusers : name.later, name.third};
            if (!name.optional || golden.contains(line)) {
                ours.insert(line);
            }
        }
        CHECK(ours == golden);
        if (version == 2) {
            file.erase("cond_stage_model.model.text_projection"); // pruned: the last layer is as useless as with it
            CHECK(reel::ldm_layout(file, "file").text_layers == 23);
        }
    }
}

TEST_CASE("configurations follow from shapes") {
    for (const bool two : {false, true}) {
        reel::LdmLayout layout;
        layout.unet_levels = 4;
        layout.unet_layers = 2;
        layout.down_attention = {true, true, true, false};
        layout.up_attention = {false, true, true, true};
        layout.vae_levels = 4;
        layout.vae_layers = 2;
        layout.text_layers = two ? 23 : 12;
        layout.open_clip = two;
        const std::int64_t width = two ? 1024 : 768;
        reel::LdmParts parts;
        reel::StateDict& unet = parts[reel::LdmPart::unet];
        reel::StateDict& vae = parts[reel::LdmPart::vae];
        reel::StateDict& text = parts[reel::LdmPart::text_encoder];
        const std::array<std::int64_t, 4> channels{320, 640, 1280, 1280};
        const std::array<std::int64_t, 4> vae_channels{128, 256, 512, 512};
        for (std::size_t i = 0; i < 4; ++i) {
            unet[reel::concat_text("down_blocks.", i, ".resnets.0.conv2.weight")] =
                empty({channels[i], channels[i], 3, 3});
            vae[reel::concat_text("encoder.down_blocks.", i, ".resnets.0.conv2.weight")] =
                empty({vae_channels[i], vae_channels[i], 3, 3});
        }
        const std::string attention = "down_blocks.0.attentions.0.";
        unet[attention + "transformer_blocks.0.attn2.to_k.weight"] = empty({320, width});
        unet[attention + "proj_in.weight"] = two ? empty({320, 320}) : empty({320, 320, 1, 1});
        unet["conv_in.weight"] = empty({320, 4, 3, 3});
        unet["conv_out.weight"] = empty({4, 320, 3, 3});
        vae["encoder.conv_in.weight"] = empty({128, 3, 3, 3});
        vae["decoder.conv_out.weight"] = empty({3, 128, 3, 3});
        vae["post_quant_conv.weight"] = empty({4, 4, 1, 1});
        text["text_model.embeddings.token_embedding.weight"] = empty({49408, width});
        text["text_model.embeddings.position_embedding.weight"] = empty({77, width});
        text["text_model.encoder.layers.0.mlp.fc1.weight"] = empty({4 * width, width});

        reel::LdmFacts facts;
        facts.prediction_type = two ? "v_prediction" : "epsilon";
        facts.image_size = two ? 768 : 512;
        const reel::LdmConfigs made = reel::ldm_configs(parts, layout, facts, std::nullopt, "file");
        // What is known of CompVis/stable-diffusion-v1-4 and stabilityai/stable-diffusion-2-1.
        CHECK(made.unet["block_out_channels"] == nlohmann::json({320, 640, 1280, 1280}));
        CHECK(made.unet["attention_head_dim"] == (two ? nlohmann::json({5, 10, 20, 20}) : nlohmann::json(8)));
        CHECK(made.unet["cross_attention_dim"] == width);
        CHECK(made.unet["use_linear_projection"] == two);
        CHECK(made.unet["sample_size"] == (two ? 96 : 64));
        CHECK(made.unet["down_block_types"][3] == "DownBlock2D");
        CHECK(made.unet["up_block_types"][0] == "UpBlock2D");
        CHECK(made.unet["in_channels"] == 4);
        CHECK(made.unet["out_channels"] == 4);
        CHECK(made.vae["block_out_channels"] == nlohmann::json({128, 256, 512, 512}));
        CHECK(made.vae["latent_channels"] == 4);
        CHECK(made.vae["layers_per_block"] == 2);
        CHECK(made.text_encoder["num_attention_heads"] == (two ? 16 : 12));
        CHECK(made.text_encoder["num_hidden_layers"] == (two ? 23 : 12));
        CHECK(made.text_encoder["hidden_act"] == (two ? "gelu" : "quick_gelu"));
        CHECK(made.text_encoder["eos_token_id"] == 49407);
        CHECK(made.scheduler["prediction_type"] == (two ? "v_prediction" : "epsilon"));
        CHECK(made.scheduler["trained_betas"].is_null());

        unet["down_blocks.1.resnets.0.conv2.weight"] = empty({40, 40, 3, 3});
        CHECK_THROWS_WITH_AS(static_cast<void>(reel::ldm_configs(parts, layout, facts, std::nullopt, "file")),
                             "file: the UNet's channels 40 is not a multiple of 32, as in Stable Diffusion; take the "
                             "configurations from a folder of that model instead",
                             reel::Error);
        unet["down_blocks.1.resnets.0.conv2.weight"] = empty({640, 640, 3, 3});
        // The noise schedule: Stable Diffusion's own needs no list, another does, and comes back.
        std::vector<float> betas;
        for (const double beta : reel::ldm_betas()) {
            betas.push_back(static_cast<float>(beta));
        }
        CHECK(betas.front() == doctest::Approx(0.00085));
        CHECK(betas.back() == doctest::Approx(0.012));
        CHECK(reel::ldm_configs(parts, layout, facts, betas, "file").scheduler["trained_betas"].is_null());
        CHECK(!reel::ldm_betas_of(made.scheduler, "scheduler"));
        betas[500] *= 1.1F;
        const auto other = reel::ldm_configs(parts, layout, facts, betas, "file").scheduler;
        CHECK(reel::ldm_betas_of(other, "scheduler") == betas);
        const nlohmann::json linear = {{"beta_start", 0.0001}, {"beta_end", 0.02}, {"num_train_timesteps", 100}};
        const auto computed = reel::ldm_betas_of(linear, "scheduler");
        REQUIRE(computed);
        CHECK(computed->size() == 100);
        CHECK(computed->back() == doctest::Approx(0.02));
        CHECK_THROWS_AS(static_cast<void>(reel::ldm_betas_of({{"beta_schedule", "squaredcos_cap_v2"}}, "scheduler")),
                        reel::Error);
    }
}
