#include "io/temporary_folder.hpp"

#include <reel/io/weights/finite.hpp>
#include <reel/io/weights/torch_writer.hpp>
#include <reel/io/weights/weights.hpp>

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <limits>
#include <set>
#include <string>
#include <vector>

using namespace reel_test;
using reel::HostTensor;
using reel::StateDict;

namespace {

const std::filesystem::path golden = "io/golden/weights";

StateDict one(const std::string& name, float value) {
    StateDict tensors;
    tensors[name] = HostTensor::make<float>({1}, {value});
    return tensors;
}

template <class Action>
std::string error_of(const Action& action) {
    return message_of<reel::Error>(action);
}

} // namespace

TEST_CASE("weights are found in the order of preference") {
    TemporaryFolder folder;
    const auto load = [&](const std::string& variant = "") {
        return reel::load_weights(folder.path(), reel::transformers_weight_names, variant)
            .begin()
            ->second.to_vector<float>()[0];
    };
    const std::string missing = error_of([&] { (void)load(); });
    for (const char* name :
         {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"}) {
        CHECK(contains(missing, name));
    }
    reel::write_torch_checkpoint(folder / "part.bin", one("w", 1));
    reel::write_json(folder / "pytorch_model.bin.index.json", {{"weight_map", {{"w", "part.bin"}}}});
    CHECK(load() == 1);
    reel::write_torch_checkpoint(folder / "pytorch_model.bin", one("w", 2));
    CHECK(load() == 2);
    reel::write_safetensors(folder / "part.safetensors", one("w", 3));
    reel::write_json(folder / "model.safetensors.index.json",
                     {{"metadata", {{"total_size", 4}}}, {"weight_map", {{"w", "part.safetensors"}}}});
    CHECK(load() == 3);
    reel::write_safetensors(folder / "model.safetensors", one("w", 4));
    CHECK(load() == 4);
    CHECK(contains(error_of([&] { (void)load("fp16"); }), "model.fp16.safetensors"));
    reel::write_safetensors(folder / "model.fp16.safetensors", one("w", 5));
    CHECK(load("fp16") == 5);
    CHECK(load() == 4);
    CHECK(contains(error_of([&] { (void)reel::load_weights(folder / "none", reel::diffusers_weight_names); }),
                   "no such folder"));
}

TEST_CASE("where only one variant is there, it is taken; of several one must be named") {
    TemporaryFolder folder;
    const auto& names = reel::diffusers_weight_names;
    const auto load = [&] { return reel::load_weights(folder.path(), names).begin()->second.to_vector<float>()[0]; };
    put_text(folder / "diffusion_pytorch_model.fp16-00001-of-00002.bin", "a shard is no variant");
    put_text(folder / "diffusion_pytorch_model.a.b.bin", "nor is this");
    CHECK(reel::taken_variant(folder.path(), names).empty());
    CHECK(contains(error_of([&] { (void)load(); }), "no weights found"));
    reel::write_safetensors(folder / "diffusion_pytorch_model.fp16.safetensors", one("w", 1));
    CHECK(reel::taken_variant(folder.path(), names) == "fp16");
    CHECK(load() == 1);
    reel::write_safetensors(folder / "diffusion_pytorch_model.bf16-00001-of-00001.safetensors", one("w", 2));
    reel::write_json(folder / "diffusion_pytorch_model.safetensors.index.bf16.json",
                     {{"weight_map", {{"w", "diffusion_pytorch_model.bf16-00001-of-00001.safetensors"}}}});
    CHECK(reel::weight_variants(folder.path(), names) == std::set<std::string>{"bf16", "fp16"});
    CHECK(contains(error_of([&] { (void)load(); }), "there are the variants bf16, fp16"));
    CHECK(reel::load_weights(folder.path(), names, "bf16").begin()->second.to_vector<float>()[0] == 2);
    reel::write_torch_checkpoint(folder / "diffusion_pytorch_model.bin", one("w", 3));
    CHECK(load() == 3);
    CHECK(reel::taken_variant(folder.path(), names).empty());
}

TEST_CASE("a file's format is told by its content, not by its name") {
    TemporaryFolder folder;
    reel::write_safetensors(folder / "a.bin", one("w", 1));
    reel::write_torch_checkpoint(folder / "b.safetensors", one("w", 2));
    CHECK(reel::read_weights_file(folder / "a.bin").at("w").to_vector<float>()[0] == 1);
    CHECK(reel::read_weights_file(folder / "b.safetensors").at("w").to_vector<float>()[0] == 2);
    CHECK(reel::read_weights_file(golden / "legacy.pt").size() == 11);
    const auto refused = [&](std::string_view content) {
        put_text(folder / "c.bin", content);
        return error_of([&] { (void)reel::read_weights_file(folder / "c.bin"); });
    };
    CHECK(contains(refused("version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"));
    CHECK(contains(refused("<html>"), "web page"));
    CHECK(contains(refused(""), "empty"));
    CHECK(contains(refused("{\"error\": \"not found\"}"), "JSON text"));
    CHECK(contains(refused(std::string(100, 'x')), "neither"));
    CHECK(contains(error_of([&] { (void)reel::read_weights_file(golden / "ddim_latent-2.pt"); }), "bare tensor"));
    CHECK(contains(error_of([&] { (void)reel::read_weights_file(folder.path()); }), "not a regular file"));
}

TEST_CASE("weights in several files must be complete") {
    TemporaryFolder folder;
    reel::write_safetensors(folder / "1.safetensors", one("a", 1));
    reel::write_safetensors(folder / "2.safetensors", one("b", 2));
    const auto index = folder / "model.safetensors.index.json";
    const auto load = [&](const nlohmann::json& map) {
        reel::write_json(index, {{"weight_map", map}});
        return reel::read_sharded_weights(index);
    };
    const StateDict all = load({{"a", "1.safetensors"}, {"b", "2.safetensors"}});
    CHECK(all.size() == 2);
    CHECK(all.at("b").to_vector<float>()[0] == 2);
    CHECK(contains(error_of([&] {
                       (void)load({{"a", "1.safetensors"}, {"c", "2.safetensors"}});
                   }),
                   "tensor \"c\" is missing"));
    CHECK(contains(error_of([&] { (void)load({{"a", "1.safetensors"}, {"b", "3.safetensors"}}); }), "does not exist"));
    reel::write_safetensors(folder / "2.safetensors", StateDict{{"b", all.at("b")}, {"x", all.at("b")}});
    CHECK(contains(error_of([&] {
                       (void)load({{"a", "1.safetensors"}, {"b", "2.safetensors"}});
                   }),
                   "does not list it"));
    for (const char* hostile : {"../1.safetensors", "/etc/passwd", "..", ".", "", "a/b", "a\\b"}) {
        CHECK(contains(error_of([&] { (void)load({{"a", hostile}}); }), "not the name of a file"));
    }
    CHECK(contains(error_of([&] { (void)load({{"a", 1}}); }), "not a file name"));
    CHECK(contains(error_of([&] { (void)load(nlohmann::json::object()); }), "empty"));
    CHECK(contains(error_of([&] { (void)load("x"); }), "weight_map"));
    put_text(index, "{\"weight_map\": ");
    CHECK(contains(error_of([&] { (void)reel::read_sharded_weights(index); }), "not valid JSON"));
}

TEST_CASE("Python's libraries read what we write") {
    const char* python = std::getenv("REEL_PYTHON");
    if (python == nullptr || *python == '\0') {
        MESSAGE("skipped \"Python's libraries read what we write\": set REEL_PYTHON to a Python with torch and "
                "safetensors");
        return;
    }
    TemporaryFolder folder;
    StateDict tensors = reel::read_safetensors(golden / "types.safetensors");
    reel::write_safetensors(folder / "types.safetensors", tensors);
    reel::write_torch_checkpoint(folder / "types.bin", tensors);
    reel::write_torch_checkpoint(folder / "zip64.bin", reel::tensor_sources(tensors), 20);
    reel::write_torch_tensor(folder / "bare.pt",
                             reel::read_torch_checkpoint(golden / "ddim_latent-2.pt").bare_tensor("x"));
    std::vector<reel::TensorSource> many;
    for (int i = 0; i < 70'000; ++i) {
        many.push_back(
            {std::to_string(i), reel::DType::f32, {}, [i] { return HostTensor::make<float>({}, {float(i)}); }});
    }
    reel::write_torch_checkpoint(folder / "many.bin", many);
    const std::string command = reel::concat_text("'", python, "' io/check_written.py '", folder.path().string(), "'");
    CHECK(std::system(command.c_str()) == 0);
}

TEST_CASE("weights that are no numbers are found, in every type and at every place") {
    const auto with = [](auto zero, std::size_t count, std::size_t place, double value) {
        using T = decltype(zero);
        std::vector<T> values(count, static_cast<T>(1.0F));
        values[place] = static_cast<T>(static_cast<float>(value));
        return reel::first_non_finite(HostTensor::make({static_cast<std::int64_t>(count)}, values));
    };
    const double infinity = std::numeric_limits<double>::infinity();
    for (const double value : {infinity, -infinity, std::numeric_limits<double>::quiet_NaN()}) {
        for (const std::size_t place : {0, 1, 4095, 4096, 9999}) {
            CHECK(with(0.0, 10'000, place, value) == place);
            CHECK(with(0.0F, 10'000, place, value) == place);
            CHECK(with(reel::half(), 10'000, place, value) == place);
            CHECK(with(reel::bfloat16(), 10'000, place, value) == place);
        }
    }
    CHECK_FALSE(with(0.0F, 10'000, 5000, std::numeric_limits<float>::max()).has_value());
    CHECK_FALSE(with(0.0F, 10'000, 5000, std::numeric_limits<float>::denorm_min()).has_value());
    CHECK_FALSE(reel::first_non_finite(HostTensor::make<std::int64_t>({1}, {-1})).has_value()); // all ones
    CHECK_FALSE(reel::first_non_finite(HostTensor::make<float>({0}, {})).has_value());

    TemporaryFolder folder;
    reel::write_safetensors(folder / "a.safetensors",
                            {{"a", HostTensor::make<float>({2}, {1, 2})},
                             {"b.weight", HostTensor::make<float>({2, 2}, {1, 2, static_cast<float>(-infinity), 4})}});
    const StateDict tensors = reel::read_safetensors(folder / "a.safetensors");
    CHECK(contains(message_of<reel::Error>([&] { reel::require_finite(tensors, "a.safetensors"); }),
                   "a.safetensors: tensor \"b.weight\" of shape [2, 2] holds -inf at element 2"));
    CHECK(message_of<reel::Error>([&] { reel::require_finite({{"a", tensors.at("a")}}, "a"); }).empty());
}
