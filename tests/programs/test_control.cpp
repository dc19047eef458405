// --control: edits that look at their clip while they are sampled.

#include <reel/io/config/json.hpp>

#include "support/programs.hpp"

using namespace reel_test;

namespace {

const std::string edit_gif = "edit-1-a_man_is_driving.gif";

/// A folder with a clip.
class Workplace : public TemporaryFolder {
public:
    Workplace() { write_clip(*this / "clip.mp4"); }

    [[nodiscard]] Words command(const std::string& output, const Words& more) const {
        const Words five{"--inversion_prompt", "source", "--num_inv_steps", "5", "--num_inference_steps", "5"};
        return with_all(small_edit(*this, output, five), more);
    }
    /// The edit.
    [[nodiscard]] std::string edited(const std::string& output, const Words& more) const {
        INFO(output);
        run_well(command(output, more));
        return read_text(*this / output / edit_gif);
    }
    /// One line of error with `text`, and nothing written.
    void refused(const Words& more, const std::string& text) const {
        const Ended ended = run(command("refused", more));
        INFO(ended.err);
        CHECK(ended.status == 1);
        CHECK(lines_of(ended.err).size() == 1);
        CHECK(contains(ended.err, text));
        const Path output = *this / "refused";
        CHECK((!std::filesystem::exists(output) || files_in(output).empty()));
    }
};

} // namespace

TEST_CASE(
    "controls change the edit, are repeated to the bit, and change nothing where they have no share of the steps") {
    const Workplace work;
    const std::string plain = work.edited("plain", {});
    const Words words{"--control", "prompt_to_prompt"};
    const std::string replaced = work.edited("replaced", words);
    CHECK(replaced != plain);
    CHECK(work.edited("again", words) == replaced);
    CHECK(work.edited("swapped", words + Words{"--word_alignment", "replace"}) != replaced);
    CHECK(work.edited("weighed", words + Words{"--word_weight", "driving:4"}) != replaced);
    CHECK(work.edited("idle", words + Words{"--cross_replace_steps", "0", "--self_replace_steps", "0"}) == plain);

    const std::string found = work.edited("found", {"--control", "masactrl"});
    CHECK(found != plain);
    CHECK(found != replaced);
    CHECK(work.edited("later", {"--control", "masactrl", "--masactrl_start", "1"}) == plain);

    const Words plug{"--control", "plug_and_play"};
    const std::string plugged = work.edited("plugged", plug);
    CHECK(plugged != plain);
    CHECK(work.edited("unplugged", plug + Words{"--feature_steps", "0", "--attention_steps", "0"}) == plain);
    CHECK(work.edited("features", plug + Words{"--attention_steps", "0"}) != plugged);
    const std::string flowing = work.edited("flowing", {"--control", "tokenflow"});
    CHECK(flowing != plugged);
    CHECK(work.edited("keyframes", {"--control", "tokenflow", "--keyframe_batch", "1"}) != flowing);

    const Words excite{"--excite_word", "driving"};
    const std::string excited = work.edited("excited", excite);
    CHECK(excited != plain);
    CHECK(work.edited("excited_more", excite + Words{"--excite_step_size", "40"}) != excited);
    CHECK(work.edited("excited_longer", excite + Words{"--excite_steps", "0.7"}) != excited);
    CHECK(work.edited("excited_words", excite + words) != replaced);
    CHECK(work.edited("from_noise", excite + Words{"--start", "noise"}) !=
          work.edited("only_noise", {"--start", "noise"}));

    const Words friendly{"--inversion", "edit_friendly", "--eta", "1"};
    const Words ledits = friendly + Words{"--control", "ledits"};
    const std::string belonging = work.edited("belonging", ledits);
    CHECK(belonging != work.edited("friendly", friendly));
    CHECK(work.edited("belonging_again", ledits) == belonging);
    CHECK(work.edited("named", ledits + Words{"--concept", "driving"}) != belonging);
    CHECK(work.edited("everywhere", ledits + Words{"--concept_threshold", "0"}) != belonging);
    CHECK(work.edited("taken_out", ledits + Words{"--concept", "skiing:-5"}) !=
          work.edited("put_in", ledits + Words{"--concept", "skiing:5"}));
    CHECK(work.edited("both", ledits + Words{"--concept", "skiing:-5", "--concept", "driving:7"}) != belonging);
    CHECK(work.edited("still", ledits + Words{"--concept", "driving:0"}) ==
          work.edited("as_still", ledits + Words{"--concept", "skiing:0", "--concept_threshold", "0.2"}));
    CHECK(work.edited("masked_concept", ledits + Words{"--mask_box", "0,0,0.5,1"}) != belonging);

    const auto options = reel::read_json(work / "weighed" / "manifest.json").at("options");
    CHECK(options.at("control") == "prompt_to_prompt");
    CHECK(options.at("word_weight") == nlohmann::json{"driving:4"});
}

TEST_CASE("words that are blended at leave the rest to the clip; masks, 16 bits and previews go with controls") {
    const Workplace work;
    const Words words{"--control", "prompt_to_prompt", "--blend_word", "driving", "--blend_threshold", "0.9"};
    const std::string blended = work.edited("blended", words);
    const std::string free = work.edited("free", {"--control", "prompt_to_prompt"});
    CHECK(blended != free);
    CHECK(blended != work.edited("wide", with(words, "--blend_threshold", "0.3")));
    CHECK(free == work.edited("never", words + Words{"--blend_start", "1"}));

    // Where nothing may change the clip's latents come back, whatever the control does inside.
    const Words box{"--mask_box", "0,0,0.5,1"};
    const std::string masked = work.edited("masked", words + box + Words{"--preview_every", "2"});
    CHECK(masked != work.edited("only_masked", box));
    CHECK(std::filesystem::exists(work / "masked" / "preview-1.gif"));
    CHECK(work.edited("drafted", words + Words{"--mask", "delta", "--delta_steps", "4"}) != blended);
    CHECK(work.edited("narrow_type", words + Words{"--mixed_precision", "bf16"}) != blended);
    CHECK(run_well(work.command("planned", words + Words{"--plan"})).out.find("sample") != std::string::npos);
}

TEST_CASE("controls that do not go with the rest are refused in one line") {
    const Workplace work;
    const Words words{"--control", "prompt_to_prompt"};
    const Words pixels{"--control", "masactrl"};
    work.refused(words + Words{"--inversion_prompt", "empty"},
                 "--control prompt_to_prompt: it reads the clip off its inversion under the clip's own prompt; give "
                 "--inversion_prompt source");
    work.refused(pixels + Words{"--start", "noise"}, "give --start inversion");
    work.refused(pixels + Words{"--num_inv_steps", "4"}, "--control masactrl: --num_inv_steps is 4 and");
    work.refused(words + Words{"--blend_word", "racket"},
                 "--blend_word racket: it is neither in \"a man is skiing\" nor in \"a man is driving\"");
    work.refused(words + Words{"--word_weight", "skiing:2"},
                 "--word_weight skiing:2: \"skiing\" is not in the edited prompt");
    for (const std::string wrong : {"driving", "driving:", ":2", "driving:two", "driving:-1", "driving:1e9"}) {
        work.refused(words + Words{"--word_weight", wrong}, "--word_weight: expected WORD:FACTOR, the factor from 0 to "
                                                            "100, such as racket:2, found \"" +
                                                                wrong + "\"");
    }
    work.refused(words + Words{"--edit", "a man is driving a car", "--word_alignment", "replace"},
                 "expected as many, one for one");
    const Words ledits{"--inversion", "edit_friendly", "--eta", "1", "--control", "ledits"};
    work.refused({"--control", "ledits"}, "--control ledits: it samples with the noise that an edit-friendly inversion "
                                          "found; give --inversion edit_friendly");
    work.refused(words + Words{"--concept", "racket"}, "--concept: it is of --control ledits, and --control is "
                                                       "prompt_to_prompt");
    work.refused({"--concept_threshold", "0.5"}, "--concept_threshold: it is of --control ledits");
    work.refused(ledits + Words{"--excite_word", "driving"}, "--excite_word: with --control ledits");
    work.refused(ledits + Words{"--edit", "a man is"}, "\"a man is\" has no word that \"a man is skiing\" lacks; "
                                                       "give --concept");
    for (const std::string wrong : {":5", " ", "racket:1000"}) {
        work.refused(ledits + Words{"--concept", wrong}, "--concept: expected TEXT or TEXT:SCALE, the scale from -100 "
                                                         "to 100, such as \"a red racket:7\", found \"" +
                                                             wrong + "\"");
    }
    work.refused({"--blend_word", "driving"},
                 "--blend_word: it is of --control prompt_to_prompt, and --control is none");
    work.refused(pixels + Words{"--self_replace_steps", "0.1"}, "--self_replace_steps: it is of --control");
    work.refused(words + Words{"--feature_steps", "0.1"}, "--feature_steps: it is of --control plug_and_play");
    work.refused(words + Words{"--keyframe_batch", "4"}, "--keyframe_batch: it is of --control tokenflow");
    work.refused({"--excite_word", "racket"}, "--excite_word racket: \"racket\" is not in the edited prompt");
    work.refused({"--excite_steps", "0.5"}, "--excite_steps: there is no word to lead to; give --excite_word");
    work.refused({"--excite_step_size", "5"}, "--excite_step_size: there is no word to lead to; give --excite_word");
    work.refused({"--excite_word", "driving", "--start", "noise", "--scheduler", "HeunDiscreteScheduler"},
                 "--excite_word: Heun");
    work.refused(words + Words{"--masactrl_start", "0.1"}, "--masactrl_start: it is of --control masactrl");
    work.refused(words + Words{"--blend_threshold", "0.5"}, "--blend_threshold: there is no word to look for; give ");
    work.refused(words + Words{"--blend_start", "0.5"}, "--blend_start: there is no word to look for; give ");
    CHECK(run(work.command("refused", {"--control", "p2p"})).status != 0);
}

TEST_CASE("a preset is the options that it stands for, and what else is given changes it") {
    const TemporaryFolder work;
    write_clip(work / "clip.mp4");
    const auto edited = [&](const std::string& output, const Words& more) {
        run_well(small_edit(work, output, Words{"--delta_steps", "4", "--delta_shrinkage", "0"} + more));
        return untimed_files_in(work / output);
    };
    const auto preset = edited("preset", {"--preset", "insert"});
    const Words same{"--inverted_latents",
                     "mean",
                     "--inversion_prompt",
                     "source",
                     "--guidance_prompt",
                     "source",
                     "--mask",
                     "delta",
                     "--mask_threshold",
                     "0.58",
                     "--mask_regions",
                     "1",
                     "--mask_strengths",
                     "0.8",
                     "--delta_against",
                     "draft",
                     "--delta_step_size",
                     "0.15",
                     "--overlay"};
    CHECK(edited("options", same) == preset);
    CHECK(edited("changed", {"--preset=insert", "--guidance_prompt", "negative"}) != preset);
    CHECK(edited("untuned", {"--preset", "zero_shot"}) == edited("flowing", same + Words{"--control", "tokenflow"}));
    const auto options = reel::read_json(work / "untuned" / "manifest.json").at("options");
    CHECK(options.at("max_train_steps") == 0);
    CHECK(options.at("control") == "tokenflow");
    CHECK(edited("usual", {"--preset", "tune_a_video"}) == edited("plain", {}));
    CHECK(reel::read_json(work / "preset" / "manifest.json").at("options").at("preset") == "insert");

    const Ended wrong = run(small_edit(work, "wrong", {"--preset", "inserted"}));
    CHECK(wrong.status != 0);
    CHECK(
        contains(wrong.err, "--preset: expected one of tune_a_video, insert, zero_shot, inpaint, found \"inserted\""));
}
