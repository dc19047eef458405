// insert_object against a PyTorch run of the same job with the same noise.

#include <set>

#include <reel/io/config/json.hpp>
#include <reel/io/weights/tensor_file.hpp>
#include <reel/io/weights/weights.hpp>

#include "support/golden.hpp"
#include "support/programs.hpp"

using namespace reel_test;
using reel::StateDict;

namespace {

const Path golden = std::filesystem::absolute("golden/end_to_end");

std::string text_of(const nlohmann::json& value) {
    return value.is_string() ? value.get<std::string>() : value.dump();
}

/// The command for a replay, from options.json.
Words command(const std::string& model, const TemporaryFolder& folder, const Words& more, const Words& flags) {
    Words words{insert_object,
                "--model",
                std::filesystem::absolute("golden/" + model + "_tiny"),
                "--replay",
                golden / (model + "_replay.safetensors"),
                "--output",
                folder / "out",
                "--save_tensors",
                folder / "tensors.safetensors",
                "--threads",
                "2"};
    // Without an option of insert_object, and equal to the defaults: checked here.
    const std::map<std::string, nlohmann::json> fixed{
        {"adam_weight_decay", 0.01}, {"max_grad_norm", 1.0}, {"lr_scheduler", "constant"}, {"lr_warmup_steps", 0}};
    const nlohmann::json options = reel::read_json(golden / "options.json");
    for (const auto& [key, value] : options.items()) {
        if (const auto found = fixed.find(key); found != fixed.end()) {
            REQUIRE(value == found->second);
            continue;
        }
        words.push_back("--" + key);
        if (value.is_array()) {
            for (const auto& item : value) {
                words.push_back(text_of(item));
            }
        } else {
            words.push_back(text_of(value));
        }
    }
    for (std::size_t i = 0; i < more.size(); i += 2) {
        words = with(words, more[i], more[i + 1]);
    }
    return words + flags;
}

StateDict replay(const std::string& model, const Words& more = {}, const Words& flags = {}) {
    const TemporaryFolder folder;
    run_well(command(model, folder, more, flags));
    return reel::read_safetensors(folder / "tensors.safetensors");
}

/// "trained.*" for all of them: one line of output per kind.
std::string kind_of(const std::string& name) {
    return name.starts_with("trained.") ? "trained.*" : name;
}

void compare(const std::string& what, const StateDict& found, const StateDict& expected) {
    std::map<std::string, std::unique_ptr<Agreement>> agreements;
    for (const auto& [name, tensor] : expected) {
        INFO(name);
        REQUIRE(found.contains(name));
        CHECK(found.at(name).shape == tensor.shape);
        CHECK(found.at(name).dtype == reel::DType::f32);
        auto& agreement = agreements[kind_of(name)];
        if (!agreement) {
            agreement = std::make_unique<Agreement>(what + " " + kind_of(name), 1e-4);
        }
        agreement->check(name, relative_error(numbers(found.at(name)), numbers(tensor)));
    }
}

std::set<std::string> names_of(const StateDict& tensors) {
    std::set<std::string> names;
    for (const auto& [name, tensor] : tensors) {
        names.insert(name);
    }
    return names;
}

bool same_bytes(const reel::HostTensor& a, const reel::HostTensor& b) {
    return a.dtype == b.dtype && a.shape == b.shape && std::memcmp(a.data, b.data, a.byte_count()) == 0;
}

std::string differing(const StateDict& a, const StateDict& b) {
    REQUIRE(names_of(a) == names_of(b));
    for (const auto& [name, tensor] : a) {
        if (!same_bytes(tensor, b.at(name))) {
            return name;
        }
    }
    return {};
}

} // namespace

TEST_CASE("the whole job agrees with PyTorch: names, shapes and values of --save_tensors") {
    for (const std::string model : {"sd1", "sd2"}) {
        CAPTURE(model);
        const StateDict found = replay(model);
        const StateDict expected = reel::read_safetensors(golden / (model + "_expected.safetensors"));
        CHECK(names_of(found) == names_of(expected));
        for (const char* name : {"text.train", "text.edit", "text.uncond", "vae.moments", "train.latents0",
                                 "train.loss", "train.grad_norm", "inv.latents", "sample.latents", "sample.frames"}) {
            CHECK(found.contains(name));
        }
        compare(model, found, expected);
    }
}

TEST_CASE("--replay and --save_tensors take numpy's archives as well") {
    const TemporaryFolder folder;
    reel::write_tensors(folder / "replay.npz", reel::read_safetensors(golden / "sd1_replay.safetensors"));
    run_well(command("sd1", folder, {"--replay", folder / "replay.npz", "--save_tensors", folder / "tensors.npz"}, {}));
    CHECK(differing(reel::read_npz(folder / "tensors.npz"), replay("sd1")).empty());
}

TEST_CASE("--reference_inversion repeats the reference's inversion of a model that predicts v") {
    const StateDict found = replay("sd2", {}, {"--reference_inversion"});
    compare("sd2, reference inversion", found,
            reel::read_safetensors(golden / "sd2_reference_inversion_expected.safetensors"));
    const auto exact = Golden("end_to_end/sd2_expected").values("inv.latents");
    CHECK(relative_error(numbers(found.at("inv.latents")), exact) > 1e-2);
}

TEST_CASE("gradient checkpointing and the number of threads change the rounding alone; one run is like another") {
    const StateDict plain = replay("sd1");
    CHECK(differing(replay("sd1"), plain) == "");
    compare("sd1, checkpointed", replay("sd1", {"--gradient_checkpointing", "true"}), plain);
    compare("sd1, one thread", replay("sd1", {"--threads", "1"}), plain);
}

TEST_CASE("--reference_checkpointing leaves the down blocks as they were loaded, weight decay included") {
    const StateDict all = replay("sd1");
    const StateDict partly = replay("sd1", {}, {"--reference_checkpointing"});
    const StateDict given = reel::read_safetensors(golden / "sd1_replay.safetensors");
    const StateDict model = reel::load_weights(sd1_model / "unet", reel::diffusers_weight_names);
    int down = 0;
    int others = 0;
    for (const auto& [name, tensor] : partly) {
        if (!name.starts_with("trained.")) {
            continue;
        }
        const std::string parameter = name.substr(8);
        const auto fresh = given.find("init." + parameter);
        const bool unchanged = same_bytes(tensor, fresh != given.end() ? fresh->second : model.at(parameter));
        INFO(name);
        CHECK(unchanged == parameter.starts_with("down_blocks."));
        ++(unchanged ? down : others);
        if (unchanged) {
            CHECK(!same_bytes(all.at(name), tensor));
        }
    }
    CHECK(down > 0);
    CHECK(others > 0);
}

TEST_CASE("an update from two draws averages their gradients") {
    // Each draw twice, in pairs: the average is the draw itself, and halves add up exactly.
    StateDict doubled = reel::read_safetensors(golden / "sd1_replay.safetensors");
    for (const char* name : {"train.posterior_noise", "train.noise", "train.timesteps"}) {
        reel::HostTensor& tensor = doubled.at(name);
        const auto steps = static_cast<std::size_t>(tensor.shape[0]);
        const std::size_t row = tensor.byte_count() / steps;
        auto bytes = std::make_shared<std::vector<std::byte>>();
        for (std::size_t i = 0; i < steps; ++i) {
            for (int twice = 0; twice < 2; ++twice) {
                bytes->insert(bytes->end(), tensor.data + i * row, tensor.data + (i + 1) * row);
            }
        }
        tensor.shape[0] *= 2;
        tensor.data = bytes->data();
        tensor.owner = bytes;
    }
    const TemporaryFolder folder;
    reel::write_safetensors(folder / "replay.safetensors", doubled, {});
    put_text(folder / "config.yaml", "pretrained_model_path: x\noutput_dir: x\ntrain_data: {video_path: x, prompt: x}\n"
                                     "validation_data: {}\ngradient_accumulation_steps: 2\n");
    const StateDict found =
        replay("sd1", {"--config", folder / "config.yaml", "--replay", folder / "replay.safetensors"});
    CHECK(differing(found, replay("sd1")) == "");
}
