// train_text_to_image: killed and continued it writes the same model; it learns; bad input is refused in one line.

#include <random>

#include <reel/io/config/json.hpp>
#include <reel/io/files/folder_lock.hpp>
#include <reel/io/pictures/png.hpp>

#include "support/programs.hpp"

using namespace reel_test;

namespace {

const std::string train_text_to_image = REEL_TRAIN_TEXT_TO_IMAGE;
const std::string text_to_image = REEL_TEXT_TO_IMAGE;
const std::string draw_world = REEL_DRAW_WORLD;

/// Training of something tiny into `out`.
[[nodiscard]] Words tiny(const Path& out) {
    return {train_text_to_image,
            "--output",
            out,
            "--resolution",
            "16",
            "--vae_channels",
            "8,8,8",
            "--vae_groups",
            "4",
            "--vae_batch_size",
            "4",
            "--vae_steps",
            "24",
            "--vae_decay_steps",
            "8",
            "--text_width",
            "8",
            "--text_layers",
            "1",
            "--text_heads",
            "2",
            "--vocab_size",
            "600",
            "--unet_channels",
            "8,8",
            "--unet_attention",
            "0,1",
            "--unet_groups",
            "4",
            "--unet_heads",
            "2",
            "--train_batch_size",
            "4",
            "--max_train_steps",
            "24",
            "--lr_warmup_steps",
            "4",
            "--lr_decay_steps",
            "8",
            "--checkpointing_steps",
            "4",
            "--validation_steps",
            "8",
            "--seed",
            "5",
            "--threads",
            "1"};
}

/// Runs until `path` exists and a moment longer, then sends `signal`; the program must not have ended by then.
void stop_after(const Words& command, const Path& path, int signal) {
    Running running(command);
    for (int i = 0; i < 30000 && running.alive() && !std::filesystem::exists(path); ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::mt19937 random(std::random_device{}());
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 20000));
    running.signal(signal);
    const Ended ended = running.wait();
    INFO(ended.err);
    REQUIRE(ended.status == 128 + signal);
    REQUIRE(std::filesystem::exists(path));
}

/// Column of a log.csv.
[[nodiscard]] std::vector<double> column(const Path& file, std::size_t index) {
    std::vector<double> values;
    const Words lines = lines_of(read_text(file));
    for (std::size_t i = 1; i < lines.size(); ++i) {
        std::istringstream line(lines[i]);
        std::string field;
        for (std::size_t c = 0; c <= index; ++c) {
            std::getline(line, field, ',');
        }
        values.push_back(std::stod(field));
    }
    return values;
}

/// Stops a training twice, in each of its halves, and continues it: all that counts must be as if it had not stopped.
void check_resumes(const Path& folder, const Words& more) {
    const Path whole = folder / "whole";
    const Path parts = folder / "parts";
    run_well(tiny(whole) + more);
    const Words again = tiny(parts) + more + Words{"--resume"};
    stop_after(again, parts / "autoencoder" / "checkpoint-4", SIGTERM);
    CHECK(temporaries_in(parts).empty());
    stop_after(again, parts / "unet" / "checkpoint-4", SIGKILL);
    const Ended last = run_well(again);
    CHECK(contains(last.err, "unet: continuing from "));
    const auto files = files_in(whole / "model");
    CHECK(files.size() == 12);
    CHECK((files_in(parts / "model") == files)); // in parentheses: no megabytes on the screen
    for (const char* part : {"autoencoder", "unet"}) {
        CHECK((files_in(parts / part / "checkpoint-24") == files_in(whole / part / "checkpoint-24")));
        CHECK(!std::filesystem::exists(whole / part / "checkpoint-16"));
        CHECK(read_text(parts / part / "sample-24.png") == read_text(whole / part / "sample-24.png"));
        CHECK(column(parts / part / "log.csv", 0) == std::vector<double>{8, 16, 24});
        for (const std::size_t exact : {1, 2, 3, 4}) { // all but the seconds; also of lines that a stop cut in two
            CHECK(column(parts / part / "log.csv", exact) == column(whole / part / "log.csv", exact));
        }
    }
    run_well({text_to_image, "--model", parts / "model", "--output", folder / "pictures", "--prompt",
              "a woman is sitting", "--num_inference_steps", "2", "--threads", "1"});
    CHECK(reel::read_png(folder / "pictures" / "0001-a_woman_is_sitting.png").width == 16);
}

void refused(const Words& command, const Words& texts, int status = 1) {
    const Ended ended = run(command);
    INFO(ended.err);
    CHECK(ended.status == status);
    CHECK(ended.err.size() < 1000);
    const Words lines = lines_of(ended.err);
    REQUIRE(!lines.empty());
    CHECK(std::ranges::count_if(lines, [](const std::string& line) { return contains(line, "error: "); }) == 1);
    CHECK(lines.back().starts_with("train_text_to_image: error: "));
    for (const std::string& text : texts) {
        INFO("expected: ", text);
        CHECK(contains(lines.back(), text));
    }
}

} // namespace

TEST_CASE("training on the drawn world, stopped and killed, continues to the same bytes") {
    const TemporaryFolder folder;
    check_resumes(folder / ".", {});
}

TEST_CASE("training on a folder of pictures continues to the same bytes, and learns them") {
    const TemporaryFolder folder;
    const Path data = folder / "data";
    run_well({draw_world, data, "--pictures", "20", "--size", "16"});
    check_resumes(folder / ".", {"--data", data});

    // Long enough to learn something: the pictures in dB, and the noise.
    const Path out = folder / "learnt";
    run_well(
        with(with(with(with(tiny(out), "--vae_steps", "150"), "--max_train_steps", "150"), "--validation_steps", "30"),
             "--checkpointing_steps", "1000") +
        Words{"--data", data, "--vae_learning_rate", "0.01", "--learning_rate", "0.01"});
    const std::vector<double> decibels = column(out / "autoencoder" / "log.csv", 1);
    const std::vector<double> losses = column(out / "unet" / "log.csv", 1);
    REQUIRE(decibels.size() == 5);
    REQUIRE(losses.size() == 5);
    CHECK(decibels.back() > decibels.front() + 3);
    CHECK(losses.back() < 0.8 * losses.front());
}

TEST_CASE("a training that diverges ends before anything is written of it, with its last good checkpoint") {
    const TemporaryFolder folder;
    const Words command = with(tiny(folder / "out"), "--learning_rate", "1e12") + Words{"--max_grad_norm", "1e12"};
    refused(command, {"unet: step ", "the last good checkpoint: "});
    CHECK(!std::filesystem::exists(folder / "out" / "unet" / "sample-24.png"));
    CHECK(!std::filesystem::exists(folder / "out" / "model" / "unet"));
}

TEST_CASE("one training in a folder at a time") {
    const TemporaryFolder folder;
    const reel::FolderLock lock(folder / "out");
    refused(tiny(folder / "out"), {"cannot write into folder", "is at work there (process "});
}

TEST_CASE("a run that continues must have the options of the one it continues") {
    const TemporaryFolder folder;
    const Path out = folder / "out";
    const Words shorter = with(with(tiny(out), "--vae_steps", "4"), "--max_train_steps", "4");
    const Words first = with(with(shorter, "--vae_decay_steps", "0"), "--lr_decay_steps", "0");
    run_well(first);
    const auto model = files_in(out / "model");
    const Words again = first + Words{"--resume"};
    const std::map<std::string, std::string> changes{{"--learning_rate", "0.5"},
                                                     {"--lr_warmup_steps", "3"},
                                                     {"--train_batch_size", "2"},
                                                     {"--snr_gamma", "1"},
                                                     {"--proportion_empty_prompts", "0.5"},
                                                     {"--prediction_type", "v_prediction"},
                                                     {"--text_heads", "4"},
                                                     {"--unet_heads", "4"},
                                                     {"--unet_groups", "2"},
                                                     {"--vocab_size", "601"},
                                                     {"--max_grad_norm", "0.5"},
                                                     {"--ema_decay", "0.5"},
                                                     {"--seed", "6"},
                                                     {"--resolution", "32"},
                                                     {"--vae_groups", "8"},
                                                     {"--kl_weight", "1"}};
    for (const auto& change : changes) {
        INFO(change.first);
        const std::string key = change.first == "--train_batch_size" ? "batch" : change.first.substr(2);
        refused(with(again, change.first, change.second), {"state.json", " " + key + " "});
    }
    refused(with(again, "--vae_learning_rate", "0.5"), {"autoencoder", "state.json", " learning_rate "});

    CHECK((files_in(out / "model") == model)); // nothing was touched

    // The rate of the first four steps does not depend on where it ends: the run may be longer ...
    run_well(with(with(again, "--max_train_steps", "16"), "--lr_decay_steps", "8"));
    const Path straight = folder / "straight";
    run_well(with(with(with(first, "--max_train_steps", "16"), "--lr_decay_steps", "8"), "--output", straight));
    CHECK((files_in(out / "model") == files_in(straight / "model")));
    CHECK((files_in(out / "model") != model));
    // ... or end where it is; not before ...
    const auto longer = files_in(out / "model");
    std::filesystem::remove_all(out / "model" / "unet");
    run_well(with(with(again, "--max_train_steps", "16"), "--lr_decay_steps", "8"));
    CHECK((files_in(out / "model") == longer));
    const Words falling = with(with(again, "--max_train_steps", "16"), "--lr_decay_steps", "8");
    refused(with(falling, "--vae_steps", "3"), {"checkpoint is at step 4", "beyond the 3"});
    refused(with(falling, "--vae_steps", "8"), {"--vae_steps 8", "checkpoint-16", "use --vae_steps 4"});
    // ... but once it falls it must go on as it began, unless told otherwise.
    const Words texts{"state.json", "begun to fall with --max_train_steps 16 --lr_decay_steps 8", "--extend"};
    refused(with(falling, "--max_train_steps", "20"), texts);
    refused(with(falling, "--max_train_steps", "40"), texts);
    refused(with(falling, "--lr_decay_steps", "7"), texts);
    CHECK((files_in(out / "model") == longer));
}

TEST_CASE("--extend takes another plan from the last checkpoint on, and says so") {
    const TemporaryFolder folder;
    const Path out = folder / "out";
    const Words first =
        with(with(with(tiny(out), "--vae_steps", "4"), "--max_train_steps", "8"), "--lr_decay_steps", "4");
    run_well(first);
    const Words more = with(with(first, "--max_train_steps", "24"), "--lr_decay_steps", "16");
    refused(more + Words{"--resume"}, {"unet/checkpoint-8/state.json", "--extend to go on from step 8"});
    refused(more + Words{"--extend"}, {"--extend", "--resume"}, 2);

    const Ended extended = run_well(more + Words{"--resume", "--extend"});
    CHECK(contains(extended.err, "unet: extended at step 8: until here --max_train_steps 8 --lr_decay_steps 4, from "
                                 "here --max_train_steps 24 --lr_decay_steps 16\n"));
    CHECK(!contains(extended.err, "autoencoder: extended"));
    CHECK(column(out / "unet" / "log.csv", 0) == std::vector<double>{8, 16, 24});
    const std::vector<double> rates = column(out / "unet" / "log.csv", 4);
    CHECK(rates[0] == doctest::Approx(1e-3 / 4)); // the last of four steps to 0
    CHECK(rates[1] == doctest::Approx(1e-3 * 9 / 16));
    CHECK(rates[2] == doctest::Approx(1e-3 / 16));

    // Stopped after that, it needs to be told no more.
    const auto model = files_in(out / "model");
    std::filesystem::remove_all(out / "unet" / "checkpoint-24");
    const Ended again = run_well(more + Words{"--resume"});
    CHECK(contains(again.err, "checkpoint-20"));
    CHECK(!contains(again.err, "extended"));
    CHECK((files_in(out / "model") == model));

    // A rate that has not fallen yet though it would have with what is asked for now is such a case too.
    const Path other = folder / "other";
    run_well(with(with(first, "--output", other), "--lr_decay_steps", "0"));
    const Words sooner = with(first, "--output", other) + Words{"--resume"};
    refused(sooner, {"has not fallen yet", "--max_train_steps 8 --lr_decay_steps 4", "--extend"});
    CHECK(contains(run_well(with(sooner, "--max_train_steps", "10") + Words{"--extend"}).err,
                   "extended at step 8: until here the learning rate did not fall, from here"));
}

TEST_CASE("--acts chooses what is drawn, and may change with --extend") {
    const TemporaryFolder folder;
    const Path out = folder / "out";
    const Words first = with(with(tiny(out), "--vae_steps", "4"), "--max_train_steps", "8");
    run_well(first);
    const auto all = files_in(out / "model");
    const Words more =
        with(first, "--max_train_steps", "16") + Words{"--acts", "swinging,swinging,pulling", "--resume"};
    refused(more, {"unet/checkpoint-8/state.json", "acts"});
    const Ended extended = run_well(more + Words{"--extend"});
    CHECK(contains(extended.err, "unet: extended at step 8: until here --acts all, from here "
                                 "[\"swinging\",\"swinging\",\"pulling\"]\n"));
    CHECK(column(out / "unet" / "log.csv", 0) == std::vector<double>{8, 16});
    CHECK(contains(run_well(more).err, "checkpoint-16")); // it needs to be told no more

    // The pictures do differ: the same steps with other acts give another model.
    const auto trained_on = [&](const char* name, const Words& acts) {
        run_well(with(first, "--output", folder / name) + acts);
        return files_in(folder / name / "model");
    };
    CHECK((trained_on("swings", {"--acts", "swinging"}) != all));
    refused(first + Words{"--acts", "jumping"}, {"--acts", "jumping"}, 2);
    refused(first + Words{"--acts", "swinging", "--data", "."}, {"--acts", "--data"}, 2);
}

TEST_CASE("pictures and captions that are missing or broken") {
    const TemporaryFolder folder;
    const Path data = folder / "data";
    const Words command = tiny(folder / "out") + Words{"--data", data};
    refused(command, {data / "metadata.jsonl", "cannot be read"});
    run_well({draw_world, data, "--pictures", "20", "--size", "16"});
    const std::string list = read_text(data / "metadata.jsonl");
    const std::string first = list.substr(0, list.find('\n') + 1);
    const auto with_line = [&](const std::string& line) {
        put_text(data / "metadata.jsonl", first + "\n" + line + list);
    };
    const std::string third = (data / "metadata.jsonl").string() + ":3";
    with_line("{\"file_name\": \"0001.png\", \"te\n");
    refused(command, {third, "not valid JSON"});
    with_line("[]\n");
    refused(command, {third, "file_name"});
    with_line("{\"file_name\": \"0001.png\"}\n");
    refused(command, {third, "\"text\""});
    with_line("{\"file_name\": \"0001.png\", \"text\": 3}\n");
    refused(command, {third, "\"text\""});
    with_line("{\"file_name\": \"../0001.png\", \"text\": \"a\"}\n");
    refused(command, {third, "..", "leads out of the folder"});
    with_line("{\"file_name\": \"/etc/passwd\", \"text\": \"a\"}\n");
    refused(command, {third, "leads out of the folder"});
    with_line("{\"file_name\": \"absent.png\", \"text\": \"a\"}\n");
    refused(command, {data / "absent.png"});
    put_text(data / "absent.png", "no picture\n");
    refused(command, {data / "absent.png"});
    put_text(data / "metadata.jsonl", list.substr(first.size()));
    refused(command, {data / "metadata.jsonl", "19", "20 or more"});
}

TEST_CASE("options of training that fit nothing, and folders that cannot be written") {
    const TemporaryFolder folder;
    const Path out = folder / "out";
    refused(with(tiny(out), "--train_batch_size", "5"), {"--train_batch_size 5", "multiple of 2"});
    refused(with(tiny(out), "--unet_channels", "8,10"), {"--unet_channels 10", "--unet_groups"});
    refused(with(tiny(out), "--unet_heads", "3"), {"--unet_channels 8", "--unet_heads"});
    refused(with(tiny(out), "--unet_attention", "1"), {"--unet_attention", "1 values"});
    refused(with(tiny(out), "--vae_channels", "8,9"), {"--vae_channels 9", "--vae_groups"});
    refused(with(tiny(out), "--text_heads", "3"), {"--text_width 8", "--text_heads"});
    refused(with(tiny(out), "--resolution", "18"), {"--resolution 18", "4"});
    const int usage = 2;
    refused(with(tiny(out), "--vocab_size", "100"), {"--vocab_size", "514"}, usage);
    refused(with(tiny(out), "--model_max_length", "2"), {"--model_max_length"}, usage);
    refused(with(tiny(out), "--max_grad_norm", "0"), {"--max_grad_norm"}, usage);
    refused(with(tiny(out), "--unet_attention", "0,2"), {"--unet_attention"}, usage);
    refused(with(tiny(out), "--vae_steps", "0"), {"--vae_steps"}, usage);
    refused(with(tiny(out), "--prediction_type", "x"), {"--prediction_type"}, usage);
    refused({train_text_to_image}, {"--output", "required"}, usage);
    put_text(folder / "file", "");
    refused(tiny(folder / "file" / "out"), {(folder / "file").string()});
    CHECK(contains(run_well({train_text_to_image, "--help"}).out, "--snr_gamma"));

    // A checkpoint that is damaged is said to be so.
    const Words brief = with(with(tiny(out), "--vae_steps", "4"), "--max_train_steps", "0");
    run_well(brief);
    const Path state = out / "autoencoder" / "checkpoint-4";
    std::filesystem::resize_file(state / "averages.safetensors", 100);
    refused(brief + Words{"--resume"}, {state / "averages.safetensors"});
    put_text(state / "state.json", "{\"step\": -1}");
    refused(brief + Words{"--resume"}, {state / "state.json", "expected"});
}
