// convert_checkpoint there and back, on the small Stable Diffusion 1 and 2 folders of the tests.

#include <doctest/doctest.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <reel/io/config/json.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/io/weights/torch_checkpoint.hpp>
#include <reel/io/weights/torch_writer.hpp>
#include <reel/io/weights/weights.hpp>

#include "support/programs.hpp"

namespace {

using namespace reel_test;

const std::string program = REEL_CONVERT_CHECKPOINT;

Ended convert(const Words& words) {
    return run_well(Words{program} + words);
}

void refused(const Words& words, const Words& texts, int status = 1) {
    const Ended ended = run(Words{program} + words);
    INFO(ended.err);
    CHECK(ended.status == status);
    Words lines = lines_of(ended.err); // on a slow machine, of progress too
    std::erase_if(lines, [](const std::string& line) { return line.find(" %") != std::string::npos; });
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].starts_with("convert_checkpoint: error: "));
    for (const std::string& text : texts) {
        INFO("expected: ", text);
        CHECK(ended.err.find(text) != std::string::npos);
    }
}

void check_equal(const reel::StateDict& made, const reel::StateDict& expected) {
    CHECK(made.size() == expected.size());
    for (const auto& [name, tensor] : expected) {
        INFO(name);
        const auto found = made.find(name);
        REQUIRE(found != made.end());
        CHECK(found->second.dtype == tensor.dtype);
        CHECK(found->second.shape == tensor.shape);
        CHECK(std::ranges::equal(found->second.bytes(), tensor.bytes()));
    }
}

const std::string position_ids = "text_model.embeddings.position_ids";

reel::StateDict weights(const Path& folder) {
    const bool text = folder.filename() == "text_encoder";
    return reel::load_weights(folder, text ? reel::transformers_weight_names : reel::diffusers_weight_names);
}

/// All files but weights equal, and all weights by content.
void check_same_model(const Path& made, const Path& expected) {
    const auto others = [](const Path& folder) {
        std::map<std::string, std::string> files = files_in(folder);
        std::erase_if(files, [](const auto& file) {
            return file.first.ends_with(".bin") || file.first.ends_with(".safetensors");
        });
        return files;
    };
    CHECK(others(made) == others(expected));
    for (const char* part : {"unet", "vae", "text_encoder"}) {
        INFO(part);
        reel::StateDict tensors = weights(expected / part);
        if (!weights(made / part).contains(position_ids)) { // the buffer 0, 1, 2, ..., which OpenCLIP's names lack
            tensors.erase(position_ids);
        }
        check_equal(weights(made / part), tensors);
    }
    CHECK(temporaries_in(made).empty());
}

} // namespace

TEST_CASE("a folder becomes a single file and the same folder again") {
    const TemporaryFolder folder;
    for (const auto& model : {sd1_model, sd2_model}) {
        for (const std::string ending : {".ckpt", ".safetensors"}) {
            for (const std::string format : {"bin", "safetensors"}) {
                INFO(model.string(), " ", ending, " ", format);
                const Path file = folder / ("model" + ending);
                const Path back = folder / "back";
                convert({model, file});
                convert({file, back, "--config", model, "--format", format});
                check_same_model(back, model);
                std::filesystem::remove_all(back);
            }
        }
    }
    CHECK(folder.count() == 2);
}

TEST_CASE("a single file has the names and shapes of the original code") {
    const TemporaryFolder folder;
    convert({sd1_model, folder / "one.ckpt"});
    const reel::StateDict one = reel::read_torch_checkpoint(folder / "one.ckpt").tensors;
    for (const auto& [name, tensor] : one) {
        REQUIRE(name.starts_with("state_dict."));
    }
    const auto unet = weights(sd1_model / "unet");
    const auto same = [&](const std::string& ldm, const std::string& diffusers) {
        CHECK(
            std::ranges::equal(one.at("state_dict.model.diffusion_model." + ldm).bytes(), unet.at(diffusers).bytes()));
    };
    same("input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
         "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight");
    same("input_blocks.2.0.op.weight", "down_blocks.0.downsamplers.0.conv.weight"); // one block a level here
    same("output_blocks.1.1.conv.bias", "up_blocks.0.upsamplers.0.conv.bias");
    same("output_blocks.3.2.conv.bias", "up_blocks.1.upsamplers.0.conv.bias");
    same("out.2.weight", "conv_out.weight");
    const auto vae = weights(sd1_model / "vae");
    const auto& q = one.at("state_dict.first_stage_model.decoder.mid.attn_1.q.weight");
    CHECK(q.shape == std::vector<std::int64_t>{16, 16, 1, 1});
    CHECK(std::ranges::equal(q.bytes(), vae.at("decoder.mid_block.attentions.0.query.weight").bytes()));
    CHECK(std::ranges::equal(one.at("state_dict.first_stage_model.decoder.up.3.block.0.conv1.weight").bytes(),
                             vae.at("decoder.up_blocks.0.resnets.0.conv1.weight").bytes()));
    CHECK(one.contains("state_dict.cond_stage_model.transformer.text_model.final_layer_norm.weight"));

    convert({sd2_model, folder / "two.safetensors"});
    const reel::Safetensors two = reel::read_safetensors_file(folder / "two.safetensors");
    CHECK(two.metadata.at("modelspec.prediction_type") == "v");
    const auto text = weights(sd2_model / "text_encoder");
    const auto& joined = two.tensors.at("cond_stage_model.model.transformer.resblocks.1.attn.in_proj_weight");
    CHECK(joined.shape == std::vector<std::int64_t>{96, 32});
    std::vector<std::byte> expected;
    for (const char* name : {"q", "k", "v"}) {
        const auto bytes =
            text.at(reel::concat_text("text_model.encoder.layers.1.self_attn.", name, "_proj.weight")).bytes();
        expected.insert(expected.end(), bytes.begin(), bytes.end());
    }
    CHECK(std::ranges::equal(joined.bytes(), expected));
    CHECK(two.tensors.contains("cond_stage_model.model.positional_embedding"));
}

TEST_CASE("diffusers' own conversion of our single files gives the folders back") {
    const char* python = std::getenv("REEL_PYTHON_RECENT");
    if (python == nullptr) {
        MESSAGE("skipped: set REEL_PYTHON_RECENT to a Python with torch and diffusers 0.42.1");
        return;
    }
    const TemporaryFolder folder;
    for (const auto& [model, name] : {std::pair{sd1_model, "one.ckpt"}, {sd2_model, "two.safetensors"}}) {
        convert({model, folder / name});
        CHECK(run_well({python, "io/check_ldm.py", model, folder / name}).out.find("equal: ") != std::string::npos);
    }
}

TEST_CASE("the same names in another container and type") {
    const TemporaryFolder folder;
    const Path bin = sd1_model / "unet" / "diffusion_pytorch_model.bin";
    const reel::StateDict original = reel::read_weights_file(bin);
    convert({bin, folder / "a.safetensors"});
    check_equal(reel::read_safetensors(folder / "a.safetensors"), original);
    convert({folder / "a.safetensors", folder / "b.pt"});
    check_equal(reel::read_torch_checkpoint(folder / "b.pt").tensors, original);

    convert({bin, folder / "half.bin", "--dtype", "fp16"});
    convert({folder / "half.bin", folder / "wide.safetensors", "--dtype", "fp32"});
    convert({bin, folder / "brain.safetensors", "--dtype", "bf16"});
    const reel::StateDict wide = reel::read_safetensors(folder / "wide.safetensors");
    const reel::StateDict brain = reel::read_safetensors(folder / "brain.safetensors");
    const auto& tensor = original.at("conv_in.weight");
    CHECK(wide.at("conv_in.weight").dtype == reel::DType::f32);
    CHECK(brain.at("conv_in.weight").dtype == reel::DType::bf16);
    const auto exact = tensor.to_vector<float>();
    const auto rounded = wide.at("conv_in.weight").to_vector<float>();
    const auto coarse = brain.at("conv_in.weight").to_vector<float>();
    bool changed = false;
    for (std::size_t i = 0; i < exact.size(); ++i) {
        CHECK(std::abs(rounded[i] - exact[i]) <= std::abs(exact[i]) / 1024 + 1e-7F);
        CHECK(std::abs(coarse[i] - exact[i]) <= std::abs(exact[i]) / 128);
        changed = changed || rounded[i] != exact[i];
    }
    CHECK(changed);

    convert({sd1_model, folder / "model", "--format", "safetensors"});
    check_same_model(folder / "model", sd1_model);
    CHECK(std::filesystem::exists(folder / "model" / "vae" / "diffusion_pytorch_model.safetensors"));
    CHECK(!std::filesystem::exists(folder / "model" / "vae" / "diffusion_pytorch_model.bin"));
    convert({sd2_model / "unet", folder / "unet", "--format", "bin"});
    check_equal(weights(folder / "unet"), weights(sd2_model / "unet"));
    CHECK(files_in(folder / "unet").size() == 2);
}

TEST_CASE("another autoencoder, and projections in the other form") {
    const TemporaryFolder folder;
    const Path file = folder / "file.safetensors";
    convert({sd1_model, file});
    reel::StateDict vae = weights(sd1_model / "vae");
    for (auto& [name, tensor] : vae) {
        std::vector<float> values = tensor.to_vector<float>();
        for (float& value : values) {
            value = 2 * value;
        }
        tensor = reel::HostTensor::make<float>(tensor.shape, values);
    }
    const Path other = folder / "other";
    std::filesystem::create_directory(other);
    std::filesystem::copy_file(sd1_model / "vae" / "config.json", other / "config.json");
    reel::write_safetensors(other / "diffusion_pytorch_model.safetensors", vae);
    for (const Path& given : {other, other / "diffusion_pytorch_model.safetensors"}) {
        convert({file, folder / "made", "--config", sd1_model, "--vae", given});
        check_equal(weights(folder / "made" / "vae"), vae);
        check_equal(weights(folder / "made" / "unet"), weights(sd1_model / "unet"));
        std::filesystem::remove_all(folder / "made");
    }
    reel::StateDict tensors = reel::read_safetensors(file);
    for (auto& [name, tensor] : tensors) { // convolutions of one pixel as matrices
        if (name.ends_with("1.proj_in.weight") || name.ends_with("1.proj_out.weight")) {
            tensor.shape.resize(2);
        }
    }
    reel::write_safetensors(folder / "matrices.safetensors", tensors);
    convert({folder / "matrices.safetensors", folder / "made", "--config", sd1_model});
    check_same_model(folder / "made", sd1_model);
}

TEST_CASE("a tiny autoencoder goes into a folder, and into no single file") {
    const TemporaryFolder folder;
    const Path file = folder / "file.safetensors";
    const Path tiny = std::filesystem::absolute("models/golden/tiny_vae");
    convert({sd1_model, file});
    for (const Path& given : {tiny / "four", tiny / "halves", tiny / "halves" / "taesd_encoder.pth"}) {
        convert({file, folder / "made", "--config", sd1_model, "--vae", given});
        check_equal(weights(folder / "made" / "vae"), weights(tiny / "four"));
        CHECK(reel::read_json(folder / "made" / "vae" / "config.json")["_class_name"] == "AutoencoderTiny");
        CHECK(reel::read_json(folder / "made" / "model_index.json")["vae"][1] == "AutoencoderTiny");
        refused({folder / "made", folder / "no.safetensors"},
                {"a tiny autoencoder (TAESD), for which a single file has no place"});
        CHECK_FALSE(std::filesystem::exists(folder / "no.safetensors"));
        std::filesystem::remove_all(folder / "made");
    }
}

TEST_CASE("what is beside the weights in a training program's checkpoint is passed over") {
    const TemporaryFolder folder;
    // io/golden/trainer.ckpt, by make_trainer_golden.py: callbacks, an optimizer, NumPy numbers, objects of any kind.
    const Path trainer = "io/golden/trainer.ckpt";
    CHECK_THROWS_AS(static_cast<void>(reel::read_torch_checkpoint(trainer)), reel::Error);
    const Ended ended = convert({trainer, folder / "trainer.safetensors"});
    CHECK(ended.out.starts_with("trainer.ckpt: 1 tensors beside the state dict"));
    const reel::StateDict kept = reel::read_safetensors(folder / "trainer.safetensors");
    REQUIRE(kept.size() == 2);
    CHECK(kept.at("a").to_vector<float>() == std::vector<float>{0, 1, 2, 3, 4, 5});
    CHECK(kept.at("b").dtype == reel::DType::f16);

    const Path file = folder / "file.safetensors";
    convert({sd1_model, file});
    reel::StateDict tensors = reel::read_safetensors(file);
    const auto extra = reel::HostTensor::make<float>({2}, std::vector<float>{1, 2});
    bool dots = false; // some tools leave them in the averaged weights' names
    SUBCASE("as the trainer writes them") {}
    SUBCASE("averaged weights with dotted names") {
        dots = true;
    }
    reel::StateDict all;
    for (const auto& [name, tensor] : tensors) {
        all.emplace(name, tensor);
        if (name.starts_with("model.")) { // averaged weights, here the same with another sign
            std::string plain = name.substr(6);
            if (!dots) {
                std::erase(plain, '.');
            }
            auto values = tensor.to_vector<float>();
            for (float& value : values) {
                value = -value;
            }
            all.emplace("model_ema." + plain, reel::HostTensor::make<float>(tensor.shape, values));
        }
    }
    all.emplace("alphas_cumprod", extra);
    all.emplace("cond_stage_model.logit_scale", extra);
    reel::write_torch_checkpoint(folder / "all.ckpt", reel::tensor_sources(all), 0xffffffff, "state_dict");
    convert({folder / "all.ckpt", folder / "plain", "--config", sd1_model});
    check_same_model(folder / "plain", sd1_model);
    convert({folder / "all.ckpt", folder / "averaged", "--config", sd1_model, "--ema"});
    const auto averaged = weights(folder / "averaged" / "unet").at("conv_in.weight").to_vector<float>();
    const auto plain = weights(sd1_model / "unet").at("conv_in.weight").to_vector<float>();
    REQUIRE(averaged.size() == plain.size());
    for (std::size_t i = 0; i < plain.size(); ++i) {
        CHECK(averaged[i] == -plain[i]);
    }
}

TEST_CASE("inputs that cannot be converted: one line, and no output") {
    const TemporaryFolder folder;
    const Path file = folder / "file.safetensors";
    const Path out = folder / "out";
    convert({sd1_model, file});
    const reel::StateDict whole = reel::read_safetensors(file);
    const auto changed = [&](const auto& change, const Words& texts) {
        reel::StateDict tensors = whole;
        change(tensors);
        const Path path = folder / "changed.safetensors";
        reel::write_safetensors(path, tensors);
        refused({path, out, "--config", sd1_model}, Words{path} + texts);
        std::filesystem::remove(path);
    };
    changed([](auto& t) { t.erase("first_stage_model.quant_conv.bias"); },
            {"first_stage_model.quant_conv.bias", "missing"});
    changed([](auto& t) { t["model.diffusion_model.more.weight"] = t.begin()->second; },
            {"model.diffusion_model.more.weight", "not part of"});
    changed([](auto& t) { t.at("first_stage_model.encoder.mid.attn_1.q.weight").shape = {256}; },
            {"attn_1.q.weight", "[out, in, 1, 1]"});
    changed([](auto& t) { std::erase_if(t, [](const auto& e) { return e.first.starts_with("model."); }); },
            {"no UNet"});
    changed(
        [](auto& t) {
            t = {{"lora_unet_mid_block_to_q.lora_down.weight", t.begin()->second}};
        },
        {"a LoRA for a model", "lora_unet_mid_block_to_q.lora_down.weight"});

    for (const auto& [prefix, option] : {std::pair{"cond", "--text_encoder"}, {"first", "--vae FILE or DIR"}}) {
        reel::StateDict tensors = whole;
        std::erase_if(tensors, [&](const auto& e) { return e.first.starts_with(prefix); });
        reel::write_safetensors(folder / "lacking.safetensors", tensors);
        refused({folder / "lacking.safetensors", out, "--tokenizer", sd1_model / "tokenizer"}, {"is in it", option});
        // What the folder of configurations has comes from there.
        const Path made = folder / "made";
        const Ended ended = convert({folder / "lacking.safetensors", made, "--config", sd1_model});
        CHECK(contains(ended.out, "lacking.safetensors: it has no "));
        check_same_model(made, sd1_model);
        std::filesystem::remove_all(made);
        std::filesystem::remove(folder / "lacking.safetensors");
    }
    changed(
        [](auto& t) {
            t.at("model.diffusion_model.out.2.bias").shape = {2, 2};
        },
        {"conv_out.bias", "has shape [2, 2], the model expects [4]"});
    changed(
        [](auto& t) {
            for (const char* ending : {".weight", ".bias"}) {
                t.erase(std::string("model.diffusion_model.middle_block.1.norm") + ending);
                t.erase(std::string("model.diffusion_model.input_blocks.1.1.norm") + ending);
            }
        },
        {"input_blocks.1.1.norm.weight", "missing"});
    refused({file, out}, {file, "--tokenizer"});
    refused({file, out, "--tokenizer", folder.path()}, {"vocab.json"});
    refused({file, out, "--tokenizer", sd1_model / "tokenizer"}, {"channels 8 is not a multiple of 32"});
    refused({file, out, "--config", sd1_model, "--ema"}, {"model_ema.diffusion_modeltime_embed0weight", "averaged"});
    refused({file, sd1_model, "--config", sd1_model}, {sd1_model, "exists already"});
    refused({sd1_model, sd1_model}, {"the same"});
    refused({folder / "nothing", out}, {"nothing"});
    refused({folder.path(), out}, {"no weights found"});
    refused({folder.path(), folder / "out.ckpt"}, {"unet", "no such folder"});

    put_text(folder / "empty.ckpt", "");
    put_text(folder / "text.ckpt", "no checkpoint at all");
    std::filesystem::copy_file(file, folder / "cut.safetensors");
    std::filesystem::resize_file(folder / "cut.safetensors", std::filesystem::file_size(file) / 2);
    for (const char* name : {"empty.ckpt", "text.ckpt", "cut.safetensors"}) {
        refused({folder / name, out, "--config", sd1_model}, {folder / name});
        refused({folder / name, folder / "out.bin"}, {folder / name});
        refused({folder / name, out}, {folder / name});
        CHECK(run({program, folder / name, out}).err.find("--tokenizer") == std::string::npos);
    }
    refused({file, folder / "no" / "out.bin"}, {"does not exist"});
    refused({file, folder / "out.bin", "--dtype", "fp8"}, {"--dtype"}, 2);
    refused({file}, {"OUTPUT", "required"}, 2);
    CHECK(!std::filesystem::exists(out));
    CHECK(!std::filesystem::exists(folder / "out.bin"));
    CHECK(temporaries_in(folder.path()).empty());
}
