#pragma once
// How strong a file's adapters are. Needs nlohmann-json (target reel::io).

#include <reel/core/error.hpp>
#include <reel/io/config/json.hpp>
#include <reel/io/lora/lora_adapter.hpp>
#include <reel/io/weights/peft_config.hpp>
#include <reel/io/weights/safetensors.hpp>

#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace reel {

/// What stands beside a file's tensors about their strength: PEFT's adapter_config.json in the same folder, and what
/// diffusers writes into the header of its own files ("lora_adapter_metadata", whose keys begin with the model's part).
class LoraStrengths {
public:
    LoraStrengths(const std::filesystem::path& file, const TextMetadata& metadata) : file_(file.string()) {
        if (const auto found = metadata.find("lora_adapter_metadata"); found != metadata.end()) {
            read_metadata(found->second);
        }
        const std::filesystem::path beside = file.parent_path() / "adapter_config.json";
        std::error_code ignored;
        if (std::filesystem::exists(beside, ignored)) {
            config_file_ = beside;
        }
    }

    /// The factor of an adapter's change, of the rank of its factors: alpha / rank of the tensor "alpha" in the file,
    /// else of PEFT's configuration, else 1. An alpha of 0 stands for the rank, and of a LoKr of two whole factors
    /// alpha says nothing: so sd-scripts (networks/lora.py) and LyCORIS 4.1.3 (modules/lokr.py) read what they write.
    /// diffusers 0.42.1 reads an alpha of 0 as 0. `peft`: the tensors have PEFT's names.
    [[nodiscard]] double factor(const LoraAdapter& adapter, bool peft) {
        const std::optional<std::int64_t> rank = adapter.rank();
        if (const auto found = adapter.tensors.find(LoraRole::alpha); found != adapter.tensors.end()) {
            const double alpha = alpha_of(adapter, found->second);
            return !rank || alpha == 0 ? 1 : alpha / static_cast<double>(*rank);
        }
        const bool bare = adapter.stem.starts_with("base_model.model.");
        const PeftAdapterConfig* const config = config_of(adapter, peft || bare);
        require(config != nullptr || !bare, file_, ": \"", adapter.stem,
                "\" is named as PEFT names it, which keeps "
                "alpha in an adapter_config.json; put that beside the file");
        if (config == nullptr) {
            return 1;
        }
        const LoraKind kind = config->type == PeftType::loha   ? LoraKind::loha
                              : config->type == PeftType::lokr ? LoraKind::lokr
                                                               : LoraKind::lora;
        require(kind == adapter.kind, file_, ": \"", adapter.stem, "\" is no ",
                name_in(names_of(config->type), config->type), ", which its configuration says it is");
        return config->scale(adapter.target.module, rank);
    }

private:
    [[nodiscard]] double alpha_of(const LoraAdapter& adapter, const HostTensor& tensor) const {
        require(tensor.element_count() == 1, file_, ": \"", adapter.stem, ".alpha\" has shape ",
                shape_text(tensor.shape), ", expected one number");
        const double alpha = tensor.dtype == DType::i64   ? static_cast<double>(tensor.to_vector<std::int64_t>()[0])
                             : tensor.dtype == DType::i32 ? static_cast<double>(tensor.to_vector<std::int32_t>()[0])
                                                          : tensor.to_vector<double>()[0];
        require(std::isfinite(alpha), file_, ": \"", adapter.stem, ".alpha\" is ", alpha, ", expected a finite number");
        return alpha;
    }

    [[nodiscard]] const PeftAdapterConfig* config_of(const LoraAdapter& adapter, bool peft) {
        const char* const part = adapter.target.part == LdmPart::unet ? "unet" : "text_encoder";
        for (const char* const key : {part, ""}) {
            if (const auto found = of_header_.find(key); found != of_header_.end()) {
                return &found->second;
            }
        }
        if (!peft || config_file_.empty()) {
            return nullptr;
        }
        if (!beside_) {
            beside_ = read_peft_adapter_config(read_json(config_file_), config_file_.string(), PeftUse::file);
        }
        return &*beside_;
    }

    void read_metadata(const std::string& text) {
        const std::string where = file_ + ": lora_adapter_metadata";
        const nlohmann::json json = parse_json(text, where);
        require(json.is_object(), where, ": expected a JSON object");
        std::map<std::string, nlohmann::json> parts;
        for (const auto& [key, value] : json.items()) {
            const std::size_t dot = key.find('.');
            const std::string part = dot == std::string::npos ? "" : key.substr(0, dot);
            parts[part][dot == std::string::npos ? key : key.substr(dot + 1)] = value;
        }
        for (const auto& [part, config] : parts) {
            of_header_.emplace(part, read_peft_adapter_config(
                                         config, concat_text(where, part.empty() ? "" : " of ", part), PeftUse::file));
        }
    }

    std::string file_;
    std::map<std::string, PeftAdapterConfig> of_header_; ///< by "unet", "text_encoder", or "" for the only part
    std::filesystem::path config_file_;
    std::optional<PeftAdapterConfig> beside_;
};

} // namespace reel
