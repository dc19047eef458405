#pragma once
// Whether an edit looks at its clip while it is sampled, and at what.

#include <cmath>
#include <string>
#include <vector>

#include <reel/core/option_checks.hpp>
#include <reel/core/scalar.hpp>

namespace reel {

/// What an edit takes over from its clip; see pipelines/control/.
enum class ControlKind {
    none,
    prompt_to_prompt, ///< where words look, and where pixels look at each other
    masactrl,         ///< what the clip's pixels show
    plug_and_play,    ///< a block's features, and where pixels look at each other
    tokenflow,        ///< that in keyframes, and how other frames follow them
    ledits            ///< all but concepts, where they belong
};
/// Which tokens of both prompts belong together: those that are the same, in order, or the n-th word and the n-th.
enum class WordAlignment { refine, replace };

inline constexpr std::array control_kind_names{
    NamedValue{"none", ControlKind::none},           NamedValue{"prompt_to_prompt", ControlKind::prompt_to_prompt},
    NamedValue{"masactrl", ControlKind::masactrl},   NamedValue{"plug_and_play", ControlKind::plug_and_play},
    NamedValue{"tokenflow", ControlKind::tokenflow}, NamedValue{"ledits", ControlKind::ledits}};
inline constexpr std::array word_alignment_names{NamedValue{"refine", WordAlignment::refine},
                                                 NamedValue{"replace", WordAlignment::replace}};

/// The names of its values.
[[nodiscard]] constexpr const auto& names_of(ControlKind) {
    return control_kind_names;
}
/// The names of its values.
[[nodiscard]] constexpr const auto& names_of(WordAlignment) {
    return word_alignment_names;
}

/// Names and defaults are the papers'.
struct ControlOptions {
    ControlKind control = ControlKind::none;
    WordAlignment word_alignment = WordAlignment::refine;
    double cross_replace_steps = 0.8;
    double self_replace_steps = 0.4;
    std::vector<std::string> word_weights{}; ///< as read_word_weight() takes them
    std::vector<std::string> blend_words{};
    double blend_threshold = 0.3;
    double blend_start = 0.2;
    double masactrl_start = 0.08;
    double feature_steps = 0.8;
    double attention_steps = 0.5;
    index_t keyframe_batch = 8;
    std::vector<std::string> concepts{}; ///< as read_concept() takes them
    double concept_threshold = 0.9;
    std::vector<std::string> excite_words{};
    double excite_steps = 0.25;
    double excite_step_size = 20;

    bool operator==(const ControlOptions&) const = default;

    /// Whether the edit looks at the clip.
    [[nodiscard]] bool given() const { return control != ControlKind::none; }
    /// Whether latents are led to words.
    [[nodiscard]] bool excites() const { return !excite_words.empty(); }

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(
            Option{
                "control",
                "sample the edit with an eye on the clip: words and pixels look where the clip's look "
                "(prompt_to_prompt), pixels find what they show in the clip (masactrl), shapes and layout are the "
                "clip's (plug_and_play), that in keyframes which the others follow (tokenflow), or only concepts are "
                "changed, each where it belongs (ledits)"},
            self.control);
        visit(Option{"word_alignment", "of prompt_to_prompt, which words are the clip's: the same ones in the same "
                                       "order (refine), or the first the first, the second the second (replace)"},
              self.word_alignment);
        visit(Option{"cross_replace_steps",
                     "of prompt_to_prompt: share of the steps in which words look where the "
                     "clip's look",
                     from_to(0, 1)},
              self.cross_replace_steps);
        visit(Option{"self_replace_steps",
                     "of prompt_to_prompt: share of the steps in which pixels look at each other "
                     "as the clip's do",
                     from_to(0, 1)},
              self.self_replace_steps);
        visit(Option{"word_weight", "of prompt_to_prompt: WORD:FACTOR, a word of the edited prompt that counts so many "
                                    "times"},
              self.word_weights);
        visit(Option{"blend_word", "of prompt_to_prompt: a word of either prompt; what changes away from where such "
                                   "words look is taken back to the clip"},
              self.blend_words);
        visit(Option{"blend_threshold", "where words look: share of their largest attention", from_below(0, 1)},
              self.blend_threshold);
        visit(Option{"blend_start", "share of the steps after which that begins", from_to(0, 1)}, self.blend_start);
        visit(Option{"masactrl_start", "of masactrl: share of the steps after which it begins", from_to(0, 1)},
              self.masactrl_start);
        visit(Option{"feature_steps",
                     "of plug_and_play and tokenflow: share of the steps in which the features of a "
                     "block of the decoder are the clip's",
                     from_to(0, 1)},
              self.feature_steps);
        visit(Option{"attention_steps",
                     "of plug_and_play and tokenflow: share of the steps in which pixels look at each "
                     "other as the clip's do",
                     from_to(0, 1)},
              self.attention_steps);
        visit(Option{"keyframe_batch", "of tokenflow: one keyframe of so many frames, drawn anew at each step",
                     from_to(1, 10000)},
              self.keyframe_batch);
        visit(Option{"concept",
                     "of ledits: TEXT or TEXT:SCALE, what is put into the clip (scale 5), or with a negative "
                     "scale taken out; without one it is what the edited prompt has and the clip's lacks"},
              self.concepts);
        visit(Option{"concept_threshold", "of ledits: share of the clip that each concept leaves alone", from_to(0, 1)},
              self.concept_threshold);
        visit(Option{"excite_word", "a word of the edited prompt that must show: latents are led to it by "
                                    "attend-and-excite"},
              self.excite_words);
        visit(Option{"excite_steps", "share of the steps before which they are", above_to(0, 1)}, self.excite_steps);
        visit(Option{"excite_step_size", "of each such change against the loss's gradient", above(0)},
              self.excite_step_size);
    }

    /// What must fit together, beyond ranges.
    void check(const KeyLocator& locate) const {
        const ControlOptions usual;
        const auto belongs = [&](bool untouched, const char* name, ControlKind kind) {
            require(untouched || control == kind, locate(name), ": it is of ", locate("control"), " ",
                    option_text(kind), ", and ", locate("control"), " is ", option_text(control));
        };
        const auto to_words = ControlKind::prompt_to_prompt;
        belongs(word_alignment == usual.word_alignment, "word_alignment", to_words);
        belongs(cross_replace_steps == usual.cross_replace_steps, "cross_replace_steps", to_words);
        belongs(self_replace_steps == usual.self_replace_steps, "self_replace_steps", to_words);
        belongs(word_weights.empty(), "word_weight", to_words);
        belongs(blend_words.empty(), "blend_word", to_words);
        belongs(masactrl_start == usual.masactrl_start, "masactrl_start", ControlKind::masactrl);
        const bool plugs = control == ControlKind::plug_and_play || control == ControlKind::tokenflow;
        belongs(plugs || feature_steps == usual.feature_steps, "feature_steps", ControlKind::plug_and_play);
        belongs(plugs || attention_steps == usual.attention_steps, "attention_steps", ControlKind::plug_and_play);
        belongs(keyframe_batch == usual.keyframe_batch, "keyframe_batch", ControlKind::tokenflow);
        belongs(concepts.empty(), "concept", ControlKind::ledits);
        belongs(concept_threshold == usual.concept_threshold, "concept_threshold", ControlKind::ledits);
        require(!excites() || control != ControlKind::ledits, locate("excite_word"), ": with ", locate("control"),
                " ledits latents follow the clip's noise; leave one of the two out");
        for (const std::string& text : concepts) {
            static_cast<void>(read_concept(text, locate("concept")));
        }
        require(excites() || excite_steps == usual.excite_steps, locate("excite_steps"),
                ": there is no word to lead to; give ", locate("excite_word"));
        require(excites() || excite_step_size == usual.excite_step_size, locate("excite_step_size"),
                ": there is no word to lead to; give ", locate("excite_word"));
        require(!blend_words.empty() || blend_threshold == usual.blend_threshold, locate("blend_threshold"),
                ": there is no word to look for; give ", locate("blend_word"));
        require(!blend_words.empty() || blend_start == usual.blend_start, locate("blend_start"),
                ": there is no word to look for; give ", locate("blend_word"));
        for (const std::string& weight : word_weights) {
            static_cast<void>(read_word_weight(weight, locate("word_weight")));
        }
    }

    /// A word and how many times it counts.
    struct WordWeight {
        std::string word;
        double factor = 1;
    };

    /// Something to put into a clip, or below 0 to take out of it.
    struct Concept {
        std::string text;
        double scale = 5; ///< the paper's
    };

    /// Of "TEXT" or "TEXT:SCALE". Throws Error that starts with `where`.
    [[nodiscard]] static Concept read_concept(const std::string& given, const std::string& where) {
        Concept result{given};
        const std::size_t colon = given.rfind(':');
        if (colon != std::string::npos && is_number(given.substr(colon + 1), result.scale)) {
            result.text = given.substr(0, colon);
        }
        require(result.text.find_first_not_of(' ') != std::string::npos && std::abs(result.scale) <= 100, where,
                ": expected TEXT or TEXT:SCALE, the scale from -100 to 100, such as \"a red racket:7\", found \"",
                given, "\"");
        return result;
    }

    /// Of "WORD:FACTOR". Throws Error that starts with `where`.
    [[nodiscard]] static WordWeight read_word_weight(const std::string& text, const std::string& where) {
        const std::size_t colon = text.rfind(':');
        WordWeight weight;
        require(colon != std::string::npos && colon > 0 && is_number(text.substr(colon + 1), weight.factor) &&
                    weight.factor >= 0 && weight.factor <= 100,
                where, ": expected WORD:FACTOR, the factor from 0 to 100, such as racket:2, found \"", text, "\"");
        weight.word = text.substr(0, colon);
        return weight;
    }
};

} // namespace reel
