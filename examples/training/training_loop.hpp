#pragma once
// The loop of a training from nothing: its log, its checkpoints, and how it continues.

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <reel/core/progress.hpp>
#include <reel/core/stopwatch.hpp>
#include <reel/io/config/json.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/pipelines/training_checkpoint.hpp>

#include "network_configs.hpp"
#include "training_options.hpp"

namespace training {

/// log.csv: appended to as the training goes, cut back to where a run continues.
class Log {
public:
    Log(std::filesystem::path path, index_t last_step) : path_(std::move(path)) {
        std::ifstream file(path_);
        std::string line;
        std::getline(file, line);
        while (std::getline(file, line) && std::atoll(line.c_str()) <= last_step) {
            text_ += line + '\n';
        }
    }

    void add(const reel::TrainReport& report, double loss, double held_out, double seconds) {
        std::array<char, 200> line{};
        std::snprintf(line.data(), line.size(), "%td,%.6g,%.6g,%.4g,%.4g,%.4f\n", report.step, loss, held_out,
                      report.grad_norm, report.learning_rate, seconds);
        text_ += line.data();
    }

    void write() const {
        reel::write_file(path_, "step,loss,held_out,grad_norm,learning_rate,seconds_per_step\n" + text_);
    }

private:
    std::filesystem::path path_;
    std::string text_;
};

/// How long a training goes on and over how many of its last steps the learning rate falls, as options say it.
struct Plan {
    struct Names {
        const char* steps;
        const char* decay;
    };

    index_t steps = 0;
    index_t decay_steps = 0;

    [[nodiscard]] bool operator==(const Plan&) const = default;
    [[nodiscard]] std::string text(const Names& names) const {
        return reel::concat_text(names.steps, " ", steps, " ", names.decay, " ", decay_steps);
    }
};

/// What the two trainings share: checkpoints, the log and the loop.
template <reel::Backend B>
class TrainingLoop {
public:
    using Training = reel::Training<float, B>;
    using Parameters = std::vector<reel::NamedParameter<float, B>>;

    /// `check_stop` is called after every step.
    TrainingLoop(std::string name, const Options& options, const reel::TrainOptions& train,
                 const Plan::Names& plan_names, nlohmann::json identity, std::function<void()> check_stop)
        : name_(std::move(name)), options_(options), train_(train), plan_names_(plan_names),
          folder_(std::filesystem::path(options.output) / name_), identity_(std::move(identity)),
          check_stop_(std::move(check_stop)), training_(train) {
        reel::make_output_folder(folder_);
    }

    [[nodiscard]] Training& training() { return training_; }
    [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }

    /// The last checkpoint, if it is asked for and there is one.
    [[nodiscard]] std::optional<std::filesystem::path> last_checkpoint() const {
        return options_.resume ? reel::latest_checkpoint(folder_) : std::nullopt;
    }

    /// Step of a checkpoint.
    [[nodiscard]] static index_t step_of(const std::filesystem::path& checkpoint) {
        return std::stoll(checkpoint.filename().string().substr(prefix.size()));
    }

    /// Finds out whether the last checkpoint, if it is asked for and there is one, was made with these options.
    void check() const {
        if (const auto last = last_checkpoint()) {
            static_cast<void>(reel::check_training(*last, identity_for(*last)));
            check_plan(*last);
        }
    }

    /// Continues from the last checkpoint if asked to and if there is one. check() comes before.
    void resume(B& backend, const Parameters& parameters) {
        if (const auto last = last_checkpoint()) {
            const std::optional<Plan> saved = saved_plan(*last);
            const nlohmann::json identity = identity_for(*last);
            reel::load_training(*last, backend, training_, parameters, identity);
            read_not_logged(*last);
            std::cerr << name_ << ": continuing from " << reel::terminal_text(last->string()) << '\n';
            if (saved != plan_at(training_.step_count())) {
                std::cerr << name_ << ": extended at step " << training_.step_count() << ": until here "
                          << (saved ? saved->text(plan_names_) : "the learning rate did not fall") << ", from here "
                          << plan().text(plan_names_) << '\n';
            }
            if (acts_of(identity) != acts_of(identity_)) {
                std::cerr << name_ << ": extended at step " << training_.step_count() << ": until here --"
                          << changing_key << ' ' << acts_of(identity) << ", from here " << acts_of(identity_) << '\n';
            }
        } else if (options_.resume) {
            std::cerr << name_ << ": no checkpoint in " << reel::terminal_text(folder_.string())
                      << ", starting from nothing\n";
        }
    }

    /// `step(k)` computes gradients for update k and returns the loss; `held_out()` a loss; `sample(k)` pictures.
    template <class Gathered, class Step, class HeldOut, class Sample>
    void run(const Gathered& parameters, const Step& step, const HeldOut& held_out, const Sample& sample) {
        Log log(folder_ / "log.csv", training_.step_count());
        const index_t total = train_.max_train_steps;
        reel::require(training_.step_count() <= total || total == 0, folder_.string(),
                      ": the last checkpoint is at step ", training_.step_count(), ", beyond the ", total,
                      " that this run asks for");
        if (total > 0 && training_.step_count() == total) {
            sample(total); // a longer run may have been stopped before it got that far
        }
        reel::Progress bar("train " + name_, static_cast<std::size_t>(total));
        bar.skip(static_cast<std::size_t>(training_.step_count()));
        auto& [loss, since] = not_logged_;
        index_t timed = 0; // of `since`, in this process
        reel::Stopwatch watch;
        while (training_.step_count() < total) {
            const double one = step(training_.step_count());
            const reel::TrainReport report = finite_update(one, parameters);
            loss += one;
            ++since;
            ++timed;
            bar.step();
            const bool last = report.step == total;
            if (last || report.step % options_.validation_steps == 0) {
                const double seconds = watch.seconds();
                const double value = held_out();
                const auto count = static_cast<double>(since);
                log.add(report, loss / count, value, seconds / static_cast<double>(timed));
                log.write();
                bar.note(reel::concat_text("loss ", loss / count, ", held out ", value));
                not_logged_ = {};
                timed = 0;
                watch.restart();
            }
            // Before the checkpoint: a run that is killed between the two does this step again, pictures and all.
            if (last || report.step % options_.sample_steps == 0) {
                sample(report.step);
            }
            if (last || report.step % options_.checkpointing_steps == 0) {
                checkpoint(parameters());
            }
            check_stop_();
        }
    }

private:
    static constexpr std::string_view prefix = "checkpoint-";

    /// Losses since the log's last line, whose mean will be the next one's: a run that continues has them from its
    /// checkpoint.
    struct NotLogged {
        double loss = 0;
        index_t steps = 0;
    };

    /// One update. Throws Error, before anything is written of it, where the loss or a gradient is no number.
    template <class Gathered>
    [[nodiscard]] reel::TrainReport finite_update(double loss, const Gathered& parameters) {
        std::string what = reel::concat_text("the loss is ", loss);
        try {
            if (std::isfinite(loss)) {
                return training_.update(parameters());
            }
        } catch (const reel::Error& error) {
            what = error.what();
        }
        const auto last = reel::latest_checkpoint(folder_);
        reel::fail(name_, ": step ", training_.step_count() + 1, ": ", what,
                   "; take a smaller learning rate; the last good checkpoint: ", last ? last->string() : "none");
    }

    [[nodiscard]] Plan plan() const { return {train_.max_train_steps, train_.lr_decay_steps}; }

    /// What checkpoint() wrote of it; nothing in a checkpoint from before.
    void read_not_logged(const std::filesystem::path& checkpoint) {
        const nlohmann::json state = reel::read_json(checkpoint / "state.json");
        const auto found = state.find("not_logged");
        if (found == state.end()) {
            return;
        }
        reel::require(found->is_object() && found->contains("loss") && (*found)["loss"].is_number() &&
                          found->contains("steps") && (*found)["steps"].is_number_unsigned() &&
                          (*found)["steps"].get<index_t>() <= training_.step_count(),
                      (checkpoint / "state.json").string(), ": \"not_logged\": expected \"loss\" and \"steps\"");
        not_logged_ = {(*found)["loss"].get<double>(), (*found)["steps"].get<index_t>()};
    }

    /// This run's plan, where the learning rate of the first `step` updates depends on it.
    [[nodiscard]] std::optional<Plan> plan_at(index_t step) const {
        const bool constant = train_.lr_scheduler == reel::LrScheduleKind::constant ||
                              train_.lr_scheduler == reel::LrScheduleKind::constant_with_warmup;
        const bool falls = train_.lr_decay_steps > 0 && step > train_.max_train_steps - train_.lr_decay_steps;
        return !constant || falls ? std::optional(plan()) : std::nullopt;
    }

    /// The plan that a checkpoint's updates depended on, if they did.
    [[nodiscard]] static std::optional<Plan> saved_plan(const std::filesystem::path& checkpoint) {
        const nlohmann::json state = reel::read_json(checkpoint / "state.json");
        if (!state.is_object() || !state.contains("options") || !state["options"].is_object()) {
            return std::nullopt; // check_training() says what is wrong
        }
        const nlohmann::json& options = state["options"];
        const auto number = [&](const char* key) { return options.contains(key) && options[key].is_number_integer(); };
        if (!number("max_train_steps") || !number("lr_decay_steps")) {
            return std::nullopt;
        }
        return Plan{options["max_train_steps"].get<index_t>(), options["lr_decay_steps"].get<index_t>()};
    }

    /// What a checkpoint's options must be: this run's, but for what --extend may change.
    [[nodiscard]] nlohmann::json identity_for(const std::filesystem::path& checkpoint) const {
        nlohmann::json identity = identity_with(saved_plan(checkpoint));
        if (options_.extend) {
            const nlohmann::json state = reel::read_json(checkpoint / "state.json");
            identity.erase(changing_key);
            if (state.is_object() && state.contains("options") && state["options"].is_object() &&
                state["options"].contains(changing_key)) {
                identity[changing_key] = state["options"][changing_key];
            }
        }
        return identity;
    }

    [[nodiscard]] static std::string acts_of(const nlohmann::json& identity) {
        return identity.contains(changing_key) ? identity[changing_key].dump() : "all";
    }

    /// Throws Error when the run that made a checkpoint had another plan which the learning rate depended on, unless
    /// this one is to go on with its own.
    void check_plan(const std::filesystem::path& checkpoint) const {
        const std::optional<Plan> saved = saved_plan(checkpoint);
        if (options_.extend || saved == plan_at(step_of(checkpoint))) {
            return;
        }
        const std::string past =
            saved ? "the learning rate has begun to fall with " + saved->text(plan_names_) + ", this run has "
                  : "the learning rate has not fallen yet, as it would have with ";
        reel::fail((checkpoint / "state.json").string(), ": ", past, plan().text(plan_names_),
                   "; use the same options, or --extend to go on from step ", step_of(checkpoint),
                   " with the new ones");
    }

    /// The options that a run which continues must share. How long it goes on may change as long as the learning rate
    /// has not begun to depend on it.
    [[nodiscard]] nlohmann::json identity_with(const std::optional<Plan>& plan) const {
        nlohmann::json identity = identity_;
        if (plan) {
            identity["max_train_steps"] = plan->steps;
            identity["lr_decay_steps"] = plan->decay_steps;
        }
        return identity;
    }

    /// Writes a checkpoint and removes all but the two newest.
    void checkpoint(const Parameters& parameters) {
        const index_t step = training_.step_count();
        reel::save_training(folder_ / ("checkpoint-" + std::to_string(step)), training_, parameters,
                            identity_with(plan_at(step)),
                            {{"not_logged", {{"loss", not_logged_.loss}, {"steps", not_logged_.steps}}}});
        for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
            const std::string name = entry.path().filename().string();
            if (name.starts_with(prefix) &&
                std::atoll(name.c_str() + prefix.size()) <= step - 2 * options_.checkpointing_steps) {
                std::error_code ignored;
                std::filesystem::remove_all(entry.path(), ignored);
            }
        }
    }

    std::string name_;
    const Options& options_;
    const reel::TrainOptions& train_;
    Plan::Names plan_names_;
    std::filesystem::path folder_;
    nlohmann::json identity_;
    std::function<void()> check_stop_;
    Training training_;
    NotLogged not_logged_;
};

} // namespace training
