// Words of textual inversion, clip_skip and weighed words: what diffusers makes of the same files (golden by
// part_textual_inversion.py).

#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include <reel/pipelines/any_pipeline.hpp>
#include <reel/pipelines/model_files.hpp>
#include <reel/pipelines/stable_diffusion.hpp>
#include <reel/text/weighted_prompt.hpp>

#include "io/temporary_folder.hpp"
#include "support/golden.hpp"

using namespace reel_test;
using reel::ModelOptions;

namespace {

const std::filesystem::path folder = "golden/textual_inversion";

reel::StableDiffusion<float> load(reel::Cpu& cpu, const ModelOptions& options) {
    return reel::load_stable_diffusion<float>(cpu, reel::open_model("golden/sd1_tiny", options), 33);
}

double largest_difference(const std::vector<float>& a, const float* b) {
    double largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        largest = std::max(largest, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    }
    return largest;
}

} // namespace

TEST_CASE("embeddings of every form have diffusers' ids and texts") {
    const Golden golden("textual_inversion");
    const nlohmann::json cases = reel::read_json("golden/textual_inversion.json");
    REQUIRE(cases.size() == 6);
    for (const auto& item : cases) {
        const auto name = item["name"].get<std::string>();
        const auto word = item["word"].get<std::string>();
        CAPTURE(name);
        const std::string file = (folder / item["file"].get<std::string>()).string();
        // Those that name their word are asked for without one.
        const bool named = name == "webui" || name == "bin" || name == "safetensors";
        reel::Cpu cpu(1);
        const auto model = load(cpu, {.embedding = {named ? file : file + ":" + word}});
        const auto ids = golden.at(name + ".ids").to_vector<std::int32_t>();
        const auto texts = golden.at(name + ".text").to_vector<float>();
        std::size_t row = 0;
        for (const auto& prompt : item["prompts"]) {
            CAPTURE(prompt);
            auto mine = model.tokenizer->encode(prompt.get<std::string>());
            REQUIRE(mine.size() == 77);
            if (name == "emb_params") { // diffusers drops what follows the first vector of a word with capital letters
                CHECK(std::erase_if(mine, [](std::int32_t id) { return id == 556 || id == 557; }) % 2 == 0);
                mine.resize(77, model.tokenizer->pad_id());
            }
            CHECK(std::equal(mine.begin(), mine.end(), ids.begin() + static_cast<std::ptrdiff_t>(77 * row)));
            if (name != "emb_params" || row == 2) {
                const std::vector<float> text = reel::encode_prompt(model, prompt.get<std::string>()).to_host();
                CHECK(largest_difference(text, texts.data() + row * 77 * 24) < 2e-5);
            }
            ++row;
        }
    }
}

TEST_CASE("a word with capital letters keeps all its vectors, in whatever case a prompt has it") {
    reel::Cpu cpu(1);
    const auto model = load(cpu, {.embedding = {(folder / "emb_params.safetensors").string() + ":<Glass-Dog>"}});
    const std::vector<std::int32_t> all{555, 556, 557};
    CHECK(model.tokenizer->token_ids("<Glass-Dog>") == all); // diffusers 0.42.1 gives the first alone
    CHECK(model.tokenizer->token_ids("<glass-dog>") == all);
    CHECK(model.tokenizer->token_ids("<Glass-Dog>_2") == std::vector<std::int32_t>{557});
}

TEST_CASE("several embeddings at once, and models that read prompts differently have other fingerprints") {
    reel::Cpu cpu(1);
    const std::string bin = (folder / "learned_embeds.bin").string();
    const std::string half = (folder / "learned_embeds.safetensors").string();
    const auto model = load(cpu, {.embedding = {bin, half + ":<red>"}});
    CHECK(model.tokenizer->token_ids("<red-stool><red>") == std::vector<std::int32_t>{555, 556, 557});
    CHECK(model.text_encoder.config.vocab_size == 558);
    CHECK_THROWS_WITH_AS(load(cpu, {.embedding = {bin, bin}}), doctest::Contains("give it another, as FILE:WORD"),
                         reel::Error);
    const auto backend = reel::open_backend(reel::BackendKind::cpu, cpu);
    const auto print = [&](const ModelOptions& options) {
        return backend->load({.folder = "golden/sd1_tiny", .model = options})->fingerprint();
    };
    const std::vector<std::string> prints{print({}),
                                          print({.embedding = {bin}}),
                                          print({.embedding = {bin + ":x-y"}}),
                                          print({.embedding = {half}}),
                                          print({.clip_skip = 1}),
                                          print({.prompt_syntax = reel::PromptSyntax::a1111})};
    CHECK(std::set<std::string>(prints.begin(), prints.end()).size() == prints.size());
}

TEST_CASE("clip_skip is diffusers'") {
    const Golden golden("textual_inversion");
    reel::Cpu cpu(1);
    const auto model = load(cpu, {.clip_skip = 1});
    const auto text = reel::encode_prompt(model, "a man is skiing").to_host();
    const auto expected = golden.at("clip_skip.1").to_vector<float>();
    REQUIRE(text.size() == expected.size());
    CHECK(largest_difference(text, expected.data()) < 2e-5);
    CHECK(largest_difference(reel::encode_prompt(load(cpu, {}), "a man is skiing").to_host(), expected.data()) > 0.1);
    CHECK_THROWS_WITH_AS(load(cpu, {.clip_skip = 2}), doctest::Contains("--clip_skip 2: the text encoder"),
                         reel::Error);
}

TEST_CASE("weighed words are multiplied, and the text keeps its mean") {
    const Golden golden("textual_inversion");
    reel::Cpu cpu(1);
    const auto model = load(cpu, {.prompt_syntax = reel::PromptSyntax::a1111});
    const auto expected = golden.at("weighted").to_vector<float>();
    const auto text = reel::encode_prompt(model, "a man (is) (skiing fast:1.3) [on] (snow:0)").to_host();
    REQUIRE(text.size() == expected.size());
    CHECK(largest_difference(text, expected.data()) < 1e-4);
    // The same on a pipeline, and plain prompts are what they were.
    const auto backend = reel::open_backend(reel::BackendKind::cpu, cpu);
    const ModelOptions a1111{.prompt_syntax = reel::PromptSyntax::a1111};
    const auto weighing = backend->load({.folder = "golden/sd1_tiny", .model = a1111});
    const auto plain = backend->load({.folder = "golden/sd1_tiny"});
    CHECK(weighing->encode_prompt("a man (is) (skiing fast:1.3) [on] (snow:0)").to_host() == text);
    CHECK(weighing->encode_prompt("a man is skiing").to_host() == plain->encode_prompt("a man is skiing").to_host());
    CHECK(weighing->encode_prompt("a \\(man\\)").to_host() == plain->encode_prompt("a (man)").to_host());
    CHECK(weighing->encode_prompt("a (man)").to_host() != plain->encode_prompt("a (man)").to_host());
    const std::string long_prompt = [] {
        std::string words;
        for (int i = 0; i < 100; ++i) {
            words += "(man) ";
        }
        return words;
    }();
    CHECK(!weighing->unseen(long_prompt).empty());
    CHECK(weighing->unseen("(a man:1.1)").empty());
}
