#pragma once // Needs reel::io.
// The file of a tuning as LoRA: its names, and the temporal layers that it belongs to.

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <reel/core/ranges.hpp>
#include <reel/io/lora/lora_file.hpp>
#include <reel/io/lora/lora_use.hpp>
#include <reel/models/from_pretrained.hpp>
#include <reel/pipelines/tune_options.hpp>

namespace reel {

/// In the folder of a tuning's results.
inline constexpr const char* tuned_lora_file = "tuned_lora.safetensors";

/// What factors of temporal layers stand beside: layers fresh from a seed, as inflation adds them, or others, that are
/// the model's own. In the header of a LoRA's file, since other layers than these make nonsense of them.
struct TemporalStart {
    std::optional<std::uint64_t> seed{}; ///< nothing: the model's own

    static constexpr const char* key = "reel.temporal_start";

    [[nodiscard]] std::string text() const { return seed ? concat_text("seed ", *seed) : "model"; }
};

/// What a LoRA's file says of it: nothing where it is of another program, or has nothing for temporal layers. `file` is
/// for messages.
[[nodiscard]] inline std::optional<TemporalStart> temporal_start(const TextMetadata& metadata,
                                                                 const std::string& file) {
    const auto found = metadata.find(TemporalStart::key);
    if (found == metadata.end()) {
        return std::nullopt;
    }
    constexpr std::string_view seed = "seed ";
    const std::string& text = found->second;
    TemporalStart start;
    if (text.starts_with(seed)) {
        std::uint64_t number = 0;
        const char* const end = text.data() + text.size();
        const auto [stop, error] = std::from_chars(text.data() + seed.size(), end, number);
        if (error == std::errc{} && stop == end) {
            start.seed = number;
        }
    }
    require(start.text() == text, file, ": ", TemporalStart::key, " is \"", text,
            "\", expected \"seed NUMBER\" or \"model\"");
    return start;
}

/// The seed that temporal layers must be fresh from for the LoRA files of a choice, or nothing where it does not
/// matter. Throws Error where files want different ones.
[[nodiscard]] inline std::optional<std::uint64_t> temporal_seed(const LoraChoice& choice) {
    std::optional<std::uint64_t> seed;
    std::string first;
    for (const LoraUse& use : choice.uses) {
        const std::filesystem::path file = detail::lora_path(use.file);
        const auto start = temporal_start(read_any_weights_file(file).metadata, file.string());
        if (use.scale == 0 || !start || !start->seed) {
            continue;
        }
        require(!seed || *seed == *start->seed, file.string(), ": was tuned beside temporal layers fresh from seed ",
                *start->seed, ", and ", first, " from seed ", seed.value_or(0),
                "; expected one seed, give one of the two");
        seed = start->seed;
        first = file.string();
    }
    return seed;
}

/// Throws Error unless a model's temporal layers are those that a LoRA's file wants. `own`: they came with the model.
template <Module Unet>
void require_temporal_start(const Unet& unet, const TemporalStart& start, bool own, const std::string& file) {
    require(start.seed || own, file, ": was tuned beside temporal layers of its model's own, which this model does ",
            "not have; give the model that it was tuned on");
    require(!start.seed || !own, file, ": was tuned beside temporal layers fresh from seed ", start.seed.value_or(0),
            ", and this model has its own; give the model that it was tuned on");
    for_each_parameter(unet, [&](const std::string& name, const auto& parameter) {
        if (start.seed && name.ends_with(".attn_temp.to_out.0.bias")) { // which no LoRA changes
            auto fresh = parameter;
            initialize_temporal(fresh, parameter.value().backend(), name, *start.seed);
            require(fresh.exact().to_host() == parameter.exact().to_host(), file,
                    ": was tuned beside temporal layers fresh from seed ", *start.seed,
                    ", and this model's are others; load it with that seed, and without a replay");
        }
    });
}

/// The factors as tensors of a LoRA file. `factors`: by PEFT's names of the UNet's layers, MODULE.lora_A.weight and
/// MODULE.lora_B.weight. Their strength is 1: sd-scripts' alpha is the rank.
[[nodiscard]] inline StateDict lora_file_tensors(const StateDict& factors, LoraNaming names) {
    StateDict tensors;
    for (const auto& [name, tensor] : factors) {
        if (names == LoraNaming::peft) {
            tensors.emplace("unet." + name, tensor);
            continue;
        }
        const auto parts = lora_tensor_name(name);
        require(parts && (parts->role == LoraRole::down || parts->role == LoraRole::up), "lora_file_tensors: \"", name,
                "\" is no factor of a LoRA");
        const std::string layer = "lora_unet_" + detail::with_underscores(parts->stem);
        if (parts->role == LoraRole::down) {
            tensors.emplace(layer + ".lora_down.weight", tensor);
            tensors.emplace(layer + ".alpha", HostTensor::make<float>({}, {static_cast<float>(tensor.shape.front())}));
        } else {
            tensors.emplace(layer + ".lora_up.weight", tensor);
        }
    }
    return tensors;
}

/// Writes factors as a LoRA file. `start`: what those of temporal layers stand beside.
inline void write_tuned_lora(const std::filesystem::path& file, const StateDict& factors, LoraNaming names,
                             const TemporalStart& start) {
    require(!factors.empty(), file.string(), ": nothing was tuned as a LoRA; expected tune: lora");
    TextMetadata metadata{{"format", "pt"}};
    if (ranges::any_of(factors, [](const auto& entry) { return is_temporal_parameter(entry.first); })) {
        metadata.emplace(TemporalStart::key, start.text());
    }
    write_safetensors(file, lora_file_tensors(factors, names), metadata);
}

} // namespace reel
