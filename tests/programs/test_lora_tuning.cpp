// --tune lora: what is written, that --lora gives the tuned model back, that a run goes on, and what is refused.

#include <cmath>

#include <reel/io/config/json.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/pipelines/tune_config_file.hpp>

#include "support/programs.hpp"

using namespace reel_test;

namespace {

const std::string lora_file = "tuned_lora.safetensors";

/// A folder with a clip.
class Workplace : public TemporaryFolder {
public:
    Workplace() { write_clip(*this / "clip.mp4"); }

    /// Edits the clip by the mean of its latents, into the folder `out`.
    [[nodiscard]] Words edit(const std::string& out, const Words& more = {}) const {
        return small_edit(*this, out,
                          Words{"--inverted_latents", "mean", "--save_tensors", *this / (out + ".safetensors")} + more);
    }
    [[nodiscard]] Words tune(const std::string& out, const Words& more = {}) const {
        return with(edit(out), "--max_train_steps", "4") +
               Words{"--tune", "lora", "--rank", "2", "--learning_rate", "0.01"} + more;
    }
    [[nodiscard]] Path lora_of(const std::string& out) const { return *this / out / lora_file; }
    /// The latents of a run's edit.
    [[nodiscard]] std::vector<double> edited(const std::string& out) const {
        return reel::read_safetensors(*this / (out + ".safetensors")).at("sample.latents").to_vector<double>();
    }
};

double difference(const std::vector<double>& a, const std::vector<double>& b) {
    REQUIRE(a.size() == b.size());
    double largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        largest = std::max(largest, std::abs(a[i] - b[i]));
    }
    return largest;
}

std::string refused(const Words& command) {
    const Ended ended = run(command);
    INFO(ended.err);
    CHECK(ended.status == 1);
    REQUIRE(!lines_of(ended.err).empty());
    return lines_of(ended.err).back();
}

std::size_t bytes_of(const reel::StateDict& tensors) {
    std::size_t bytes = 0;
    for (const auto& [name, tensor] : tensors) {
        bytes += static_cast<std::size_t>(tensor.element_count()) * reel::size_of(tensor.dtype);
    }
    return bytes;
}

/// tune_video's command, by a configuration.
Words tuning(const Workplace& work, const std::string& out, const Words& more) {
    reel::TuneAVideoConfig config;
    config.pretrained_model_path = sd1_model;
    config.output_dir = work / out;
    config.train_data = {
        .video_path = work / "clip.mp4", .prompt = "a man is skiing", .n_sample_frames = 2, .width = 32, .height = 32};
    config.max_train_steps = 4;
    config.learning_rate = 1e-2;
    config.checkpointing_steps = 2;
    config.mixed_precision = reel::MixedPrecision::no;
    config.seed = 33;
    reel::write_tune_config(work / "config.yaml", config);
    return Words{tune_video, "--config", work / "config.yaml", "--threads", "1"} + more;
}

} // namespace

TEST_CASE(
    "the file of a tuning as LoRA gives the tuned model's edits, whatever the seed, and so does the saved folder") {
    const Workplace work;
    run_well(work.edit("untuned"));
    const Ended tuned = run_well(work.tune("tuned", {"--save_tuned", work / "saved"}));
    CHECK(contains(tuned.out, "wrote " + work.lora_of("tuned").string()));
    CHECK(!contains(tuned.err, "learning_rate"));
    const auto expected = work.edited("tuned");
    CHECK(difference(work.edited("untuned"), expected) > 1e-2);
    CHECK(loss_column(work / "tuned", 1).size() == 4);

    const Ended back = run_well(work.edit("back", {"--lora", work.lora_of("tuned"), "--seed", "5"}));
    CHECK(contains(back.out, "used 360 of 360 tensors, scale 1"));
    CHECK(difference(work.edited("back"), expected) < 1e-5);
    run_well(work.edit("saved_edit", {"--tuned", work / "saved"}));
    CHECK(difference(work.edited("saved_edit"), expected) < 1e-5);
    run_well(work.edit("none", {"--lora", work.lora_of("tuned").string() + ":0"}));
    CHECK(work.edited("none") == work.edited("untuned"));

    // The other names hold the same numbers.
    run_well(work.tune("peft", {"--lora_names", "peft"}));
    run_well(work.edit("peft_back", {"--lora", work.lora_of("peft")}));
    CHECK(work.edited("peft_back") == work.edited("back"));
    const auto kohya = reel::read_safetensors_file(work.lora_of("tuned"));
    const auto peft = reel::read_safetensors_file(work.lora_of("peft"));
    const std::string layer = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q";
    const std::string spelled = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q";
    CHECK(kohya.tensors.at(spelled + ".lora_down.weight").to_vector<float>() ==
          peft.tensors.at("unet." + layer + ".lora_A.weight").to_vector<float>());
    CHECK(kohya.tensors.at(spelled + ".alpha").to_vector<float>() == std::vector<float>{2});
    CHECK(peft.tensors.size() * 3 == kohya.tensors.size() * 2);
    CHECK(kohya.metadata.at("reel.temporal_start") == "seed 33");
}

TEST_CASE("the halves: spatial factors without a temporal layer, temporal ones with nothing else") {
    const Workplace work;
    const auto names = [&](const std::string& layers, const Words& more = {}) {
        run_well(work.tune(layers, Words{"--lora_layers", layers, "--lora_names", "peft"} + more));
        const auto file = reel::read_safetensors_file(work.lora_of(layers));
        std::set<std::string> parts;
        for (const auto& [name, tensor] : file.tensors) {
            const std::size_t at = name.find(".attn");
            parts.insert(name.substr(at + 1, name.find(".lora_") - at - 1));
        }
        CHECK(file.metadata.contains("reel.temporal_start") == (layers != "spatial"));
        return parts;
    };
    CHECK(names("spatial") == std::set<std::string>{"attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0",
                                                    "attn2.to_q", "attn2.to_k", "attn2.to_v", "attn2.to_out.0"});
    CHECK(names("temporal") ==
          std::set<std::string>{"attn_temp.to_q", "attn_temp.to_k", "attn_temp.to_v", "attn_temp.to_out.0"});
    CHECK(names("trainable_modules") == std::set<std::string>{"attn1.to_q", "attn2.to_q", "attn_temp.to_q",
                                                              "attn_temp.to_k", "attn_temp.to_v",
                                                              "attn_temp.to_out.0"});
    CHECK(difference(work.edited("spatial"), work.edited("temporal")) > 1e-4);
}

TEST_CASE("it begins as the model is, and learns; 16 bits and 8-bit moments too") {
    const Workplace work;
    run_well(with(work.edit("full"), "--max_train_steps", "1"));
    const double first = loss_column(work / "full", 1).front();
    for (const std::string precision : {"no", "bf16", "fp16"}) {
        CAPTURE(precision);
        run_well(work.tune(precision, {"--mixed_precision", precision, "--use_8bit_adam", "--gradient_checkpointing",
                                       precision == "no" ? "false" : "true"}));
        CHECK(loss_column(work / precision, 1).front() ==
              doctest::Approx(first).epsilon(precision == "no" ? 1e-6 : 0.02));
        run_well(work.edit(precision + "_back", {"--mixed_precision", precision, "--lora", work.lora_of(precision)}));
        CHECK(work.edited(precision + "_back") == work.edited(precision));
    }
}

TEST_CASE("tune_video: a run that goes on writes the same bytes; a checkpoint of another rank is refused") {
    const Workplace work;
    const Words lora{"--tune", "lora", "--rank", "2"};
    run_well(tuning(work, "whole", lora));
    run_well(tuning(work, "halves", lora + Words{"--max_train_steps", "2"}));
    run_well(tuning(work, "halves", lora + Words{"--resume_from_checkpoint", "latest"}));
    CHECK(read_text(work.lora_of("halves")) == read_text(work.lora_of("whole")));
    const auto weights = [&](const char* out) {
        return read_text(work / out / "unet" / "diffusion_pytorch_model.bin");
    };
    CHECK(weights("halves") == weights("whole"));
    run_well(work.edit("by_folder", {"--tuned", work / "whole"}));
    run_well(work.edit("by_file", {"--lora", work.lora_of("whole")}));
    CHECK(difference(work.edited("by_folder"), work.edited("by_file")) < 1e-5);

    const auto error = [&](const Words& options) {
        return refused(tuning(work, "halves", options + Words{"--resume_from_checkpoint", "latest"}));
    };
    CHECK(contains(error({"--tune", "lora", "--rank", "3"}), "the checkpoint was made with rank 2, this run has 3"));
    CHECK(contains(error(lora + Words{"--lora_layers", "spatial"}),
                   "made with lora_layers \"attention\", this run has \"spatial\""));
    CHECK(contains(error({}), "the checkpoint was made with lora_layers \"attention\", this run has null"));
    run_well(tuning(work, "halves", lora + Words{"--resume_from_checkpoint", "latest", "--lora_names", "peft"}));

    // What the optimizer keeps is of the factors alone.
    run_well(tuning(work, "full", {}));
    const auto moments = [&](const char* out) {
        return bytes_of(reel::read_safetensors(work / out / "checkpoint-2" / "optimizer.safetensors"));
    };
    CHECK(moments("full") > 0);
    std::size_t factors = bytes_of(reel::read_safetensors(work / "whole" / "checkpoint-2" / "trained.safetensors"));
    CHECK(moments("whole") >= 2 * factors);
    CHECK(moments("whole") < 2 * factors + 8 * 480); // and a count of steps each
}

TEST_CASE("--plan sees what is saved, and a learning rate of whole weights is remarked upon") {
    const Workplace work;
    const auto megabytes = [&](const Words& more) { // of tensors while it tunes
        const Words command =
            with(with(with(work.edit("plan"), "--model", "../examples/model"), "--max_train_steps", "2"),
                 "--num_inv_steps", "1");
        const Ended ended = run_well(command + Words{"--plan"} + more);
        for (const std::string& line : lines_of(ended.out)) {
            std::istringstream words(line);
            std::string stage, time, unit;
            double size = 0;
            if (words >> stage >> time >> unit >> size && stage == "tune") {
                return std::pair{size, ended.err};
            }
        }
        FAIL("no line for tuning in " << ended.out);
        return std::pair{0.0, std::string()};
    };
    const auto [full, silent] = megabytes({});
    const auto [lora, remark] = megabytes({"--tune", "lora"});
    CHECK(lora < full - 4);
    CHECK(silent.empty());
    CHECK(contains(remark, "learning_rate: at 3e-05 a LoRA learns next to nothing"));
}

TEST_CASE("options and files that do not fit are refused in one line") {
    const Workplace work;
    const Words plain = with(work.edit("out"), "--max_train_steps", "1");
    CHECK(contains(refused(plain + Words{"--rank", "2"}), "--rank: is of a LoRA, and what is tuned is full; give "
                                                          "--tune lora"));
    CHECK(contains(refused(plain + Words{"--lora_layers", "spatial"}), "--lora_layers: is of a LoRA"));
    CHECK(contains(refused(plain + Words{"--lora_names", "peft"}), "--lora_names: is of a LoRA"));
    CHECK(contains(refused(plain + Words{"--tune", "lora", "--trainable_modules", "attn1"}),
                   "--trainable_modules: of a LoRA --lora_layers says what trains; give --lora_layers "
                   "trainable_modules for these"));
    CHECK(contains(refused(plain + Words{"--tune", "lora", "--rank", "9"}),
                   "rank: expected 1 to 8, the width of the layer down_blocks.0.attentions.0.transformer_blocks.0."
                   "attn1.to_q, found 9"));
    CHECK(contains(refused(plain + Words{"--tune", "lora", "--rank", "0"}), "--rank: expected"));
    CHECK(contains(
        refused(plain + Words{"--tune", "lora", "--lora_layers", "trainable_modules", "--trainable_modules", "norm1"}),
        "no module with a linear layer has a name that ends with \"norm1\""));
    CHECK(!std::filesystem::exists(work / "out" / lora_file));

    run_well(work.tune("tuned", {"--save_tuned", work / "saved"}));
    const std::string file = work.lora_of("tuned").string();
    CHECK(contains(refused(work.edit("out", {"--tuned", work / "saved", "--lora", file})),
                   file + ": was tuned beside temporal layers fresh from seed 33, and this model has its own"));
    run_well(work.tune("other", {"--seed", "34"}));
    CHECK(contains(refused(work.edit("out", {"--lora", work.lora_of("other"), "--lora", file})),
                   "was tuned beside temporal layers fresh from seed 33, and " + work.lora_of("other").string() +
                       " from seed 34"));
    run_well(with(work.tune("upon"), "--model", work / "saved"));
    CHECK(contains(refused(work.edit("out", {"--lora", work.lora_of("upon")})),
                   "was tuned beside temporal layers of its model's own, which this model does not have"));
    const std::string golden = std::filesystem::absolute("golden/end_to_end/sd1_replay.safetensors").string();
    CHECK(contains(refused(work.edit("out", {"--lora", file, "--replay", golden})),
                   golden + ": it would undo what a --lora changes in temporal layers"));
}
