#pragma once // Needs reel::text and reel::io.
// Prompts are looked at before the work begins.

#include <iostream>
#include <string>

#include <reel/pipelines/any_pipeline.hpp>
#include <reel/pipelines/tune_config.hpp>

namespace reel {

/// Says on stderr when a prompt is longer than the text encoder can see, or has other tokens in the Python that wrote
/// the model's tokenizer. Errors name the key it came from.
inline void check_prompt(const AnyPipeline& model, const std::string& key, const std::string& prompt) {
    std::string unseen;
    try {
        unseen = model.unseen(prompt);
    } catch (const Error& error) {
        fail(key, ": ", error.what());
    }
    if (!unseen.empty()) {
        std::string shown = unseen.substr(0, 60);
        while (!shown.empty() && (static_cast<unsigned char>(shown.back()) & 0x80U) != 0) {
            shown.pop_back(); // no half of a character
        }
        std::cerr << "warning: " << key << " is longer than " << model.max_tokens() << " tokens; not seen: \""
                  << terminal_text(shown) << (shown.size() < unseen.size() ? "..." : "") << "\"\n";
    }
    if (const std::string note = model.note_on(prompt); !note.empty()) {
        std::cerr << "note: " << terminal_text(note) << '\n';
    }
}

/// check_prompt() of all prompts of a run.
inline void check_prompts(const AnyPipeline& model, const TuneAVideoConfig& config) {
    check_prompt(model, "prompt", config.train_data.prompt);
    for (const std::string& prompt : config.validation_data.prompts) {
        check_prompt(model, "edited prompt", prompt);
    }
    check_prompt(model, "negative_prompt", config.validation_data.negative_prompt.value_or(""));
}

} // namespace reel
