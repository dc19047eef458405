#pragma once
// How LoRA files end the names of their tensors. Needs no library.

#include <reel/core/error.hpp>

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace reel {

/// Kinds of adapters, by how they make a weight's change of small factors.
enum class LoraKind { lora, loha, lokr };

/// What a tensor of an adapter is. The w's and t's are LoHa's and LoKr's.
enum class LoraRole { down, up, mid, w1, w1_a, w1_b, w2, w2_a, w2_b, t1, t2, alpha, dora_scale, magnitude };

/// A tensor's name, taken apart.
struct LoraTensorName {
    std::string stem;             ///< the layer, in whichever spelling
    LoraRole role = LoraRole::up; ///< of the tensor there
    std::optional<LoraKind> kind; ///< nothing for what adapters of every kind may have
    std::string adapter{};        ///< PEFT's name of it, such as "default", where the tensor's has it
    bool peft = false;            ///< lora_A, lora_B and lora_magnitude_vector: names of PEFT
};

namespace detail {

struct LoraEnding {
    std::string_view text;
    LoraRole role;
    std::optional<LoraKind> kind;
};

/// sd-scripts' and LyCORIS' names, diffusers' and PEFT's, and diffusers' of before PEFT.
inline constexpr std::array lora_endings{
    LoraEnding{".lora_down.weight", LoraRole::down, LoraKind::lora},
    LoraEnding{".lora_up.weight", LoraRole::up, LoraKind::lora},
    LoraEnding{".lora_mid.weight", LoraRole::mid, LoraKind::lora},
    LoraEnding{".lora.down.weight", LoraRole::down, LoraKind::lora},
    LoraEnding{".lora.up.weight", LoraRole::up, LoraKind::lora},
    LoraEnding{".lora_linear_layer.down.weight", LoraRole::down, LoraKind::lora},
    LoraEnding{".lora_linear_layer.up.weight", LoraRole::up, LoraKind::lora},
    LoraEnding{".lora_A.weight", LoraRole::down, LoraKind::lora},
    LoraEnding{".lora_B.weight", LoraRole::up, LoraKind::lora},
    LoraEnding{".hada_w1_a", LoraRole::w1_a, LoraKind::loha},
    LoraEnding{".hada_w1_b", LoraRole::w1_b, LoraKind::loha},
    LoraEnding{".hada_w2_a", LoraRole::w2_a, LoraKind::loha},
    LoraEnding{".hada_w2_b", LoraRole::w2_b, LoraKind::loha},
    LoraEnding{".hada_t1", LoraRole::t1, LoraKind::loha},
    LoraEnding{".hada_t2", LoraRole::t2, LoraKind::loha},
    LoraEnding{".lokr_w1", LoraRole::w1, LoraKind::lokr},
    LoraEnding{".lokr_w1_a", LoraRole::w1_a, LoraKind::lokr},
    LoraEnding{".lokr_w1_b", LoraRole::w1_b, LoraKind::lokr},
    LoraEnding{".lokr_w2", LoraRole::w2, LoraKind::lokr},
    LoraEnding{".lokr_w2_a", LoraRole::w2_a, LoraKind::lokr},
    LoraEnding{".lokr_w2_b", LoraRole::w2_b, LoraKind::lokr},
    LoraEnding{".lokr_t2", LoraRole::t2, LoraKind::lokr},
    LoraEnding{".alpha", LoraRole::alpha, std::nullopt},
    LoraEnding{".dora_scale", LoraRole::dora_scale, std::nullopt},
    LoraEnding{".lora_magnitude_vector", LoraRole::magnitude, LoraKind::lora},
    LoraEnding{".lora_magnitude_vector.weight", LoraRole::magnitude, LoraKind::lora},
};

/// Endings of what reel does not merge, and what that is.
struct RefusedLoraEnding {
    std::string_view text;
    std::string_view what;
};

inline constexpr std::array refused_lora_endings{
    RefusedLoraEnding{".a1.weight", "GLoRA"},
    RefusedLoraEnding{".a2.weight", "GLoRA"},
    RefusedLoraEnding{".b1.weight", "GLoRA"},
    RefusedLoraEnding{".b2.weight", "GLoRA"},
    RefusedLoraEnding{".on_input", "IA3"},
    RefusedLoraEnding{".ia3_l", "IA3"},
    RefusedLoraEnding{".oft_blocks", "OFT or BOFT"},
    RefusedLoraEnding{".oft_diag", "OFT"},
    RefusedLoraEnding{".oft_R", "OFT"},
    RefusedLoraEnding{".oft_R.weight", "OFT"},
    RefusedLoraEnding{".boft_R", "BOFT"},
    RefusedLoraEnding{".boft_s", "BOFT"},
    RefusedLoraEnding{".lambda_layer", "T-LoRA"},
    RefusedLoraEnding{".lora_E", "AdaLoRA"},
    RefusedLoraEnding{".vera_lambda_b", "VeRA"},
    RefusedLoraEnding{".vera_lambda_d", "VeRA"},
    RefusedLoraEnding{".diff", "whole differences of weights (LyCORIS' full)"},
    RefusedLoraEnding{".diff_b", "differences of biases"},
    RefusedLoraEnding{".w_norm", "differences of norms"},
    RefusedLoraEnding{".b_norm", "differences of norms"},
    RefusedLoraEnding{".lora_B.bias", "LoRA with biases"},
    RefusedLoraEnding{".lora_up.bias", "LoRA with biases"},
    RefusedLoraEnding{".lora_embedding_A", "LoRA of an embedding"},
    RefusedLoraEnding{".lora_embedding_B", "LoRA of an embedding"},
};

/// The name without PEFT's name of the adapter in it, as in `to_q.lora_A.default.weight` or `to_q.hada_w1_a.default`,
/// and that name.
struct UnnamedAdapter {
    std::string name;
    std::string adapter;
};

[[nodiscard]] inline UnnamedAdapter without_adapter_name(const std::string& name) {
    constexpr std::string_view weight = ".weight";
    for (const std::string_view part : {".lora_A.", ".lora_B.", ".lora_magnitude_vector."}) {
        const std::size_t at = name.find(part);
        if (at == std::string::npos || !name.ends_with(weight) || name.size() <= at + part.size() + weight.size()) {
            continue;
        }
        const std::size_t begin = at + part.size();
        return {concat_text(name.substr(0, begin - 1), weight),
                name.substr(begin, name.size() - weight.size() - begin)};
    }
    for (const std::string_view part : {".hada_", ".lokr_"}) {
        const std::size_t at = name.find(part);
        const std::size_t dot = at == std::string::npos ? at : name.find('.', at + part.size());
        if (dot != std::string::npos) {
            return {name.substr(0, dot), name.substr(dot + 1)};
        }
    }
    return {name, ""};
}

} // namespace detail

/// Takes a tensor's name apart; nothing for one that is no adapter's.
[[nodiscard]] inline std::optional<LoraTensorName> lora_tensor_name(const std::string& name) {
    const auto [plain, adapter] = detail::without_adapter_name(name);
    for (const auto& [text, role, kind] : detail::lora_endings) {
        if (plain.size() > text.size() && plain.ends_with(text)) {
            const bool peft = text.starts_with(".lora_A") || text.starts_with(".lora_B") ||
                              text.starts_with(".lora_magnitude_vector") || !adapter.empty();
            return LoraTensorName{plain.substr(0, plain.size() - text.size()), role, kind, adapter, peft};
        }
    }
    // Of diffusers before PEFT: attn1.processor.to_q_lora.down.weight, whose layer is "...to_q_lora".
    for (const auto& [text, role] : {std::pair{std::string_view(".down.weight"), LoraRole::down},
                                     std::pair{std::string_view(".up.weight"), LoraRole::up}}) {
        if (name.ends_with(text) && name.substr(0, name.size() - text.size()).ends_with("_lora")) {
            return LoraTensorName{name.substr(0, name.size() - text.size()), role, LoraKind::lora};
        }
    }
    return std::nullopt;
}

/// What kind of adapter a tensor's name tells of that reel does not merge; "" where it tells of none.
[[nodiscard]] inline std::string refused_adapter(const std::string& name) {
    const std::string plain = detail::without_adapter_name(name).name;
    for (const auto& [text, what] : detail::refused_lora_endings) {
        const std::size_t at = name.find(concat_text(text, "."));
        if (plain.ends_with(text) || (text.starts_with(".oft_R") && at != std::string::npos) ||
            ((text.starts_with(".boft") || text.starts_with(".ia3") || text.starts_with(".lora_emb")) &&
             at != std::string::npos)) {
            return std::string(what);
        }
    }
    return "";
}

} // namespace reel
