// Programs that are asked to stop leave nothing half-written.

#include <random>

#include "support/programs.hpp"

using namespace reel_test;

namespace {

/// Waits until a condition holds; false after ten seconds or when the program has ended.
template <class Condition>
bool wait_for(const Running& running, const Condition& condition) {
    for (int i = 0; i < 10000 && running.alive(); ++i) {
        if (condition()) {
            return true;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
}

} // namespace

TEST_CASE("insert_object stops between two steps, with the signal's status and one line") {
    const TemporaryFolder folder;
    write_clip(folder / "clip.mp4");
    for (const int signal : {SIGINT, SIGTERM}) {
        const Path out = folder / std::to_string(signal);
        Running running({insert_object,
                         "--model",
                         sd1_model,
                         "--video",
                         folder / "clip.mp4",
                         "--prompt",
                         "a man",
                         "--edit",
                         "a dog",
                         "--output",
                         out,
                         "--n_sample_frames",
                         "4",
                         "--width",
                         "64",
                         "--height",
                         "64",
                         "--max_train_steps",
                         "1000000",
                         "--threads",
                         "1"});
        REQUIRE(wait_for(running, [&] { return std::filesystem::exists(out); }));
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
        running.signal(signal);
        const Ended ended = running.wait();
        CHECK(ended.status == 128 + signal);
        CHECK(ended.err == "insert_object: stopped by signal " + std::to_string(signal) + "\n");
        CHECK(files_in(out).empty());
    }
}

TEST_CASE("tune_video, stopped at any moment, leaves no temporary, and its checkpoints continue") {
    const TemporaryFolder folder;
    write_clip(folder / "clip.mp4");
    const Path out = folder / "out";
    put_text(folder / "config.yaml", "pretrained_model_path: " + sd1_model.string() + "\noutput_dir: " + out.string() +
                                         "\ntrain_data:\n  video_path: " + (folder / "clip.mp4").string() +
                                         "\n  prompt: a man\n  n_sample_frames: 3\n  width: 32\n  height: 32\n"
                                         "validation_data:\n  prompts: [a dog]\n  num_inference_steps: 2\n"
                                         "max_train_steps: 1000000\ncheckpointing_steps: 1\nvalidation_steps: 2\n"
                                         "seed: 1\nmixed_precision: no\nresume_from_checkpoint: latest\n");
    std::mt19937 random(std::random_device{}());
    for (int round = 0; round < 8; ++round) {
        Running running({tune_video, "--config", folder / "config.yaml", "--threads", "1"});
        const Path log = out / "losses.csv";
        std::error_code ignored;
        const auto before = std::filesystem::last_write_time(log, ignored);
        REQUIRE(wait_for(running, [&] {
            return std::filesystem::exists(log) && std::filesystem::last_write_time(log, ignored) != before;
        }));
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 50000));
        running.signal(SIGTERM);
        const Ended ended = running.wait();
        INFO(ended.err);
        CHECK(ended.status == 128 + SIGTERM);
        CHECK(contains(ended.err, "tune_video: stopped by signal 15\n"));
        CHECK(temporaries_in(out).empty());
        for (const auto& entry : std::filesystem::directory_iterator(out)) {
            if (entry.path().filename().string().starts_with("checkpoint-")) {
                auto files = files_in(entry.path());
                files.erase("validated.json"); // of a step that was shown
                CHECK(files.size() == 3);
            }
        }
    }
}
