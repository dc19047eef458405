#pragma once
// The controls by name, as options choose them. Needs nlohmann-json and utf8proc.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <reel/pipelines/control/mutual_self_attention.hpp>
#include <reel/pipelines/control/prompt_to_prompt.hpp>
#include <reel/pipelines/control_options.hpp>
#include <reel/text/aligned_prompts.hpp>

namespace reel {

/// What a control must know of the prompts.
struct ControlTexts {
    TokenAlignment tokens;
    std::vector<index_t> clip_words{}; ///< tokens of the clip's prompt to blend at
    std::vector<index_t> edit_words{}; ///< of the edited one
};

/// Of both prompts. Throws Error for words that are in neither, and for prompts that do not go with the options.
[[nodiscard]] inline ControlTexts control_texts(const ControlOptions& options, const CLIPTokenizer& tokenizer,
                                                const std::string& prompt, const std::string& edited) {
    const auto tokens_in = [&](const std::string& text, const std::string& word) {
        try {
            return tokens_of_word(tokenizer, text, word);
        } catch (const Error&) {
            return std::vector<index_t>();
        }
    };
    ControlTexts texts{options.word_alignment == WordAlignment::replace ? replaced_words(tokenizer, prompt, edited)
                                                                        : refined_tokens(tokenizer, prompt, edited)};
    for (const std::string& text : options.word_weights) {
        const auto weight = ControlOptions::read_word_weight(text, "--word_weight");
        const auto found = tokens_in(edited, weight.word);
        require(!found.empty(), "--word_weight ", text, ": \"", weight.word, "\" is not in the edited prompt \"",
                edited, "\"");
        for (const index_t token : found) {
            texts.tokens.weight[static_cast<std::size_t>(token)] = static_cast<float>(weight.factor);
        }
    }
    for (const std::string& word : options.blend_words) {
        const auto of_clip = tokens_in(prompt, word);
        const auto of_edit = tokens_in(edited, word);
        require(!of_clip.empty() || !of_edit.empty(), "--blend_word ", word, ": it is neither in \"", prompt,
                "\" nor in \"", edited, "\"");
        texts.clip_words.insert(texts.clip_words.end(), of_clip.begin(), of_clip.end());
        texts.edit_words.insert(texts.edit_words.end(), of_edit.begin(), of_edit.end());
    }
    return texts;
}

/// use(control) with the control that `options` name, for a UNet of T.
template <Scalar T, Backend B, class Use>
void with_named_control(B& backend, const ControlOptions& options, const ControlTexts& texts, const Use& use) {
    switch (options.control) {
    case ControlKind::prompt_to_prompt: {
        PromptToPrompt<T, B> control(backend, texts.tokens,
                                     {.cross_replace_steps = options.cross_replace_steps,
                                      .self_replace_steps = options.self_replace_steps,
                                      .blend_threshold = options.blend_threshold,
                                      .blend_start = options.blend_start},
                                     texts.clip_words, texts.edit_words);
        use(control);
        return;
    }
    case ControlKind::masactrl: {
        MutualSelfAttention<T, B> control({.start_step = options.masactrl_start});
        use(control);
        return;
    }
    case ControlKind::none:
        break;
    }
    fail("with_named_control: no control is named");
}

/// A control whose UNet computes with any type: what SourceBranch and sampling ask of it.
template <Backend B>
struct AnyControl {
    AnyControl() = default;
    AnyControl(const AnyControl&) = delete;
    AnyControl& operator=(const AnyControl&) = delete;
    virtual ~AnyControl() = default;

    virtual void begin(const ControlStep& at) = 0;
    [[nodiscard]] virtual bool needs_clip(const ControlStep& at) const = 0;
    /// See PromptToPrompt; of controls that have none `edited` itself.
    [[nodiscard]] virtual Tensor<float, B> local_blend(index_t k, const Tensor<float, B>& edited,
                                                       const Tensor<float, B>& clip) const = 0;
};

/// One that is there already.
template <Backend B, class Control>
struct AnyControlOf final : AnyControl<B> {
    explicit AnyControlOf(Control& which) : control(which) {}

    void begin(const ControlStep& at) override { control.begin(at); }
    [[nodiscard]] bool needs_clip(const ControlStep& at) const override { return control.needs_clip(at); }
    [[nodiscard]] Tensor<float, B> local_blend(index_t k, const Tensor<float, B>& edited,
                                               const Tensor<float, B>& clip) const override {
        if constexpr (requires { control.local_blend(k, edited, clip); }) {
            return control.local_blend(k, edited, clip);
        } else {
            return edited;
        }
    }

    Control& control;
};

} // namespace reel
