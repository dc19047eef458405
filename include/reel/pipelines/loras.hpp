#pragma once // Needs reel::io.
// LoRA files merged into a model's weights, at scales that can change.

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <reel/core/ranges.hpp>
#include <reel/io/lora/lora_file.hpp>
#include <reel/io/lora/lora_merge.hpp>
#include <reel/io/lora/lora_use.hpp>
#include <reel/models/state_dict.hpp>
#include <reel/pipelines/model_files.hpp>
#include <reel/pipelines/stable_diffusion_parts.hpp>
#include <reel/pipelines/tuned_lora.hpp>

namespace reel {

/// The layers of a module that adapters can change: weights of linear layers and of convolutions. Tables of embeddings
/// are none.
template <Module M>
[[nodiscard]] std::vector<LoraTarget> lora_targets(const M& module, LdmPart part) {
    constexpr std::string_view weight = ".weight";
    std::vector<LoraTarget> targets;
    for_each_parameter(module, [&](const std::string& name, const auto& parameter) {
        const Shape shape = parameter.spec().file_shape();
        const bool layer = shape.rank() == 2 || shape.rank() == 4;
        if (layer && name.ends_with(weight) && name.find("embeddings.") == std::string::npos &&
            name != "class_embedding.weight") {
            targets.push_back({part, name.substr(0, name.size() - weight.size()), {shape.begin(), shape.end()}});
        }
    });
    return targets;
}

namespace detail {

/// The adapters of one weight, in the order in which they are merged, with their scales.
using ScaledAdapters = std::vector<std::pair<LoraAdapter, double>>;

/// Merges on whichever threads a backend has.
template <Backend B>
[[nodiscard]] HostTensor merged_on(B& backend, const HostTensor& base, const ScaledAdapters& adapters) {
    std::vector<std::pair<const LoraAdapter*, double>> scaled;
    for (const auto& [adapter, scale] : adapters) {
        scaled.emplace_back(&adapter, scale);
    }
    if constexpr (std::same_as<B, Cpu>) {
        const auto size = static_cast<index_t>(base.element_count());
        const Cpu::Described merging(backend, static_cast<double>(size), {size, static_cast<index_t>(scaled.size())});
        return merged_weight(base, scaled, [&](std::size_t rows, const auto& merge) {
            backend.for_each_range(
                static_cast<index_t>(rows),
                [&](index_t begin, index_t end) {
                    merge(static_cast<std::size_t>(begin), static_cast<std::size_t>(end));
                },
                8);
        });
    } else {
        return merged_weight(base, scaled);
    }
}

/// Gives a parameter a weight with adapters merged: on the CPU when it is used first, so that merging takes no memory
/// for what is not used. `base()` gives the weight as a file has it. Without a scale that is not 0 it is the weight
/// itself.
template <Scalar T, Backend B, class Base>
void load_merged(Parameter<T, B>& parameter, const Base& base, ScaledAdapters adapters, B& backend,
                 const std::string& name) {
    std::erase_if(adapters, [](const auto& one) { return one.second == 0; });
    if (adapters.empty()) {
        load_parameter(parameter, base(), backend, name, "a LoRA's model");
        return;
    }
    const auto read = [base, shared = std::make_shared<const ScaledAdapters>(std::move(adapters)),
                       spec = parameter.spec(), at = &backend, name]<class As>(std::type_identity<As>) {
        return tensor_from_file<As>(merged_on(*at, base(), *shared), spec, *at, name, "a LoRA's model");
    };
    if (parameter.requires_grad()) {
        parameter.set_master(read(std::type_identity<compute_t<T>>{}));
        return;
    }
    if constexpr (std::same_as<B, Cpu>) {
        parameter.set_later([read] { return read(std::type_identity<T>{}); });
    } else {
        parameter.set(read(std::type_identity<T>{}));
    }
    if constexpr (!std::same_as<T, compute_t<T>>) {
        parameter.set_exact([read] { return read(std::type_identity<compute_t<T>>{}); });
    }
}

} // namespace detail

/// LoRA files for a model, merged into its UNet and text encoder. Every merge() starts from the weights of the model's
/// folder, which stay in their files, so scales can change between edits; at 0 the weights are the folder's, bit for
/// bit. Merging is done in double, what comes of it is float32 (or the model's 16 bits).
///
///     auto model = load_stable_diffusion<float>(cpu, "stable-diffusion-v1-5", seed);
///     Loras loras(model, {{{"watercolour.safetensors", 0.8}}});
///     loras.merge(model, cpu);
///     loras.set_scale(0, 0.3);
///     loras.merge(model, cpu); // what was tuned in between in these layers is gone
class Loras {
public:
    /// Reads the files. The model is that of its folder, or with a UNet of another. Throws Error as read_lora_file().
    template <Scalar T, Backend B, class Parts>
    Loras(const StableDiffusion<T, B, Parts>& model, const LoraChoice& choice,
          const std::filesystem::path& unet_folder = {})
        : Loras(model, open_model_with(model.folder, unet_folder), choice) {}

    /// The same of a model that was loaded from these files.
    template <Scalar T, Backend B, class Parts>
    Loras(const StableDiffusion<T, B, Parts>& model, const ModelFiles& files, const LoraChoice& choice) {
        std::vector<LoraTarget> targets = lora_targets(model.unet, LdmPart::unet);
        for (LoraTarget& target : lora_targets(model.text_encoder, LdmPart::text_encoder)) {
            targets.push_back(std::move(target));
        }
        const LoraNames names(std::move(targets));
        for (const LoraUse& use : choice.uses) {
            LoraFile file = read_lora_file(use.file, names, choice.partial);
            if (const auto start = temporal_start(file.metadata, file.file.string());
                start && use.scale != 0 && model.unet.config.temporal) {
                require_temporal_start(model.unet, *start, read_unet_config(files.unet.config()).temporal,
                                       file.file.string());
            }
            reports_.push_back({use, file.tensors, std::move(file.unused)});
            for (LoraAdapter& adapter : file.adapters) {
                auto& of_part = adapters_[adapter.target.part];
                of_part[adapter.target.parameter()].emplace_back(std::move(adapter), reports_.size() - 1);
            }
        }
        if (changes(LdmPart::unet)) {
            keep_bases(LdmPart::unet, model.unet, files.unet.weights(diffusers_weight_names).tensors);
        }
        if (changes(LdmPart::text_encoder)) {
            keep_bases(LdmPart::text_encoder, model.text_encoder,
                       files.text_encoder.weights(transformers_weight_names).tensors);
        }
    }

    /// What is merged, file by file.
    [[nodiscard]] const std::vector<LoraReport>& reports() const { return reports_; }

    /// Whether the files have anything for a part.
    [[nodiscard]] bool changes(LdmPart part) const { return adapters_.contains(part); }

    /// Whether they have anything for what inflation added.
    [[nodiscard]] bool changes_temporal() const {
        const auto unet = adapters_.find(LdmPart::unet);
        return unet != adapters_.end() &&
               ranges::any_of(unet->second, [](const auto& entry) { return is_temporal_parameter(entry.first); });
    }

    /// From the next merge() on. `index`: of the file, in the order given.
    void set_scale(std::size_t index, double scale) { reports_.at(index).use.scale = scale; }

    /// Gives the layers that the files are for their weights, with the adapters merged in the order of the files. The
    /// backend must outlive the model.
    template <Scalar T, Backend B, class Parts>
    void merge(StableDiffusion<T, B, Parts>& model, B& backend) const {
        merge_into(model.unet, LdmPart::unet, backend);
        merge_into(model.text_encoder, LdmPart::text_encoder, backend);
    }

private:
    /// Adapters with the number of their file, by parameter.
    using OfPart = std::map<std::string, std::vector<std::pair<LoraAdapter, std::size_t>>>;

    /// Keeps the weights that adapters change: the files' and, of what inflation added, the module's.
    template <Module M>
    void keep_bases(LdmPart part, const M& module, const StateDict& weights) {
        for_each_parameter(module, [&](const std::string& name, const auto& parameter) {
            if (adapters_[part].contains(name)) {
                const auto found = weights.find(name);
                bases_[part].emplace(name, found != weights.end()
                                               ? found->second
                                               : to_file_tensor(parameter.exact(), parameter.spec(), DType::f32));
            }
        });
    }

    template <Module M, Backend B>
    void merge_into(M& module, LdmPart part, B& backend) const {
        const auto of_part = adapters_.find(part);
        if (of_part == adapters_.end()) {
            return;
        }
        for_each_parameter(module, [&](const std::string& name, auto& parameter) {
            const auto found = of_part->second.find(name);
            if (found == of_part->second.end()) {
                return;
            }
            detail::ScaledAdapters scaled;
            for (const auto& [adapter, file] : found->second) {
                scaled.emplace_back(adapter, reports_[file].use.scale);
            }
            const auto base = [weight = bases_.at(part).at(name)] { return weight; };
            detail::load_merged(parameter, base, std::move(scaled), backend, name);
        });
    }

    std::vector<LoraReport> reports_;
    std::map<LdmPart, OfPart> adapters_;
    std::map<LdmPart, StateDict> bases_;
};

} // namespace reel
