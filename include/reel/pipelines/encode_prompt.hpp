#pragma once
// A prompt through a model's tokenizer and text encoder. Needs reel::io and reel::text.

#include <cstdint>
#include <span>
#include <string_view>

#include <reel/pipelines/prompt_text.hpp>
#include <reel/pipelines/stable_diffusion_parts.hpp>
#include <reel/text/clip_tokenizer.hpp>
#include <reel/text/weighted_prompt.hpp>

namespace reel {

template <Scalar T, Backend B, class Parts>
[[nodiscard]] Tensor<T, B> encode_prompt(const StableDiffusion<T, B, Parts>& model, std::string_view prompt) {
    const WeightedEncoding read = encode_weighted(*model.tokenizer, prompt, model.prompt_syntax);
    const Tensor<T, B> text = model.text_encoder(std::span<const std::int32_t>(read.encoding.ids));
    return read.is_plain() ? text : weighted_text(text, std::span<const float>(read.weights));
}

} // namespace reel
