// text_to_image: what it writes, that pictures depend on prompt, seed and number alone, and what it refuses.

#include <set>

#include <reel/io/config/json.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/weights/safetensors.hpp>

#include "support/programs.hpp"
#include "support/small_model.hpp"

using namespace reel_test;

namespace {

const std::string text_to_image = REEL_TEXT_TO_IMAGE;

[[nodiscard]] Words few_steps(const Path& out) {
    return {text_to_image, "--model", sd1_model, "--output", out, "--num_inference_steps", "3", "--threads", "1"};
}

void refused(const Words& command, const Words& texts, int status = 1) {
    const Ended ended = run(command);
    INFO(ended.err);
    CHECK(ended.status == status);
    CHECK(lines_of(ended.err).size() == 1);
    CHECK(ended.err.starts_with("text_to_image: error: "));
    for (const std::string& text : texts) {
        INFO("expected: ", text);
        CHECK(contains(ended.err, text));
    }
}

[[nodiscard]] std::string picture(const Path& out, const std::string& name) {
    return read_text(out / (name + ".png"));
}

} // namespace

TEST_CASE("text_to_image writes a picture for each prompt and number, a sheet, a manifest and tensors") {
    const TemporaryFolder folder;
    const Path out = folder / "out";
    const Words prompts{"--prompt", "a man is swinging", "--prompt", "a red stool!"};
    const Path tensors = out / "tensors.safetensors";
    const Words command =
        few_steps(out) + prompts + Words{"--num_images_per_prompt", "2", "--save_tensors", tensors, "--seed", "5"};
    const Ended ended = run_well(command);
    CHECK(contains(ended.out, "sheet.png"));
    CHECK(temporaries_in(out).empty());
    const auto files = files_in(out);
    CHECK(files.size() == 7);
    const reel::Frames first = reel::read_png(out / "0001-a_man_is_swinging.png");
    CHECK(first.width == 64); // sample_size 8, 8 pixels per latent
    CHECK(files.contains("0004-a_red_stool_.png"));
    CHECK(reel::read_png(out / "sheet.png").width == 2 * 66 + 2);
    const nlohmann::json manifest = reel::read_json(out / "manifest.json");
    CHECK(manifest["options"]["prompt"].size() == 2);
    CHECK(manifest["outputs"].size() == 6);
    CHECK(manifest["seed"] == 5);
    const reel::StateDict saved = reel::read_safetensors(tensors);
    CHECK(saved.at("noise").shape == std::vector<std::int64_t>{4, 4, 8, 8});
    CHECK(saved.at("latents").shape == std::vector<std::int64_t>{4, 4, 8, 8});
    CHECK(saved.at("pictures").shape == std::vector<std::int64_t>{4, 3, 64, 64});
    const auto pixels = saved.at("pictures").to_vector<float>();
    CHECK(std::lround(pixels[0] * 255) == first.rgb[0]);

    // The same options, the same bytes; and a batch is only a matter of speed.
    const Path again = folder / "again";
    run_well(few_steps(again) + prompts + Words{"--num_images_per_prompt", "2", "--seed", "5"});
    CHECK((picture(again, "0003-a_red_stool_") == picture(out, "0003-a_red_stool_")));
    const Path alone = folder / "alone";
    run_well(few_steps(alone) + prompts + Words{"--num_images_per_prompt", "2", "--seed", "5", "--batch_size", "1"});
    const reel::Frames one = reel::read_png(alone / "0004-a_red_stool_.png");
    const reel::Frames many = reel::read_png(out / "0004-a_red_stool_.png");
    int largest = 0;
    for (std::size_t i = 0; i < one.rgb.size(); ++i) {
        largest = std::max(largest, std::abs(one.rgb[i] - many.rgb[i]));
    }
    CHECK(largest <= 1);
    CHECK((picture(out, "0001-a_man_is_swinging") != picture(out, "0002-a_man_is_swinging")));
}

TEST_CASE("a model in one file draws what its folder draws, and parts and words from elsewhere count") {
    const TemporaryFolder folder;
    const Path& model = small().folders[0];
    const Path& file = small().files[0];
    const auto drawn = [&](const std::string& name, const Path& from, const Words& more) {
        const Path out = folder / name;
        const Words command{text_to_image, "--model",   from, "--output", out,  "--num_inference_steps",
                            "2",           "--height",  "64", "--width",  "64", "--prompt",
                            "a (man)",     "--threads", "1"};
        const Ended ended = run_well(command + more);
        CHECK(!contains(ended.err, "warning"));
        return picture(out, "0001-a__man_");
    };
    const Words tokenizer{"--tokenizer", model / "tokenizer"};
    const std::string plain = drawn("folder", model, {});
    CHECK((drawn("file", file, tokenizer) == plain));
    const nlohmann::json manifest = reel::read_json(folder / "file" / "manifest.json");
    CHECK(manifest["options"]["tokenizer"] == (model / "tokenizer").string());
    CHECK(contains(manifest["inputs"].dump(), file.string()));
    CHECK((drawn("vae", model, {"--vae", file}) == plain));
    std::set<std::string> different{plain};
    different.insert(drawn("weights", model, {"--prompt_syntax", "a1111"}));
    different.insert(drawn("skip", model, {"--clip_skip", "1"}));
    reel::write_safetensors(folder / "man.safetensors",
                            {{"emb_params", reel::HostTensor::make<float>({2, 64}, std::vector<float>(128, 0.25F))}});
    different.insert(drawn("word", model, {"--embedding", (folder / "man.safetensors").string() + ":(man)"}));
    CHECK(different.size() == 4);

    const Words command{text_to_image, "--model", file, "--output", folder / "out", "--prompt", "a man"};
    refused(command, {file.string(), "a model in one file has no tokenizer", "--tokenizer DIR or FILE"});
    refused(command + tokenizer + Words{"--vae", model / "tokenizer"}, {"neither a vae/ of a model"});
    refused(command + tokenizer + Words{"--prediction_type", "v"}, {"--prediction_type", "epsilon or v_prediction"}, 2);
    refused(command + tokenizer + Words{"--clip_skip", "2"}, {"--clip_skip 2", "2 layers"});
    refused(command + tokenizer + Words{"--prompt_syntax", "a111"}, {"--prompt_syntax", "a1111"}, 2);
    CHECK(!std::filesystem::exists(folder / "out" / "manifest.json"));
}

TEST_CASE("guidance, the negative prompt, the seed and the scheduler all matter") {
    const TemporaryFolder folder;
    std::map<std::string, std::string> seen;
    const std::map<std::string, Words> variants{{"plain", {}},
                                                {"guidance", {"--guidance_scale", "3"}},
                                                {"none", {"--guidance_scale", "1"}},
                                                {"negative", {"--negative_prompt", "a dog"}},
                                                {"seed", {"--seed", "6"}},
                                                {"euler", {"--scheduler", "euler"}},
                                                {"ancestral", {"--scheduler", "euler_a"}},
                                                {"size", {"--height", "32"}}};
    for (const auto& variant : variants) {
        const std::string& name = variant.first;
        run_well(few_steps(folder / name) + Words{"--prompt", "a man"} + variant.second);
        const std::string bytes = picture(folder / name, "0001-a_man");
        for (const auto& other : seen) {
            INFO(name, " and ", other.first);
            CHECK((other.second != bytes));
        }
        seen.emplace(name, bytes);
    }
    CHECK(reel::read_png(folder / "size" / "0001-a_man.png").height == 32);
    run_well(few_steps(folder / "again") + Words{"--prompt", "a man", "--scheduler", "euler_a"});
    CHECK((picture(folder / "again", "0001-a_man") == seen.at("ancestral")));
}

TEST_CASE("what text_to_image refuses, in one line") {
    const TemporaryFolder folder;
    const Words command = few_steps(folder / "out") + Words{"--prompt", "a man"};
    const int usage = 2;
    refused({text_to_image}, {"--prompt", "required"}, usage);
    refused(command + Words{"--num_inference_steps", "3"}, {"--num_inference_steps"}, usage);
    refused(with(command, "--num_inference_steps", "0"), {"--num_inference_steps"}, usage);
    refused(with(command, "--num_inference_steps", "2000"), {"--num_inference_steps 2000"});
    refused(with(command, "--scheduler", "eular"), {"--scheduler", "eular", "did you mean \"euler\""});
    refused(with(with(command, "--scheduler", "euler"), "--eta", "1"), {"eta"});
    refused(with(command, "--height", "60"), {"--height 60", "multiple of 8"});
    refused(with(command, "--model", folder / "absent"), {(folder / "absent").string(), "no such file or folder"});
    refused(with(command, "--prompt", "a \xff man"), {"--prompt", "not valid UTF-8"});
    refused(with(command, "--negative_prompt", "\xff"), {"--negative_prompt", "not valid UTF-8"});
    put_text(folder / "file", "");
    refused(with(command, "--output", folder / "file" / "out"), {(folder / "file").string()});
    std::string long_prompt;
    for (int i = 0; i < 100; ++i) {
        long_prompt += "a man ";
    }
    const Ended warned = run_well(with(command, "--prompt", long_prompt));
    CHECK(lines_of(warned.err).size() == 1);
    CHECK(warned.err.starts_with("warning: --prompt is longer than "));
    CHECK(contains(run_well({text_to_image, "--help"}).out, "--guidance_scale"));
}

TEST_CASE("evaluate_text_to_image refuses a classifier that has not learnt enough, and files that hold none") {
    const TemporaryFolder folder;
    const Path out = folder / "out";
    const Words command{REEL_EVALUATE_TEXT_TO_IMAGE, "--model", sd1_model, "--output", out, "--threads", "1"};
    const auto fails = [&](const Words& more, const Words& texts, int status = 1) {
        const Ended ended = run(command + more);
        INFO(ended.err);
        CHECK(ended.status == status);
        CHECK(lines_of(ended.err).back().starts_with("evaluate_text_to_image: error: "));
        for (const std::string& text : texts) {
            INFO("expected: ", text);
            CHECK(contains(ended.err, text));
        }
    };
    fails({"--classifier_steps", "1"}, {"the classifier is right on ", "after 1 steps", "--classifier_steps"});
    CHECK(files_in(out).empty());
    const Path file = folder / "classifier.safetensors";
    put_text(file, "nothing");
    fails({"--classifier", file}, {file});
    reel::write_safetensors(file, reel::StateDict{}, {{"size", "32"}});
    fails({"--classifier", file}, {file, "64 pixels"});
    reel::write_safetensors(file, reel::StateDict{}, {{"size", "64"}});
    fails({"--classifier", file}, {file, "missing"});
    fails({"--captions", "0"}, {"--captions"}, 2);
    fails({"--eta", "1"}, {"PNDMScheduler has no eta"});
    fails({"--etta", "1"}, {"--etta", "unknown option"}, 2);
}
