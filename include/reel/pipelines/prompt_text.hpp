#pragma once
// What changes how a model reads prompts: words of textual inversion, layers left out, weights of words. Needs reel::io
// and reel::text.

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <reel/io/files/sha256.hpp>
#include <reel/io/weights/model_part.hpp>
#include <reel/io/weights/textual_inversion.hpp>
#include <reel/pipelines/model_options.hpp>
#include <reel/tensor.hpp>
#include <reel/text/clip_tokenizer.hpp>

namespace reel {

/// A text encoder without its last layers, whose final norm then sees the layer before them: `clip_skip` of diffusers.
/// Throws Error where it has not so many.
[[nodiscard]] inline ModelPart without_last_layers(const ModelPart& text_encoder, int count) {
    if (count == 0) {
        return text_encoder;
    }
    nlohmann::json config = text_encoder.config_json();
    NamedWeights weights = text_encoder.weights(transformers_weight_names);
    const std::string prefix = "text_model.encoder.layers.";
    const int layers = detail::count_numbered(weights.tensors, prefix);
    require(count < layers, "--clip_skip ", count, ": the text encoder ", text_encoder.path().string(), " has ", layers,
            " layers; expected 0 to ", layers - 1);
    for (int layer = layers - count; layer < layers; ++layer) {
        const std::string name = concat_text(prefix, layer, ".");
        std::erase_if(weights.tensors, [&](const auto& entry) { return entry.first.starts_with(name); });
    }
    config["num_hidden_layers"] = layers - count;
    return {text_encoder.path(), std::move(config), std::move(weights.tensors)};
}

/// A text encoder whose table has further rows, and its tokenizer with the words for them: as diffusers'
/// load_textual_inversion(). Throws Error for vectors of another width, naming both, and a word that is known.
[[nodiscard]] inline ModelPart with_new_words(const ModelPart& text_encoder, CLIPTokenizer& tokenizer,
                                              const std::vector<NewWord>& words) {
    if (words.empty()) {
        return text_encoder;
    }
    nlohmann::json config = text_encoder.config_json();
    NamedWeights weights = text_encoder.weights(transformers_weight_names);
    const auto found = weights.tensors.find("text_model.embeddings.token_embedding.weight");
    require(found != weights.tensors.end() && found->second.shape.size() == 2, weights.file,
            ": no table of tokens (text_model.embeddings.token_embedding.weight) for the words of --embedding");
    const std::int64_t width = found->second.shape[1];
    std::vector<float> table = found->second.to_vector<float>();
    for (const NewWord& word : words) {
        require(word.width() == width, word.file, ": its vectors have ", word.width(),
                " numbers, the model's text encoder has ", width,
                " (768 in Stable Diffusion 1, 1024 in 2): the embedding is for another model");
        std::int32_t first = 0;
        try {
            first = tokenizer.add_word(word.word, static_cast<std::int32_t>(word.count()));
        } catch (const Error& error) {
            fail(word.file, ": ", error.what());
        }
        const std::vector<float> values = word.vectors.to_vector<float>();
        const auto begin = static_cast<std::size_t>(first) * static_cast<std::size_t>(width);
        table.resize(std::max(table.size(), begin + values.size()));
        std::copy(values.begin(), values.end(), table.begin() + static_cast<std::ptrdiff_t>(begin));
    }
    const auto rows = static_cast<std::int64_t>(table.size()) / width;
    found->second = HostTensor::make<float>({rows, width}, std::move(table));
    config["vocab_size"] = rows;
    return {text_encoder.path(), std::move(config), std::move(weights.tensors)};
}

/// What tells models apart that read prompts differently; "" for one that reads them as it came.
[[nodiscard]] inline std::string reading_identity(const std::vector<NewWord>& words, PromptSyntax syntax) {
    std::string identity;
    for (const NewWord& word : words) {
        Sha256 hash;
        hash.update(word.vectors.bytes());
        identity += concat_text("embedding ", word.word, " ", hash.hex(), "\n");
    }
    return identity + (syntax == PromptSyntax::plain ? "" : "a1111\n");
}

/// A prompt's text [1, tokens, channels] with its tokens weighed: multiplied, and the whole brought back to the mean
/// that it had, as stable-diffusion-webui does. Computed on the host.
template <Scalar T, Backend B>
[[nodiscard]] Tensor<T, B> weighted_text(const Tensor<T, B>& text, std::span<const float> weights) {
    require(text.rank() == 3 && text.shape(0) == 1 && text.shape(1) == static_cast<index_t>(weights.size()),
            "weighted_text: ", text.shape(), " with ", weights.size(), " weights");
    std::vector<T> values = text.to_host();
    const std::size_t width = values.size() / weights.size();
    double before = 0;
    double after = 0;
    std::vector<double> weighed(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
        const auto value = static_cast<double>(static_cast<compute_t<T>>(values[i]));
        weighed[i] = value * static_cast<double>(weights[i / width]);
        before += value;
        after += weighed[i];
    }
    const double scale = after == 0 ? 1 : before / after;
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<T>(static_cast<compute_t<T>>(weighed[i] * scale));
    }
    return Tensor<T, B>::from_host(text.backend(), text.shape(), std::span<const T>(values));
}

} // namespace reel
