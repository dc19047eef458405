#include <doctest/doctest.h>

#include <reel/models/configs.hpp>
#include <reel/models/unet.hpp>

#include "io/temporary_folder.hpp"

using namespace reel_test;
using nlohmann::json;
using reel::ClassEmbedding;
using reel::UNetConfig;

namespace {

/// unet/config.json of Stable Diffusion 1.4, as diffusers 0.2 wrote it.
const char* const sd1 = R"({
  "_class_name": "UNet2DConditionModel", "_diffusers_version": "0.2.2", "act_fn": "silu", "attention_head_dim": 8,
  "block_out_channels": [320, 640, 1280, 1280], "center_input_sample": false, "cross_attention_dim": 768,
  "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
  "downsample_padding": 1, "flip_sin_to_cos": true, "freq_shift": 0, "in_channels": 4, "layers_per_block": 2,
  "mid_block_scale_factor": 1, "norm_eps": 1e-05, "norm_num_groups": 32, "out_channels": 4, "sample_size": 64,
  "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]})";

/// What Stable Diffusion 2.1's adds or changes, with all keys that diffusers 0.11.1 writes.
const char* const sd2_changes = R"({
  "_diffusers_version": "0.11.1", "attention_head_dim": [5, 10, 20, 20], "class_embed_type": null,
  "cross_attention_dim": 1024, "dual_cross_attention": false, "mid_block_type": "UNetMidBlock2DCrossAttn",
  "num_class_embeds": null, "only_cross_attention": false, "resnet_time_scale_shift": "default", "sample_size": 96,
  "upcast_attention": true, "use_linear_projection": true})";

/// Keys that diffusers 0.42.1 writes in addition, at its defaults.
const char* const recent_changes = R"({
  "_diffusers_version": "0.42.1", "_name_or_path": "somewhere", "dropout": 0.0, "transformer_layers_per_block": 1,
  "reverse_transformer_layers_per_block": null, "encoder_hid_dim": null, "encoder_hid_dim_type": null,
  "num_attention_heads": null, "addition_embed_type": null, "addition_time_embed_dim": null,
  "resnet_skip_time_act": false, "resnet_out_scale_factor": 1.0, "time_embedding_type": "positional",
  "time_embedding_dim": null, "time_embedding_act_fn": null, "timestep_post_act": null, "time_cond_proj_dim": null,
  "conv_in_kernel": 3, "conv_out_kernel": 3, "projection_class_embeddings_input_dim": null,
  "attention_type": "default", "class_embeddings_concat": false, "mid_block_only_cross_attention": null,
  "cross_attention_norm": null, "addition_embed_type_num_heads": 64})";

json changed(const char* base, const json& changes) {
    json result = json::parse(base);
    result.update(changes);
    return result;
}

UNetConfig read(const json& config) {
    return reel::read_unet_config({config, "unet/config.json"});
}

std::string message(const json& config) {
    return message_of<reel::Error>([&] { static_cast<void>(read(config)); });
}

reel::index_t parameters(const UNetConfig& config) {
    return reel::parameter_count(reel::UNet3DConditionModel<float>(config));
}

} // namespace

TEST_CASE("Stable Diffusion 1.4's UNet is read, and has as many parameters as it should") {
    UNetConfig c = read(json::parse(sd1));
    CHECK(c.block_out_channels == std::vector<reel::index_t>{320, 640, 1280, 1280});
    CHECK(c.down_block_attention == std::vector<bool>{true, true, true, false});
    CHECK(c.up_block_attention == std::vector<bool>{false, true, true, true});
    CHECK(c.heads == std::vector<reel::index_t>(4, 8));
    CHECK(c.cross_attention_dim == 768);
    CHECK(c.sample_size == 64);
    CHECK_FALSE(c.use_linear_projection);
    CHECK_FALSE(c.temporal);
    CHECK(c.class_embedding == ClassEmbedding::none);
    CHECK(parameters(c) == 859'520'964);
    // A transformer of width c gains 4 c^2 + c of attn_temp and 2 c of norm_temp; there are 5 of width 320, 5 of 640
    // and 6 of 1280.
    c.temporal = true;
    CHECK(parameters(c) == 859'520'964 + 49'599'040);
}

TEST_CASE("Stable Diffusion 2.1's UNet is read, of diffusers 0.11.1 and of recent diffusers") {
    const json old = changed(sd1, json::parse(sd2_changes));
    const UNetConfig c = read(old);
    CHECK(c.heads == std::vector<reel::index_t>{5, 10, 20, 20});
    CHECK(c.cross_attention_dim == 1024);
    CHECK(c.use_linear_projection);
    CHECK(c.upcast_attention);
    CHECK(parameters(c) == 865'910'724);
    json recent = old;
    recent.update(json::parse(recent_changes));
    CHECK(reel::write_unet_config(read(recent)) == reel::write_unet_config(c));
    // A size per side.
    recent["sample_size"] = json::parse("[96, 96]");
    CHECK(reel::write_unet_config(read(recent)) == reel::write_unet_config(c));
}

TEST_CASE("an inflated UNet's config comes back as it was written") {
    UNetConfig c = read(changed(sd1, json::parse(sd2_changes)));
    c.temporal = true;
    const json written = reel::write_unet_config(c);
    CHECK(written["_class_name"] == "UNet3DConditionModel");
    CHECK(written["down_block_types"][0] == "CrossAttnDownBlock3D");
    CHECK(written["up_block_types"][0] == "UpBlock3D");
    CHECK(written["mid_block_type"] == "UNetMidBlock3DCrossAttn");
    CHECK(read(written).temporal);
    CHECK(reel::write_unet_config(read(written)) == written);
}

TEST_CASE("class embeddings are read") {
    CHECK(read(changed(sd1, {{"num_class_embeds", 7}})).class_embedding == ClassEmbedding::table);
    CHECK(read(changed(sd1, {{"num_class_embeds", 7}})).num_class_embeds == 7);
    CHECK(read(changed(sd1, {{"class_embed_type", "timestep"}})).class_embedding == ClassEmbedding::timestep);
    CHECK(read(changed(sd1, {{"class_embed_type", "identity"}})).class_embedding == ClassEmbedding::identity);
    CHECK(contains(message(changed(sd1, {{"class_embed_type", "projection"}})),
                   "\"class_embed_type\" is \"projection\""));
    CHECK(contains(message(changed(sd1, {{"num_class_embeds", 0}})), "\"num_class_embeds\" is 0"));
}

TEST_CASE("a value that reel does not support is an error that names key and value") {
    struct Case {
        const char* key;
        json value;
        const char* shown;
    };
    for (const Case& c : {Case{"act_fn", "gelu", "\"gelu\""},
                          Case{"downsample_padding", 0, "0"},
                          Case{"mid_block_scale_factor", 2, "2"},
                          Case{"resnet_time_scale_shift", "scale_shift", "\"scale_shift\""},
                          Case{"dual_cross_attention", true, "true"},
                          Case{"only_cross_attention", true, "true"},
                          Case{"mid_block_only_cross_attention", true, "true"},
                          Case{"resnet_skip_time_act", true, "true"},
                          Case{"class_embeddings_concat", true, "true"},
                          Case{"mid_block_type", "UNetMidBlock2D", "\"UNetMidBlock2D\""},
                          Case{"transformer_layers_per_block", 2, "2"},
                          Case{"resnet_out_scale_factor", 0.5, "0.5"},
                          Case{"time_embedding_type", "fourier", "\"fourier\""},
                          Case{"time_embedding_dim", 512, "512"},
                          Case{"conv_in_kernel", 1, "1"},
                          Case{"conv_out_kernel", 1, "1"},
                          Case{"attention_type", "gated", "\"gated\""},
                          Case{"dropout", 0.1, "0.1"},
                          Case{"addition_embed_type", "text_time", "\"text_time\""},
                          Case{"encoder_hid_dim", 768, "768"},
                          Case{"cross_attention_norm", "layer_norm", "\"layer_norm\""},
                          Case{"timestep_post_act", "silu", "\"silu\""},
                          Case{"projection_class_embeddings_input_dim", 2816, "2816"},
                          Case{"num_attention_heads", 8, "8"},
                          Case{"_class_name", "UNet2DModel", "\"UNet2DModel\""}}) {
        const std::string text = message(changed(sd1, {{c.key, c.value}}));
        CAPTURE(text);
        CHECK(contains(text, "unet/config.json: \"" + std::string(c.key) + "\" is " + c.shown));
        CHECK(contains(text, c.key == std::string("_class_name") ? "expected" : "supported"));
    }
    CHECK(contains(message(changed(sd1, {{"down_block_types",
                                          {"CrossAttnDownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"}}})),
                   "\"down_block_types\" has \"AttnDownBlock2D\""));
    CHECK(contains(message(changed(sd1, {{"up_block_types", {"SimpleCrossAttnUpBlock2D"}}})),
                   "\"up_block_types\" has \"SimpleCrossAttnUpBlock2D\""));
    CHECK(contains(message(changed(sd1, {{"layers_per_block", {1, 2, 2, 2}}})), "\"layers_per_block\" differs"));
    CHECK(
        contains(message(changed(sd1, {{"time_cond_proj_dim", 3}})), "\"time_cond_proj_dim\" is 3, expected an even"));
    CHECK(read(changed(sd1, {{"time_cond_proj_dim", 256}})).time_cond_proj_dim == 256);
    CHECK_FALSE(read(changed(sd1, {{"mid_block_type", nullptr}})).mid_block);
    CHECK(contains(message(changed(sd1, {{"cross_attention_dim", {768, 1024, 768, 768}}})),
                   "\"cross_attention_dim\" differs"));
}

TEST_CASE("wrong types, unknown keys and sizes that do not fit are errors") {
    CHECK(contains(message(changed(sd1, {{"use_linear_projecton", true}})),
                   "unknown key \"use_linear_projecton\" (did you mean \"use_linear_projection\"?)"));
    CHECK(contains(message(changed(sd1, {{"zzz", 1}})), "unknown key \"zzz\""));
    CHECK(contains(message(changed(sd1, {{"layers_per_block", "two"}})), "\"layers_per_block\": expected an integer"));
    CHECK(contains(message(changed(sd1, {{"norm_eps", "1e-5"}})), "\"norm_eps\": expected a number"));
    CHECK(contains(message(changed(sd1, {{"flip_sin_to_cos", 1}})), "\"flip_sin_to_cos\": expected true or false"));
    CHECK(contains(message(changed(sd1, {{"block_out_channels", {320, 640}}})),
                   "2 block_out_channels, 4 down_block_types"));
    CHECK(contains(message(changed(sd1, {{"attention_head_dim", {5, 10, 20}}})), "3 attention_head_dim"));
    CHECK(contains(message(changed(sd1, {{"attention_head_dim", 7}})), "is not a multiple of attention_head_dim"));
    CHECK(contains(message(changed(sd1, {{"norm_num_groups", 33}})), "is not a multiple of norm_num_groups 33"));
    CHECK(contains(message(changed(sd1, {{"in_channels", 0}})), "\"in_channels\" is 0, expected 1 to"));
    CHECK(contains(message(changed(sd1, {{"layers_per_block", -1}})), "\"layers_per_block\" is -1, expected 1 to 64"));
    CHECK(contains(message(changed(sd1, {{"block_out_channels", json::array()}})),
                   "\"block_out_channels\" has 0 entries"));
    CHECK(contains(message(changed(sd1, {{"sample_size", json::array()}})), "sample_size"));
    CHECK(contains(message(changed(sd1, {{"layers_per_block", json::array()}})), "layers_per_block"));
    // Numbers that would fill the memory before a weights file is looked at.
    CHECK(contains(message(changed(sd1, {{"layers_per_block", 1'000'000'000}})), "expected 1 to 64"));
    CHECK(contains(message(changed(sd1, {{"cross_attention_dim", 1LL << 40}})), "expected 1 to 1048576"));
    CHECK(contains(message(changed(sd1, {{"num_class_embeds", 1LL << 40}})), "expected 1 to 1048576"));
    CHECK(contains(message(changed(sd1, {{"block_out_channels", std::vector<int>(17, 32)}})), "has 17 entries"));
    CHECK(contains(message(json::array()), "expected a JSON object"));
}

TEST_CASE("lists of a default, null for a default, and what an average keeps beside a configuration are read") {
    const auto plain = read(json::parse(sd1));
    for (
        const char* more :
        {R"({"transformer_layers_per_block": [1, 1, 1, 1], "only_cross_attention": [false, false, false, false]})",
         R"({"upcast_attention": null, "sample_size": [64, 48], "transformer_layers_per_block": null})",
         R"({"use_linear_projection": null, "center_input_sample": null, "dual_cross_attention": null,
              "resnet_time_scale_shift": null})",
         R"({"decay": 0.9999, "min_decay": 0.0, "optimization_step": 7, "update_after_step": 0, "use_ema_warmup": false,
              "inv_gamma": 1.0, "power": 0.75})"}) {
        CAPTURE(more);
        const auto config = read(changed(sd1, json::parse(more)));
        CHECK(config.upcast_attention == plain.upcast_attention);
        CHECK(config.sample_size == plain.sample_size);
        CHECK(config.use_linear_projection == plain.use_linear_projection);
        CHECK(config.center_input_sample == plain.center_input_sample);
        CHECK(config.block_out_channels == plain.block_out_channels);
    }
    CHECK(contains(message(changed(sd1, {{"transformer_layers_per_block", {1, 2, 1, 1}}})),
                   "\"transformer_layers_per_block\" is [1,2,1,1]"));
    CHECK(contains(message(changed(sd1, {{"only_cross_attention", {true, false}}})), "\"only_cross_attention\""));
}

TEST_CASE("AutoencoderKL's config, old and recent") {
    const char* const old = R"({
      "_class_name": "AutoencoderKL", "_diffusers_version": "0.2.2", "act_fn": "silu",
      "block_out_channels": [128, 256, 512, 512], "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D",
      "DownEncoderBlock2D", "DownEncoderBlock2D"], "in_channels": 3, "latent_channels": 4, "layers_per_block": 2,
      "out_channels": 3, "sample_size": 512, "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D",
      "UpDecoderBlock2D", "UpDecoderBlock2D"]})";
    const auto read_vae = [](const json& config) {
        return reel::read_autoencoder_kl_config({config, "vae/config.json"});
    };
    const auto vae_message = [&](const json& config) {
        return message_of<reel::Error>([&] { static_cast<void>(read_vae(config)); });
    };
    CHECK(reel::parameter_count(reel::AutoencoderKL<float>(read_vae(json::parse(old)))) == 83'653'863);
    const auto recent = read_vae(changed(old, json::parse(R"({
      "_name_or_path": "x", "norm_num_groups": 32, "scaling_factor": 0.13025, "shift_factor": null,
      "latents_mean": null, "latents_std": null, "force_upcast": true, "use_quant_conv": true,
      "use_post_quant_conv": true, "mid_block_add_attention": true})")));
    CHECK(recent.scaling_factor == 0.13025);
    CHECK(recent.pixels_per_latent() == 8);
    CHECK(read_vae(changed(old, {{"sample_size", {64, 48}}})).sample_size == 64);
    CHECK(read_vae(changed(old, {{"decay", 0.99}, {"optimization_step", 3}})).sample_size == 512);
    CHECK(contains(vae_message(changed(old, {{"sample_size", {64, 48, 3}}})), "\"sample_size\" has 3 entries"));
    CHECK(contains(vae_message(changed(old, {{"shift_factor", 0.1}})), "\"shift_factor\" is 0.1"));
    CHECK_FALSE(read_vae(changed(old, {{"use_quant_conv", false}})).use_quant_conv);
    CHECK(contains(vae_message(changed(old, {{"use_quant_conv", 1}})), "\"use_quant_conv\": expected true or false"));
    CHECK(contains(vae_message(changed(old, {{"_class_name", "VQModel"}})), "\"_class_name\" is \"VQModel\""));
    CHECK(contains(vae_message(changed(old, {{"latent_chanels", 4}})), "did you mean \"latent_channels\"?"));
    CHECK(contains(vae_message(changed(old, {{"block_out_channels", {128, 256}}})), "down_block_types"));
    CHECK(contains(vae_message(changed(old, {{"layers_per_block", 1'000'000'000}})), "expected 1 to 64"));
    CHECK(contains(vae_message(changed(old, {{"norm_num_groups", 0}})), "\"norm_num_groups\" is 0"));
    CHECK(contains(vae_message(changed(old, {{"block_out_channels", json::array()}})), "block_out_channels"));
}

TEST_CASE("CLIP's text configs") {
    const auto read_text = [](const json& config) { return reel::read_clip_text_config({config, "text/config.json"}); };
    const auto text_message = [&](const json& config) {
        return message_of<reel::Error>([&] { static_cast<void>(read_text(config)); });
    };
    const char* const sd1_text = R"({
      "_name_or_path": "x", "architectures": ["CLIPTextModel"], "attention_dropout": 0.0, "bos_token_id": 0,
      "dropout": 0.0, "eos_token_id": 2, "hidden_act": "quick_gelu", "hidden_size": 768, "initializer_factor": 1.0,
      "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-05, "max_position_embeddings": 77,
      "model_type": "clip_text_model", "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 1,
      "torch_dtype": "float32", "transformers_version": "4.21.0.dev0", "vocab_size": 49408})";
    const auto sd1_config = read_text(json::parse(sd1_text));
    CHECK(sd1_config.quick_gelu);
    CHECK(reel::parameter_count(reel::CLIPTextModel<float>(sd1_config)) == 123'060'480);
    const auto sd2_config = read_text(changed(sd1_text, json::parse(R"({
      "hidden_act": "gelu", "hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16,
      "num_hidden_layers": 23, "projection_dim": 512})")));
    CHECK_FALSE(sd2_config.quick_gelu);
    CHECK(reel::parameter_count(reel::CLIPTextModel<float>(sd2_config)) == 340'387'840);
    CHECK(contains(text_message(changed(sd1_text, {{"hidden_act", "relu"}})), "\"hidden_act\" is \"relu\""));
    CHECK(contains(text_message(changed(sd1_text, {{"num_attention_heads", 7}})), "num_attention_heads"));
    CHECK(contains(text_message(changed(sd1_text, {{"num_hidden_layers", 1'000'000'000}})), "expected 1 to 1024"));
    CHECK(contains(text_message(changed(sd1_text, {{"vocab_size", 0}})), "\"vocab_size\" is 0"));
    CHECK(contains(text_message(changed(sd1_text, {{"hiden_size", 7}})), "did you mean \"hidden_size\"?"));
}
