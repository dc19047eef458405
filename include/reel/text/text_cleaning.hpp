#pragma once

#include <array>

#include <reel/core/named_values.hpp>

namespace reel {

/// What a prompt goes through before it is cut into words.
enum class TextCleaning {
    ftfy,          ///< repaired by ftfy, as for Stable Diffusion's training and by transformers 4 (with ftfy)
    transformers5, ///< NFC alone, as by transformers 5
};

inline constexpr std::array text_cleaning_names{NamedValue{"ftfy", TextCleaning::ftfy},
                                                NamedValue{"transformers5", TextCleaning::transformers5}};
/** Their names. */ [[nodiscard]] constexpr const auto& names_of(TextCleaning) {
    return text_cleaning_names;
}

} // namespace reel
