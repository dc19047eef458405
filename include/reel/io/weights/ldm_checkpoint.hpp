#pragma once
// The tensors of Stable Diffusion 1.x and 2.x, from one file to a diffusers folder's parts and back. Names and forms
// are in ldm_names.hpp. Needs POSIX; no other library.

#include <reel/core/error.hpp>
#include <reel/core/scalar.hpp>
#include <reel/io/weights/host_tensor.hpp>
#include <reel/io/weights/ldm_layout.hpp>
#include <reel/io/weights/ldm_names.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace reel {

/// A diffusers folder's weights: unet/, vae/ and text_encoder/.
using LdmParts = std::map<LdmPart, StateDict>;

/// A tensor converted to another floating-point type, rounded to nearest even. Integers and booleans stay as they are.
[[nodiscard]] inline HostTensor to_dtype(const HostTensor& tensor, DType dtype) {
    const auto real = [](DType type) {
        return type == DType::f64 || type == DType::f32 || type == DType::f16 || type == DType::bf16;
    };
    require(real(dtype), "to_dtype: ", name_of(dtype), " is no floating-point type");
    if (tensor.dtype == dtype || !real(tensor.dtype)) {
        return tensor;
    }
    switch (dtype) {
    case DType::f64:
        return HostTensor::make(tensor.shape, tensor.to_vector<double>());
    case DType::f16:
        return HostTensor::make(tensor.shape, tensor.to_vector<half>());
    case DType::bf16:
        return HostTensor::make(tensor.shape, tensor.to_vector<bfloat16>());
    default:
        return HostTensor::make(tensor.shape, tensor.to_vector<float>());
    }
}

/// Sources that convert each tensor when its turn comes; without a type they stay as they are.
[[nodiscard]] inline std::vector<TensorSource> converted_sources(std::vector<TensorSource> sources,
                                                                 std::optional<DType> dtype) {
    if (!dtype) {
        return sources;
    }
    for (TensorSource& source : sources) {
        const DType type = source.dtype;
        const bool integer = type != DType::f64 && type != DType::f32 && type != DType::f16 && type != DType::bf16;
        if (integer || type == *dtype) {
            continue;
        }
        source.dtype = *dtype;
        source.load = [load = std::move(source.load), to = *dtype] {
            const HostTensor tensor = load();
            HostTensor result = to_dtype(tensor, to);
            tensor.drop_pages();
            return result;
        };
    }
    return sources;
}

namespace detail {

/// Tensors of a single file that a folder has no place for, or that are of no wanted part.
[[nodiscard]] inline bool ldm_leaves_out(const std::string& name, const LdmLayout& layout, const LdmPartSet& wanted) {
    const auto starts = [&](std::string_view prefix) { return std::string_view(name).starts_with(prefix); };
    const auto of = [&](LdmPart part, std::string_view prefix) { return wanted.contains(part) && starts(prefix); };
    if (!of(LdmPart::unet, "model.diffusion_model.") && !of(LdmPart::vae, "first_stage_model.") &&
        !of(LdmPart::text_encoder, "cond_stage_model.")) {
        return true; // averaged weights, the noise schedule's tables, the trainer's own
    }
    const std::string open_clip = "cond_stage_model.model.";
    return starts("first_stage_model.loss.") || starts("first_stage_model.model_ema.") ||
           name == "cond_stage_model.logit_scale" || name.ends_with(".embeddings.position_ids") ||
           (layout.open_clip && (name == open_clip + "text_projection" || name == open_clip + "logit_scale" ||
                                 name == open_clip + "attn_mask" ||
                                 starts(concat_text(open_clip, "transformer.resblocks.", layout.text_layers, "."))));
}

/// The averaged weights' name: below another prefix, where the trainer leaves out the dots and some tools do not.
[[nodiscard]] inline std::string ldm_average_name(std::string_view name, bool dots) {
    std::string plain(name.substr(std::string_view("model.").size()));
    if (!dots) {
        std::erase(plain, '.');
    }
    return "model_ema." + plain;
}

/// A tensor of the single file as the folder has it: the same bytes, or a third of the rows.
[[nodiscard]] inline HostTensor ldm_to_folder(HostTensor tensor, const LdmName& name, const std::string& where) {
    const auto misshapen = [&](const char* expected) {
        fail(where, ": tensor \"", name.ldm, "\" has shape ", shape_text(tensor.shape), ", expected ", expected);
    };
    if (name.pointwise && tensor.shape.size() != 2) { // some writers keep the folder's form
        if (tensor.shape.size() != 4 || tensor.shape[2] != 1 || tensor.shape[3] != 1) {
            misshapen("[out, in, 1, 1]");
        }
        tensor.shape.resize(2);
    }
    if (name.third >= 0) {
        if (tensor.shape.empty() || tensor.shape[0] % 3 != 0) {
            misshapen("a multiple of 3 rows");
        }
        tensor.shape[0] /= 3;
        tensor.data += static_cast<std::size_t>(name.third) * tensor.byte_count();
    }
    return tensor;
}

} // namespace detail

/// The parts of a folder from the tensors of a single file; no data is copied. `averaged` takes the UNet's averaged
/// weights (model_ema), where the file has them; `wanted` are the parts that are looked for. Strict: a tensor that is
/// missing, misshapen or (below model.diffusion_model, first_stage_model and cond_stage_model) not part of the model is
/// an Error that names it.
[[nodiscard]] inline LdmParts ldm_to_diffusers(const StateDict& tensors, const LdmLayout& layout,
                                               const std::string& where, bool averaged = false,
                                               const LdmPartSet& wanted = all_ldm_parts) {
    LdmParts parts;
    std::set<std::string, std::less<>> known;
    const bool dots = tensors.contains("model_ema.diffusion_model.time_embed.0.weight");
    for (const LdmName& name : ldm_names(layout, wanted)) {
        const std::string source =
            averaged && name.part == LdmPart::unet ? detail::ldm_average_name(name.ldm, dots) : name.ldm;
        known.insert(name.ldm);
        const auto found = tensors.find(source);
        if (found == tensors.end()) {
            require(name.optional, where, ": tensor \"", source, "\" is missing",
                    averaged ? " (does the file hold averaged weights?)" : "");
            continue;
        }
        parts[name.part].emplace(name.diffusers, detail::ldm_to_folder(found->second, name, where));
    }
    for (const auto& [name, tensor] : tensors) {
        require(known.contains(name) || detail::ldm_leaves_out(name, layout, wanted), where, ": tensor \"", name,
                "\" is not part of a Stable Diffusion 1 or 2 model");
    }
    return parts;
}

/// The tensors of a single file from the parts of a folder, in order of name; what is joined is joined when its turn
/// comes. Strict: a tensor that is missing or not part of the model is an Error that names it.
[[nodiscard]] inline std::vector<TensorSource> diffusers_to_ldm(const LdmParts& parts, const LdmLayout& layout,
                                                                const std::string& where) {
    std::map<std::string, TensorSource> sources;
    std::map<LdmPart, std::set<std::string_view>> used;
    const std::array<const char*, 3> folders{"unet", "vae", "text_encoder"};
    const auto folder = [&](LdmPart part) { return folders[static_cast<std::size_t>(part)]; };
    for (const LdmName& name : ldm_names(layout)) {
        const StateDict& part = parts.at(name.part);
        auto found = part.find(name.diffusers);
        found = found == part.end() && !name.later.empty() ? part.find(name.later) : found;
        if (found == part.end()) {
            require(name.optional, where, ": ", folder(name.part), "/: tensor \"", name.diffusers, "\" is missing");
            continue;
        }
        used[name.part].insert(found->first);
        HostTensor tensor = found->second;
        if (name.pointwise && tensor.shape.size() == 2) {
            tensor.shape.insert(tensor.shape.end(), {1, 1});
        }
        if (name.third <= 0) {
            auto shape = tensor.shape;
            require(name.third < 0 || !shape.empty(), where, ": ", folder(name.part), "/: tensor \"", name.diffusers,
                    "\" has no rows");
            shape.front() *= name.third < 0 ? 1 : 3;
            sources[name.ldm] = {name.ldm, tensor.dtype, shape, [tensor] { return tensor; }};
            continue;
        }
        TensorSource& joined = sources.at(name.ldm);
        std::vector<std::int64_t> all = tensor.shape;
        require(!all.empty(), where, ": ", folder(name.part), "/: tensor \"", name.diffusers, "\" has no rows");
        all.front() *= 3;
        require(all == joined.shape && tensor.dtype == joined.dtype, where, ": ", folder(name.part), "/: tensor \"",
                name.diffusers, "\" is ", name_of(tensor.dtype), " ", shape_text(tensor.shape),
                ", which does not fit beside the query's");
        joined.load = [before = joined.load, tensor, last = name.third == 2, shape = joined.shape] {
            const HostTensor start = before();
            auto bytes = std::make_shared<std::vector<std::byte>>(start.bytes().begin(), start.bytes().end());
            bytes->insert(bytes->end(), tensor.bytes().begin(), tensor.bytes().end());
            HostTensor result{tensor.dtype, shape, bytes->data(), bytes, false};
            result.shape.front() = last ? shape.front() : shape.front() / 3 * 2;
            return result;
        };
    }
    for (const auto& [part, tensors] : parts) {
        for (const auto& [name, tensor] : tensors) {
            require(used[part].contains(name) || name == "text_model.embeddings.position_ids", where, ": ",
                    folder(part), "/: tensor \"", name, "\" has no place in a single file",
                    name.find("_temp.") != std::string::npos ? " (the UNet is inflated for clips; convert the 2D one)"
                                                             : "");
        }
    }
    std::vector<TensorSource> result;
    for (auto& [name, source] : sources) {
        result.push_back(std::move(source));
    }
    return result;
}

} // namespace reel
