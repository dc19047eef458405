// --backend: where a GPU cannot be used the programs say so before they do anything, and work on the CPU.

#include <reel/backend/cuda_driver.hpp>
#include <reel/io/config/json.hpp>

#include "support/programs.hpp"

using namespace reel_test;

namespace {

#ifdef REEL_PROGRAMS_WITH_CUDA
constexpr bool with_cuda = true;
#else
constexpr bool with_cuda = false;
#endif

struct Job {
    TemporaryFolder folder;

    Job() { write_clip(folder / "clip.mp4"); }

    [[nodiscard]] Words edit(const std::string& output, const Words& more = {}) const {
        return small_edit(folder, output,
                          Words{"--prompt", "a man", "--edit", "a dog", "--max_train_steps", "1"} + more);
    }
    [[nodiscard]] Words tune(const std::string& output, const Words& more = {}) const {
        std::ofstream(folder / "tune.yaml")
            << "pretrained_model_path: " << sd1_model.string() << "\noutput_dir: " << (folder / output).string()
            << "\ntrain_data:\n  video_path: " << (folder / "clip.mp4").string()
            << "\n  prompt: a man\nvalidation_data:\n  prompts: []\n";
        return Words{tune_video, "--config", folder / "tune.yaml"} + more;
    }
};

void check_refused(const Ended& ended, const std::string& message, int status = 1) {
    CHECK(ended.status == status);
    CHECK(ended.out.empty());
    CHECK(ended.err == message + "\n");
}

} // namespace

TEST_CASE("a GPU that cannot be used is one sentence, before anything is written") {
    const reel::CudaDriver driver = with_cuda ? reel::cuda_driver() : reel::CudaDriver{};
    // Which version of CUDA the programs have makes no difference where there is no driver or no GPU.
    const std::string problem = reel::cuda_driver_problem({.built = with_cuda}, driver);
    if (problem.empty()) {
        MESSAGE("skipped: there is a GPU here");
        return;
    }
    const Job job;
    check_refused(run(job.edit("out", {"--backend", "cuda"})), "insert_object: error: --backend cuda: " + problem);
    check_refused(run(job.tune("out", {"--backend", "cuda"})), "tune_video: error: --backend cuda: " + problem);
    const auto refused = [&](const char* name, const char* program, const Words& words) {
        if (Path(program).empty()) {
            return; // not built
        }
        check_refused(run(Words{program} + words + Words{"--output", job.folder / "out", "--backend", "cuda"}),
                      std::string(name) + ": error: --backend cuda: " + problem);
    };
    refused("text_to_image", REEL_TEXT_TO_IMAGE, {"--model", sd1_model, "--prompt", "a dog"});
    refused("evaluate_text_to_image", REEL_EVALUATE_TEXT_TO_IMAGE, {"--model", sd1_model});
    refused("train_text_to_image", REEL_TRAIN_TEXT_TO_IMAGE, {});
    refused("evaluate_insertion", REEL_EVALUATE_INSERTION, {});
    refused("run_study", REEL_RUN_STUDY, {"../examples/studies/demo.yaml"});
    CHECK(!std::filesystem::exists(job.folder / "out"));
}

TEST_CASE("what runs on a GPU is loaded when it is asked for") {
    for (const Path& program : {Path(insert_object), Path(tune_video), Path(REEL_TEXT_TO_IMAGE),
                                Path(REEL_TRAIN_TEXT_TO_IMAGE), Path(REEL_RUN_STUDY)}) {
        if (program.empty()) {
            continue;
        }
        const Ended listed = run_well({"env", "LD_TRACE_LOADED_OBJECTS=1", program});
        CHECK(contains(listed.out, "libc.so"));
        CHECK(!contains(listed.out, "libcublas"));
    }
}

TEST_CASE("what a GPU would take cannot be said beforehand") {
    const Job job;
    const std::string why = ": what a job takes is known beforehand on the CPU alone; leave --backend cuda away, or ";
    check_refused(run(job.edit("out", {"--backend", "cuda", "--plan"})),
                  "insert_object: error: --plan" + why + "--plan");
    check_refused(run(job.tune("out", {"--backend", "cuda", "--memory_limit", "1GB"})),
                  "tune_video: error: --memory_limit" + why + "--memory_limit");
    const Ended ended = run(job.edit("out", {"--backend", "gpu"}));
    CHECK(ended.status == 2);
    CHECK(ended.err.find("--backend: expected one of cpu, cuda, found \"gpu\"") != std::string::npos);
    CHECK(!std::filesystem::exists(job.folder / "out"));
}

TEST_CASE("--backend cpu is what is done without the option") {
    const Job job;
    run_well(job.edit("plain"));
    run_well(job.edit("named", {"--backend", "cpu"}));
    CHECK(reel::read_json(job.folder / "named" / "manifest.json").at("options").at("backend") == "cpu");
    CHECK(losses_in(job.folder / "named") == losses_in(job.folder / "plain"));
    auto plain = files_in(job.folder / "plain");
    auto named = files_in(job.folder / "named");
    for (const char* file : {"manifest.json", "losses.csv"}) { // which hold times
        CHECK(plain.erase(file) == 1);
        CHECK(named.erase(file) == 1);
    }
    CHECK(named == plain);
}
