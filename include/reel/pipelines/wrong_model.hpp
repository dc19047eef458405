#pragma once
// What is given in place of a model's folder, and the sentence that says so. Needs reel::io.

#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include <reel/core/error.hpp>
#include <reel/io/config/json.hpp>
#include <reel/io/weights/weights_file.hpp>

namespace reel {

/// Throws Error for the model_index.json of another kind of model.
inline void refuse_other_pipelines(const nlohmann::json& index, const std::string& where) {
    const nlohmann::json name = index.value("_class_name", nlohmann::json());
    const std::string pipeline = name.is_string() ? name.get<std::string>() : "";
    constexpr std::array<std::pair<std::string_view, std::string_view>, 10> others{
        {{"StableDiffusionXL", "Stable Diffusion XL"},
         {"StableDiffusion3", "Stable Diffusion 3"},
         {"Flux", "FLUX"},
         {"StableCascade", "Stable Cascade"},
         {"PixArt", "PixArt"},
         {"Kandinsky", "Kandinsky"},
         {"StableVideoDiffusion", "Stable Video Diffusion"},
         {"TextToVideoSD", "a text-to-video model"},
         {"Wan", "Wan"},
         {"CogVideoX", "CogVideoX"}}};
    for (const auto& [start, model] : others) {
        require(!pipeline.starts_with(start), where, ": this is ", model, " (", pipeline,
                "), which reel does not have; it runs Stable Diffusion 1.x and 2.x");
    }
}

/// Throws Error, saying what a folder is, where it is no whole model.
inline void refuse_folder_of_something_else(const std::filesystem::path& folder) {
    const std::string where = folder.string();
    std::error_code ignored;
    const auto has = [&](const char* file) { return std::filesystem::exists(folder / file, ignored); };
    if (has("model_index.json")) {
        return;
    }
    require(!has("adapter_config.json") && !has("adapter_model.safetensors") &&
                !has("pytorch_lora_weights.safetensors") && !has("pytorch_lora_weights.bin"),
            where, ": a folder with a LoRA, not a model; name the model with --model and this with --lora");
    require(!has("learned_embeds.bin") && !has("learned_embeds.safetensors"), where,
            ": a folder with an embedding of textual inversion, not a model; name its file with --embedding");
    require(!has("optimizer.bin") && !has("random_states_0.pkl"), where,
            ": a training checkpoint of accelerate's, not a model; name the folder that the training saved at its end");
    require(!has("state.json") || !has("trained.safetensors"), where,
            ": the state of one of reel's own tunings, not a model; name the folder around it, or continue it with "
            "--resume_from_checkpoint");
    if (has("config.json")) {
        const nlohmann::json config = read_json(folder / "config.json");
        const nlohmann::json kind = config.is_object()
                                        ? config.value("_class_name", config.value("model_type", nlohmann::json()))
                                        : nlohmann::json();
        fail(where, ": one part of a model (", kind.is_string() ? kind.get<std::string>() : "config.json",
             "), not a whole one; name the folder around it, ", folder.parent_path().string());
    }
    require(!has("scheduler_config.json") && !has("vocab.json") && !has("tokenizer_config.json"), where,
            ": the scheduler/ or tokenizer/ of a model, not a whole one; name the folder around it, ",
            folder.parent_path().string());
    std::string single;
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
        if (weights_format_of(entry.path()) && entry.is_regular_file(ignored)) {
            single = single.empty() ? entry.path().string() : single;
            ++count;
        }
    }
    require(count == 0, where, ": no diffusers folder (it has no model_index.json), but it has ", count,
            " files of weights; name one of them, such as ", single);
    fail(where, ": no diffusers folder: it has no model_index.json");
}

} // namespace reel
