#pragma once
// The controls by name, as options choose them. Needs nlohmann-json and utf8proc.

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <reel/pipelines/control/attend_and_excite.hpp>
#include <reel/pipelines/control/ledits.hpp>
#include <reel/pipelines/control/mutual_self_attention.hpp>
#include <reel/pipelines/control/plug_and_play.hpp>
#include <reel/pipelines/control/prompt_to_prompt.hpp>
#include <reel/pipelines/control/token_flow.hpp>
#include <reel/pipelines/control_options.hpp>
#include <reel/text/aligned_prompts.hpp>

namespace reel {

/// A concept of LEDITS++ in words.
struct ConceptText {
    std::string text;
    std::vector<index_t> tokens; ///< of its words
    double scale = 5;
};

/// What a control must know of the prompts.
struct ControlTexts {
    TokenAlignment tokens;
    std::vector<index_t> clip_words{};   ///< tokens of the clip's prompt to blend at
    std::vector<index_t> edit_words{};   ///< of the edited one
    std::vector<index_t> excite_words{}; ///< of that, too
    std::vector<ConceptText> concepts{};
};

/// The concepts that options name; without one the edited prompt, by those of its words that the clip's lacks. Throws
/// Error for one without words, and where it has none that the clip's lacks.
[[nodiscard]] inline std::vector<ConceptText> concept_texts(const ControlOptions& options,
                                                            const CLIPTokenizer& tokenizer, const std::string& prompt,
                                                            const std::string& edited) {
    std::vector<ConceptText> result;
    for (const std::string& given : options.concepts) {
        const auto named = ControlOptions::read_concept(given, "--concept");
        ConceptText& added = result.emplace_back(ConceptText{named.text, {}, named.scale});
        const std::size_t words = detail::seen_tokens(tokenizer, named.text).size();
        require(words > 0, "--concept ", given, ": no word is left of it");
        for (std::size_t i = 1; i <= words; ++i) {
            added.tokens.push_back(static_cast<index_t>(i));
        }
    }
    if (result.empty()) {
        const TokenAlignment both = refined_tokens(tokenizer, prompt, edited);
        ConceptText& added = result.emplace_back(ConceptText{edited, {}});
        for (std::size_t i = 1; i <= detail::seen_tokens(tokenizer, edited).size(); ++i) {
            if (both.own[i] > 0) {
                added.tokens.push_back(static_cast<index_t>(i));
            }
        }
        require(!added.tokens.empty(), "--control ledits: \"", edited, "\" has no word that \"", prompt,
                "\" lacks; give --concept");
    }
    return result;
}

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
    const auto in_edited = [&](const std::string& word, const char* option, const std::string& given) {
        const auto found = tokens_in(edited, word);
        require(!found.empty(), option, " ", given, ": \"", word, "\" is not in the edited prompt \"", edited, "\"");
        return found;
    };
    ControlTexts texts{options.word_alignment == WordAlignment::replace ? replaced_words(tokenizer, prompt, edited)
                                                                        : refined_tokens(tokenizer, prompt, edited)};
    for (const std::string& text : options.word_weights) {
        const auto weight = ControlOptions::read_word_weight(text, "--word_weight");
        for (const index_t token : in_edited(weight.word, "--word_weight", text)) {
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
    for (const std::string& word : options.excite_words) {
        const auto found = in_edited(word, "--excite_word", word);
        texts.excite_words.insert(texts.excite_words.end(), found.begin(), found.end());
    }
    if (options.control == ControlKind::ledits) {
        texts.concepts = concept_texts(options, tokenizer, prompt, edited);
    }
    return texts;
}

/// What a control is made of.
template <Backend B>
struct ControlSetup {
    const ControlOptions& options;
    const ControlTexts& texts;
    Tensor<float, B> edited;                       ///< [1, tokens, channels], the edited prompt's
    std::uint64_t seed = 0;                        ///< of what a control draws
    std::vector<EditConcept<float, B>> concepts{}; ///< of texts.concepts
};

/// A control whose UNet computes with any type, and what leads latents to words: what sampling asks of them.
template <Backend B>
struct AnyControl {
    using X = Tensor<float, B>;

    AnyControl() = default;
    AnyControl(const AnyControl&) = delete;
    AnyControl& operator=(const AnyControl&) = delete;
    virtual ~AnyControl() = default;

    /// Whether the UNet sees the clip before it sees the edit.
    [[nodiscard]] virtual bool looks_at_clip() const { return false; }
    virtual void begin(const ControlStep& /*at*/) {}
    [[nodiscard]] virtual bool needs_clip(const ControlStep& /*at*/) const { return true; }
    /// See PromptToPrompt; of controls that have none `edited` itself.
    [[nodiscard]] virtual X local_blend(index_t /*k*/, const X& edited, const X& /*clip*/) const { return edited; }

    /// What LEDITS++ puts in the place of guidance; null without it.
    const std::vector<EditConcept<float, B>>* concepts = nullptr;
    ConceptMaps* concept_maps = nullptr; ///< in the UNet

    /// See AttendAndExcite; undefined where no words are to be led to.
    std::function<X(index_t step, const Trajectory<float, B>& levels, const X& latents)> lead{};
};

/// One that is there already.
template <Backend B, class Control>
struct AnyControlOf final : AnyControl<B> {
    using X = Tensor<float, B>;

    explicit AnyControlOf(Control& which) : control(which) {}

    [[nodiscard]] bool looks_at_clip() const override { return true; }
    void begin(const ControlStep& at) override { control.begin(at); }
    [[nodiscard]] bool needs_clip(const ControlStep& at) const override {
        if constexpr (requires { control.needs_clip(at); }) {
            return control.needs_clip(at);
        } else {
            return true;
        }
    }
    [[nodiscard]] X local_blend(index_t k, const X& edited, const X& clip) const override {
        if constexpr (requires { control.local_blend(k, edited, clip); }) {
            return control.local_blend(k, edited, clip);
        } else {
            return edited;
        }
    }

    Control& control;
};

namespace detail {

/// use(control) with the control that the options name, which is not `none`, for a UNet of T.
template <Scalar T, Backend B, class Use>
void with_named_control(B& backend, const ControlSetup<B>& setup, const Use& use) {
    const ControlOptions& options = setup.options;
    const PlugAndPlayOptions plug{.feature_steps = options.feature_steps, .attention_steps = options.attention_steps};
    switch (options.control) {
    case ControlKind::prompt_to_prompt:
        use(PromptToPrompt<T, B>(backend, setup.texts.tokens,
                                 {.cross_replace_steps = options.cross_replace_steps,
                                  .self_replace_steps = options.self_replace_steps,
                                  .blend_threshold = options.blend_threshold,
                                  .blend_start = options.blend_start},
                                 setup.texts.clip_words, setup.texts.edit_words));
        return;
    case ControlKind::masactrl:
        use(MutualSelfAttention<T, B>({.start_step = options.masactrl_start}));
        return;
    case ControlKind::plug_and_play:
        use(PlugAndPlay<T, B>(plug));
        return;
    case ControlKind::tokenflow:
        use(TokenFlow<T, B, PlugAndPlay<T, B>>(RandomKeyframes{options.keyframe_batch, setup.seed},
                                               PlugAndPlay<T, B>(plug)));
        return;
    case ControlKind::ledits:
    case ControlKind::none:
        break;
    }
    fail("with_named_control: no control is named");
}

} // namespace detail

/// run(control), with the control that the options name, if they do, in the UNet, and led to words, if they say so.
template <Scalar T, Backend B, class Parts, class Run>
void under_named_control(UNet3DConditionModel<T, B, Parts>& unet, B& backend, const ControlSetup<B>& setup,
                         const Run& run) {
    const auto led = [&](AnyControl<B>& control) {
        if (setup.options.excites()) {
            control.lead = AttendAndExcite<T, B, Parts>(
                unet, setup.edited, setup.texts.excite_words,
                {.steps = setup.options.excite_steps, .step_size = setup.options.excite_step_size});
        }
        run(control);
    };
    if (!setup.options.given()) {
        AnyControl<B> none;
        led(none);
        return;
    }
    if (setup.options.control == ControlKind::ledits) {
        ConceptMaps maps = maps_of(setup.concepts);
        AnyControl<B> control;
        control.concepts = &setup.concepts;
        control.concept_maps = &maps;
        with_control(unet, maps, [&] { run(control); });
        return;
    }
    detail::with_named_control<T>(backend, setup, [&]<class Control>(Control control) {
        AnyControlOf<B, Control> any(control);
        with_control(unet, control, [&] { led(any); });
    });
}

} // namespace reel
