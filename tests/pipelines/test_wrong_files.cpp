// Files and folders in the wrong place: each gets one sentence that says what it is, or what is wrong with it, and
// nothing of it is used.

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <reel/io/pictures/png.hpp>
#include <reel/io/weights/torch_writer.hpp>
#include <reel/pipelines/model_files.hpp>
#include <reel/pipelines/stable_diffusion.hpp>

#include "io/temporary_folder.hpp"
#include "support/small_model.hpp"

using namespace reel_test;
using reel::HostTensor;
using reel::ModelOptions;
using reel::StateDict;
using Path = std::filesystem::path;

namespace {

enum class As { model, vae, unet, text_encoder, tokenizer, embedding };

struct Case {
    std::string name;                      ///< of the file or folder
    As as;                                 ///< which option takes it
    std::function<void(const Path&)> make; ///< writes it
    std::string says;                      ///< part of the sentence
};

std::string error_of(As as, const Path& path) {
    ModelOptions options = small().tokenizer(false);
    Path model = small().files[0];
    const std::string given = path.string();
    switch (as) {
    case As::model:
        model = path;
        break;
    case As::vae:
        options.vae = given;
        break;
    case As::unet:
        options.unet = given;
        break;
    case As::text_encoder:
        options.text_encoder = given;
        break;
    case As::tokenizer:
        options.tokenizer = given;
        break;
    case As::embedding:
        options.embedding = {given};
        break;
    }
    return message_of<reel::Error>([&] {
        reel::Cpu cpu(1);
        static_cast<void>(reel::load_stable_diffusion<float>(cpu, reel::open_model(model, options), 33));
    });
}

HostTensor numbers(std::vector<std::int64_t> shape) {
    const std::size_t count = reel::checked_element_count(shape, sizeof(float));
    return HostTensor::make<float>(std::move(shape), std::vector<float>(count, 0.25F));
}

/// A safetensors file with these names, all of one shape.
std::function<void(const Path&)> names(std::vector<std::string> all, std::vector<std::int64_t> shape = {4, 4}) {
    return [all = std::move(all), shape = std::move(shape)](const Path& path) {
        StateDict tensors;
        for (const std::string& name : all) {
            tensors.emplace(name, numbers(shape));
        }
        reel::write_safetensors(path, tensors);
    };
}

std::function<void(const Path&)> text(std::string content) {
    return [content = std::move(content)](const Path& path) { put_text(path, content); };
}

/// A good single file, changed.
std::function<void(const Path&)> changed(std::function<void(StateDict&)> change) {
    return [change = std::move(change)](const Path& path) {
        StateDict tensors = reel::read_safetensors(small().files[0]);
        change(tensors);
        reel::write_safetensors(path, tensors);
    };
}

std::function<void(const Path&)> cut(double part) {
    return [part](const Path& path) {
        std::filesystem::copy_file(small().files[0], path);
        std::filesystem::resize_file(
            path, static_cast<std::uintmax_t>(part * static_cast<double>(std::filesystem::file_size(path))));
    };
}

/// A folder with files in it, of which the text is JSON or anything.
std::function<void(const Path&)> folder(std::vector<std::pair<std::string, std::string>> files) {
    return [files = std::move(files)](const Path& path) {
        std::filesystem::create_directories(path);
        for (const auto& [name, content] : files) {
            std::filesystem::create_directories((path / name).parent_path());
            put_text(path / name, content);
        }
    };
}

/// A good folder, changed.
std::function<void(const Path&)> model(std::function<void(const Path&)> change) {
    return [change = std::move(change)](const Path& path) {
        std::filesystem::copy(small().folders[0], path, std::filesystem::copy_options::recursive);
        change(path);
    };
}

std::function<void(const Path&)> embedding(std::vector<std::int64_t> shape) {
    return [shape = std::move(shape)](const Path& path) {
        reel::write_safetensors(path, {{"<word>", numbers(shape)}});
    };
}

void put_picture(const Path& path) {
    reel::write_png(path, reel::make_frames(1, 4, 4));
}

void erase(StateDict& tensors, const std::string& prefix) {
    std::erase_if(tensors, [&](const auto& entry) { return entry.first.starts_with(prefix); });
}

std::string index_of(const std::string& pipeline) {
    return R"({"_class_name": ")" + pipeline + R"(", "unet": ["diffusers", "UNet2DConditionModel"]})";
}

std::vector<Case> cases() {
    const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4265380512\n";
    const std::string page = "<!DOCTYPE html><html><body>Sign in</body></html>";
    return {
        // Not weights at all.
        {"none", As::model, [](const Path&) {}, "no such file or folder"},
        {"someone/model", As::model, [](const Path&) {}, "nothing is downloaded"},
        {"empty.safetensors", As::model, text(""), "the file is empty"},
        {"pointer.safetensors", As::model, text(pointer), "git-lfs pointer"},
        {"pointer.ckpt", As::vae, text(pointer), "git-lfs pointer"},
        {"page.safetensors", As::model, text(page), "a web page"},
        {"page.ckpt", As::unet, text(page), "a web page"},
        {"picture.png", As::model, put_picture, "a picture (PNG)"},
        {"picture.safetensors", As::vae, put_picture, "a picture (PNG)"},
        {"photo.jpg", As::model,
         text("\xff\xd8\xff\xe0"
              "JFIF and more"),
         "a picture (JPEG)"},
        {"clip.gif", As::model, text("GIF89a and more"), "a picture (GIF)"},
        {"clip.mp4", As::model,
         text(std::string("\0\0\0\x18"
                          "ftypisom0000",
                          16)),
         "a video"},
        {"quantised.gguf", As::model, text("GGUF\3\0\0\0 and more"), "a GGUF file"},
        {"model.zip.safetensors", As::model, text("PK\3\4 cut"), "model.zip.safetensors"},
        {"archive.7z", As::model, text("7z\xbc\xaf\x27\x1c and more"), "a packed archive"},
        {"archive.rar", As::model, text("Rar!\x1a\7 and more"), "a packed archive"},
        {"words.txt", As::model, text("no weights here"), "neither a safetensors file nor a PyTorch checkpoint"},
        {"config.json", As::model, text("{\"a\": 1}"), "JSON text, not weights"},
        {"config.json", As::vae, text("{\"a\": 1}"), "JSON text, not weights"},
        // Cut and damaged.
        {"cut90.safetensors", As::model, cut(0.9), "cut90.safetensors"},
        {"cut50.safetensors", As::model, cut(0.5), "cut50.safetensors"},
        {"cut1.safetensors", As::model, cut(0.01), "cut1.safetensors"},
        {"cut.safetensors", As::vae, cut(0.5), "cut.safetensors"},
        // Weights for something else.
        {"lora.safetensors", As::model, names({"lora_unet_mid_block_attentions_0_proj_in.lora_down.weight"}),
         "a LoRA for a model, which --lora takes"},
        {"lora_te.safetensors", As::model, names({"lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight"}),
         "a LoRA"},
        {"peft.safetensors", As::model, names({"unet.mid_block.attentions.0.to_q.lora_A.weight"}), "a LoRA"},
        {"lycoris.safetensors", As::unet, names({"lycoris_mid_block.hada_w1_a"}),
         "expected a UNet, but this is a LoRA"},
        {"old_lora.safetensors", As::vae, names({"mid_block.attn1.processor.to_q_lora.down.weight"}), "a LoRA"},
        {"xl.safetensors", As::model,
         names({"conditioner.embedders.0.transformer.text_model.final_layer_norm.bias",
                "model.diffusion_model.input_blocks.0.0.bias", "first_stage_model.quant_conv.bias"}),
         "Stable Diffusion XL"},
        {"xl_unet.safetensors", As::unet, names({"add_embedding.linear_1.bias", "down_blocks.0.resnets.0.norm1.bias"}),
         "Stable Diffusion XL"},
        {"sd3.safetensors", As::model, names({"model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight"}),
         "Stable Diffusion 3"},
        {"flux.safetensors", As::model, names({"double_blocks.0.img_attn.qkv.weight"}), "FLUX"},
        {"flux2.safetensors", As::unet, names({"model.diffusion_model.double_blocks.0.img_attn.qkv.weight"}), "FLUX"},
        {"control.safetensors", As::model, names({"control_model.input_blocks.0.0.weight"}), "a ControlNet"},
        {"controlnet.safetensors", As::unet, names({"controlnet_cond_embedding.conv_in.bias", "conv_in.bias"}),
         "a ControlNet"},
        {"ip.safetensors", As::model, names({"ip_adapter.1.to_k_ip.weight", "image_proj.proj.bias"}), "an IP-Adapter"},
        {"motion.safetensors", As::model, names({"down_blocks.0.motion_modules.0.temporal_transformer.norm.bias"}),
         "a motion module"},
        {"embedding.safetensors", As::model, names({"emb_params"}, {2, 768}),
         "textual inversion, which --embedding takes"},
        {"word.safetensors", As::vae, names({"<cat-toy>"}, {768}), "textual inversion"},
        {"taesd.safetensors", As::unet, names({"decoder.layers.0.weight", "encoder.layers.0.weight"}),
         "a tiny autoencoder (TAESD), which --vae takes"},
        {"taesd_cut.safetensors", As::vae, names({"decoder.layers.0.weight", "encoder.layers.0.weight"}),
         "decoder.layers.2.weight"},
        {"taesd_decoder.safetensors", As::vae, names({"1.weight", "3.conv.0.weight"}), "put the encoder beside it"},
        {"taesd_encoder.safetensors", As::vae, names({"0.weight", "1.conv.0.weight"}), "put the decoder beside it"},
        {"taesd_names.safetensors", As::vae, names({"taesd_decoder.1.weight", "taesd_decoder.0.weight"}),
         "\"decoder.0.weight\" is of no layer of a TAESD"},
        {"taesd_as_text.safetensors", As::text_encoder, names({"taesd_decoder.1.weight"}), "which --vae takes"},
        {"clip.safetensors", As::text_encoder,
         names({"vision_model.post_layernorm.bias", "text_model.final_layer_norm.bias"}), "a whole CLIP"},
        {"anything.safetensors", As::model, names({"a", "b", "c"}), "weights that are not Stable Diffusion's"},
        {"nothing.safetensors", As::model, names({}), "nothing.safetensors"},
        // Parts in each other's place.
        {"unet_as_model.safetensors", As::model, names({"down_blocks.0.resnets.0.norm1.bias"}),
         "a UNet alone, which --unet takes"},
        {"vae_as_model.safetensors", As::model,
         names({"decoder.up.0.block.0.norm1.bias", "encoder.down.0.block.0.norm1.bias"}),
         "no UNet of Stable Diffusion is in it"},
        {"vae_as_unet.safetensors", As::unet, names({"encoder.down_blocks.0.resnets.0.norm1.bias"}),
         "expected a UNet, but this is an autoencoder alone, which --vae takes"},
        {"unet_as_vae.safetensors", As::vae, names({"down_blocks.0.resnets.0.norm1.bias"}),
         "expected an autoencoder, but this is a UNet alone"},
        {"text_as_vae.safetensors", As::vae, names({"text_model.final_layer_norm.bias"}),
         "expected an autoencoder, but this is a text encoder alone"},
        {"vae_as_text.safetensors", As::text_encoder, names({"first_stage_model.quant_conv.bias"}),
         "expected a text encoder, but this is an autoencoder alone"},
        // Whole models with something missing, misshapen or too much.
        {"no_unet.safetensors", As::model, changed([](StateDict& t) { erase(t, "model."); }),
         "no UNet of Stable Diffusion is in it"},
        {"no_vae.safetensors", As::model, changed([](StateDict& t) { erase(t, "first_stage_model."); }),
         "name one with --vae FILE or DIR"},
        {"no_text.safetensors", As::model, changed([](StateDict& t) { erase(t, "cond_stage_model."); }),
         "name one with --text_encoder FILE or DIR"},
        {"one_missing.safetensors", As::model,
         changed([](StateDict& t) { t.erase("model.diffusion_model.middle_block.0.in_layers.0.weight"); }),
         "middle_block.0.in_layers.0.weight\" is missing"},
        {"one_more.safetensors", As::model,
         changed([](StateDict& t) { t["model.diffusion_model.more"] = numbers({1}); }), "more\" is not part of"},
        {"twice.safetensors", As::model, changed([](StateDict& t) {
             t["module.model.diffusion_model.out.2.bias"] = t.at("model.diffusion_model.out.2.bias");
         }),
         "two tensors give the weight \"model.diffusion_model.out.2.bias\""},
        {"misshapen.safetensors", As::model,
         changed([](StateDict& t) { t.at("first_stage_model.quant_conv.bias") = numbers({3}); }),
         "quant_conv.bias\" has shape [3]"},
        {"whole_numbers.safetensors", As::model, changed([](StateDict& t) {
             t.at("model.diffusion_model.out.0.bias") =
                 HostTensor::make<std::int64_t>({32}, std::vector<std::int64_t>(32));
         }),
         "is of type"},
        {"inpainting.safetensors", As::model, changed([](StateDict& t) {
             t.at("model.diffusion_model.input_blocks.0.0.weight") = numbers({32, 9, 3, 3});
         }),
         "this is an inpainting model, which paints inside a mask: give insert_object one"},
        {"depth.safetensors", As::model, changed([](StateDict& t) {
             t.at("model.diffusion_model.input_blocks.0.0.weight") = numbers({32, 5, 3, 3});
         }),
         "this is a depth model"},
        {"pix2pix.safetensors", As::model, changed([](StateDict& t) {
             t.at("model.diffusion_model.input_blocks.0.0.weight") = numbers({32, 8, 3, 3});
         }),
         "instruct-pix2pix"},
        // Folders.
        {"empty_folder", As::model, folder({}), "no diffusers folder: it has no model_index.json"},
        {"xl", As::model, folder({{"model_index.json", index_of("StableDiffusionXLPipeline")}}), "Stable Diffusion XL"},
        {"sd3", As::model, folder({{"model_index.json", index_of("StableDiffusion3Pipeline")}}), "Stable Diffusion 3"},
        {"flux", As::model, folder({{"model_index.json", index_of("FluxPipeline")}}), "FLUX"},
        {"part", As::model, folder({{"config.json", R"({"_class_name": "AutoencoderKL"})"}}),
         "one part of a model (AutoencoderKL), not a whole one"},
        {"scheduler", As::model, folder({{"scheduler_config.json", "{}"}}), "the scheduler/ or tokenizer/ of a model"},
        {"tokenizer", As::model, folder({{"vocab.json", "{}"}}), "the scheduler/ or tokenizer/ of a model"},
        {"peft", As::model, folder({{"adapter_config.json", "{}"}}), "a folder with a LoRA, not a model"},
        {"lora", As::model, folder({{"pytorch_lora_weights.safetensors", ""}}), "a folder with a LoRA, not a model"},
        {"words", As::model, folder({{"learned_embeds.bin", ""}}), "an embedding of textual inversion, not a model"},
        {"accelerate", As::model, folder({{"pytorch_model.bin", ""}, {"optimizer.bin", ""}}),
         "accelerate's, not a model"},
        {"own", As::model, folder({{"state.json", "{}"}, {"trained.safetensors", ""}}), "reel's own tunings"},
        {"downloads", As::model, folder({{"a.safetensors", ""}, {"b.ckpt", ""}}),
         "it has 2 files of weights; name one"},
        {"no_index", As::model, model([](const Path& p) { std::filesystem::remove(p / "model_index.json"); }),
         "it has no model_index.json"},
        {"no_weights", As::model,
         model([](const Path& p) { std::filesystem::remove(p / "unet/diffusion_pytorch_model.safetensors"); }),
         "no weights found"},
        {"fp16", As::model, model([](const Path& p) {
             for (const char* variant : {"fp16", "bf16"}) {
                 std::filesystem::copy_file(p / "unet/diffusion_pytorch_model.safetensors",
                                            p / "unet" /
                                                ("diffusion_pytorch_model." + std::string(variant) + ".safetensors"));
             }
             std::filesystem::remove(p / "unet/diffusion_pytorch_model.safetensors");
         }),
         "there are the variants bf16, fp16"},
        {"dangling", As::model, model([](const Path& p) {
             std::filesystem::remove(p / "vae/diffusion_pytorch_model.safetensors");
             std::filesystem::create_symlink("../../blobs/0123", p / "vae/diffusion_pytorch_model.safetensors");
         }),
         "a link to ../../blobs/0123, which is not there"},
        {"lfs", As::model,
         model([pointer](const Path& p) { put_text(p / "unet/diffusion_pytorch_model.safetensors", pointer); }),
         "git-lfs pointer"},
        {"vae_folder", As::vae, folder({{"notes.txt", ""}}), "neither a vae/ of a model"},
        // Tokenizers and embeddings.
        {"no_tokenizer", As::tokenizer, folder({{"a.txt", ""}}), "no tokenizer is in it"},
        {"words2.txt", As::tokenizer, text("no merges here\n"), "not a tokenizer"},
        {"bpe.txt", As::tokenizer, text("\"bpe_simple_vocab_16e6.txt#version: 0.2\ni n\nt h\n"),
         "expected at least 48894"},
        {"wide.safetensors", As::embedding, embedding({2, 768}), "have 768 numbers, the model's text encoder has 64"},
        {"narrow.safetensors", As::embedding, embedding({1, 32}), "have 32 numbers, the model's text encoder has 64"},
        {"cube.safetensors", As::embedding, embedding({2, 2, 64}), "expected an embedding of textual inversion"},
        {"model.safetensors", As::embedding, cut(1.0), "a whole Stable Diffusion 1 or 2 in one file"},
        {"xl_word.safetensors", As::embedding, names({"clip_l", "clip_g"}, {2, 768}),
         "an embedding for Stable Diffusion XL"},
        {"lora_word.safetensors", As::embedding, names({"lora_unet_a.lora_up.weight", "lora_unet_a.lora_down.weight"}),
         "a LoRA"},
        {"known.safetensors", As::embedding,
         [](const Path& p) {
             reel::write_safetensors(p, {{"<|endoftext|>", numbers({64})}});
         },
         "is a token of the model already; give it another, as FILE:WORD"},
        {"embedding_folder", As::embedding, folder({{"learned_embeds.bin", ""}}), "a folder; name the file"},
        {"bare.pt", As::embedding,
         [](const Path& p) {
             reel::write_torch_checkpoint(p, reel::tensor_sources({{"a", numbers({64})}, {"b", numbers({64})}}));
         },
         "expected an embedding of textual inversion"},
    };
}

} // namespace

TEST_CASE("wrong, cut, renamed and mixed files: one sentence that says what it is") {
    const TemporaryFolder work;
    const std::vector<Case> all = cases();
    CHECK(all.size() >= 60);
    int number = 0;
    for (const Case& each : all) {
        const Path place = work / std::to_string(number++);
        std::filesystem::create_directory(place);
        const Path path = place / each.name;
        each.make(path);
        const std::string message = error_of(each.as, path);
        INFO(each.name, " ", static_cast<int>(each.as), ": ", message);
        CHECK(contains(message, each.says));
        CHECK(!contains(message, "\n"));
        CHECK(message.size() < 600);
        // What is wrong is named by its path.
        CHECK(contains(message, place.string()));
    }
}
