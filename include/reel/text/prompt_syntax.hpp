#pragma once

#include <array>

#include <reel/core/named_values.hpp>

namespace reel {

/// How a prompt is read.
enum class PromptSyntax {
    plain, ///< as it stands, every word alike
    a1111, ///< with brackets that weigh words, as in AUTOMATIC1111's stable-diffusion-webui
};

inline constexpr std::array prompt_syntax_names{NamedValue{"plain", PromptSyntax::plain},
                                                NamedValue{"a1111", PromptSyntax::a1111}};
/** Their names. */ [[nodiscard]] constexpr const auto& names_of(PromptSyntax) {
    return prompt_syntax_names;
}

} // namespace reel
