#pragma once
// Models from and to diffusers folders. Needs nlohmann-json, zlib (target reel::io).

#include <memory>
#include <set>

#include <reel/io/weights/model_part.hpp>
#include <reel/io/weights/model_weights.hpp>
#include <reel/io/weights/torch_writer.hpp>
#include <reel/io/weights/weights.hpp>
#include <reel/models/autoencoder.hpp>
#include <reel/models/autoencoder_tiny_config.hpp>
#include <reel/models/clip_text.hpp>
#include <reel/models/configs.hpp>
#include <reel/models/state_dict.hpp>
#include <reel/models/unet.hpp>
#include <reel/nn/initialize.hpp>

namespace reel {

/// Loads a text_encoder/ of Stable Diffusion, with "text_model." before its tensors' names or without. Throws Error for
/// anything missing, unexpected or unsupported. A ModelPart is a folder (given by its path) or of a file.
template <Scalar T, Backend B>
[[nodiscard]] CLIPTextModel<T, B> load_clip_text_model(B& backend, const ModelPart& part) {
    CLIPTextModel<T, B> model(read_clip_text_config(part.config()));
    const NamedWeights weights = part.weights(transformers_weight_names);
    // A buffer of older transformers: 0, 1, 2, ...
    const LoadRules rules{.ignored = [](const std::string& n) { return n == "text_model.embeddings.position_ids"; }};
    load_parameters(model, backend, weights.tensors, weights.file, rules);
    return model;
}

/// Name that diffusers 0.11.1 gives to a parameter of the autoencoder's attention, whatever release wrote it.
[[nodiscard]] inline std::string autoencoder_parameter_name(std::string name) {
    for (const auto& [later, now] : {std::pair{".to_q.", ".query."}, std::pair{".to_k.", ".key."},
                                     std::pair{".to_v.", ".value."}, std::pair{".to_out.0.", ".proj_attn."}}) {
        if (const std::size_t at = name.find(later); at != std::string::npos) {
            return name.replace(at, std::string_view(later).size(), now);
        }
    }
    return name;
}

/// Loads a vae/ of Stable Diffusion.
template <Scalar T, Backend B>
[[nodiscard]] AutoencoderKL<T, B> load_autoencoder_kl(B& backend, const ModelPart& part) {
    AutoencoderKL<T, B> model(read_autoencoder_kl_config(part.config()));
    const NamedWeights weights = part.weights(diffusers_weight_names);
    load_parameters(model, backend, weights.tensors, weights.file,
                    LoadRules{.rename = autoencoder_parameter_name, .pointwise = true});
    return model;
}

/// Loads a vae/ of diffusers' AutoencoderTiny, or TAESD's files (taesd_part()).
template <Scalar T, Backend B>
[[nodiscard]] AutoencoderTiny<T, B> load_autoencoder_tiny(B& backend, const ModelPart& part) {
    AutoencoderTiny<T, B> model(read_autoencoder_tiny_config(part.config()));
    const NamedWeights weights = part.weights(diffusers_weight_names);
    load_parameters(model, backend, weights.tensors, weights.file);
    return model;
}

/// Loads a vae/ of either kind, as its configuration says.
template <Scalar T, Backend B>
[[nodiscard]] Autoencoder<T, B> load_autoencoder(B& backend, const ModelPart& part) {
    if (is_autoencoder_tiny(part.config_json())) {
        return load_autoencoder_tiny<T>(backend, part);
    }
    return load_autoencoder_kl<T>(backend, part);
}

/// True for the parameters that inflation adds to a 2D UNet.
[[nodiscard]] inline bool is_temporal_parameter(std::string_view name) {
    return name.find(".attn_temp.") != std::string_view::npos || name.find(".norm_temp.") != std::string_view::npos;
}

/// Gives a temporal parameter its start: identity norm, PyTorch's default for the projections, and a zero output
/// weight. The output bias keeps its default, so a fresh inflation adds a small constant per channel, as the
/// reference's does.
template <Scalar T, Backend B>
void initialize_temporal(Parameter<T, B>& parameter, B& backend, const std::string& name, std::uint64_t seed) {
    if (name.ends_with(".attn_temp.to_out.0.weight")) {
        parameter.set(Tensor<T, B>::zeros(backend, parameter.spec().shape));
    } else {
        initialize(parameter, backend, name, seed);
    }
}

namespace detail {

template <Module M>
[[nodiscard]] std::set<std::string> parameter_names(const M& model) {
    std::set<std::string> names;
    for_each_parameter(model, [&](const std::string& name, const auto&) { names.insert(name); });
    return names;
}

/// Rules for a UNet with exchanged parts: their parameters need not be in a checkpoint, and those of the parts they
/// stand for may be.
template <Scalar T, Backend B, class Parts>
void forgive_exchanged(LoadRules& rules, const UNet3DConditionModel<T, B, Parts>& model) {
    const auto standard = parameter_names(UNet3DConditionModel<T, B>(model.config));
    const auto own = parameter_names(model);
    rules.may_be_missing = [standard, inflation = rules.may_be_missing](const std::string& name) {
        return !standard.contains(name) || (inflation && inflation(name));
    };
    rules.ignored = [standard, own](const std::string& name) { return standard.contains(name) && !own.contains(name); };
}

/// A checkpoint that was saved with exchanged parts must have all of theirs.
template <Scalar T, Backend B, class Parts>
void require_all_or_none(const UNet3DConditionModel<T, B, Parts>& model, const std::vector<std::string>& fresh,
                         const std::string& file) {
    const auto standard = parameter_names(UNet3DConditionModel<T, B>(model.config));
    std::vector<std::string> missing;
    std::size_t own = 0;
    for (const auto& name : parameter_names(model)) {
        own += standard.contains(name) ? 0 : 1;
    }
    for (const auto& name : fresh) {
        if (!standard.contains(name)) {
            missing.push_back(name);
        }
    }
    require(missing.empty() || missing.size() == own, file, ": ", missing.size(), " of the ", own,
            " tensors of the exchanged parts are missing, such as \"", missing.empty() ? "" : missing.front(), "\"");
}

template <Scalar T, Backend B, class Parts>
void fill_unet(UNet3DConditionModel<T, B, Parts>& model, B& backend, const ModelPart& part, LoadRules rules,
               std::uint64_t seed) {
    rules.pointwise = true; // proj_in and proj_out are matrices or convolutions
    if constexpr (!std::same_as<Parts, DefaultParts>) {
        forgive_exchanged(rules, model);
    }
    const auto [tensors, file] = part.weights(diffusers_weight_names);
    const auto fresh = load_parameters(model, backend, tensors, file, rules);
    if constexpr (!std::same_as<Parts, DefaultParts>) {
        require_all_or_none(model, fresh, file);
    }
    for_each_parameter(model, [&](const std::string& name, auto& parameter) {
        if (!parameter.defined()) {
            initialize_temporal(parameter, backend, name, seed);
        }
    });
}

} // namespace detail

/// Loads unet/ of a diffusers or Tune-A-Video folder for clips. A 2D one is inflated: what a 2D checkpoint lacks starts
/// fresh from `seed`. In an inflated checkpoint nothing may be missing. With Parts of one's own (load_unet<float,
/// MyParts>) the parameters that only those have start fresh unless the checkpoint has them, and what it has of the
/// parts they replace is left out.
template <Scalar T, class Parts = DefaultParts, class B>
[[nodiscard]] UNet3DConditionModel<T, B, Parts> load_unet(B& backend, const ModelPart& part, std::uint64_t seed = 0) {
    UNetConfig config = read_unet_config(part.config());
    const bool inflate = !config.temporal;
    config.temporal = true;
    UNet3DConditionModel<T, B, Parts> model(config);
    LoadRules rules;
    if (inflate) {
        rules.may_be_missing = [](const std::string& name) { return is_temporal_parameter(name); };
    }
    detail::fill_unet(model, backend, part, std::move(rules), seed);
    return model;
}

/// Loads a 2D unet/ as it is, for pictures: frames = 1 and no temporal attention.
template <Scalar T, class Parts = DefaultParts, class B>
[[nodiscard]] UNet3DConditionModel<T, B, Parts> load_unet_2d(B& backend, const ModelPart& part) {
    const UNetConfig config = read_unet_config(part.config());
    require(!config.temporal, part.path().string(), ": holds an inflated UNet, expected a 2D one");
    UNet3DConditionModel<T, B, Parts> model(config);
    detail::fill_unet(model, backend, part, {}, 0);
    return model;
}

/// Writes config.json and the weights of a UNet as a folder that Tune-A-Video (inflated) or diffusers (2D) loads:
/// diffusion_pytorch_model.bin, the one name that the reference reads, or safetensors.
template <Scalar T, Backend B, class Parts>
void save_unet(const UNet3DConditionModel<T, B, Parts>& model, const std::filesystem::path& folder,
               bool safetensors = false, DType dtype = DType::f32) {
    make_output_folder(folder);
    if (safetensors) {
        write_safetensors(folder / "diffusion_pytorch_model.safetensors", parameter_sources(model, dtype),
                          {{"format", "pt"}});
    } else {
        write_torch_checkpoint(folder / "diffusion_pytorch_model.bin", parameter_sources(model, dtype));
    }
    write_json(folder / "config.json", write_unet_config(model.config));
}

#ifdef REEL_COMPILED // reel/compiled/folders_*.cpp have these
extern template CLIPTextModel<float> load_clip_text_model(Cpu&, const ModelPart&);
extern template AutoencoderKL<float> load_autoencoder_kl(Cpu&, const ModelPart&);
extern template AutoencoderTiny<float> load_autoencoder_tiny(Cpu&, const ModelPart&);
extern template UNet3DConditionModel<float> load_unet(Cpu&, const ModelPart&, std::uint64_t);
extern template UNet3DConditionModel<float> load_unet_2d(Cpu&, const ModelPart&);
extern template void save_unet(const UNet3DConditionModel<float>&, const std::filesystem::path&, bool, DType);
extern template CLIPTextModel<double> load_clip_text_model(Cpu&, const ModelPart&);
extern template AutoencoderKL<double> load_autoencoder_kl(Cpu&, const ModelPart&);
extern template AutoencoderTiny<double> load_autoencoder_tiny(Cpu&, const ModelPart&);
extern template UNet3DConditionModel<double> load_unet(Cpu&, const ModelPart&, std::uint64_t);
extern template UNet3DConditionModel<double> load_unet_2d(Cpu&, const ModelPart&);
extern template void save_unet(const UNet3DConditionModel<double>&, const std::filesystem::path&, bool, DType);
extern template CLIPTextModel<bfloat16> load_clip_text_model(Cpu&, const ModelPart&);
extern template AutoencoderKL<bfloat16> load_autoencoder_kl(Cpu&, const ModelPart&);
extern template AutoencoderTiny<bfloat16> load_autoencoder_tiny(Cpu&, const ModelPart&);
extern template UNet3DConditionModel<bfloat16> load_unet(Cpu&, const ModelPart&, std::uint64_t);
extern template UNet3DConditionModel<bfloat16> load_unet_2d(Cpu&, const ModelPart&);
extern template void save_unet(const UNet3DConditionModel<bfloat16>&, const std::filesystem::path&, bool, DType);
#endif

} // namespace reel
