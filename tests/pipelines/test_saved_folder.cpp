// Folders go to and fro between reel and Python.

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include <reel/io/weights/torch_checkpoint.hpp>
#include <reel/io/weights/torch_writer.hpp>
#include <reel/models/from_pretrained.hpp>
#include <reel/pipelines/clip_layout.hpp>
#include <reel/pipelines/reference_folder.hpp>
#include <reel/pipelines/saved_folder.hpp>
#include <reel/text/clip_tokenizer.hpp>

#include "io/temporary_folder.hpp"
#include "support/golden.hpp"
#include "support/todays_folder.hpp"

using namespace reel_test;
using reel::Cpu;
using reel::HostTensor;
using reel::StateDict;
using reel::Tensor;

namespace {

/// The UNet's output for unet.sample, unet.timestep and unet.encoder_hidden_states of a check.safetensors.
HostTensor unet_output(Cpu& cpu, const reel::UNet3DConditionModel<float>& unet, const StateDict& check) {
    const HostTensor& sample = check.at("unet.sample");
    const double timestep = static_cast<double>(check.at("unet.timestep").to_vector<std::int64_t>().at(0));
    const auto output = unet(reel::from_reference_order(reel::from_file<float>(cpu, sample, "unet.sample")),
                             std::span<const double>(&timestep, 1),
                             to_tensor<float>(cpu, check.at("unet.encoder_hidden_states")), sample.shape[2]);
    return reel::to_file(reel::to_reference_order(output, sample.shape[2]));
}

/// Noise of a file's shape.
HostTensor noise(Cpu& cpu, const std::vector<std::int64_t>& shape, std::uint64_t stream) {
    Tensor<float> values(cpu, reel::Shape(shape.begin(), shape.end()));
    reel::fill_normal(cpu, values, 7, stream);
    return reel::to_file(values);
}

/// sd1_tiny with every temporal parameter changed, as if tuned, saved into a folder.
void save_tuned(Cpu& cpu, const std::filesystem::path& source, const std::filesystem::path& folder) {
    auto unet = reel::load_unet<float>(cpu, source / "unet", 3);
    std::uint64_t stream = 100;
    reel::for_each_parameter(unet, [&](const std::string& name, auto& parameter) {
        if (reel::is_temporal_parameter(name)) {
            Tensor<float> changed(cpu, parameter.spec().shape);
            reel::fill_normal(cpu, changed, 7, stream++);
            parameter.set(reel::scale(changed, 0.2F));
        }
    });
    reel::save_tuned_pipeline(unet, source, folder);
}

/// What reel computes from a saved folder, as check_saved_folder.py reads it.
void write_check(Cpu& cpu, const std::filesystem::path& folder) {
    const auto unet = reel::load_unet<float>(cpu, folder / "unet");
    const auto text = reel::load_clip_text_model<float>(cpu, folder / "text_encoder");
    const auto vae = reel::load_autoencoder_kl<float>(cpu, folder / "vae");
    StateDict check;
    check["unet.sample"] = noise(cpu, {2, 4, 3, 7, 9}, 1);
    check["unet.timestep"] = HostTensor::make<std::int64_t>({}, std::vector<std::int64_t>{321});
    check["unet.encoder_hidden_states"] = noise(cpu, {2, 77, unet.config.cross_attention_dim}, 2);
    check["unet.output"] = unet_output(cpu, unet, check);

    std::vector<std::int32_t> ids(77);
    for (std::size_t i = 0; i < ids.size(); ++i) {
        ids[i] = static_cast<std::int32_t>((i * 37) % static_cast<std::size_t>(text.config.vocab_size));
    }
    check["text.input_ids"] =
        HostTensor::make<std::int64_t>({1, 77}, std::vector<std::int64_t>(ids.begin(), ids.end()));
    check["text.last_hidden_state"] = reel::to_file(text(std::span<const std::int32_t>(ids)));

    const auto pictures = [&](const char* name) {
        return reel::permute(to_tensor<float>(cpu, check.at(name)), {0, 2, 3, 1});
    };
    check["vae.image"] = noise(cpu, {2, 3, 24, 32}, 3);
    check["vae.moments"] = reel::to_file(picture_order(vae.encode(pictures("vae.image"))));
    check["vae.latents"] = noise(cpu, {2, 4, 3, 4}, 4);
    check["vae.decoded"] = reel::to_file(picture_order(vae.decode(pictures("vae.latents"))));

    check["inv_latents.ddim_latent-9"] = noise(cpu, {1, 4, 3, 6, 8}, 5);
    reel::make_output_folder(folder / "inv_latents");
    reel::write_torch_tensor(folder / "inv_latents" / "ddim_latent-9.pt", check.at("inv_latents.ddim_latent-9"));
    reel::write_safetensors(folder / "check.safetensors", check, {});
}

} // namespace

TEST_CASE("parts that today's Python wrote are saved under the names of diffusers 0.11.1, in one file each") {
    const TemporaryFolder folder;
    const std::filesystem::path source = folder / "source";
    std::filesystem::copy("golden/sd1_tiny", source, std::filesystem::copy_options::recursive);
    write_as_todays_python(source);
    const StateDict vae = reel::load_weights("golden/sd1_tiny/vae", reel::diffusers_weight_names);
    const StateDict text = reel::load_weights("golden/sd1_tiny/text_encoder", reel::transformers_weight_names);

    const std::filesystem::path saved = folder / "saved";
    for (const char* part : {"tokenizer", "text_encoder", "vae"}) {
        std::filesystem::create_directories(saved / part);
        reel::copy_part_for_reference(part, source / part, saved / part);
    }
    const auto equal = [](const StateDict& made, const StateDict& expected) {
        CHECK(made.size() == expected.size());
        for (const auto& [name, tensor] : expected) {
            REQUIRE(made.contains(name));
            CHECK(std::ranges::equal(made.at(name).bytes(), tensor.bytes()));
        }
    };
    equal(reel::read_torch_checkpoint(saved / "vae" / "diffusion_pytorch_model.bin").tensors, vae);
    equal(reel::read_torch_checkpoint(saved / "text_encoder" / "pytorch_model.bin").tensors, text);
    CHECK_FALSE(std::filesystem::exists(saved / "vae" / "one.safetensors"));
    CHECK_FALSE(std::filesystem::exists(saved / "vae" / "diffusion_pytorch_model.safetensors.index.json"));
    const auto slow = reel::CLIPTokenizer(saved / "tokenizer" / "vocab.json", saved / "tokenizer" / "merges.txt");
    const auto fast = reel::CLIPTokenizer::from_pretrained(source / "tokenizer");
    CHECK(slow.token_ids("a red ball is moving") == fast.token_ids("a red ball is moving"));
    // What is of that time already is copied byte by byte.
    for (const char* part : {"tokenizer", "text_encoder", "vae"}) {
        const std::filesystem::path old = std::filesystem::path("golden/sd1_tiny") / part;
        std::filesystem::create_directories(folder / "old" / part);
        reel::copy_part_for_reference(part, old, folder / "old" / part);
        for (const auto& entry : std::filesystem::directory_iterator(old)) {
            CHECK(read_text(folder / "old" / part / entry.path().filename()) == read_text(entry.path()));
        }
    }
}

TEST_CASE("a UNet that the Python Tune-A-Video tuned, and a latent that it saved") {
    Cpu cpu(2);
    const StateDict check = reel::read_safetensors("golden/tuned/check.safetensors");
    const auto unet = reel::load_unet<float>(cpu, "golden/tuned/unet");
    Agreement agreement("a tuned folder of Python's", 1e-4);
    agreement.check("unet.output",
                    relative_error(numbers(unet_output(cpu, unet, check)), numbers(check.at("unet.output"))));
    const HostTensor latent =
        reel::read_torch_checkpoint("golden/tuned/inv_latents/ddim_latent-6.pt").bare_tensor("latent");
    CHECK(latent.shape == check.at("inv_latents.ddim_latent-6").shape);
    CHECK(numbers(latent) == numbers(check.at("inv_latents.ddim_latent-6")));
}

TEST_CASE("a saved folder gives the bits that were saved, and is what Tune-A-Video expects") {
    Cpu cpu(2);
    const TemporaryFolder folder;
    save_tuned(cpu, "golden/sd1_tiny", folder / "tuned");
    const auto first = reel::load_unet<float>(cpu, folder / "tuned" / "unet");
    reel::save_unet(first, folder / "again");
    CHECK(read_text(folder / "again" / "diffusion_pytorch_model.bin") ==
          read_text(folder / "tuned" / "unet" / "diffusion_pytorch_model.bin"));
    const nlohmann::json index = reel::read_json(folder / "tuned" / "model_index.json");
    CHECK(index.at("_class_name") == "TuneAVideoPipeline");
    CHECK(index.at("unet").at(0) == "diffusers"); // or diffusers 0.11.1 does not load it
    CHECK(index.at("scheduler").at(1) == "DDIMScheduler");
    const nlohmann::json scheduler = reel::read_json(folder / "tuned" / "scheduler" / "scheduler_config.json");
    CHECK(scheduler.at("_class_name") == "DDIMScheduler");
    CHECK(scheduler.at("steps_offset") == 1);
    CHECK(scheduler.at("clip_sample") == false);
    for (const char* part : {"tokenizer/vocab.json", "vae/config.json"}) {
        CHECK(read_text(folder / "tuned" / part) == read_text(std::filesystem::path("golden/sd1_tiny") / part));
    }
    CHECK(message_of<reel::Error>([&] {
              reel::save_tuned_pipeline(first, folder / "tuned", folder / "." / "tuned");
          }).find("choose another") != std::string::npos);
}

TEST_CASE("what is in the way of one part of a saved folder costs that part alone") {
    Cpu cpu(1);
    const TemporaryFolder folder;
    save_tuned(cpu, "golden/sd1_tiny", folder / "whole");
    std::filesystem::create_directory(folder / "tuned");
    put_text(folder / "tuned" / "text_encoder", "in the way");
    put_text(folder / "tuned" / "scheduler", "in the way");
    const std::string message =
        message_of<reel::PartsNotSaved>([&] { save_tuned(cpu, "golden/sd1_tiny", folder / "tuned"); });
    CHECK(contains(message, (folder / "tuned" / "unet").string()));
    CHECK(contains(message, (folder / "tuned" / "text_encoder").string()));
    CHECK(contains(message, (folder / "tuned" / "scheduler").string()));
    for (const char* file : {"unet/diffusion_pytorch_model.bin", "unet/config.json", "vae/config.json",
                             "tokenizer/vocab.json", "model_index.json"}) {
        CAPTURE(file);
        CHECK(read_text(folder / "tuned" / file) == read_text(folder / "whole" / file));
    }
    for (const char* name : {"unet", "vae", "text_encoder", "tokenizer", "scheduler", "model_index.json"}) {
        CAPTURE(name);
        std::filesystem::remove_all(folder / "tuned");
        std::filesystem::create_directories(folder / "tuned");
        CHECK_NOTHROW(reel::check_tuned_pipeline(folder / "tuned"));
        CHECK(std::filesystem::is_empty(folder / "tuned"));
        if (std::string(name) == "model_index.json") {
            std::filesystem::create_directory(folder / "tuned" / name);
        } else {
            put_text(folder / "tuned" / name, "");
        }
        CHECK(contains(message_of<reel::Error>([&] { reel::check_tuned_pipeline(folder / "tuned"); }), name));
    }
}

TEST_CASE("Python loads a saved folder and computes the same") {
    const char* python = std::getenv("REEL_PYTHON");
    const std::string command = python != nullptr ? python : "python3";
    if (std::system((command + " -c 'import torch, diffusers, transformers, safetensors' 2>/dev/null").c_str()) != 0) {
        std::cout << "skipped: \"Python loads a saved folder and computes the same\" (" << command
                  << " has no torch, diffusers, transformers and safetensors; set REEL_PYTHON)\n";
        return;
    }
    Cpu cpu(2);
    for (const std::string model : {"sd1_tiny", "sd2_tiny"}) {
        const TemporaryFolder folder;
        save_tuned(cpu, "golden/" + model, folder.path());
        write_check(cpu, folder.path());

        std::cout << model << ":\n" << std::flush;
        CHECK(std::system((command + " golden/check_saved_folder.py " + folder.path().string()).c_str()) == 0);
    }
}
