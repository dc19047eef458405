// --plan and --memory_limit: what a job will take, before it begins.

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "support/programs.hpp"

using namespace reel_test;

namespace {

struct Job {
    TemporaryFolder folder;
    Words command;

    Job() {
        write_clip(folder / "clip.mp4");
        command = small_edit(folder, "out",
                             {"--prompt", "a man", "--edit", "a dog", "--n_sample_frames", "4", "--width", "64",
                              "--height", "64", "--max_train_steps", "2", "--num_inv_steps", "3",
                              "--num_inference_steps", "3", "--gradient_checkpointing", "false"});
    }
};

/// Lines of a plan's table: the words of the first column, and what stands in the others.
[[nodiscard]] std::map<std::string, Words> table_of(const std::string& text) {
    std::map<std::string, Words> table;
    for (const std::string& line : lines_of(text)) {
        if (line.size() > 14 && line.find(" MB") != std::string::npos && !line.starts_with(" ")) {
            std::string stage = line.substr(0, 14);
            stage.erase(stage.find_last_not_of(' ') + 1);
            std::istringstream rest(line.substr(14));
            Words words;
            for (std::string word; rest >> word;) {
                words.push_back(word);
            }
            table.emplace(stage, words);
        }
    }
    return table;
}

} // namespace

TEST_CASE("--plan predicts what the job takes, and leaves nothing behind") {
    Job job;
    const Ended planned = run(job.command + Words{"--plan"});
    INFO(planned.out, planned.err);
    REQUIRE(planned.status == 0);
    CHECK(lines_of(planned.out).front().starts_with("stage "));
    CHECK(lines_of(planned.out).back().starts_with("fits: "));
    CHECK_FALSE(std::filesystem::exists(job.folder / "out"));
    CHECK(job.folder.count() == 1); // the clip

    run_well(job.command);
    const nlohmann::json manifest = nlohmann::json::parse(read_text(job.folder / "out/manifest.json"));
    const auto table = table_of(planned.out);
    for (const auto& stage : manifest["stages"]) {
        const std::string name = stage["name"];
        CAPTURE(name);
        REQUIRE(table.contains(name));
        const Words& words = table.at(name); // "1.23 s 45 MB 67 MB"
        REQUIRE(words.size() == 6);
        CHECK(std::abs(std::stod(words[2]) - stage["peak_backend_bytes"].get<double>() / 1e6) < 0.51);
        CHECK(words[1] == "s"); // how long it takes depends on what else runs
        CHECK(std::stod(words[0]) >= 0);
    }
    // Here that is mostly libraries and encoders, which have been used before when the plan is made: up to some 30 MB.
    const double resident = manifest["total"]["peak_resident_bytes"].get<double>() / 1e6;
    CHECK(std::abs(std::stod(table.at("total").at(4)) - resident) < std::max(0.15 * resident, 32.0));
}

TEST_CASE("a job that does not fit is refused, with what to change") {
    Job job;
    const Words large = with(with(job.command, "--width", "512"), "--height", "512");
    // How much memory libraries take differs between machines: a limit between the small job and the large one.
    const auto planned = [](const Words& command) {
        return std::stod(table_of(run(command + Words{"--plan"}).out).at("total").at(4));
    };
    const double small_job = planned(job.command);
    const double large_job = planned(large);
    REQUIRE(large_job > 1.15 * small_job);
    const std::string limit = std::to_string(std::lround(0.3 * small_job + 0.7 * large_job));
    for (const bool plan : {true, false}) {
        CAPTURE(plan);
        const Words limited = large + Words{"--memory_limit", limit + "MB"} + (plan ? Words{"--plan"} : Words{});
        const Ended ended = run(limited);
        INFO(ended.out, ended.err);
        CHECK(ended.status == 3);
        CHECK_FALSE(std::filesystem::exists(job.folder / "out"));
        const std::string& said = plan ? ended.out : ended.err;
        CHECK(said.find("does not fit: ") != std::string::npos);
        CHECK(said.find(limit + " MB allowed (--memory_limit)") != std::string::npos);
        CHECK(said.find("with --gradient_checkpointing true: ") != std::string::npos);
        // A change that is said to fit does.
        bool tried = false;
        for (const std::string& line : lines_of(said)) {
            if (line.ends_with(", fits") && !tried) {
                tried = true;
                Words changed = limited;
                std::istringstream words(line.substr(7, line.find(':') - 7));
                for (std::string option, value; words >> option >> value;) {
                    changed = with(changed, option, value);
                }
                CHECK(run(plan ? changed : changed + Words{"--plan"}).status == 0);
            }
        }
        CHECK(tried);
    }
}

TEST_CASE("--memory_limit lets a job through that fits") {
    Job job;
    run_well(job.command + Words{"--memory_limit", "8GB"});
    CHECK(std::filesystem::exists(job.folder / "out/manifest.json"));
}

TEST_CASE("tune_video --plan") {
    Job job;
    put_text(job.folder / "tune.yaml",
             "pretrained_model_path: " + sd1_model.string() + "\noutput_dir: " + (job.folder / "tuned").string() +
                 "\ntrain_data:\n  video_path: " + (job.folder / "clip.mp4").string() +
                 "\n  prompt: a man\n  n_sample_frames: 4\n  width: 64\n  height: 64\n"
                 "validation_data:\n  prompts: [a dog]\n  video_length: 4\n  width: 64\n  height: 64\n"
                 "  num_inference_steps: 2\n  num_inv_steps: 2\n  use_inv_latent: true\n  guidance_scale: 7.5\n"
                 "max_train_steps: 3\nvalidation_steps: 2\ncheckpointing_steps: 100\nseed: 1\n");
    const Ended planned = run({tune_video, "--config", job.folder / "tune.yaml", "--plan"});
    INFO(planned.out, planned.err);
    CHECK(planned.status == 0);
    const auto table = table_of(planned.out);
    for (const char* stage : {"load model", "encode clip", "tune", "sample", "total"}) {
        CHECK(table.contains(stage));
    }
    CHECK_FALSE(std::filesystem::exists(job.folder / "tuned"));
    CHECK(run({tune_video, "--config", job.folder / "tune.yaml", "--memory_limit", "20MB"}).status == 3);
    CHECK_FALSE(std::filesystem::exists(job.folder / "tuned"));
}
