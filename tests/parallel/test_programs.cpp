// insert_object and tune_video on several ranks: what one process gives, written and said once.

#include <cmath>

#include <reel/io/weights/safetensors.hpp>
#include <reel/pipelines/tune_config_file.hpp>

#include "parallel/launch.hpp"

using namespace reel_test;

namespace {

/// The largest difference of two files' tensors, each of its largest value.
[[nodiscard]] double difference(const Path& a, const Path& b) {
    const reel::StateDict left = reel::read_safetensors(a);
    const reel::StateDict right = reel::read_safetensors(b);
    REQUIRE(left.size() == right.size());
    REQUIRE(left.size() > 3);
    double most = 0;
    for (const auto& [name, tensor] : left) {
        CAPTURE(name);
        REQUIRE(right.contains(name));
        const std::vector<float> x = tensor.to_vector<float>();
        const std::vector<float> y = right.at(name).to_vector<float>();
        REQUIRE(x.size() == y.size());
        double largest = 0;
        double here = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
            largest = std::max(largest, std::abs(static_cast<double>(y[i])));
            here = std::max(here, std::abs(static_cast<double>(x[i]) - static_cast<double>(y[i])));
        }
        most = std::max(most, largest > 0 ? here / largest : here);
    }
    return most;
}

[[nodiscard]] Words names_in(const Path& folder) {
    Words names;
    for (const auto& [name, text] : files_in(folder)) {
        names.push_back(name);
    }
    return names;
}

[[nodiscard]] std::size_t count_of(const std::string& what, const std::string& text) {
    std::size_t count = 0;
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
        ++count;
    }
    return count;
}

/// tune_video's clip and configuration: three draws a step.
class Workplace : public TemporaryFolder {
public:
    Workplace() {
        write_clip(*this / "clip.mp4");
        config.pretrained_model_path = sd1_model;
        config.train_data = {.video_path = *this / "clip.mp4",
                             .prompt = "a man is skiing",
                             .n_sample_frames = 2,
                             .width = 32,
                             .height = 32};
        reel::TuneValidationData& validation = config.validation_data;
        validation.prompts = {"a man is driving"};
        validation.video_length = 2;
        validation.width = 32;
        validation.height = 32;
        validation.num_inference_steps = 2;
        validation.num_inv_steps = 2;
        validation.use_inv_latent = true;
        config.max_train_steps = 4;
        config.checkpointing_steps = 2;
        config.validation_steps = 2;
        config.gradient_accumulation_steps = 3;
        config.learning_rate = 1e-3;
        config.mixed_precision = reel::MixedPrecision::no;
    }

    /// The command that tunes by `config` into the folder `output`.
    [[nodiscard]] Words command(const std::string& output, const Words& more = {}) const {
        reel::TuneAVideoConfig written = config;
        written.output_dir = *this / output;
        reel::write_tune_config(*this / (output + ".yaml"), written);
        return Words{tune_video, "--config", *this / (output + ".yaml"), "--threads", "1"} + more;
    }

    reel::TuneAVideoConfig config;
};

constexpr const char* trained = "checkpoint-4/trained.safetensors";

} // namespace

TEST_CASE("insert_object on ranks writes once what one process writes") {
    const TemporaryFolder folder;
    write_clip(folder / "clip.mp4");
    const auto command = [&](const std::string& output) {
        return small_edit(folder, output,
                          {"--max_train_steps", "2", "--gradient_accumulation_steps", "3", "--learning_rate", "1e-3",
                           "--save_tensors", folder / (output + ".safetensors")});
    };
    const Ended alone = run_well(command("alone"));
    CHECK(alone.out.find(" ranks;") == std::string::npos);
    for (const int ranks : {2, 3}) {
        CAPTURE(ranks);
        const std::string name = "ranks" + std::to_string(ranks);
        const Ended ended = run_well(on_ranks(ranks, command(name)));
        CHECK(ended.out.starts_with(std::to_string(ranks) + " ranks; 0 on "));
        CHECK(ended.out.find(ranks == 2 ? "draws 1 to 2, guidance half 1; 1 on " : "draw 1, guidance half 1; 1 on ") !=
              std::string::npos);
        for (const char* once : {"side_by_side.gif", "manifest.json", "decode 1"}) {
            CHECK(count_of(once, ended.out) == count_of(once, alone.out));
        }
        CHECK(names_in(folder / name) == names_in(folder / "alone"));
        CHECK(temporaries_in(folder / name).empty());
        CHECK(difference(folder / (name + ".safetensors"), folder / "alone.safetensors") < 1e-4); // a whole run
    }
}

TEST_CASE("tune_video on ranks tunes as one process does, and others resume what some began") {
    Workplace work;
    work.config.seed = 33;
    const Ended alone = run_well(work.command("alone"));
    for (const int ranks : {2, 4}) {
        CAPTURE(ranks);
        const std::string name = "ranks" + std::to_string(ranks);
        const Ended ended = run_well(on_ranks(ranks, work.command(name)));
        CHECK(ended.err == "");
        CHECK(count_of("tuned: ", ended.out) == 1);
        CHECK(names_in(work / name) == names_in(work / "alone"));
        CHECK(temporaries_in(work / name).empty());
        CHECK(difference(work / name / trained, work / "alone" / trained) < 1e-5);
    }

    // Begun by 3, gone on with by 2, and by one.
    work.config.max_train_steps = 2;
    for (const std::string name : {"begun", "left"}) {
        run_well(on_ranks(3, work.command(name)));
    }
    work.config.max_train_steps = 4;
    const Ended more = run_well(on_ranks(2, work.command("begun", {"--resume_from_checkpoint", "latest"})));
    CHECK(count_of("checkpoint-2 at step 2", more.err) == 1);
    run_well(work.command("left", {"--resume_from_checkpoint", "latest"}));
    for (const std::string name : {"begun", "left"}) {
        CHECK(losses_in(work / name).size() == 5);
        CHECK(difference(work / name / trained, work / "alone" / trained) < 1e-5);
    }
}

TEST_CASE("ranks without a seed agree on one") {
    Workplace work;
    work.config.seed.reset();
    work.config.max_train_steps = 2;
    work.config.checkpointing_steps = 2;
    const Ended ended = run_well(on_ranks(2, work.command("drawn")));
    const std::string given = "seed: none given, using ";
    REQUIRE(count_of(given, ended.err) == 1);
    std::istringstream rest(ended.err.substr(ended.err.find(given) + given.size()));
    rest >> *(work.config.seed = 0);
    run_well(work.command("again"));
    const Path file = "checkpoint-2/trained.safetensors";
    CHECK(difference(work / "drawn" / file, work / "again" / file) < 1e-5);
}

TEST_CASE("an error of all ranks is said once, and none is left waiting") {
    Workplace work;
    work.config.seed = 33;
    work.config.pretrained_model_path = work / "nowhere";
    const Ended ended = run(on_ranks(2, work.command("out")));
    CHECK(ended.status == 1);
    CHECK(count_of("tune_video: error: ", ended.err) == 1);
}

TEST_CASE("a rank that is killed ends the run, which goes on from its last checkpoint to the same bits") {
    Workplace work;
    work.config.seed = 33;
    work.config.max_train_steps = 40;
    work.config.validation_steps = 1000;
    const Path file = "checkpoint-40/trained.safetensors";
    run_well(on_ranks(2, work.command("whole")));
    int killed = 0;
    for (const char* after : {"0.6", "0.9", "1.3"}) {
        CAPTURE(after);
        const std::string name = std::string("killed") + after;
        const Words with_resume = work.command(name, {"--resume_from_checkpoint", "latest"});
        const std::string rank = "${OMPI_COMM_WORLD_RANK-$PMI_RANK}";
        const Ended ended = run(on_ranks(2, Words{"sh", "-c",
                                                  "if [ \"" + rank + "\" = 1 ]; then (sleep " + after +
                                                      "; kill -9 $$) > /dev/null 2>&1 & fi; exec \"$@\"",
                                                  "sh"} +
                                                with_resume));
        killed += ended.status == 0 ? 0 : 1;
        CHECK((ended.status == 0 || !ended.err.empty()));
        run_well(on_ranks(2, with_resume));
        CHECK(temporaries_in(work / name).empty());
        CHECK(read_text(work / name / file) == read_text(work / "whole" / file));
    }
    CHECK(killed > 0);
}
