#pragma once
// A folder's parts in the forms that diffusers 0.42.1 and transformers 5.24.0 write. Needs reel::io.

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <reel/io/config/json.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/io/weights/weights.hpp>

namespace reel_test {

/// Removes all of a part but its configuration.
inline void keep_config_alone(const std::filesystem::path& part) {
    std::vector<std::filesystem::path> others;
    for (const auto& entry : std::filesystem::directory_iterator(part)) {
        if (entry.path().filename() != "config.json") {
            others.push_back(entry.path());
        }
    }
    for (const auto& path : others) {
        std::filesystem::remove(path);
    }
}

/// The autoencoder in two files, under its new names.
inline void shard_autoencoder(const std::filesystem::path& part) {
    const reel::StateDict weights = reel::load_weights(part, reel::diffusers_weight_names);
    std::vector<reel::StateDict> shards(2);
    nlohmann::json index;
    for (const auto& [name, tensor] : weights) {
        std::string later = name;
        for (const auto& [from, to] : {std::pair{".query.", ".to_q."}, std::pair{".key.", ".to_k."},
                                       std::pair{".value.", ".to_v."}, std::pair{".proj_attn.", ".to_out.0."}}) {
            if (const std::size_t at = later.find(from); at != std::string::npos) {
                later.replace(at, std::string_view(from).size(), to);
            }
        }
        const std::size_t shard = index["weight_map"].size() % 2;
        index["weight_map"][later] = shard == 0 ? "one.safetensors" : "two.safetensors";
        shards[shard].emplace(later, tensor);
    }
    keep_config_alone(part);
    reel::write_safetensors(part / "one.safetensors", shards[0]);
    reel::write_safetensors(part / "two.safetensors", shards[1]);
    reel::write_json(part / "diffusion_pytorch_model.safetensors.index.json", index);
}

/// The text encoder's tensors without their prefix.
inline void shorten_text_names(const std::filesystem::path& part) {
    reel::StateDict bare;
    for (const auto& [name, tensor] : reel::load_weights(part, reel::transformers_weight_names)) {
        bare.emplace(name.substr(std::string_view("text_model.").size()), tensor);
    }
    keep_config_alone(part);
    reel::write_safetensors(part / "model.safetensors", bare);
}

/// Another tokenizer, in one file, without tokens added outside of its vocabulary.
inline void put_tokenizer_json(const std::filesystem::path& part) {
    std::filesystem::remove_all(part);
    std::filesystem::copy("text/golden/tokenizer5", part);
    nlohmann::json tokenizer = reel::read_json(part / "tokenizer.json");
    tokenizer["added_tokens"].erase(tokenizer["added_tokens"].begin() + 2, tokenizer["added_tokens"].end());
    reel::write_json(part / "tokenizer.json", tokenizer);
    nlohmann::json settings = reel::read_json(part / "tokenizer_config.json");
    settings.erase("extra_special_tokens");
    reel::write_json(part / "tokenizer_config.json", settings);
}

/// A copy of golden/sd1_tiny, rewritten so.
inline void write_as_todays_python(const std::filesystem::path& folder) {
    shard_autoencoder(folder / "vae");
    shorten_text_names(folder / "text_encoder");
    put_tokenizer_json(folder / "tokenizer");
}

} // namespace reel_test
