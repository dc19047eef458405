#pragma once
// The loop of a tuning: a log, checkpoints, going on where a run stopped. Needs reel::io.

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <reel/backend/cpu/rehearsal.hpp>
#include <reel/core/progress.hpp>
#include <reel/core/stopwatch.hpp>
#include <reel/io/config/json.hpp>
#include <reel/io/config/options.hpp>
#include <reel/io/files/failed_writes.hpp>
#include <reel/parallel/communicator.hpp>
#include <reel/pipelines/checkpoint_folder.hpp>
#include <reel/pipelines/loss_log.hpp>
#include <reel/pipelines/not_finite.hpp>
#include <reel/pipelines/tune_options.hpp>

namespace reel {

/// What happens around the updates.
struct TuneClip {
    std::filesystem::path folder{}; ///< for losses.csv and checkpoints; "": neither is written
    CheckpointIdentity identity{};  ///< what a checkpoint must have been made with
    LossColumns columns = LossColumns::seconds;
    bool only_newest = false;     ///< of checkpoints; and none at the last step, whose result is the caller's to save
    index_t validation_steps = 0; ///< validate() after every so many steps; 0: never
    /// Shows how far a step has come, after its checkpoint. A run that goes on from a checkpoint whose step was not
    /// shown to the end does that first.
    std::function<void(index_t step)> validate{};
    std::function<void(const TuneReport&)> after_update{}; ///< after the checkpoint; may throw to end the run
    std::function<void(const std::string&)> say{};         ///< gets a sentence about where the run goes on
    FailedWrites* failed = nullptr;                        ///< with it, the log and checkpoints do not end the run
    Rehearsal* rehearsal = nullptr;                        ///< with one, a few updates stand for all
    Communicator ranks{}; ///< who runs this together, with one folder: all read in it, the first writes
};

/// The options that decide what a step of tuning does, by name; the clip, its prompt, the model, the seed and the
/// number of steps are not among them. What came later is named where it is used, so that what was tuned before goes
/// on.
[[nodiscard]] inline nlohmann::json tuning_identity(const TuneOptions& options, bool reference_checkpointing) {
    nlohmann::json json = options_json(options);
    for (const char* other : {"train_batch_size", "max_train_steps", "checkpointing_steps", "resume_from_checkpoint"}) {
        json.erase(other);
    }
    json["reference_checkpointing"] = reference_checkpointing;
    json.erase("lora_names"); // of a file that is written afterwards
    if (options.tune == TuneKind::full) {
        json.erase("tune");
        json.erase("rank");
        json.erase("lora_layers");
    }
    if (!options.use_8bit_adam) {
        json.erase("use_8bit_adam");
    }
    if (options.mixed_precision == MixedPrecision::no) {
        json.erase("mixed_precision");
    }
    return json;
}

namespace detail {

/// The checkpoint that the options name, or nothing to start afresh.
[[nodiscard]] inline std::optional<std::filesystem::path> checkpoint_to_resume(const TuneOptions& options,
                                                                               const TuneClip& around) {
    if (around.folder.empty() || !options.resume_from_checkpoint) {
        return std::nullopt;
    }
    if (*options.resume_from_checkpoint == "latest") {
        const auto latest = latest_checkpoint(around.folder);
        if (!latest && around.say) {
            around.say(terminal_text("resume_from_checkpoint: no checkpoint in " + around.folder.string() +
                                     " yet; starting afresh"));
        }
        return latest;
    }
    // As in the reference: the last part of the path, in the output folder.
    const auto path = around.folder / std::filesystem::path(*options.resume_from_checkpoint).filename();
    require(std::filesystem::is_directory(path), "resume_from_checkpoint: ", path.string(),
            " is not a folder; expected \"latest\" or the name of a checkpoint in ", around.folder.string());
    return path;
}

/// Throws Error for a checkpoint that Python's trainer left in the same place.
inline void refuse_pythons_checkpoint(const std::filesystem::path& folder) {
    std::error_code ignored;
    if (std::filesystem::exists(folder / "state.json", ignored)) {
        return;
    }
    for (const char* file : {"pytorch_model.bin", "model.safetensors", "optimizer.bin", "unet"}) {
        require(!std::filesystem::exists(folder / file, ignored), "resume_from_checkpoint: ", folder.string(),
                " is a checkpoint of Python's (it has ", file,
                " and no state.json), which cannot be continued here; start anew with another output_dir");
    }
}

inline void remove_older_checkpoints(const std::filesystem::path& folder, index_t newest) {
    std::error_code ignored;
    std::vector<std::filesystem::path> older;
    for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
        const std::string name = entry.path().filename().string();
        if (name.starts_with("checkpoint-") && name != "checkpoint-" + std::to_string(newest)) {
            older.push_back(entry.path());
        }
    }
    for (const auto& path : older) {
        std::filesystem::remove_all(path, ignored);
    }
}

/// In a checkpoint's folder, once its step was shown.
inline constexpr const char* validated_file = "validated.json";

[[nodiscard]] inline bool was_validated(const TuneClip& around, index_t step) {
    std::error_code ignored;
    return around.folder.empty() ||
           std::filesystem::exists(checkpoint_folder(around.folder, step) / validated_file, ignored);
}

/// Shows a step where it is one of those that are to be, and notes that in its checkpoint, where it has one.
inline void validate(const TuneClip& around, index_t step) {
    if (!around.validate || around.validation_steps <= 0 || step % around.validation_steps != 0) {
        return;
    }
    const auto failures = [&] { return around.failed == nullptr ? 0 : around.failed->messages().size(); };
    const std::size_t before = failures();
    around.validate(step);
    const std::filesystem::path checkpoint = checkpoint_folder(around.folder, step);
    std::error_code ignored;
    if (!around.folder.empty() && around.ranks.first() && failures() == before &&
        std::filesystem::is_directory(checkpoint, ignored)) {
        try {
            write_json(checkpoint / validated_file, {{"step", step}});
        } catch (const Error&) { // then it is shown once more
        }
    }
}

/// Throws NotFinite: in which step, `what` was seen, why, and what is left of the run.
template <class Run>
[[noreturn]] void stop_not_finite(const Run& run, index_t step, const std::string& what, const TuneClip& around) {
    std::string why = "the weights may hold Inf or NaN, or were tuned too far";
    if constexpr (requires { run.why_not_finite(); }) {
        why = run.why_not_finite();
    }
    const auto last = around.folder.empty() ? std::nullopt : latest_checkpoint(around.folder);
    throw NotFinite(concat_text("step ", step, ": ", what, "; ", why,
                                "; the last good checkpoint: ", last ? last->string() : "none"));
}

/// One update. Throws NotFinite where the loss or a gradient is none.
template <class Run>
[[nodiscard]] TuneReport finite_update(Run& run, const TuneClip& around) {
    TuneReport report;
    try {
        report = run.update();
    } catch (const Error& error) { // of clip_grad_norm_() and Tuner, before anything was changed
        if (std::string_view(error.what()).find("not finite") != std::string_view::npos) {
            stop_not_finite(run, run.step_count() + 1, error.what(), around);
        }
        throw;
    }
    bool allowed = around.rehearsal != nullptr;
    if constexpr (requires { run.allow_nonfinite; }) {
        allowed = allowed || run.allow_nonfinite;
    }
    if (!allowed && !is_finite(report)) {
        stop_not_finite(run, report.step,
                        concat_text("the loss is ", report.loss, ", the gradient's norm ", report.grad_norm), around);
    }
    return report;
}

} // namespace detail

/// Tunes to options.max_train_steps, with a progress bar; goes on from the checkpoint that
/// options.resume_from_checkpoint names, and gives what a run that was never stopped gives. `run` has step_count(),
/// update(), save_checkpoint(folder, identity) and load_checkpoint(folder, identity): a TuningRun, an AnyTuning, or
/// one's own. Returns the losses, those before a stop included.
template <class Run>
LossLog tune_clip(Run& run, const TuneOptions& options, const TuneClip& around = {}) {
    LossLog log(around.columns);
    const std::filesystem::path losses = around.folder / "losses.csv";
    if (const auto checkpoint = detail::checkpoint_to_resume(options, around)) {
        detail::refuse_pythons_checkpoint(*checkpoint);
        run.load_checkpoint(*checkpoint, around.identity);
        log.resume(losses, run.step_count());
        if (around.say) {
            around.say(
                terminal_text(concat_text("continuing from ", checkpoint->string(), " at step ", run.step_count())));
        }
    }
    const auto resumed_at = run.step_count();
    require(resumed_at <= options.max_train_steps, "resume_from_checkpoint: the checkpoint is of step ", resumed_at,
            ", beyond the ", options.max_train_steps, " of max_train_steps");
    Progress bar("tune", static_cast<std::size_t>(options.max_train_steps));
    bar.skip(static_cast<std::size_t>(run.step_count()));
    const auto write = [&](const auto& files) {
        if (!around.ranks.first()) {
            return;
        }
        if (around.failed != nullptr) {
            around.failed->attempt(files);
        } else {
            files();
        }
    };
    const bool shown = detail::was_validated(around, resumed_at);
    around.ranks.barrier("who reads the checkpoint"); // before the first writes another
    if (resumed_at > 0 && !shown) {
        detail::validate(around, resumed_at);
    }
    const auto update = [&] {
        const Stopwatch watch;
        const TuneReport report = detail::finite_update(run, around);
        log.add(report, watch.seconds());
        bar.note(concat_text("loss ", report.loss));
        bar.step();
        const bool last = report.step >= options.max_train_steps;
        if (!around.folder.empty() && report.step % options.checkpointing_steps == 0 && !(around.only_newest && last)) {
            write([&] {
                log.write(losses); // first, so that a run that continues here finds its past
                run.save_checkpoint(around.folder, around.identity);
                if (around.only_newest) {
                    detail::remove_older_checkpoints(around.folder, report.step);
                }
            });
        }
        if (around.rehearsal == nullptr) {
            detail::validate(around, report.step);
        }
        if (around.after_update) {
            around.after_update(report);
        }
    };
    if (around.rehearsal != nullptr) {
        around.rehearsal->repeat(options.max_train_steps - run.step_count(), update);
    } else {
        while (run.step_count() < options.max_train_steps) {
            update();
        }
    }
    if (!around.folder.empty()) {
        write([&] { log.write(losses); });
    }
    return log;
}

} // namespace reel
