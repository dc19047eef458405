#pragma once
// A LoRA file's adapters of a model's layers. Needs nlohmann-json and zlib (target reel::io).

#include <reel/core/error.hpp>
#include <reel/core/ranges.hpp>
#include <reel/io/lora/lora_adapter.hpp>
#include <reel/io/lora/lora_foreign.hpp>
#include <reel/io/lora/lora_names.hpp>
#include <reel/io/lora/lora_scale.hpp>
#include <reel/io/lora/lora_tensor_name.hpp>
#include <reel/io/weights/finite.hpp>
#include <reel/io/weights/weights_file.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace reel {

/// A LoRA file for one model.
struct LoraFile {
    std::filesystem::path file;
    std::vector<LoraAdapter> adapters{};
    std::size_t tensors = 0;           ///< in the file
    std::vector<std::string> unused{}; ///< names of those that are of no layer of the model
    TextMetadata metadata{};           ///< of its header
};

namespace detail {

/// The file itself, or that in a folder as PEFT and diffusers write it.
[[nodiscard]] inline std::filesystem::path lora_path(const std::filesystem::path& path) {
    std::error_code ignored;
    if (!std::filesystem::is_directory(path, ignored)) {
        require(std::filesystem::exists(path, ignored), path.string(),
                ": no such LoRA file (expected FILE or FILE:SCALE, where SCALE is a number)");
        return path;
    }
    for (const char* name : {"adapter_model.safetensors", "pytorch_lora_weights.safetensors", "adapter_model.bin",
                             "pytorch_lora_weights.bin"}) {
        if (std::filesystem::exists(path / name, ignored)) {
            return path / name;
        }
    }
    fail(path.string(), std::filesystem::exists(path / "model_index.json", ignored)
                            ? ": this is a model's folder, not a LoRA; give it as --model"
                            : ": a folder without a LoRA (no adapter_model.safetensors and no "
                              "pytorch_lora_weights.safetensors)");
}

/// Gathers a file's tensors into adapters.
class LoraReader {
public:
    LoraReader(const std::filesystem::path& path, WeightsFile file, const LoraNames& names)
        : where_(path.string()), strengths_(path, file.metadata), tensors_(std::move(file.tensors)),
          metadata_(std::move(file.metadata)), names_(names) {}

    [[nodiscard]] LoraFile read(bool partial) {
        refuse_foreign();
        const std::string trouble = no_lora(tensors_, names_);
        require(trouble.empty(), where_, ": ", trouble);
        LoraFile result{.file = where_, .tensors = tensors_.size(), .metadata = metadata_};
        for (auto& [name, tensor] : tensors_) {
            if (!take(name, tensor, partial)) {
                result.unused.push_back(name);
            }
        }
        require(result.unused.empty() || (partial && !adapters_.empty()), where_, ": tensor \"",
                result.unused.empty() ? "" : result.unused.front(), "\" is of no layer of this model (",
                result.unused.size(), " of ", result.tensors, " tensors are not used)",
                adapters_.empty() ? "" : "; --lora_partial takes the others");
        for (auto& [stem, gathered] : adapters_) {
            finish(gathered);
            result.adapters.push_back(std::move(gathered.adapter));
        }
        return result;
    }

private:
    struct Gathered {
        LoraAdapter adapter;
        bool kind_known = false;
        bool peft = false;
        std::string named{}; ///< PEFT's name of it
    };

    void refuse_foreign() const {
        for (const auto& [name, tensor] : tensors_) {
            const std::string model = lora_tensor_name(name) ? foreign_model(name) : "";
            require(model.empty(), where_, ": a LoRA for ", model, " (tensor \"", name,
                    "\"), not for Stable Diffusion 1 or 2");
        }
    }

    /// Puts a tensor to its adapter, if there is a layer for it.
    [[nodiscard]] bool take(const std::string& name, const HostTensor& tensor, bool partial) {
        const auto parts = lora_tensor_name(name);
        if (!parts) {
            const std::string kind = partial ? "" : refused_adapter(name);
            require(kind.empty(), where_, ": tensor \"", name, "\" is of a kind that reel does not merge: ", kind);
            return false;
        }
        const LoraTarget* const target = names_.find(parts->stem);
        if (target == nullptr) {
            return false;
        }
        check_values(name, tensor);
        const auto [entry, added] =
            adapters_.try_emplace(parts->stem, Gathered{.adapter = {.target = *target, .stem = parts->stem}});
        Gathered& gathered = entry->second;
        if (added) {
            const auto [other, first] = stems_.emplace(target->parameter(), parts->stem);
            require(first, where_, ": two adapters for one layer, \"", other->second, "\" and \"", parts->stem, "\"");
        }
        const bool unnamed = parts->adapter.empty() || gathered.named.empty(); // alpha has no name in it
        require(unnamed || gathered.named == parts->adapter, where_, ": \"", parts->stem, "\" has two adapters, \"",
                gathered.named, "\" and \"", parts->adapter, "\"; give a file with one");
        gathered.named = parts->adapter.empty() ? gathered.named : parts->adapter;
        gathered.peft = gathered.peft || parts->peft;
        if (parts->kind) {
            require(!gathered.kind_known || gathered.adapter.kind == *parts->kind, where_, ": \"", parts->stem,
                    "\" has tensors of two kinds of adapters, the last \"", name, "\"");
            gathered.adapter.kind = *parts->kind;
            gathered.kind_known = true;
        }
        require(gathered.adapter.tensors.emplace(parts->role, tensor).second, where_, ": tensor \"", name,
                "\" is there a second time under another name");
        return true;
    }

    void check_values(const std::string& name, const HostTensor& tensor) const {
        const bool real = tensor.dtype == DType::f64 || tensor.dtype == DType::f32 || tensor.dtype == DType::f16 ||
                          tensor.dtype == DType::bf16;
        const bool alpha = name.ends_with(".alpha") && (tensor.dtype == DType::i64 || tensor.dtype == DType::i32);
        require(real || alpha, where_, ": tensor \"", name, "\" is of type ", name_of(tensor.dtype),
                ", expected a floating-point type");
        if (!name.ends_with(".alpha")) { // of which there is a message of its own
            require_finite({{name, tensor}}, where_);
        }
    }

    void finish(Gathered& gathered) {
        LoraAdapter& adapter = gathered.adapter;
        require(gathered.kind_known, where_, ": \"", adapter.stem, "\" has no factors, only \"",
                adapter.has(LoraRole::alpha) ? "alpha" : "dora_scale", "\"");
        adapter.dora = check_adapter(adapter, where_);
        adapter.factor = strengths_.factor(adapter, gathered.peft);
    }

    std::string where_;
    LoraStrengths strengths_;
    StateDict tensors_;
    TextMetadata metadata_;
    const LoraNames& names_;
    std::map<std::string, Gathered> adapters_;   ///< by the layer's spelling
    std::map<std::string, std::string> stems_{}; ///< spellings by parameter
};

} // namespace detail

/// Whether a file is one that a LoRA would be in: for a message about what was taken for something else.
[[nodiscard]] inline bool is_lora_file(const std::filesystem::path& path) {
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(path, ignored)) {
        return false;
    }
    try {
        const StateDict tensors = read_any_weights_file(path).tensors;
        return !tensors.empty() &&
               ranges::all_of(tensors, [](const auto& entry) { return lora_tensor_name(entry.first).has_value(); });
    } catch (const Error&) {
        return false; // no weights at all
    }
}

/// Reads a LoRA file (safetensors or PyTorch's, or a folder with one) for a model. Strict: throws Error, which names
/// the file and the tensor, for one that is of no layer of the model, unless `partial`; for factors that do not fit,
/// are not whole or not finite; for kinds that reel does not merge, files of other models and files that are no LoRA.
[[nodiscard]] inline LoraFile read_lora_file(const std::filesystem::path& file, const LoraNames& names,
                                             bool partial = false) {
    const std::filesystem::path path = detail::lora_path(file);
    return detail::LoraReader(path, read_any_weights_file(path), names).read(partial);
}

} // namespace reel
