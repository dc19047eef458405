#pragma once
// What a user is told when a model is loaded. Needs reel::io and reel::text.

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/io/weights/weights.hpp>
#include <reel/schedulers/config/model_scheduler.hpp>
#include <reel/text/clip_tokenizer.hpp>

namespace reel {

/// Lines for a user about what was taken in place of what a folder does not have: the only variant of its weights, a
/// DDIMScheduler for a class that reel lacks.
[[nodiscard]] inline std::vector<std::string> model_notes(const std::filesystem::path& folder) {
    std::vector<std::string> notes;
    for (const auto& [part, names] :
         {std::pair{"text_encoder", &transformers_weight_names}, std::pair{"vae", &diffusers_weight_names},
          std::pair{"unet", &diffusers_weight_names}}) {
        if (const std::string variant = taken_variant(folder / part, *names); !variant.empty()) {
            notes.push_back(
                concat_text((folder / part).string(), ": only the variant ", variant, " is there, and it is taken"));
        }
    }
    if (std::string note = read_model_scheduler(folder / "scheduler").note; !note.empty()) {
        notes.push_back(std::move(note));
    }
    return notes;
}

/// A line for a user whose prompt has other ids in Python, since the tokenizer's folder is of transformers 5, which
/// repairs no text; else empty.
[[nodiscard]] inline std::string prompt_note(const CLIPTokenizer& tokenizer, std::string_view prompt) {
    return tokenizer.differs_in_transformers5(prompt)
               ? concat_text("the prompt \"", prompt,
                             "\" has other tokens in transformers 5, which wrote this tokenizer and "
                             "repairs no text; --text_cleaning transformers5 gives those")
               : "";
}

} // namespace reel
