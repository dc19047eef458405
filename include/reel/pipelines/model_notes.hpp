#pragma once
// What a user is told when a model is loaded. Needs reel::io and reel::text.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/io/weights/weights.hpp>
#include <reel/models/autoencoder_tiny_config.hpp>
#include <reel/pipelines/model_files.hpp>
#include <reel/text/clip_tokenizer.hpp>

namespace reel {

/// Lines for a user about what was taken in place of what a model does not have (the only variant of its weights, a
/// DDIMScheduler for a class that reel lacks), and about what its UNet has no use for. Of a model that was loaded.
[[nodiscard]] inline std::vector<std::string> model_notes(const ModelFiles& files) {
    std::vector<std::string> notes = files.notes;
    for (const auto& [part, names] :
         {std::pair{&files.text_encoder, &transformers_weight_names}, std::pair{&files.vae, &diffusers_weight_names},
          std::pair{&files.unet, &diffusers_weight_names}}) {
        const bool asked = !part->in_folder() || !part->variant().empty();
        if (const std::string variant = asked ? "" : taken_variant(part->path(), *names); !variant.empty()) {
            notes.push_back(
                concat_text(part->path().string(), ": only the variant ", variant, " is there, and it is taken"));
        }
    }
    if (!files.scheduler.note.empty()) {
        notes.push_back(files.scheduler.note);
    }
    if (is_autoencoder_tiny(files.vae.config_json())) {
        notes.push_back(concat_text(files.vae.path().string(),
                                    ": a tiny autoencoder, quick and coarser than a whole one; a folder that is saved "
                                    "with it is for reel and diffusers 0.21 or later, not for Tune-A-Video's 0.11.1"));
    }
    const nlohmann::json unet = files.unet.config_json();
    if (unet.contains("time_cond_proj_dim") && !unet["time_cond_proj_dim"].is_null()) {
        const std::string file =
            (files.unet.in_folder() ? files.unet.path() / "config.json" : files.unet.path()).string();
        notes.push_back(concat_text(file, ": the unet was distilled to be told the guidance scale, at any of which it "
                                          "is asked once; negative prompts have no effect"));
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
