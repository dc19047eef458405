#include <cmath>
#include <random>

#include <reel/io/config/json.hpp>
#include <reel/io/pictures/frame_folder.hpp>
#include <reel/io/video/video_reader.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/io/weights/torch_checkpoint.hpp>
#include <reel/io/weights/weights.hpp>
#include <reel/pipelines/tune_config_file.hpp>

#include "support/programs.hpp"

using namespace reel_test;

namespace {

/// A folder with a clip and a configuration, which a test changes before it runs the program.
class Workplace : public TemporaryFolder {
public:
    Workplace() {
        write_clip(*this / "clip.mp4");
        config.pretrained_model_path = sd1_model;
        config.train_data = {.video_path = *this / "clip.mp4",
                             .prompt = "a man is skiing",
                             .n_sample_frames = 4,
                             .width = 32,
                             .height = 32};
        reel::TuneValidationData& validation = config.validation_data;
        validation.prompts = {"a man is driving", "a dog"};
        validation.video_length = 4;
        validation.width = 32;
        validation.height = 32;
        validation.num_inference_steps = 2;
        validation.num_inv_steps = 3;
        validation.use_inv_latent = true;
        config.max_train_steps = 4;
        config.learning_rate = 1e-3;
        config.mixed_precision = reel::MixedPrecision::no;
        config.seed = 33;
    }

    /// The command that tunes by `config` into the folder `output`.
    [[nodiscard]] Words command(const std::string& output, const Words& more = {}) const {
        reel::TuneAVideoConfig written = config;
        written.output_dir = *this / output;
        reel::write_tune_config(*this / "config.yaml", written);
        return Words{tune_video, "--config", *this / "config.yaml", "--threads", "1"} + more;
    }

    reel::TuneAVideoConfig config;
};

std::string tuned_weights(const Path& output) {
    return read_text(output / "unet" / "diffusion_pytorch_model.bin");
}

int checkpoints_in(const Path& output) {
    int count = 0;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(output, ignored)) {
        count += entry.path().filename().string().starts_with("checkpoint-") ? 1 : 0;
    }
    return count;
}

} // namespace

TEST_CASE("tune_video writes checkpoints, samples, inverted latents and a tuned folder") {
    Workplace work;
    work.config.checkpointing_steps = 2;
    work.config.validation_steps = 2;
    const Path out = work / "out";
    const Ended ended = run_well(work.command("out"));
    CHECK(ended.err == "");
    CHECK(temporaries_in(out).empty());

    std::map<std::string, int> found;
    for (const auto& entry : files_in(out)) {
        ++found[entry.first];
    }
    for (const char* name :
         {"config.yaml", "losses.csv", "model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.bin",
          "vae/config.json", "text_encoder/config.json", "tokenizer/vocab.json", "scheduler/scheduler_config.json"}) {
        INFO(name);
        CHECK(found.contains(name));
    }
    for (const std::string step : {"2", "4"}) {
        CHECK(reel::read_torch_checkpoint(out / "inv_latents" / ("ddim_latent-" + step + ".pt"))
                  .bare_tensor("latent")
                  .shape == std::vector<std::int64_t>{1, 4, 4, 4, 4});
        CHECK(reel::read_safetensors(out / ("checkpoint-" + step) / "trained.safetensors").size() > 10);
        const Path samples = out / "samples" / ("sample-" + step);
        for (const char* name : {"a_man_is_driving.gif", "a_dog.gif"}) {
            CHECK(reel::probe_video(samples / name).frames == 4);
        }
        const reel::VideoInfo grid = reel::probe_video(out / "samples" / ("sample-" + step + ".gif"));
        CHECK(grid.frames == 4);
        CHECK(grid.width == 2 * 32 + 3 * 2); // torchvision's grid: 2 pixels around each
    }
    CHECK(losses_in(out).size() == 5);

    // What it wrote for the record is the configuration that it ran.
    reel::TuneAVideoConfig recorded = reel::read_tune_config(out / "config.yaml");
    recorded.output_dir = work.config.output_dir;
    CHECK(recorded == work.config);
    // The parts that were not tuned are copies.
    for (const char* part : {"vae", "text_encoder", "tokenizer"}) {
        CHECK(files_in(out / part) == files_in(sd1_model / part));
    }
}

TEST_CASE("samples that cannot be written, and clips faster than a GIF, do not cost the tuning") {
    Workplace work;
    work.config.validation_steps = 2;
    write_clip(work / "clip.mp4", 6, 120);
    const Ended fast = run_well(work.command("fast"));
    REQUIRE(lines_of(fast.err).size() == 1);
    CHECK(fast.err.find("every 3rd picture") != std::string::npos);
    CHECK(reel::probe_video(work / "fast" / "samples" / "sample-4" / "a_dog.gif").frames == 2);
    CHECK(run(work.command("planned", {"--plan"})).status == 0);

    write_clip(work / "clip.mp4");
    const Path samples = work / "out" / "samples";
    std::filesystem::create_directories(samples / "sample-2.gif"); // where a file is to be
    put_text(samples / "sample-4", "");                            // where a folder is to be
    const Ended ended = run(work.command("out"));
    CHECK(ended.status == 1);
    REQUIRE(lines_of(ended.err).size() == 1);
    CHECK(ended.err.starts_with("tune_video: error: all else is done and written, but: "));
    CHECK(ended.err.find("sample-2.gif") != std::string::npos);
    CHECK(ended.err.find("sample-4") != std::string::npos);
    CHECK(tuned_weights(work / "out").size() > 1000);
    CHECK(losses_in(work / "out").size() == 5);
    CHECK(std::filesystem::exists(samples / "sample-2" / "a_dog.gif"));
    CHECK(std::filesystem::exists(samples / "sample-4.gif"));
}

TEST_CASE("what is in the way of the tuned model or a checkpoint is found before the work") {
    Workplace work;
    work.config.checkpointing_steps = 2;
    for (const std::string name : {"unet", "vae", "text_encoder", "tokenizer", "scheduler", "checkpoint-2",
                                   "checkpoint-4", "model_index.json"}) {
        CAPTURE(name);
        const Path out = work / "out";
        std::filesystem::create_directory(out);
        if (name == "model_index.json") {
            std::filesystem::create_directory(out / name);
        } else {
            put_text(out / name, "in the way");
        }
        const auto before = files_in(out);
        const Ended ended = run(work.command("out"));
        CHECK(ended.status == 1);
        REQUIRE(lines_of(ended.err).size() == 1);
        CHECK(contains(ended.err, (out / name).string()));
        CHECK(files_in(out) == before);
        std::filesystem::remove_all(out);
    }
    for (const std::string name : {"unet", "vae", "scheduler", "checkpoint-2"}) { // are replaced whole
        CAPTURE(name);
        const Path out = work / "out";
        std::filesystem::create_directories(out / name);
        put_text(out / name / "notes.txt", "mine");
        const Ended ended = run(work.command("out"));
        CHECK(ended.status == 1);
        CHECK(contains(ended.err, "cannot replace folder " + (out / name).string() + ": it holds notes.txt"));
        CHECK(read_text(out / name / "notes.txt") == "mine");
        std::filesystem::remove_all(out);
    }
}

TEST_CASE("a tuned UNet that cannot be saved is kept as a checkpoint") {
    Workplace work;
    work.config.validation_steps = 100;
    run_well(work.command("whole"));
    const auto size_of = [&](const char* file) { return std::filesystem::file_size(work / "whole" / file); };
    // As a limit of a file's size: the model's other parts and the checkpoint are below it.
    const auto limit = size_of("unet/diffusion_pytorch_model.bin") / 512 - 1;
    const Ended ended = run_after("ulimit -f " + std::to_string(limit), work.command("out"));
    CHECK(ended.status == 1);
    REQUIRE(lines_of(ended.err).size() == 1);
    CHECK(contains(ended.err, "File too large"));
    CHECK(contains(ended.err, "what was tuned is in " + (work / "out" / "checkpoint-4").string()));
    CHECK(!std::filesystem::exists(work / "out" / "unet"));
    work.config.resume_from_checkpoint = "latest";
    run_well(work.command("out"));
    CHECK(tuned_weights(work / "out") == tuned_weights(work / "whole"));
    CHECK(losses_in(work / "out") == losses_in(work / "whole"));
}

TEST_CASE("a clip is a folder of pictures or a pattern, too, and --fps says its rate") {
    Workplace work;
    work.config.validation_steps = 4;
    const reel::Frames clip = reel::read_video(work / "clip.mp4");
    reel::FrameFolder pictures(work / "pictures");
    for (int i = 0; i < clip.count; ++i) {
        pictures.write(clip, i);
    }
    pictures.commit();
    for (const Path& path : {work / "pictures", work / "pictures" / "frame-%05d.png"}) {
        work.config.train_data.video_path = path;
        const Ended ended = run_well(work.command("out", {"--fps", "20"}));
        CHECK(ended.out.starts_with(path.string() + ": 4 of 6 pictures, 0.0 to 0.1 s, 64x48 to 32x32\n"));
        CHECK(reel::probe_video(work / "out" / "samples" / "sample-4.gif").fps == doctest::Approx(20));
    }
}

TEST_CASE("a run that is killed again and again and resumed gives the weights of one that was not") {
    Workplace work;
    work.config.max_train_steps = 40;
    work.config.checkpointing_steps = 2;
    work.config.lr_scheduler = reel::LrScheduleKind::cosine;
    work.config.lr_warmup_steps = 5;
    run_well(work.command("whole"));

    work.config.resume_from_checkpoint = "latest";
    const Words command = work.command("killed");
    std::mt19937 random(std::random_device{}());
    int kills = 0;
    for (;;) {
        REQUIRE(kills < 100);
        Running running(command);
        // Somewhere after some progress, so that the test ends.
        const int wanted = checkpoints_in(work / "killed") + 1 + static_cast<int>(random() % 4);
        while (running.alive() && checkpoints_in(work / "killed") < wanted) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 10000));
        running.signal(SIGKILL);
        const Ended ended = running.wait();
        if (ended.status != 128 + SIGKILL) {
            INFO(ended.err);
            REQUIRE(ended.status == 0);
            break;
        }
        ++kills;
    }
    std::printf("  killed %d times\n", kills);
    CHECK(kills >= 2);
    CHECK(tuned_weights(work / "killed") == tuned_weights(work / "whole"));
    CHECK(losses_in(work / "killed") == losses_in(work / "whole"));
}

TEST_CASE("a checkpoint is continued by name, or by its path as in the reference") {
    Workplace work;
    work.config.checkpointing_steps = 1;
    run_well(work.command("out"));
    const std::string weights = tuned_weights(work / "out");
    const Words losses = losses_in(work / "out");
    for (const char* name : {"checkpoint-2", "some/where/checkpoint-3"}) {
        work.config.resume_from_checkpoint = name;
        const Ended ended = run_well(work.command("out"));
        CHECK(contains(ended.err, "at step " + std::string(1, std::string(name).back())));
        CHECK(tuned_weights(work / "out") == weights);
        CHECK(losses_in(work / "out") == losses);
    }
    work.config.resume_from_checkpoint = "checkpoint-9";
    const Ended ended = run(work.command("out"));
    CHECK(ended.status == 1);
    CHECK(contains(ended.err, "checkpoint-9 is not a folder"));
    CHECK(tuned_weights(work / "out") == weights);
}

TEST_CASE("resume_from_checkpoint: latest starts afresh where there is none, and says so") {
    Workplace work;
    work.config.resume_from_checkpoint = "latest";
    CHECK(contains(run_well(work.command("out")).err, "starting afresh"));
}

TEST_CASE("resume_from_checkpoint: a checkpoint of Python's is refused by name") {
    Workplace work;
    work.config.resume_from_checkpoint = "latest";
    std::filesystem::create_directories(work / "out" / "checkpoint-2");
    std::ofstream(work / "out" / "checkpoint-2" / "pytorch_model.bin") << "pickled";
    const Ended ended = run(work.command("out"));
    CHECK(ended.status == 1);
    CHECK(contains(ended.err, "checkpoint-2 is a checkpoint of Python's (it has pytorch_model.bin"));
}

TEST_CASE("a checkpoint made with other options is refused") {
    Workplace work;
    work.config.checkpointing_steps = 2;
    run_well(work.command("out"));
    work.config.resume_from_checkpoint = "latest";
    const auto refused = [&](const std::string& what, const Words& more = {}) {
        const Ended ended = run(work.command("out", more));
        INFO(what, ": ", ended.err);
        CHECK(ended.status == 1);
        CHECK(lines_of(ended.err).size() == 1);
        CHECK(contains(ended.err, "the checkpoint was made with " + what));
        CHECK(contains(ended.err, "checkpoint-4/state.json"));
    };
    const reel::TuneAVideoConfig good = work.config;
    work.config.learning_rate = 2e-3;
    refused("learning_rate 0.001, this run has 0.002");
    work.config = good;
    work.config.seed = 34;
    refused("seed 33, this run has 34");
    work.config = good;
    work.config.train_data.prompt = "a dog";
    refused("prompt \"a man is skiing\", this run has \"a dog\"");
    work.config = good;
    work.config.trainable_modules = {"attn1.to_q"};
    refused("trainable_modules");
    work.config = good;
    work.config.train_data.sample_start_idx = 1;
    refused("clip");
    work.config = good;
    refused("reference_checkpointing", {"--reference_checkpointing"});

    // The same shapes, other weights.
    const Path other = work / "other";
    std::filesystem::copy(sd1_model, other, std::filesystem::copy_options::recursive);
    work.config.pretrained_model_path = other;
    Words command = work.command("out");
    CHECK(run(command).status == 0);
    const Path weights = other / "unet" / "diffusion_pytorch_model.bin";
    reel::StateDict tensors = reel::load_weights(other / "unet", reel::diffusers_weight_names);
    std::vector<float> changed = tensors.at("conv_in.bias").to_vector<float>();
    changed[0] += 1;
    tensors.at("conv_in.bias") = reel::HostTensor::make({static_cast<std::int64_t>(changed.size())}, changed);
    reel::write_safetensors(other / "unet" / "diffusion_pytorch_model.safetensors", tensors, {});
    std::filesystem::remove(weights);
    refused("another model: its unet/diffusion_pytorch_model.bin");
}

TEST_CASE("use_8bit_adam: the large parameters' moments are bytes, and a run continues to the same weights") {
    Workplace work;
    work.config.pretrained_model_path = "../examples/model"; // the test's own has no parameter of 4096 elements
    work.config.trainable_modules = {"attn_temp"};
    work.config.use_8bit_adam = true;
    work.config.checkpointing_steps = 1;
    run_well(work.command("out"));
    const std::string weights = tuned_weights(work / "out");
    int bytes = 0;
    int floats = 0;
    for (const auto& [name, tensor] : reel::read_safetensors(work / "out" / "checkpoint-4" / "optimizer.safetensors")) {
        bytes += tensor.dtype == reel::DType::u8 ? 1 : 0;
        floats += name.starts_with("exp_avg.") ? 1 : 0;
        CHECK((tensor.dtype != reel::DType::u8 || tensor.element_count() >= 4096));
    }
    CHECK(bytes > 0);
    CHECK(floats > 0); // biases
    work.config.resume_from_checkpoint = "checkpoint-2";
    run_well(work.command("out"));
    CHECK(tuned_weights(work / "out") == weights);
    work.config.use_8bit_adam = false;
    const Ended ended = run(work.command("out"));
    CHECK(ended.status == 1);
    CHECK(contains(ended.err, "the checkpoint was made with use_8bit_adam true, this run has null"));
}

TEST_CASE("mixed_precision: 16 bits while it runs, float32 in what it writes, the same weights when it goes on") {
    Workplace work;
    work.config.checkpointing_steps = 1;
    run_well(work.command("no"));
    const Words exact_losses = losses_in(work / "no");
    const reel::StateDict source = reel::load_weights(sd1_model / "unet", reel::diffusers_weight_names);
    for (const std::string precision : {"bf16", "fp16"}) {
        INFO(precision);
        work.config.resume_from_checkpoint.reset();
        work.config.mixed_precision = reel::choice_of<reel::MixedPrecision>(precision, "precision");
        const Ended ended = run_well(work.command(precision));
        CHECK(contains(ended.err, "fp16 is slow on a CPU") == (precision == "fp16"));
        const Path out = work / precision;
        const Words losses = losses_in(out);
        REQUIRE(losses.size() == exact_losses.size());
        CHECK(losses != exact_losses);
        for (std::size_t i = 1; i < losses.size(); ++i) {
            const auto loss = [](const std::string& line) { return std::stod(line.substr(line.find(',') + 1)); };
            CHECK(loss(losses[i]) == doctest::Approx(loss(exact_losses[i])).epsilon(2e-2));
        }

        // What was not tuned has the file's own digits; what was has more than 16 bits.
        const reel::StateDict tuned = reel::load_weights(out / "unet", reel::diffusers_weight_names);
        bool more_than_16_bits = false;
        for (const auto& [name, tensor] : tuned) {
            CHECK(tensor.dtype == reel::DType::f32);
            const std::vector<float> values = tensor.to_vector<float>();
            if (name.find("attn1.to_q") != std::string::npos) {
                CHECK(values != source.at(name).to_vector<float>());
                for (const float value : values) {
                    more_than_16_bits = more_than_16_bits || (static_cast<float>(reel::half(value)) != value &&
                                                              static_cast<float>(reel::bfloat16(value)) != value);
                }
            } else if (name.find("conv") != std::string::npos) {
                CHECK(values == source.at(name).to_vector<float>());
            }
        }
        CHECK(more_than_16_bits);

        const nlohmann::json state = reel::read_json(out / "checkpoint-4" / "state.json");
        CHECK(state.at("options").at("mixed_precision") == precision);
        CHECK(state.contains("grad_scaler") == (precision == "fp16"));
        if (precision == "fp16") {
            CHECK(state.at("grad_scaler").at("growth_tracker").get<int>() +
                      state.at("grad_scaler").at("skipped").get<int>() <=
                  4);
        }
        const std::string weights = tuned_weights(out);
        work.config.resume_from_checkpoint = "checkpoint-2";
        run_well(work.command(precision));
        CHECK(tuned_weights(out) == weights);
        work.config.mixed_precision = reel::MixedPrecision::no;
        const Ended other = run(work.command(precision));
        CHECK(other.status == 1);
        CHECK(contains(other.err, "the checkpoint was made with mixed_precision \"" + precision + "\""));
    }
}

TEST_CASE("a file that does not say mixed_precision gets none") {
    Workplace work;
    work.config.max_train_steps = 1;
    const Words command = work.command("out");
    std::string text = read_text(work / "config.yaml");
    const std::size_t at = text.find("mixed_precision:");
    REQUIRE(at != std::string::npos);
    put_text(work / "config.yaml", text.erase(at, text.find('\n', at) + 1 - at));
    CHECK(run_well(command).err == "");
    CHECK(reel::read_tune_config(work / "out" / "config.yaml").mixed_precision == reel::MixedPrecision::no);
}

TEST_CASE("more steps than before continue a constant rate; a rate that depends on the end does not allow it") {
    Workplace work;
    work.config.checkpointing_steps = 2;
    run_well(work.command("out"));
    work.config.resume_from_checkpoint = "latest";
    work.config.max_train_steps = 6;
    run_well(work.command("out"));
    work.config.resume_from_checkpoint.reset();
    run_well(work.command("whole"));
    CHECK(tuned_weights(work / "out") == tuned_weights(work / "whole"));

    work.config.lr_scheduler = reel::LrScheduleKind::linear;
    run_well(work.command("linear"));
    work.config.resume_from_checkpoint = "latest";
    work.config.max_train_steps = 8;
    const Ended ended = run(work.command("linear"));
    CHECK(ended.status == 1);
    CHECK(contains(ended.err, "max_train_steps 6, this run has 8"));
}

TEST_CASE("learning-rate schedules with warm-up") {
    Workplace work;
    work.config.max_train_steps = 6;
    work.config.lr_warmup_steps = 2;
    const double pi = std::acos(-1.0);
    const std::map<std::string, std::vector<double>> factors{
        {"constant", {1, 1, 1, 1, 1, 1}},
        {"constant_with_warmup", {0, 0.5, 1, 1, 1, 1}},
        {"linear", {0, 0.5, 1, 0.75, 0.5, 0.25}},
        {"cosine", {0, 0.5, 1, (1 + std::cos(pi / 4)) / 2, 0.5, (1 + std::cos(3 * pi / 4)) / 2}}};
    std::map<std::string, std::string> weights;
    for (const auto& [name, expected] : factors) {
        CAPTURE(name);
        work.config.lr_scheduler = reel::choice_of<reel::LrScheduleKind>(name, "lr_scheduler");
        run_well(work.command(name));
        const auto rates = loss_column(work / name, 3);
        REQUIRE(rates.size() == expected.size());
        for (std::size_t i = 0; i < rates.size(); ++i) {
            CHECK(rates[i] == doctest::Approx(1e-3 * expected[i]));
        }
        weights[tuned_weights(work / name)] = name;
    }
    CHECK(weights.size() == factors.size());
}

TEST_CASE("gradient accumulation averages over draws") {
    Workplace work;
    work.config.max_train_steps = 2;
    work.config.learning_rate = 0; // draws 0 and 1 see the same weights
    run_well(work.command("one"));
    work.config.max_train_steps = 1;
    work.config.gradient_accumulation_steps = 2;
    run_well(work.command("two"));
    const auto losses = loss_column(work / "one", 1);
    const double both = loss_column(work / "two", 1).at(0);
    REQUIRE(losses.size() == 2);
    CHECK(losses[0] != losses[1]);
    CHECK(both == doctest::Approx((losses[0] + losses[1]) / 2).epsilon(1e-6));
    // A norm of averages is at most the average of norms; equal only for parallel gradients.
    const auto norms = loss_column(work / "one", 2);
    const double norm = loss_column(work / "two", 2).at(0);
    CHECK(norm < (norms[0] + norms[1]) / 2);
    CHECK(norm > std::abs(norms[0] - norms[1]) / 2);
}

TEST_CASE("without use_inv_latent sampling starts from noise of the seed, of the size that validation_data says") {
    Workplace work;
    work.config.validation_steps = 4;
    work.config.validation_data.use_inv_latent = false;
    work.config.validation_data.video_length = 2;
    work.config.validation_data.width = 48;
    run_well(work.command("out"));
    const reel::VideoInfo sample = reel::probe_video(work / "out" / "samples" / "sample-4" / "a_dog.gif");
    CHECK(sample.frames == 2);
    CHECK(sample.width == 48);
    CHECK(!std::filesystem::exists(work / "out" / "inv_latents"));
}

TEST_CASE("prompts that differ in no letter of a file name get files of their own") {
    Workplace work;
    work.config.validation_steps = 4;
    work.config.validation_data.prompts = {"\xe7\x8a\xac", "\xe7\x8c\xab", "a/b"};
    run_well(work.command("out"));
    CHECK(files_in(work / "out" / "samples" / "sample-4").size() == 3);
}

TEST_CASE("options override the file") {
    const Workplace work;
    run_well(work.command("ignored", {"--output", work / "out", "--max_train_steps", "2", "--width", "48",
                                      "--validation_steps", "2", "--seed", "5"}));
    CHECK(!std::filesystem::exists(work / "ignored"));
    CHECK(losses_in(work / "out").size() == 3);
    const reel::TuneAVideoConfig recorded = reel::read_tune_config(work / "out" / "config.yaml");
    CHECK(recorded.seed == 5);
    CHECK(recorded.validation_data.width == 48);
    CHECK(reel::probe_video(work / "out" / "samples" / "sample-2" / "a_dog.gif").width == 48);
}

TEST_CASE("the study's configurations run unchanged, in fewer steps and pixels") {
    const char* variable = std::getenv("REEL_SHARED");
    const Path clips = Path(variable != nullptr ? variable : "../../shared") / "clips";
    int count = 0;
    for (const std::string group : {"original", "pretending"}) {
        for (const std::string name : {"racket", "toolbox"}) {
            const Path config = clips / group / (name + ".yml");
            if (!std::filesystem::exists(config)) {
                continue;
            }
            CAPTURE(config.string());
            const TemporaryFolder folder;
            run_well({tune_video,
                      "--config",
                      config,
                      "--model",
                      sd1_model,
                      "--video",
                      clips / group / (name + ".mp4"),
                      "--output",
                      folder / "out",
                      "--width",
                      "32",
                      "--height",
                      "32",
                      "--max_train_steps",
                      "2",
                      "--validation_steps",
                      "2",
                      "--num_inv_steps",
                      "2",
                      "--num_inference_steps",
                      "2"});
            CHECK(files_in(folder / "out" / "samples" / "sample-2").size() == 4);
            CHECK(reel::probe_video(folder / "out" / "samples" / "sample-2.gif").frames == 12);
            ++count;
        }
    }
    if (count == 0) {
        MESSAGE("skipped \"the study's configurations run unchanged\": no " << clips.string());
    }
}
