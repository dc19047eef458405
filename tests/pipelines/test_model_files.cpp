// A model from a folder, from one file, and from parts here and there: the same pictures, byte for byte, and the same
// weights whatever the names were. And what is said of files that are no model.

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <reel/io/files/sha256.hpp>
#include <reel/pipelines/any_pipeline.hpp>
#include <reel/pipelines/model_files.hpp>
#include <reel/pipelines/model_notes.hpp>
#include <reel/pipelines/prompt_pictures.hpp>
#include <reel/pipelines/saved_folder.hpp>
#include <reel/pipelines/stable_diffusion.hpp>

#include "io/temporary_folder.hpp"
#include "support/small_model.hpp"

using namespace reel_test;
using reel::ModelOptions;
using reel::StateDict;
using Path = std::filesystem::path;

namespace {

/// A hash of all weights and of how a prompt is read.
std::string loaded(const Path& path, const ModelOptions& options) {
    reel::Cpu cpu(1);
    const auto model = reel::load_stable_diffusion<float>(cpu, reel::open_model(path, options), 33);
    reel::Sha256 hash;
    const auto add = [&](const std::string& name, const auto& parameter) {
        const auto values = parameter.value().to_host();
        hash.update(std::as_bytes(std::span(name)));
        hash.update(std::as_bytes(std::span(values)));
    };
    reel::for_each_parameter(model.text_encoder, add);
    reel::for_each_parameter(model.vae, add);
    reel::for_each_parameter(model.unet, add);
    const auto ids = model.tokenizer->encode("a man is skiing!");
    hash.update(std::as_bytes(std::span(ids)));
    return hash.hex();
}

std::string picture(const Path& path, const ModelOptions& options) {
    reel::Cpu cpu(1);
    const auto backend = reel::open_backend(reel::BackendKind::cpu, cpu);
    const auto model = backend->load({.folder = path, .pictures = true, .model = options});
    model->watch.bars = false;
    const reel::PromptPictures sampler(*model, {.guidance_scale = 3, .num_inference_steps = 3});
    const std::vector<std::string> prompts{"a man is skiing"};
    const auto latents = sampler.sample(sampler.noise(64, 64, 0, 1), prompts, 0, [](auto, auto) {});
    const std::vector<float> pixels = model->decode(latents).to_host();
    CHECK(std::ranges::any_of(pixels, [&](float v) { return v != pixels.front(); }));
    reel::Sha256 hash;
    hash.update(std::as_bytes(std::span(pixels)));
    return hash.hex();
}

std::string error_of(const Path& path, const ModelOptions& options) {
    return message_of<reel::Error>([&] { static_cast<void>(loaded(path, options)); });
}

using Rename = std::function<std::string(std::string)>;

std::string replaced(std::string name, const std::string& from, const std::string& to) {
    const std::size_t at = name.find(from);
    return at == std::string::npos ? name : name.replace(at, from.size(), to);
}

StateDict renamed(const StateDict& tensors, const Rename& rename) {
    StateDict result;
    for (const auto& [name, tensor] : tensors) {
        result.emplace(rename(name), tensor);
    }
    return result;
}

/// The tensors of a single file that begin so.
StateDict part_of(const StateDict& tensors, const std::string& prefix) {
    StateDict result;
    for (const auto& [name, tensor] : tensors) {
        if (name.starts_with(prefix)) {
            result.emplace(name, tensor);
        }
    }
    return result;
}

} // namespace

TEST_CASE("a folder, a .safetensors and a .ckpt draw the same pictures byte for byte") {
    const TemporaryFolder folder;
    for (const bool second : {false, true}) {
        const std::string expected = picture(small().folders[second], {});
        CHECK(picture(small().files[second], small().tokenizer(second)) == expected);
        const Path ckpt = folder / "model.ckpt";
        reel::convert_checkpoint(small().folders[second], ckpt);
        ModelOptions options = small().tokenizer(second);
        options.prediction_type = second ? "v_prediction" : ""; // this format cannot say it
        CHECK(picture(ckpt, options) == expected);
        CHECK(small().folder.count() == 4); // nothing was converted on disk
        CHECK(loaded(small().files[second], small().tokenizer(second)) == loaded(small().folders[second], {}));
    }
    CHECK(picture(small().folders[0], {}) != picture(small().folders[1], {}));
}

TEST_CASE("a repository of the hub's cache is its snapshot") {
    const TemporaryFolder folder;
    const Path repository = folder / "models--someone--small";
    const Path snapshot = repository / "snapshots" / "abc123";
    std::filesystem::create_directories(repository / "blobs");
    std::filesystem::create_directories(repository / "refs");
    int number = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(small().folders[0])) {
        if (entry.is_regular_file()) {
            const Path blob = repository / "blobs" / std::to_string(number++);
            const Path link = snapshot / entry.path().lexically_relative(small().folders[0]);
            std::filesystem::copy_file(entry.path(), blob);
            std::filesystem::create_directories(link.parent_path());
            std::filesystem::create_symlink(std::filesystem::relative(blob, link.parent_path()), link);
        }
    }
    const std::string expected = loaded(small().folders[0], {});
    CHECK(loaded(repository, {}) == expected); // the only snapshot
    put_text(repository / "refs" / "main", "abc123");
    std::filesystem::create_directories(repository / "snapshots" / "older");
    CHECK(loaded(repository, {}) == expected);
    CHECK(loaded(repository.string() + "/", {}) == expected);
    CHECK(loaded(repository / "snapshots", {}) == expected);
    CHECK(loaded(snapshot, {}) == expected);
    std::filesystem::remove(repository / "refs" / "main");
    CHECK(contains(error_of(repository, {}), "no refs/main says which of its 2 snapshots"));
    put_text(repository / "refs" / "main", "gone");
    CHECK(contains(error_of(repository, {}), "names the snapshot gone, which is not there"));
    CHECK(contains(error_of(folder.path(), {}), "a cache of the hub with models in it; name one of them"));
    put_text(repository / "refs" / "main", "abc123");
    const Path weights = std::filesystem::canonical(snapshot / "vae" / "diffusion_pytorch_model.safetensors");
    std::filesystem::remove(weights);
    CHECK(contains(error_of(repository, {}), "diffusion_pytorch_model.safetensors: a link to ../../../blobs/"));
    std::filesystem::remove(std::filesystem::canonical(snapshot / "unet" / "config.json"));
    CHECK(contains(error_of(repository, {}), "config.json: a link to "));
}

TEST_CASE("single files under all the names that are in use") {
    const TemporaryFolder folder;
    const Path file = folder / "file.safetensors";
    for (const bool second : {false, true}) {
        const reel::Safetensors original = reel::read_safetensors_file(small().files[second]);
        const std::string expected = loaded(small().folders[second], {});
        const auto same = [&](const std::string& what, StateDict tensors) {
            CAPTURE(second);
            CAPTURE(what);
            REQUIRE(tensors.size() >= original.tensors.size() - 1);
            reel::write_safetensors(file, tensors, original.metadata);
            CHECK(loaded(file, small().tokenizer(second)) == expected);
        };
        const auto with = [&](const Rename& rename) { return renamed(original.tensors, rename); };
        const std::string clip = "cond_stage_model.transformer.";
        same("CLIP without text_model.",
             with([&](const std::string& name) { return replaced(name, clip + "text_model.", clip); }));
        for (const char* wrapper : {"_orig_mod.", "module.", "module._orig_mod."}) {
            same(wrapper, with([&](const std::string& name) { return wrapper + name; }));
        }
        same("a compiled part", with([](const std::string& name) {
                 return replaced(name, "model.diffusion_model.", "model.diffusion_model._orig_mod.");
             }));
        same("base_layer",
             with([](const std::string& name) { return replaced(name, ".to_q.weight", ".to_q.base_layer.weight"); }));
        for (const auto& names :
             {std::array{"to_q", "to_k", "to_v", "to_out.0"}, std::array{"query", "key", "value", "proj_attn"}}) {
            same(names[3], with([&](std::string name) {
                     const std::array<const char*, 4> usual{"q", "k", "v", "proj_out"};
                     for (std::size_t i = 0; i < 4; ++i) {
                         name = replaced(name, std::string(".attn_1.") + usual[i] + ".",
                                         std::string(".attn_1.") + names[i] + ".");
                     }
                     return name;
                 }));
        }
        StateDict other_axes = original.tensors;
        for (auto& [name, tensor] : other_axes) {
            if (name.find(".attn_1.") != std::string::npos && tensor.shape.size() == 4) {
                tensor.shape.resize(2);
            }
            const bool projection = name.ends_with(".proj_in.weight") || name.ends_with(".proj_out.weight");
            if (projection && tensor.shape.size() == (second ? 2U : 4U) && name.find("attn_1") == std::string::npos) {
                tensor.shape.resize(second ? 4 : 2, 1);
            }
        }
        same("matrices for convolutions of one pixel, and the other way round", other_axes);
        for (const reel::HostTensor& ids :
             {reel::HostTensor::make<float>({1, 77}, std::vector<float>(77, 0.5F)),
              reel::HostTensor::make<std::int64_t>({77}, std::vector<std::int64_t>(77))}) {
            StateDict tensors = original.tensors;
            tensors[clip + "text_model.embeddings.position_ids"] = ids;
            if (!second) {
                same("position_ids of another type", tensors);
            }
        }
        StateDict more = original.tensors;
        for (const char* name :
             {"model_ema.decay", "model_ema.num_updates", "alphas_cumprod", "logvar", "first_stage_model.loss.logvar",
              "cond_stage_model.logit_scale", "model_ema.diffusion_modelinput_blocks00weight"}) {
            more[name] = reel::HostTensor::make<float>({1}, std::vector<float>{1});
        }
        same("with what a trainer keeps", more);
    }
}

TEST_CASE("OpenCLIP's last layer is left out, with a projection or without") {
    const StateDict two = reel::read_safetensors(small().files[1]);
    StateDict text = part_of(two, "cond_stage_model.");
    const auto layer = [&](int to) {
        StateDict copies;
        for (const auto& [name, tensor] : part_of(two, "cond_stage_model.model.transformer.resblocks.1.")) {
            copies.emplace(replaced(name, ".1.", "." + std::to_string(to) + "."), tensor);
        }
        text.merge(copies);
    };
    for (int i = 2; i < 24; ++i) {
        layer(i);
    }
    const auto layers = [&] { return reel::ldm_layout(text, "file", {reel::LdmPart::text_encoder}).text_layers; };
    CHECK(layers() == 23);
    text["cond_stage_model.model.text_projection"] = two.begin()->second;
    CHECK(layers() == 23);
    const auto parts = reel::ldm_to_diffusers(text, reel::ldm_layout(text, "file", {reel::LdmPart::text_encoder}),
                                              "file", false, {reel::LdmPart::text_encoder});
    CHECK(!parts.at(reel::LdmPart::text_encoder).contains("text_model.encoder.layers.23.layer_norm1.weight"));
    std::erase_if(text, [](const auto& e) { return e.first.find("resblocks.23.") != std::string::npos; });
    text.erase("cond_stage_model.model.text_projection");
    CHECK(layers() == 23); // written without it
}

TEST_CASE("parts from elsewhere: folders, whole models, files under either names, alone or with the rest") {
    const TemporaryFolder folder;
    const Path& one = small().folders[0];
    const StateDict single = reel::read_safetensors(small().files[0]);
    const std::string expected = loaded(one, {});
    // A model with other weights, of which each part is replaced.
    const Path other = folder / "other";
    std::filesystem::copy(one, other, std::filesystem::copy_options::recursive);
    for (const char* part : {"unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"}) {
        const Path weights = other / (std::string(part) + ".safetensors");
        StateDict tensors = reel::read_safetensors(weights);
        for (auto& [name, tensor] : tensors) {
            tensor = reel::HostTensor::make<float>(tensor.shape, std::vector<float>(tensor.element_count(), 0.5F));
        }
        std::filesystem::remove(weights);
        reel::write_safetensors(weights, tensors);
    }
    CHECK(loaded(other, {}) != expected);
    const auto file = [&](const std::string& name, const StateDict& tensors) {
        reel::write_safetensors(folder / name, tensors);
        return (folder / name).string();
    };
    const auto without = [&](const std::string& prefix) {
        return renamed(part_of(single, prefix), [&](const std::string& name) { return name.substr(prefix.size()); });
    };
    std::filesystem::copy_file(one / "vae" / "diffusion_pytorch_model.safetensors", folder / "vae_alone.safetensors");
    std::filesystem::copy_file(one / "unet" / "diffusion_pytorch_model.safetensors", folder / "unet_alone.safetensors");
    std::filesystem::copy_file(one / "text_encoder" / "model.safetensors", folder / "text_alone.safetensors");
    StateDict trained_vae = without("first_stage_model.");
    trained_vae["loss.logvar"] = trained_vae["model_ema.decay"] = trained_vae.begin()->second;
    const std::vector<std::string> vaes{(one / "vae").string(),
                                        one.string(),
                                        (one / "vae" / "diffusion_pytorch_model.safetensors").string(),
                                        (folder / "vae_alone.safetensors").string(),
                                        small().files[0].string(),
                                        file("first_stage.safetensors", part_of(single, "first_stage_model.")),
                                        file("bare.safetensors", without("first_stage_model.")),
                                        file("trained.safetensors", trained_vae)};
    const std::vector<std::string> unets{
        (one / "unet").string(),
        one.string(),
        (folder / "unet_alone.safetensors").string(),
        small().files[0].string(),
        file("unet.safetensors", part_of(single, "model.diffusion_model.")),
        file("short.safetensors", renamed(part_of(single, "model.diffusion_model."),
                                          [](const std::string& name) { return name.substr(6); })),
        file("blocks.safetensors", without("model.diffusion_model."))};
    const std::vector<std::string> texts{
        (one / "text_encoder").string(),
        one.string(),
        (folder / "text_alone.safetensors").string(),
        small().files[0].string(),
        file("cond.safetensors", part_of(single, "cond_stage_model.")),
        file("transformers5.safetensors", without("cond_stage_model.transformer.text_model."))};
    std::size_t tried = 0;
    for (std::size_t i = 0; i < vaes.size(); ++i) {
        const ModelOptions options{.vae = vaes[i],
                                   .unet = unets[i % unets.size()],
                                   .text_encoder = texts[i % texts.size()],
                                   .tokenizer = i % 2 == 0 ? "" : one.string()};
        CAPTURE(options.vae);
        CAPTURE(options.unet);
        CAPTURE(options.text_encoder);
        CHECK(loaded(other, options) == expected);
        ++tried;
    }
    CHECK(tried == 8);
    ModelOptions lacking = small().tokenizer(false);
    const std::string no_vae = file("no_vae.safetensors", [&] {
        StateDict tensors = single;
        std::erase_if(tensors, [](const auto& e) { return e.first.starts_with("first_stage_model."); });
        return tensors;
    }());
    CHECK(contains(error_of(no_vae, lacking), "no autoencoder is in it"));
    CHECK(contains(error_of(no_vae, lacking), "--vae FILE or DIR"));
    lacking.vae = vaes[3];
    CHECK(loaded(no_vae, lacking) == expected);
    // A UNet as tuned beside a single file.
    const auto both = [&] { static_cast<void>(reel::open_model_with(one, one / "unet", {.unet = one.string()})); };
    CHECK_THROWS_WITH_AS(both(), doctest::Contains("give one of them"), reel::Error);
}

TEST_CASE("a folder saved from a compiled or a wrapped model") {
    const TemporaryFolder folder;
    const Path model = folder / "model";
    std::filesystem::copy(small().folders[1], model, std::filesystem::copy_options::recursive);
    const std::string expected = loaded(model, {});
    const auto wrap = [&](const std::string& part, const std::string& wrapper) {
        const Path file = model / (part + ".safetensors");
        const StateDict wrapped =
            renamed(reel::read_safetensors(file), [&](const std::string& name) { return wrapper + name; });
        std::filesystem::remove(file);
        reel::write_safetensors(file, wrapped);
    };
    wrap("unet/diffusion_pytorch_model", "_orig_mod.");
    wrap("vae/diffusion_pytorch_model", "module.");
    wrap("text_encoder/model", "module._orig_mod.");
    CHECK(loaded(model, {}) == expected);
}

TEST_CASE("a variant is taken when asked for, and said when it is the only one") {
    const TemporaryFolder folder;
    const Path model = folder / "model";
    std::filesystem::copy(small().folders[0], model, std::filesystem::copy_options::recursive);
    const std::string expected = loaded(model, {});
    for (const char* part : {"unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"}) {
        std::filesystem::rename(model / (std::string(part) + ".safetensors"),
                                model / (std::string(part) + ".fp16.safetensors"));
    }
    CHECK(loaded(model, {}) == expected);
    CHECK(reel::model_notes(reel::open_model(model)).size() == 3);
    CHECK(loaded(model, {.variant = "fp16"}) == expected);
    CHECK(reel::model_notes(reel::open_model(model, {.variant = "fp16"})).empty());
    CHECK(contains(error_of(model, {.variant = "bf16"}), "there are the variants fp16"));
    const Path plain = model / "unet" / "diffusion_pytorch_model.safetensors";
    std::filesystem::copy_file(model / "unet" / "diffusion_pytorch_model.fp16.safetensors", plain);
    CHECK(reel::model_notes(reel::open_model(model)).size() == 2); // the plain one of the two
}

TEST_CASE("tokenizers from folders and files") {
    const TemporaryFolder folder;
    const Path tokenizer = small().folders[0] / "tokenizer";
    const std::string expected = loaded(small().folders[0], {});
    const auto with = [&](const Path& path) { return loaded(small().files[0], {.tokenizer = path.string()}); };
    CHECK(with(tokenizer) == expected);
    CHECK(with(small().folders[0]) == expected);
    CHECK(with(tokenizer / "vocab.json") == expected);
    std::filesystem::create_directory(folder / "bare");
    std::filesystem::copy_file(tokenizer / "vocab.json", folder / "bare" / "vocab.json");
    std::filesystem::copy_file(tokenizer / "merges.txt", folder / "bare" / "merges.txt");
    CHECK(with(folder / "bare") == expected);
    const Path beside = folder / "beside";
    std::filesystem::create_directory(beside);
    std::filesystem::copy_file(small().files[0], beside / "model.safetensors");
    std::filesystem::copy(tokenizer, beside / "tokenizer");
    CHECK(loaded(beside / "model.safetensors", {}) == expected);
    CHECK(reel::model_notes(reel::open_model(beside / "model.safetensors")).size() == 1);
    CHECK(contains(error_of(small().files[0], {}), "a model in one file has no tokenizer; give one with --tokenizer"));
    CHECK(contains(error_of(small().files[0], {.tokenizer = (folder / "none").string()}), "no such file or folder"));
    CHECK(contains(error_of(small().files[0], {.tokenizer = (small().folders[0] / "vae").string()}),
                   "no tokenizer is in it"));
    CHECK(contains(error_of(small().files[0], {.tokenizer = small().files[1].string()}), "not a tokenizer"));
}

TEST_CASE("what is tuned from a single file and parts is saved as a whole folder") {
    const TemporaryFolder folder;
    for (const bool second : {false, true}) {
        reel::Cpu cpu(1);
        const Path out = folder / (second ? "two" : "one");
        const reel::ModelFiles files = reel::open_model(small().files[second], small().tokenizer(second));
        const auto model = reel::load_stable_diffusion<float>(cpu, files, 33);
        reel::save_tuned_pipeline(model.unet, files, out);
        CHECK(loaded(out, {}) == loaded(small().folders[second], {}));
        CHECK(reel::open_model(out).is_second() == second);
        CHECK(reel::read_json(out / "scheduler" / "scheduler_config.json")["prediction_type"] ==
              (second ? "v_prediction" : "epsilon"));
    }
}
