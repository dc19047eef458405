#pragma once
// One part of a model, with its configuration: a folder of its own, or tensors of a file that may have other parts,
// too. Needs nlohmann-json and zlib (target reel::io).

#include <reel/core/error.hpp>
#include <reel/io/config/config_reader.hpp>
#include <reel/io/weights/model_weights.hpp>
#include <reel/io/weights/weights.hpp>

#include <concepts>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace reel {

/// Tensors, and where they are from.
struct NamedWeights {
    StateDict tensors;
    std::string file; ///< starts messages about them
};

/// unet/, vae/ or text_encoder/ of a model, wherever it is. Copies share what they hold.
class ModelPart {
public:
    /// A part's own folder: config.json and weights, read when they are asked for. `variant`: "fp16" of
    /// model.fp16.safetensors.
    template <class P>
    requires std::convertible_to<const P&, std::filesystem::path>
    ModelPart(const P& folder, std::string variant = "") // NOLINT(google-explicit-constructor)
        : path_(folder), variant_(std::move(variant)) {}

    /// Of a file: tensors as the part's folder would name them, with the configuration that describes them.
    /// `others`: files that some of them are from.
    ModelPart(std::filesystem::path file, nlohmann::json config, StateDict tensors,
              std::vector<std::filesystem::path> others = {})
        : path_(std::move(file)),
          content_(std::make_shared<const Content>(Content{std::move(config), std::move(tensors), std::move(others)})) {
    }

    /// The folder or the file.
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    [[nodiscard]] bool in_folder() const { return content_ == nullptr; }
    [[nodiscard]] const std::string& variant() const { return variant_; }

    /// Files beside path() that it is from, too.
    [[nodiscard]] std::vector<std::filesystem::path> others() const {
        return in_folder() ? std::vector<std::filesystem::path>{} : content_->others;
    }

    /// What config.json says, or would say. Throws Error as ConfigReader::from_file() does.
    [[nodiscard]] ConfigReader config() const {
        return in_folder() ? ConfigReader::from_file(path_ / "config.json")
                           : ConfigReader(content_->config, path_.string());
    }
    [[nodiscard]] nlohmann::json config_json() const {
        return in_folder() ? read_json(path_ / "config.json") : content_->config;
    }

    /// The weights. Throws Error as load_model_weights() does.
    [[nodiscard]] NamedWeights weights(const WeightNames& names) const {
        if (!in_folder()) {
            return {content_->tensors, path_.string()};
        }
        const std::string file = find_weights(path_, names, variant_).string();
        const bool text = names.safetensors == transformers_weight_names.safetensors;
        return {text ? load_text_encoder_weights(path_, variant_) : load_model_weights(path_, names, variant_), file};
    }

private:
    struct Content {
        nlohmann::json config;
        StateDict tensors;
        std::vector<std::filesystem::path> others;
    };

    std::filesystem::path path_;
    std::string variant_;
    std::shared_ptr<const Content> content_;
};

} // namespace reel
