// Which files a model is, and that they are read once.

#include "io/temporary_folder.hpp"

#include <reel/io/records/digests.hpp>
#include <reel/pipelines/model_files.hpp>

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>

using namespace reel_test;

namespace {

const std::filesystem::path model = "golden/sd1_tiny";

void change_digests(const std::filesystem::path& file, const std::string& to) {
    nlohmann::json json = reel::read_json(file);
    for (auto& item : json) {
        item["sha256"] = to;
    }
    reel::write_json(file, json);
}

} // namespace

TEST_CASE("a model is the files that are read of it") {
    const auto files = reel::files_of_model(reel::open_model(model));
    std::string names;
    for (const auto& [name, path] : files) {
        names += name + " ";
        CHECK(path == model / name);
    }
    CHECK(names == "scheduler/scheduler_config.json text_encoder/config.json text_encoder/pytorch_model.bin "
                   "tokenizer/merges.txt tokenizer/special_tokens_map.json tokenizer/tokenizer_config.json "
                   "tokenizer/vocab.json unet/config.json unet/diffusion_pytorch_model.bin vae/config.json "
                   "vae/diffusion_pytorch_model.bin ");

    // A UNet from elsewhere, weights in several files, and what is not read.
    const TemporaryFolder folder;
    std::filesystem::create_directory(folder / "unet");
    put_text(folder / "unet" / "config.json", "{}");
    put_text(folder / "unet" / "diffusion_pytorch_model.safetensors.index.json",
             R"({"weight_map": {"a": "one.safetensors", "b": "two.safetensors", "c": "one.safetensors"}})");
    for (const char* name : {"one.safetensors", "two.safetensors", "three.safetensors"}) {
        put_text(folder / "unet" / name, name);
    }
    const auto tuned = reel::files_of_model(reel::open_model_with(model, folder / "unet"));
    CHECK(tuned.size() == files.size() + 2);
    CHECK(tuned.at("unet/two.safetensors") == folder / "unet" / "two.safetensors");
    CHECK_FALSE(tuned.contains("unet/three.safetensors"));
}

TEST_CASE("files are read once, and again when anything of them changed") {
    const TemporaryFolder folder;
    const auto remembered = folder / "read.json";
    const auto first = reel::model_digests(reel::files_of_model(reel::open_model(model)), remembered);
    CHECK(first["tokenizer/vocab.json"] == reel::sha256_file(model / "tokenizer" / "vocab.json"));
    change_digests(remembered, "as remembered");
    CHECK(reel::model_digests(reel::files_of_model(reel::open_model(model)), remembered)["unet/config.json"] ==
          "as remembered");

    // Another size, another file of the same size and time: nothing of it is believed.
    for (const char* key : {"bytes", "inode", "modified_ns", "changed_s"}) {
        nlohmann::json json = reel::read_json(remembered);
        for (auto& item : json) {
            item["stamp"][key] = 1;
        }
        reel::write_json(remembered, json);
        CHECK(reel::model_digests(reel::files_of_model(reel::open_model(model)), remembered) == first);
        change_digests(remembered, "as remembered");
    }
    put_text(remembered, "no JSON");
    CHECK(reel::model_digests(reel::files_of_model(reel::open_model(model)), remembered) == first);

    // A file that was written just now could be written again without a sign.
    put_text(folder / "fresh", "one");
    const auto fresh = folder / "fresh.json";
    CHECK(reel::model_digests({{"fresh", folder / "fresh"}}, fresh)["fresh"] == reel::sha256_file(folder / "fresh"));
    CHECK_FALSE(std::filesystem::exists(fresh));
    // Where nothing can be remembered, nothing is lost.
    CHECK(reel::model_digests(reel::files_of_model(reel::open_model(model)), folder / "none" / "read.json") == first);
}

TEST_CASE("the file that differs is named") {
    const nlohmann::json a{{"one", "1"}, {"two", "2"}};
    CHECK(reel::differing_file(a, a).empty());
    CHECK(reel::differing_file(a, {{"one", "1"}, {"two", "3"}}) == "two");
    CHECK(reel::differing_file(a, {{"one", "1"}}) == "two");
    CHECK(reel::differing_file({{"one", "1"}}, a) == "two");
}
