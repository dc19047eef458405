#pragma once
// A study's tunings: each goes on from its last checkpoint, and ends as a folder that says all of the clip.

#include <cstdint>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>
#include <utility>

#include <reel/core/stopwatch.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/records/tensorboard.hpp>
#include <reel/io/video/video_writer.hpp>
#include <reel/metrics/psnr.hpp>
#include <reel/pipelines/tune_clip.hpp>
#include <reel/pipelines/tuned_lora.hpp>

#include "previews.hpp"

namespace study {

/// A tuning whose losses go to TensorBoard as well, in the folder `board`.
class RecordedTuning {
public:
    RecordedTuning(reel::AnyTuning& run, std::string name, std::filesystem::path board)
        : allow_nonfinite(run.allow_nonfinite), run_(run), name_(std::move(name)), folder_(std::move(board)) {}

    [[nodiscard]] index_t step_count() const { return run_.step_count(); }

    reel::TuneReport update() {
        const index_t before = run_.step_count();
        if (!board_) {
            if (before == 0) { // of one that was killed before its first checkpoint
                std::error_code ignored;
                std::filesystem::remove_all(folder_, ignored);
            }
            board_.emplace(folder_, before > 0 ? std::optional<std::int64_t>(before + 1) : std::nullopt);
        }
        const reel::TuneReport report = run_.update();
        board_->scalars({{"train/loss", report.loss},
                         {"train/grad_norm", report.grad_norm},
                         {"train/learning_rate", report.learning_rate}},
                        report.step);
        return report;
    }

    void save_checkpoint(const std::filesystem::path& output, const reel::CheckpointIdentity& identity) {
        run_.save_checkpoint(output, identity);
    }
    void load_checkpoint(const std::filesystem::path& checkpoint, const reel::CheckpointIdentity& identity) {
        run_.load_checkpoint(checkpoint, identity);
        std::cerr << name_ << ": goes on at step " << run_.step_count() << '\n';
    }

    [[nodiscard]] std::string why_not_finite() const { return run_.why_not_finite(); }
    bool allow_nonfinite = false;

private:
    reel::AnyTuning& run_;
    std::string name_;
    std::filesystem::path folder_;
    std::optional<reel::TensorBoardWriter> board_;
};

class TuningWork {
public:
    TuningWork(StudySession& session, Previews& previews, reel::FailedWrites& failed)
        : session_(session), previews_(previews), failed_(failed) {}

    void tune(const Tuning& tuning, const CheckStop& check_stop) {
        const reel::Stopwatch watch;
        const std::filesystem::path folder = session_.folders().tuning(tuning);
        const Cell& cell = tuning.cell;
        const int steps = cell.options.tuning.max_train_steps;
        reel::make_output_folder(folder);
        const OpenClip& clip = session_.open(tuning);
        reel::note_fast_gifs(clip.times);
        if (steps > 0 && !std::filesystem::exists(folder / "trained.safetensors")) {
            train(tuning, clip, folder, check_stop);
        }
        // Only now: a run that is killed while it removes them finds the trained parameters, and needs none.
        remove_beginning_with(folder, "checkpoint-");
        remove_beginning_with(folder, ".");
        check_stop();
        reel::write_clip(folder / "source", clip.source, {clip.times}, attempt_by(failed_));
        const reel::Frames small = fitted(clip.source, picture_side);
        failed_.attempt([&] { reel::write_gif(folder / "thumbnail.gif", small, clip.times); });
        failed_.attempt([&] {
            reel::write_png(folder / "frames.png",
                            captioned_sheet({{some_frames(small, 8), cell.prompt},
                                             {some_frames(fitted(clip.reconstruction, picture_side), 8),
                                              "the same through the autoencoder"}}));
        });
        reel::LossLog losses(reel::LossColumns::exact);
        if (steps > 0) {
            losses.resume(folder / "losses.csv");
        }
        write_record(folder, watch.seconds(), session_.cpu().threads());
        reel::write_json(folder / "tuning.json",
                         {{"options", tuning.key},
                          {"frames", clip.source.count},
                          {"fps", clip.times.fps},
                          {"tuning_loss", number(losses.final_loss())},
                          {"autoencoder_psnr", number(reel::metrics::psnr(clip.reconstruction, clip.source))}});
    }

private:
    /// The result goes to trained.safetensors; checkpoints are made on the way, of which the last is kept.
    void train(const Tuning& tuning, const OpenClip& clip, const std::filesystem::path& folder,
               const CheckStop& check_stop) {
        const Cell& cell = tuning.cell;
        session_.prepare_training(cell.options);
        AnyPipeline& pipeline = session_.pipeline();
        const auto run = pipeline.tune(clip.moments, pipeline.encode_prompt(cell.prompt), cell.options.tuning,
                                       session_.noise_of(cell));
        reel::TuneOptions options = cell.options.tuning;
        options.resume_from_checkpoint = "latest";
        remove_beginning_with(folder, ".");
        RecordedTuning recorded(*run, tuning.name, folder / "tensorboard");
        static_cast<void>(reel::tune_clip(recorded, options,
                                          {.folder = folder,
                                           .identity = {tuning.key},
                                           .columns = reel::LossColumns::exact,
                                           .only_newest = true,
                                           .after_update = [&](const reel::TuneReport& report) {
                                               check_stop();
                                               previews_.show_tuning(tuning, report.step);
                                           }}));
        reel::write_safetensors(folder / "trained.safetensors", pipeline.trained());
        if (options.tune == reel::TuneKind::lora) {
            failed_.attempt([&] { pipeline.save_lora(folder / reel::tuned_lora_file, options.lora_names); });
        }
        session_.restore();
        previews_.remove(tuning.name);
    }

    StudySession& session_;
    Previews& previews_;
    reel::FailedWrites& failed_;
};

} // namespace study
