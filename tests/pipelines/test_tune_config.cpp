#include "io/temporary_folder.hpp"

#include <reel/pipelines/tune_config_file.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <random>
#include <string>
#include <vector>

using namespace reel_test;
using reel::TuneAVideoConfig;

namespace {

template <class Action>
std::string error_of(const Action& action) {
    return message_of<reel::Error>(action);
}

TuneAVideoConfig parse(const std::string& text) {
    return reel::parse_tune_config(reel::parse_yaml(text, "t.yaml"), "t.yaml");
}

std::string config_error(const std::string& text) {
    return error_of([&] { (void)parse(text); });
}

const std::string small = "pretrained_model_path: model\n"
                          "output_dir: out\n"
                          "train_data:\n"
                          "  video_path: clip.mp4\n"
                          "  prompt: a man\n"
                          "validation_data:\n"
                          "  prompts: []\n"; // seven lines

std::string with(const std::string& line) {
    return config_error(small + line);
}

/// `small` with a line added to a group, whose last line is 5 or 7.
std::string in_train_data(const std::string& line) {
    std::string text = small;
    return text.insert(text.find("validation_data"), "  " + line + "\n");
}
std::string in_validation_data(const std::string& line) {
    return small + "  " + line + "\n";
}

} // namespace

TEST_CASE("absent keys of a configuration have the reference's defaults") {
    const TuneAVideoConfig c = parse(small);
    CHECK(c.pretrained_model_path == "model");
    CHECK(c.train_data.prompt == "a man");
    CHECK(c.train_data.n_sample_frames == 8);
    CHECK(c.train_data.width == 512);
    CHECK(c.train_data.sample_start_idx == 0);
    CHECK(c.train_data.sample_frame_rate == 1);
    CHECK(c.validation_data.num_inference_steps == 50);
    CHECK(c.validation_data.guidance_scale == 7.5);
    CHECK(c.validation_data.eta == 0.0);
    CHECK_FALSE(c.validation_data.use_inv_latent);
    CHECK_FALSE(c.validation_data.negative_prompt.has_value());
    CHECK(c.validation_steps == 100);
    CHECK(c.checkpointing_steps == 500);
    CHECK(c.trainable_modules == std::vector<std::string>{"attn1.to_q", "attn2.to_q", "attn_temp"});
    CHECK(c.max_train_steps == 500);
    CHECK(c.learning_rate == 3e-5);
    CHECK(c.lr_scheduler == reel::LrScheduleKind::constant);
    CHECK(c.adam_weight_decay == 1e-2);
    CHECK(c.adam_epsilon == 1e-8);
    CHECK(c.max_grad_norm == 1.0);
    CHECK(c.gradient_checkpointing);
    CHECK(c.mixed_precision == reel::MixedPrecision::fp16);
    CHECK_FALSE(c.seed.has_value());
    CHECK_FALSE(c.resume_from_checkpoint.has_value());

    const TuneAVideoConfig sized = parse(in_train_data("width: 64\n  height: 96\n  n_sample_frames: 3"));
    CHECK(sized.validation_data.width == 64);
    CHECK(sized.validation_data.height == 96);
    CHECK(sized.validation_data.video_length == 3);
}

TEST_CASE("a configuration's errors name file, line, key, what was expected and found") {
    CHECK(with("learning_rat: 1\n") == "t.yaml:8: learning_rat: unknown key (did you mean \"learning_rate\"?)");
    CHECK(with("qqqqqqqq: 1\n") == "t.yaml:8: qqqqqqqq: unknown key");
    CHECK(config_error(in_train_data("n_sample_frame: 8")) ==
          "t.yaml:6: train_data.n_sample_frame: unknown key (did you mean \"n_sample_frames\"?)");
    CHECK(with("n_sample_frames: 8\n") ==
          "t.yaml:8: n_sample_frames: unknown key (did you mean \"train_data.n_sample_frames\"?)");
    CHECK(contains(config_error(in_train_data("seed: 8")), "train_data.seed: unknown key (did you mean \"seed\"?)"));
    CHECK(contains(config_error(in_validation_data("latents: 8")), "t.yaml:8: validation_data.latents: unknown key"));
    // A misspelt required key is reported as such, not as missing.
    CHECK(contains(config_error("output_dirs: x\n"), "t.yaml:1: output_dirs: unknown key"));
    CHECK(contains(config_error("output_dir: x\n"), "t.yaml: pretrained_model_path: the key is missing"));
    CHECK(contains(config_error("pretrained_model_path: m\noutput_dir: x\ntrain_data:\n  prompt: p\n"),
                   "t.yaml:4: train_data.video_path: the key is missing, expected text"));
    CHECK(contains(config_error("pretrained_model_path: m\noutput_dir: x\ntrain_data: 3\n"),
                   "t.yaml:3: train_data: expected keys and values, found \"3\""));
    CHECK(contains(config_error(""), "t.yaml:1: expected keys and values, found nothing"));
    CHECK(contains(config_error("- 1\n"), "t.yaml:1: expected keys and values, found a list of 1 item"));

    CHECK(config_error(in_train_data("n_sample_frames: 0")) ==
          "t.yaml:6: train_data.n_sample_frames: expected at least 1, found 0");
    CHECK(contains(config_error(in_train_data("n_sample_frames: eight")),
                   "t.yaml:6: train_data.n_sample_frames: expected an integer"));
    CHECK(contains(config_error(in_train_data("width: 100")),
                   "t.yaml:6: train_data.width: expected a multiple of 8 from 8 to 16384 (pixels), found 100"));
    CHECK(contains(config_error(in_train_data("height: -8")), "train_data.height: expected a multiple of 8"));
    CHECK(contains(config_error(in_train_data("sample_frame_rate: 0")), "sample_frame_rate: expected at least 1"));
    CHECK(contains(config_error(in_train_data("sample_start_idx: -1")), "sample_start_idx: expected at least 0"));
    CHECK(
        contains(config_error(in_validation_data("eta: 2")), "t.yaml:8: validation_data.eta: expected a number from"));
    CHECK(contains(config_error(in_validation_data("num_inv_steps: 0")), "num_inv_steps: expected at least 1"));
    CHECK(contains(config_error(in_validation_data("use_inv_latent: True\n  video_length: 4")),
                   "t.yaml:9: validation_data.video_length: expected 8 as in train_data.n_sample_frames, found 4"));
    CHECK(parse(in_validation_data("video_length: 4")).validation_data.video_length == 4);

    CHECK(contains(with("train_batch_size: 2\n"),
                   "t.yaml:8: train_batch_size: expected 1, found 2; one clip is one item"));
    CHECK(contains(with("train_batch_size: 2\n"), "gradient_accumulation_steps"));
    CHECK(contains(with("use_8bit_adam: 8\n"), "t.yaml:8: use_8bit_adam: expected"));
    CHECK(contains(with("tune: low\n"), "t.yaml:8: tune: expected"));
    CHECK(contains(with("rank: 8\n"), "t.yaml:8: rank: is of a LoRA, and what is tuned is full; give"));
    CHECK(contains(with("tune: lora\ntrainable_modules: [attn1]\n"), "trainable_modules: of a LoRA"));
    CHECK(contains(with("lr_scheduler: cosin\n"), "found \"cosin\" (did you mean \"cosine\"?)"));
    CHECK(contains(with("mixed_precision: fp8\n"), "expected one of no, fp16, bf16, found \"fp8\""));
    CHECK(contains(with("trainable_modules: []\n"), "expected at least one module name"));
    CHECK(contains(with("trainable_modules: attn_temp\n"), "expected a list"));
    CHECK(contains(with("max_grad_norm: 0\n"), "expected a number above 0"));
    CHECK(contains(with("adam_beta2: 1\n"), "expected a number from 0 and below 1, found 1"));
    CHECK(contains(with("learning_rate: -1e-5\n"), "t.yaml:8: learning_rate: expected a number from 0 to 1"));
    for (const char* key : {"validation_steps", "checkpointing_steps", "gradient_accumulation_steps"}) {
        CHECK(contains(with(std::string(key) + ": 0\n"), std::string(key) + ": expected at least 1, found 0"));
    }
    CHECK(contains(with("seed: -1\n"), "t.yaml:8: seed: expected an integer from 0"));
    CHECK(contains(with("resume_from_checkpoint: ${dir}\n"), "interpolation"));
    CHECK(contains(with("mixed_precision: fp32\n"), "t.yaml:8: mixed_precision: expected one of no, fp16, bf16, found "
                                                    "\"fp32\" (did you mean \"no\"?)"));
    CHECK(
        with("learning_rat: 1\nmax_train_step: 2\n") ==
        "t.yaml:8: learning_rat: unknown key (did you mean \"learning_rate\"?); t.yaml:9: max_train_step: unknown key "
        "(did you mean \"max_train_steps\"?)");
    CHECK(contains(config_error(in_validation_data("negative_prompt: ???")), "stands for a missing value"));
}

TEST_CASE("configurations of Tune-A-Video's followers are called by their name") {
    for (const auto& [text, method] : std::vector<std::pair<std::string, std::string>>{
             {"pretrained_model_path: m\ntrain_dataset:\n  path: p\n", "FateZero"},
             {"pretrained_model_path: m\nimage_path: p\nblend_word: [a, b]\n", "Video-P2P"},
             {"pretrained_model_path: m\noutput_dir: o\ninput_data:\n  video_path: v\n", "vid2vid-zero"},
             {"ckpt: c\ninput_images_path: p\n", "Ground-A-Video"},
             {"pretrained_model_path: m\ndataset_types: [json]\n", "Text-To-Video-Finetuning"},
             {"pretrained_model_path: m\npretrained_controlnet_path: c\n", "ControlVideo"}}) {
        CAPTURE(method);
        CHECK(contains(config_error(text), "this is a configuration of " + method + " ("));
    }
}

TEST_CASE("values of a configuration refer to others, and groups take others' keys") {
    const TuneAVideoConfig c = parse("pretrained_model_path: model\noutput_dir: out/${train_data.prompt}\n"
                                     "train_data: &clip\n  video_path: clip.mp4\n  prompt: a man\n  width: 64\n"
                                     "validation_data:\n  prompts: [\"${train_data.prompt} dances\"]\n"
                                     "  width: ${train_data.width}\n  height: ${.width}\n");
    CHECK(c.output_dir == "out/a man");
    CHECK(c.validation_data.prompts == std::vector<std::string>{"a man dances"});
    CHECK(c.validation_data.width == 64);
    CHECK(c.validation_data.height == 64);
}

TEST_CASE("what options supply need not be in a file") {
    const auto parsed = [](const std::string& text, const std::vector<std::string>& supplied) {
        return reel::parse_tune_config(reel::parse_yaml(text, "t.yaml"), "t.yaml", supplied);
    };
    const std::vector<std::string> all{"pretrained_model_path", "output_dir", "train_data.video_path",
                                       "train_data.prompt", "validation_data"};
    CHECK(parsed("max_train_steps: 3\n", all).max_train_steps == 3);
    CHECK(parsed("train_data:\n  width: 64\n", all).train_data.width == 64);
    CHECK(parsed("output_dir: mine\n", all).output_dir == "mine");
    CHECK(contains(error_of([&] {
                       (void)parsed("max_train_steps: 3\n", {all.begin() + 1, all.end()});
                   }),
                   "pretrained_model_path: the key is missing"));
    CHECK(contains(error_of([&] { (void)parsed("max_train_stepp: 3\n", all); }), "did you mean \"max_train_steps\"?"));
}

TEST_CASE("a configuration takes what the reference's sampling function takes") {
    CHECK(parse(in_validation_data("num_videos_per_prompt: 1\n  output_type: tensor\n  return_dict: True\n"
                                   "  callback: null\n  callback_steps: 5")) == parse(small));
    CHECK(contains(config_error(in_validation_data("num_videos_per_prompt: 2")),
                   "t.yaml:8: validation_data.num_videos_per_prompt: only 1 is supported"));
    CHECK(contains(config_error(in_validation_data("return_dict: False")), "only True is supported"));
    CHECK(contains(config_error(in_validation_data("output_type: numpy")), "only \"tensor\" is supported"));
    CHECK(contains(config_error(in_validation_data("callback: print")), "cannot name a function"));
    CHECK(parse(in_validation_data("negative_prompt: blurry")).validation_data.negative_prompt == "blurry");
    CHECK(parse(in_validation_data("negative_prompt: [blurry]")).validation_data.negative_prompt == "blurry");
    CHECK_FALSE(parse(in_validation_data("negative_prompt:")).validation_data.negative_prompt.has_value());
    CHECK(
        contains(config_error(in_validation_data("negative_prompt: [a, b]")), "expected one text, found a list of 2"));
    CHECK(parse(small + "mixed_precision: null\n").mixed_precision == reel::MixedPrecision::no);
    CHECK(parse(small + "mixed_precision: no\n").mixed_precision == reel::MixedPrecision::no);
    CHECK_FALSE(parse(small + "resume_from_checkpoint: ''\n").resume_from_checkpoint.has_value());
    CHECK(parse(small + "resume_from_checkpoint: latest\n").resume_from_checkpoint == "latest");
}

TEST_CASE("a changed configuration is checked again, without a file's lines") {
    TuneAVideoConfig c = parse(small);
    c.validate();
    c.train_data.width = 12;
    CHECK(error_of([&] { c.validate(); }) ==
          "train_data.width: expected a multiple of 8 from 8 to 16384 (pixels), found 12");
    CHECK(contains(error_of([&] { c.validate([](std::string_view key) { return "--" + std::string(key); }); }),
                   "--train_data.width: "));
    CHECK(contains(error_of([] { TuneAVideoConfig().validate(); }), "pretrained_model_path: expected a path"));
}

TEST_CASE("a written configuration reads back as the same values") {
    TuneAVideoConfig c = parse(small);
    c.pretrained_model_path = "no";
    c.output_dir = "C:\\out \"x\"";
    c.train_data.prompt = "tab\t, line\n, quote \" ' # : \xe2\x80\xa8 caf\xc3\xa9 \xf0\x9f\x90\xb1 \x7f";
    c.validation_data.prompts = {"", "123", "true", "~", "- x", "{a: b}", "a: b"};
    c.validation_data.negative_prompt = "null";
    c.validation_data.guidance_scale = 1.0 / 3;
    c.learning_rate = 1e-7;
    c.adam_epsilon = 5e-324;
    c.seed = 18446744073709551615ULL;
    c.resume_from_checkpoint = "latest";
    c.gradient_checkpointing = false;
    TemporaryFolder folder;
    reel::write_tune_config(folder / "config.yaml", c);
    CHECK(reel::read_tune_config(folder / "config.yaml") == c);
    CHECK(folder.count() == 1);
    // PyYAML takes a number without a point for text.
    CHECK(contains(read_text(folder / "config.yaml"), "learning_rate: 1.0e-07\n"));
    c.seed.reset();
    c.validation_data.prompts.clear();
    c.validation_data.negative_prompt.reset();
    reel::write_tune_config(folder / "config.yaml", c);
    CHECK(reel::read_tune_config(folder / "config.yaml") == c);

    const std::string before = read_text(folder / "config.yaml");
    c.train_data.prompt = "\xff";
    CHECK(contains(error_of([&] { reel::write_tune_config(folder / "config.yaml", c); }), "prompt is not valid UTF-8"));
    CHECK(read_text(folder / "config.yaml") == before);
    c.train_data.prompt = "a man";
    CHECK(contains(error_of([&] { reel::write_tune_config(folder / "no" / "c.yaml", c); }), "does not exist"));
}

TEST_CASE("a configuration that is cut or damaged is read or refused, never worse") {
    const std::string whole = reel::tune_config_text(parse(small));
    for (std::size_t size = 0; size <= whole.size(); ++size) {
        try {
            (void)parse(whole.substr(0, size));
        } catch (const reel::Error& error) {
            REQUIRE(contains(error.what(), "t.yaml:"));
        }
    }
    std::mt19937 random(7);
    const std::string marks = "[]{}:,-?&*!|>'\"%@`#\n\t ~0a\x04\xff";
    int refused = 0;
    for (int i = 0; i < 2000; ++i) {
        std::string text = whole;
        for (int k = 0; k < 3; ++k) {
            text[random() % text.size()] = marks[random() % marks.size()];
        }
        try {
            (void)parse(text);
        } catch (const reel::Error& error) {
            ++refused;
            REQUIRE(contains(error.what(), "t.yaml:"));
        }
    }
    CHECK(refused > 1000);
}

TEST_CASE("configuration files that are none are refused") {
    TemporaryFolder folder;
    CHECK(contains(error_of([&] { (void)reel::read_tune_config(folder / "none.yaml"); }), "none.yaml"));
    CHECK(contains(error_of([&] { (void)reel::read_tune_config(folder.path()); }), "not a regular file"));
    put_text(folder / "empty.yaml", "");
    CHECK(contains(error_of([&] { (void)reel::read_tune_config(folder / "empty.yaml"); }),
                   "empty.yaml:1: expected keys"));
    put_text(folder / "binary.yaml", std::string("\x89PNG\r\n\x1a\n\0\0", 10));
    CHECK(contains(error_of([&] { (void)reel::read_tune_config(folder / "binary.yaml"); }), "not valid UTF-8"));
}

TEST_CASE("the study's configurations read unchanged") {
    const char* variable = std::getenv("REEL_SHARED");
    const std::filesystem::path clips =
        std::filesystem::path(variable != nullptr ? variable : "../../shared") / "clips";
    if (!std::filesystem::is_directory(clips)) {
        std::cout << "skipped: \"the study's configurations read unchanged\" (no " << clips.string()
                  << "; set REEL_SHARED)\n";
        return;
    }
    for (const std::string name : {"racket", "toolbox"}) {
        for (const std::string kind : {"original", "pretending"}) {
            CAPTURE(kind + "/" + name);
            const TuneAVideoConfig c = reel::read_tune_config(clips / kind / (name + ".yml"));
            CHECK(c.train_data.video_path == "data/my_pairs/" + kind + "/" + name + ".mp4");
            CHECK(c.train_data.n_sample_frames == 12);
            CHECK(c.train_data.sample_frame_rate == 2);
            CHECK(c.validation_data.prompts.size() == 4);
            CHECK(c.validation_data.num_inv_steps == 300);
            CHECK(c.validation_data.guidance_scale == 12.5);
            CHECK(c.validation_data.use_inv_latent);
            CHECK(c.learning_rate == 3e-5);
            CHECK(c.checkpointing_steps == 1000);
            CHECK(c.seed == 33);
            CHECK(reel::parse_tune_config(reel::parse_yaml(reel::tune_config_text(c), "w"), "w") == c);
        }
    }
}
