#pragma once
// What PEFT keeps of an adapter beside its tensors. Needs nlohmann-json (target reel::io).

#include <reel/core/error.hpp>
#include <reel/core/options.hpp>
#include <reel/io/config/config_reader.hpp>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace reel {

/// Adapters of PEFT that reel merges.
enum class PeftType { lora, loha, lokr };

inline constexpr std::array peft_type_names{
    NamedValue{"LORA", PeftType::lora},
    NamedValue{"LOHA", PeftType::loha},
    NamedValue{"LOKR", PeftType::lokr},
};

/// The names of its values.
[[nodiscard]] constexpr const auto& names_of(PeftType) {
    return peft_type_names;
}

/// What PEFT's adapter_config.json says of an adapter's strength.
struct PeftAdapterConfig {
    /// Numbers of modules whose path ends so, or is all of what follows a "^".
    using Pattern = std::map<std::string, double>;

    PeftType type = PeftType::lora;
    double alpha = 8;
    double rank = 8;         ///< where the factors' shapes do not say it
    bool use_rslora = false; ///< alpha / sqrt(rank) in place of alpha / rank
    Pattern alpha_pattern{}; ///< in place of alpha
    Pattern rank_pattern{};  ///< in place of rank

    /// The factor of an adapter's change in a module. Without a rank it is the configuration's. Throws Error when a
    /// pattern says two things of it.
    [[nodiscard]] double scale(const std::string& module, std::optional<std::int64_t> known_rank) const {
        const double r = known_rank ? static_cast<double>(*known_rank)
                                    : special(rank_pattern, "rank_pattern", module).value_or(rank);
        return special(alpha_pattern, "alpha_pattern", module).value_or(alpha) / (use_rslora ? std::sqrt(r) : r);
    }

private:
    [[nodiscard]] static std::optional<double> special(const Pattern& pattern, const char* what,
                                                       const std::string& module) {
        std::optional<double> found;
        for (const auto& [key, value] : pattern) {
            const bool whole = key.starts_with('^');
            const std::string end = key.substr(whole ? 1 : 0);
            if (module == end || (!whole && module.ends_with("." + end))) {
                require(found.value_or(value) == value, what, ": two entries fit \"", module, "\" and differ");
                found = value;
            }
        }
        return found;
    }
};

/// Where an adapter is: still in a model's weights, or in a file of its own.
enum class PeftUse { attached, file };

namespace detail {

/// alpha_pattern or rank_pattern: of regular expressions only ends of paths, which "^", "$" and "\." may mark.
[[nodiscard]] inline PeftAdapterConfig::Pattern read_peft_pattern(ConfigReader& reader, const std::string& name) {
    PeftAdapterConfig::Pattern result;
    const nlohmann::json* pattern = reader.raw(name);
    if (pattern == nullptr || pattern->is_null()) {
        return result;
    }
    require(pattern->is_object(), reader.where(), ": \"", name, "\" is no JSON object");
    for (const auto& [key, value] : pattern->items()) {
        std::string path = key;
        for (std::size_t at = path.find("\\."); at != std::string::npos; at = path.find("\\.", at)) {
            path.erase(at, 1);
        }
        if (path.ends_with('$')) {
            path.pop_back();
        }
        const std::string body = path.substr(path.starts_with('^') ? 1 : 0);
        require(body.find_first_of("^$*+?()[]{}|\\") == std::string::npos && value.is_number() &&
                    std::isfinite(value.get<double>()),
                reader.where(), ": \"", name, "\": \"", key.substr(0, 80),
                "\" is not the end of a module's path with a number");
        result[path] = value.get<double>();
    }
    return result;
}

} // namespace detail

/// Reads an adapter_config.json of PEFT 0.21. Of its some forty keys those are used that change how an adapter is
/// merged; what reel does not merge (biases, variants of LoRA, of an attached adapter also DoRA, LoHa and LoKr, a
/// pattern that is more than a path) is an Error that names it.
[[nodiscard]] inline PeftAdapterConfig read_peft_adapter_config(const nlohmann::json& json, const std::string& where,
                                                                PeftUse use) {
    ConfigReader reader(json, where);
    PeftAdapterConfig config;
    if (use == PeftUse::attached) {
        reader.expect("peft_type", "LORA");
        reader.expect("use_dora", false);
    } else if (reader.has("peft_type")) {
        config.type =
            choice_of<PeftType>(reader.get<std::string>("peft_type", "LORA"), concat_text(where, ": \"peft_type\""));
    }
    const char* const alpha = config.type == PeftType::lora ? "lora_alpha" : "alpha";
    config.alpha = reader.get<double>(alpha, config.alpha);
    require(std::isfinite(config.alpha), where, ": \"", alpha, "\" is not a finite number");
    config.rank = reader.get<double>("r", config.rank);
    require(std::isfinite(config.rank) && config.rank > 0, where, ": \"r\" is ", config.rank,
            ", expected a number above 0");
    config.use_rslora = reader.get<bool>("use_rslora", false);
    if (reader.has("bias")) {
        reader.expect("bias", "none");
    }
    for (const char* key : {"use_qalora", "lora_bias", "fan_in_fan_out"}) {
        reader.expect(key, false);
    }
    for (const char* key : {"alora_invocation_tokens", "arrow_config", "kasa_config", "layer_replication",
                            "monteclora_config", "trainable_token_indices", "use_bdlora", "velora_config"}) {
        if (reader.has(key)) {
            reader.expect(key, nullptr);
        }
    }
    config.alpha_pattern = detail::read_peft_pattern(reader, "alpha_pattern");
    config.rank_pattern = detail::read_peft_pattern(reader, "rank_pattern");
    return config;
}

} // namespace reel
