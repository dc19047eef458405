// The loop of a tuning: what it writes, and how it goes on.

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <reel/io/config/json.hpp>
#include <reel/pipelines/tune_clip.hpp>

#include "io/temporary_folder.hpp"

using namespace reel_test;
using reel::index_t;

namespace {

/// A tuning of one number, which halves at every step; what tune_clip() asks of a run.
struct Halving {
    double value = 1;
    index_t step = 0;

    [[nodiscard]] index_t step_count() const { return step; }
    reel::TuneReport update() {
        value /= 2;
        return {.step = ++step, .loss = value, .grad_norm = value / 3, .learning_rate = 1e-3};
    }
    void save_checkpoint(const std::filesystem::path& output, const reel::CheckpointIdentity& identity) const {
        const auto folder = output / ("checkpoint-" + std::to_string(step));
        std::filesystem::create_directories(folder);
        reel::write_json(folder / "state.json", {{"step", step}, {"value", value}, {"options", identity.options}});
    }
    void load_checkpoint(const std::filesystem::path& folder, const reel::CheckpointIdentity& identity) {
        const nlohmann::json state = reel::read_json(folder / "state.json");
        reel::require(state["options"] == identity.options, "another identity");
        step = state["step"];
        value = state["value"];
    }
};

[[nodiscard]] reel::TuneOptions steps(int count, std::optional<std::string> resume = std::nullopt) {
    return {.max_train_steps = count, .checkpointing_steps = 2, .resume_from_checkpoint = std::move(resume)};
}

[[nodiscard]] std::string without_seconds(const std::filesystem::path& file) {
    std::istringstream text(read_text(file));
    std::string all;
    for (std::string line; std::getline(text, line);) {
        all += line.substr(0, line.rfind(',')) + "\n";
    }
    return all;
}

} // namespace

TEST_CASE("a tuning that is stopped and goes on leaves the losses of one that was not") {
    const TemporaryFolder folder;
    const reel::CheckpointIdentity identity{{{"seed", 1}}};
    for (const char* name : {"whole", "parts", "empty"}) {
        std::filesystem::create_directory(folder / name);
    }
    Halving whole;
    const reel::LossLog losses = reel::tune_clip(whole, steps(5), {.folder = folder / "whole", .identity = identity});
    CHECK(losses.rows().size() == 5);
    CHECK(std::filesystem::exists(folder / "whole" / "checkpoint-2"));
    CHECK(std::filesystem::exists(folder / "whole" / "checkpoint-4"));

    // Stopped in its fourth step, before the second checkpoint.
    Halving stopped;
    reel::TuneClip around{.folder = folder / "parts", .identity = identity};
    around.after_update = [](const reel::TuneReport& report) { reel::require(report.step < 3, "stop"); };
    CHECK(message_of<reel::Error>([&] { reel::tune_clip(stopped, steps(5), around); }) == "stop");
    CHECK(std::filesystem::exists(folder / "parts" / "checkpoint-2"));
    CHECK_FALSE(std::filesystem::exists(folder / "parts" / "checkpoint-4"));
    Halving again;
    std::string said;
    around.after_update = nullptr;
    around.say = [&](const std::string& sentence) { said = sentence; };
    CHECK(reel::tune_clip(again, steps(5, "latest"), around).rows().size() == 5);
    CHECK(said.find("checkpoint-2 at step 2") != std::string::npos);
    CHECK(again.value == whole.value);
    CHECK(without_seconds(folder / "parts" / "losses.csv") == without_seconds(folder / "whole" / "losses.csv"));

    // By name, with a path before it as in the reference; with another identity; and where there is none.
    Halving named;
    static_cast<void>(reel::tune_clip(named, steps(5, "elsewhere/checkpoint-4"), around));
    CHECK(named.value == whole.value);
    CHECK(said.find("at step 4") != std::string::npos);
    CHECK(contains(message_of<reel::Error>([&] { reel::tune_clip(named, steps(5, "checkpoint-9"), around); }),
                   "checkpoint-9 is not a folder"));
    around.identity = {{{"seed", 2}}};
    CHECK(message_of<reel::Error>([&] { reel::tune_clip(named, steps(5, "latest"), around); }) == "another identity");
    around.folder = folder / "empty";
    Halving fresh;
    static_cast<void>(reel::tune_clip(fresh, steps(3, "latest"), around));
    CHECK(said.find("starting afresh") != std::string::npos);
    CHECK(fresh.step == 3);
}

TEST_CASE("where only the newest checkpoint is kept, the last step makes none") {
    const TemporaryFolder folder;
    std::filesystem::create_directory(folder / "out");
    Halving run;
    int updates = 0;
    reel::TuneClip around{.folder = folder / "out", .columns = reel::LossColumns::exact, .only_newest = true};
    around.after_update = [&](const reel::TuneReport& report) {
        ++updates;
        CHECK(std::filesystem::exists(folder / "out" / "checkpoint-2") == (report.step == 2 || report.step == 3));
    };
    static_cast<void>(reel::tune_clip(run, steps(6), around));
    CHECK(updates == 6);
    CHECK(std::filesystem::exists(folder / "out" / "checkpoint-4"));
    CHECK_FALSE(std::filesystem::exists(folder / "out" / "checkpoint-6"));
    CHECK(read_text(folder / "out" / "losses.csv").starts_with("step,loss,grad_norm,learning_rate\n1,0.5,"));
}

TEST_CASE("where failed writes are gathered, a log or checkpoint that cannot be written does not end the run") {
    const TemporaryFolder folder;
    std::filesystem::create_directories(folder / "out" / "checkpoint-2" / "state.json");
    Halving run;
    reel::FailedWrites failed;
    reel::TuneClip around{.folder = folder / "out", .failed = &failed};
    CHECK(reel::tune_clip(run, steps(5), around).rows().size() == 5);
    CHECK(run.step == 5);
    REQUIRE(failed.messages().size() == 1);
    CHECK(contains(failed.messages().front(), "checkpoint-2"));
    CHECK(std::filesystem::exists(folder / "out" / "checkpoint-4" / "state.json"));
    around.failed = nullptr;
    Halving other;
    CHECK(contains(message_of<reel::Error>([&] { reel::tune_clip(other, steps(5), around); }), "checkpoint-2"));
    CHECK(other.step == 2);
}

TEST_CASE("a rehearsal does a few updates for all, and no folder leaves no file") {
    Halving run;
    reel::Rehearsal rehearsal(0);
    static_cast<void>(reel::tune_clip(run, steps(100), {.rehearsal = &rehearsal}));
    CHECK(run.step == 3);
}

TEST_CASE("a log is read back: exactly, or to nine digits with seconds") {
    const TemporaryFolder folder;
    for (const auto columns : {reel::LossColumns::seconds, reel::LossColumns::exact}) {
        reel::LossLog log(columns);
        for (index_t step = 1; step <= 20; ++step) {
            log.add({.step = step, .loss = 1.0 / static_cast<double>(step), .grad_norm = INFINITY}, 0.25);
        }
        CHECK(log.final_loss() == doctest::Approx((1.0 / 19 + 1.0 / 20) / 2));
        log.write(folder / "losses.csv");
        reel::LossLog again(columns);
        again.resume(folder / "losses.csv", 7);
        REQUIRE(again.rows().size() == 7);
        CHECK(again.rows()[6].report.loss == doctest::Approx(1.0 / 7).epsilon(1e-8));
        CHECK(again.rows()[6].report.grad_norm == INFINITY);
        CHECK((again.rows()[6].report.loss == 1.0 / 7) == (columns == reel::LossColumns::exact));
        CHECK(again.rows()[6].seconds == (columns == reel::LossColumns::exact ? 0 : 0.25));
    }
    reel::LossLog other;
    CHECK(contains(message_of<reel::Error>([&] { other.resume(folder / "losses.csv"); }), "losses.csv: cannot read"));
    other.resume(folder / "none.csv");
    CHECK(std::isnan(other.final_loss()));
}

TEST_CASE("what decides a step of tuning is its identity; what came later is named where it is used") {
    const nlohmann::json plain = reel::tuning_identity({.mixed_precision = reel::MixedPrecision::no}, false);
    CHECK(plain.size() == 13);
    CHECK_FALSE(plain.contains("mixed_precision"));
    CHECK_FALSE(plain.contains("max_train_steps"));
    CHECK(plain.at("lr_scheduler") == "constant");
    CHECK(plain.at("reference_checkpointing") == false);
    const nlohmann::json more =
        reel::tuning_identity({.mixed_precision = reel::MixedPrecision::bf16, .use_8bit_adam = true}, true);
    CHECK(more.at("mixed_precision") == "bf16");
    CHECK(more.at("use_8bit_adam") == true);
    reel::TuneOptions lora{.mixed_precision = reel::MixedPrecision::no, .tune = reel::TuneKind::lora, .rank = 8};
    const nlohmann::json factors = reel::tuning_identity(lora, false);
    CHECK(factors.size() == 16);
    CHECK(factors.at("rank") == 8);
    CHECK(factors.at("lora_layers") == "attention");
    lora.lora_names = reel::LoraNaming::peft; // of the file that is written
    CHECK(reel::tuning_identity(lora, false) == factors);
}

TEST_CASE("a run that is killed while it shows a checkpoint's step shows that first when it goes on") {
    const TemporaryFolder folder;
    std::filesystem::create_directory(folder / "out");
    std::vector<index_t> shown;
    bool killed = true;
    reel::TuneClip around{.folder = folder / "out", .validation_steps = 2};
    around.validate = [&](index_t step) {
        CHECK(std::filesystem::exists(reel::checkpoint_folder(folder / "out", step) / "state.json"));
        reel::require(!killed || step < 4, "killed");
        shown.push_back(step);
    };
    Halving stopped;
    CHECK(message_of<reel::Error>([&] { reel::tune_clip(stopped, steps(5), around); }) == "killed");
    killed = false;
    Halving again;
    static_cast<void>(reel::tune_clip(again, steps(5, "latest"), around));
    CHECK(again.step == 5);
    CHECK(shown == std::vector<index_t>{2, 4});
    // What was shown is not shown again, and a step that is none of those never.
    Halving once_more;
    static_cast<void>(reel::tune_clip(once_more, steps(5, "latest"), around));
    CHECK(shown == std::vector<index_t>{2, 4});
    // Pictures that could not be written are made when the run goes on.
    reel::FailedWrites failed;
    std::filesystem::create_directory(folder / "full");
    around.folder = folder / "full";
    around.failed = &failed;
    around.validate = [&](index_t step) {
        failed.attempt([&] { reel::require(step != 4, "a full disk"); });
        shown.push_back(step);
    };
    Halving full;
    static_cast<void>(reel::tune_clip(full, steps(4), around));
    Halving freed;
    static_cast<void>(reel::tune_clip(freed, steps(4, "latest"), around));
    CHECK(shown == std::vector<index_t>{2, 4, 2, 4, 4});
}

TEST_CASE("a loss that is no number ends a tuning with its last good checkpoint") {
    const TemporaryFolder folder;
    std::filesystem::create_directory(folder / "out");
    struct Diverging : Halving {
        reel::TuneReport report{};
        bool allow_nonfinite = false;
        [[nodiscard]] std::string why_not_finite() const { return "because"; }
        reel::TuneReport update() {
            reel::TuneReport now = Halving::update();
            if (now.step == 5) {
                now.loss = report.loss;
                now.grad_norm = report.grad_norm;
                now.skipped = report.skipped;
            }
            return now;
        }
    };
    const double inf = std::numeric_limits<double>::infinity();
    for (const reel::TuneReport& bad :
         {reel::TuneReport{.loss = std::nan(""), .grad_norm = 1}, reel::TuneReport{.loss = 1, .grad_norm = inf}}) {
        Diverging run;
        run.report = bad;
        const auto tune = [&] { static_cast<void>(reel::tune_clip(run, steps(8), {.folder = folder / "out"})); };
        const std::string text = message_of<reel::NotFinite>(tune);
        CHECK(contains(text, "step 5: the loss is "));
        CHECK(contains(text, "; because; the last good checkpoint: " + (folder / "out" / "checkpoint-4").string()));
        CHECK_FALSE(std::filesystem::exists(folder / "out" / "checkpoint-6"));
        Diverging allowed;
        allowed.report = bad;
        allowed.allow_nonfinite = true;
        CHECK(reel::tune_clip(allowed, steps(8)).rows().size() == 8);
    }
    struct Refusing : Diverging { // as Tuner, whose gradients are clipped before they move anything
        reel::TuneReport update() {
            reel::require(step < 4, "the gradient of \"a\" is not finite: the training has diverged");
            return Halving::update();
        }
    } refusing;
    CHECK(contains(message_of<reel::NotFinite>(
                       [&] { static_cast<void>(reel::tune_clip(refusing, steps(8), {.folder = folder / "out"})); }),
                   "step 5: the gradient of \"a\" is not finite: the training has diverged; because; the last good "));
    Diverging left_out; // a step that float16 leaves out is none
    left_out.report = {.loss = 1, .grad_norm = inf, .skipped = true};
    CHECK(reel::tune_clip(left_out, steps(8)).rows().size() == 8);
}

TEST_CASE("a checkpoint beyond the steps that a run has is refused") {
    const TemporaryFolder folder;
    std::filesystem::create_directory(folder / "out");
    Halving run;
    static_cast<void>(reel::tune_clip(run, steps(6), {.folder = folder / "out"}));
    Halving shorter;
    CHECK(contains(
        message_of<reel::Error>([&] { reel::tune_clip(shorter, steps(3, "latest"), {.folder = folder / "out"}); }),
        "the checkpoint is of step 6, beyond the 3 of max_train_steps"));
}
