// Sudden ends, and what must not be believed afterwards: another model, a second run, numbers that are none, a signal
// of a terminal that goes, a checkpoint that was touched.

#include <functional>
#include <limits>

#include <reel/io/config/json.hpp>
#include <reel/io/files/folder_lock.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/io/weights/weights.hpp>

#include "support/programs.hpp"

using namespace reel_test;

namespace {

/// A folder with a clip and a model of its own, to be changed.
class Workplace : public TemporaryFolder {
public:
    Workplace() {
        write_clip(*this / "clip.mp4");
        fresh_model();
    }

    void fresh_model() const {
        std::filesystem::remove_all(model());
        std::filesystem::copy(sd1_model, model(), std::filesystem::copy_options::recursive);
    }
    [[nodiscard]] Path model() const { return *this / "model"; }
    [[nodiscard]] Path out() const { return *this / "out"; }

    /// tune_video into out(); `more` are lines of the configuration.
    [[nodiscard]] Words tune(const std::string& more) const {
        put_text(*this / "config.yaml",
                 "pretrained_model_path: " + model().string() + "\noutput_dir: " + out().string() +
                     "\ntrain_data: {video_path: " + (*this / "clip.mp4").string() +
                     ", prompt: a man, n_sample_frames: 3, width: 32, height: 32}\nseed: 1\nmixed_precision: no\n" +
                     (contains(more, "validation_data") ? "" : "validation_data: {prompts: [a dog]}\n") + more);
        return {tune_video, "--config", *this / "config.yaml", "--threads", "1"};
    }
    [[nodiscard]] Words insert(const Path& output, const Words& more = {}) const {
        return small_edit(*this, "out",
                          Words{"--model", model(), "--prompt", "a man", "--edit", "a dog", "--output", output,
                                "--n_sample_frames", "3"} +
                              more);
    }
};

/// Sets one number of a part's weights.
void set_weight(const Path& part, const reel::WeightNames& names, const std::string& tensor, std::size_t element,
                float value) {
    reel::StateDict weights = reel::load_weights(part, names);
    REQUIRE(weights.contains(tensor));
    std::vector<float> values = weights.at(tensor).to_vector<float>();
    REQUIRE(element < values.size());
    values[element] = value;
    weights.at(tensor) = reel::HostTensor::make(weights.at(tensor).shape, values);
    reel::write_safetensors(part / (names.safetensors + ".safetensors"), weights);
}

void change_json(const Path& file, const std::function<void(nlohmann::json&)>& change) {
    nlohmann::json json = reel::read_json(file);
    change(json);
    reel::write_json(file, json);
}

/// Runs a command that must fail with a message that has all of `texts`.
Ended refused(const Words& command, const Words& texts, int status = 1) {
    Ended ended = run(command);
    INFO(ended.err);
    CHECK(ended.status == status);
    for (const std::string& text : texts) {
        INFO(text);
        CHECK(contains(ended.err, text));
    }
    return ended;
}

template <class Condition>
void wait_for(const Running& running, const Condition& condition) {
    for (int i = 0; i < 30000 && running.alive() && !condition(); ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    REQUIRE(condition());
}

} // namespace

TEST_CASE("a tuning does not go on with another model, to the last bit of every part") {
    const Workplace work;
    const std::string two = "max_train_steps: 2\ncheckpointing_steps: 2\nvalidation_steps: 100\n";
    const std::string more =
        "max_train_steps: 3\ncheckpointing_steps: 100\nvalidation_steps: 100\nresume_from_checkpoint: latest\n";
    run_well(work.tune(two));
    const auto another = [&](const std::string& file) {
        refused(work.tune(more), {"the checkpoint was made with another model: its " + file, "(SHA-256)"});
        work.fresh_model();
    };
    set_weight(work.model() / "text_encoder", reel::transformers_weight_names,
               "text_model.embeddings.token_embedding.weight", 1000, 0.25F);
    another("text_encoder/model.safetensors");
    change_json(work.model() / "tokenizer" / "vocab.json", [](nlohmann::json& vocab) {
        const auto first = vocab.begin();
        std::swap(*first, *std::next(first));
    });
    another("tokenizer/vocab.json");
    change_json(work.model() / "scheduler" / "scheduler_config.json",
                [](nlohmann::json& config) { config["beta_start"] = 0.001; });
    another("scheduler/scheduler_config.json");
    change_json(work.model() / "unet" / "config.json", [](nlohmann::json& config) { config["_name"] = "other"; });
    // What a run does not read may change, and the whole model may be elsewhere.
    work.fresh_model();
    put_text(work.model() / "tokenizer" / "README.md", "text");
    const Path checkpoint = work.out() / "checkpoint-2";
    std::filesystem::copy(checkpoint, work / "kept", std::filesystem::copy_options::recursive);
    CHECK(contains(run_well(work.tune(more)).err, "continuing from"));

    // A checkpoint from before there were digests of files.
    std::filesystem::remove_all(work.out());
    std::filesystem::create_directory(work.out());
    std::filesystem::copy(work / "kept", checkpoint, std::filesystem::copy_options::recursive);
    change_json(checkpoint / "state.json", [](nlohmann::json& state) {
        REQUIRE(state["options"].contains("model_files"));
        state["options"].erase("model_files");
    });
    CHECK(contains(run_well(work.tune(more)).err, "continuing from"));
}

TEST_CASE("a checkpoint whose step was changed, with its folder's name, is refused") {
    const Workplace work;
    run_well(work.tune("max_train_steps: 2\ncheckpointing_steps: 2\nvalidation_steps: 100\n"));
    std::filesystem::rename(work.out() / "checkpoint-2", work.out() / "checkpoint-400");
    change_json(work.out() / "checkpoint-400" / "state.json", [](nlohmann::json& state) { state["step"] = 400; });
    refused(work.tune("max_train_steps: 500\nvalidation_steps: 1000\nresume_from_checkpoint: latest\n"),
            {"says step 400", "the optimizer's state has 2 steps"});
}

TEST_CASE("one run in a folder at a time, and the next when it has ended in any way") {
    const Workplace work;
    Running first(work.tune("max_train_steps: 1000000\ncheckpointing_steps: 1000000\nvalidation_steps: 1000000\n"));
    wait_for(first, [&] { return std::filesystem::exists(work.out() / "config.yaml"); });
    const Words second = work.tune("max_train_steps: 1\nvalidation_steps: 100\n");
    refused(second, {"cannot write into folder " + work.out().string(), "tune_video is at work there (process ", " on ",
                     ", since 2"});
    first.signal(SIGKILL);
    static_cast<void>(first.wait());
    run_well(second);
    CHECK(temporaries_in(work.out()).empty());

    // Folders of insert_object; one that is both of them is held once.
    const reel::FolderLock lock(work / "tuned");
    refused(work.insert(work / "tuned"), {"is at work there"});
    refused(work.insert(work / "edit", {"--save_tuned", work / "tuned"}), {"is at work there"});
    run_well(work.insert(work / "both", {"--save_tuned", work / "both"}));
}

TEST_CASE("the folder of the model takes no results") {
    const Workplace work;
    refused(work.insert(work.model()), {"it is the folder of the model that is read"});
    CHECK(files_in(work.model()).size() == files_in(sd1_model).size());
}

TEST_CASE("weights that are no numbers make no pictures, and are named") {
    const Workplace work;
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const auto none_made = [&](const Words& command, const Words& texts) {
        std::filesystem::remove_all(work.out());
        refused(command, texts);
        for (const auto& [name, bytes] : files_in(work.out())) {
            INFO(name);
            CHECK_FALSE((contains(name, "edit-") || contains(name, "sample-")));
        }
    };
    set_weight(work.model() / "unet", reel::diffusers_weight_names, "conv_out.bias", 1, nan);
    const Words unet{"unet/diffusion_pytorch_model.safetensors: tensor \"conv_out.bias\"", "holds nan at element 1"};
    none_made(work.insert(work.out()), unet + Words{"the inverted latents hold nan"});
    none_made(work.insert(work.out(), {"--start", "noise"}), unet + Words{"the sampled latents hold nan"});
    none_made(with(work.insert(work.out()), "--max_train_steps", "3"), unet + Words{"step 1: ", "not finite"});
    none_made(work.tune("max_train_steps: 4\ncheckpointing_steps: 1\nvalidation_steps: 1\n"),
              unet + Words{"step 1: ", "not finite", "the last good checkpoint: none"});
    CHECK_FALSE(std::filesystem::exists(work.out() / "checkpoint-1"));
    CHECK_FALSE(std::filesystem::exists(work.out() / "unet"));
    work.fresh_model();
    set_weight(work.model() / "vae", reel::diffusers_weight_names, "quant_conv.bias", 0,
               std::numeric_limits<float>::infinity());
    none_made(work.insert(work.out()),
              {"the encoded clip's numbers hold inf", "vae/diffusion_pytorch_model.safetensors", "quant_conv.bias"});
    // Where it makes no difference (a variance of latents whose means are taken) it may pass.
    work.fresh_model();
    set_weight(work.model() / "vae", reel::diffusers_weight_names, "quant_conv.bias", 7,
               std::numeric_limits<float>::infinity());
    const Words mean = work.insert(work.out(), {"--inverted_latents", "mean"});
    none_made(mean, {"quant_conv.bias", "holds inf at element 7", "allow_nonfinite lets such numbers pass"});
    std::filesystem::remove_all(work.out());
    run_well(mean + Words{"--allow_nonfinite"});
    work.fresh_model();
    set_weight(work.model() / "text_encoder", reel::transformers_weight_names, "text_model.final_layer_norm.bias", 2,
               nan);
    none_made(work.insert(work.out()), {"text_encoder/model.safetensors: tensor \"text_model.final_layer_norm.bias\""});
}

TEST_CASE("a tuning that is killed while it samples a checkpoint's step samples it when it goes on") {
    const Workplace work;
    const std::string config =
        "validation_data: {prompts: [a dog, a cat], num_inference_steps: 50, num_inv_steps: 20, "
        "use_inv_latent: true}\nmax_train_steps: 3\ncheckpointing_steps: 2\nvalidation_steps: 2\n";
    const Path sheet = work.out() / "samples" / "sample-2.gif";
    const Path inverted = work.out() / "inv_latents" / "ddim_latent-2.pt";
    run_well(work.tune(config));
    const std::string expected = read_text(sheet);
    const std::string noise = read_text(inverted);
    REQUIRE(!expected.empty());
    std::filesystem::remove_all(work.out());

    Running running(work.tune(config));
    wait_for(running, [&] { return std::filesystem::exists(work.out() / "checkpoint-2"); });
    running.signal(SIGKILL);
    static_cast<void>(running.wait());
    REQUIRE_FALSE(std::filesystem::exists(sheet));
    run_well(work.tune(config + "resume_from_checkpoint: latest\n"));
    CHECK(read_text(sheet) == expected);
    CHECK(read_text(inverted) == noise);
}

TEST_CASE("a terminal that goes ends a job as other signals do, unless it was told to stay") {
    std::signal(SIGHUP, SIG_DFL); // whoever runs the tests under nohup
    const Workplace work;
    const std::string long_one = "max_train_steps: 1000000\ncheckpointing_steps: 1\nvalidation_steps: 1000000\n";
    Running running(work.tune(long_one));
    wait_for(running, [&] { return std::filesystem::exists(work.out() / "checkpoint-2"); });
    running.signal(SIGHUP);
    const Ended ended = running.wait();
    CHECK(ended.status == 128 + SIGHUP);
    CHECK(contains(ended.err, "tune_video: stopped by signal 1\n"));
    CHECK(temporaries_in(work.out()).empty());

    const Words stays = with(work.insert(work / "stays"), "--num_inv_steps", "200");
    Running ignoring(Words{"sh", "-c", "trap '' HUP; exec \"$@\"", "sh"} + stays);
    wait_for(ignoring, [&] { return std::filesystem::exists(work / "stays"); });
    ignoring.signal(SIGHUP);
    CHECK(ignoring.wait().status == 0);
}

TEST_CASE("a folder whose name is no UTF-8 gets everything, the manifest too") {
    const Workplace work;
    const Path odd = work / "caf\xe9";
    run_well(work.insert(odd));
    CHECK(contains(read_text(odd / "manifest.json"), "caf\\\\xe9"));
}

TEST_CASE("more threads than the machine has are not started, and pictures that cannot fit not begun") {
    const Workplace work;
    const Words command = with(work.insert(work.out()), "--threads", "1024");
    if (std::thread::hardware_concurrency() < 1024) {
        CHECK(contains(run_well(command).err, "note: threads 1024: this machine runs "));
    }
    const Words large = with(with(with(work.insert(work / "large"), "--width", "16384"), "--height", "16384"),
                             "--n_sample_frames", "4096");
    refused(large, {"16384 x 16384 pixels, 4096 of them: they take ", "GB at the least", "--memory_limit"}, 3);
    CHECK_FALSE(std::filesystem::exists(work / "large"));
}
