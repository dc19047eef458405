#pragma once
// A study's tunings: each goes on from its last checkpoint, and ends as a folder that says all of the clip.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <reel/core/progress.hpp>
#include <reel/core/stopwatch.hpp>
#include <reel/io/records/tensorboard.hpp>
#include <reel/metrics/psnr.hpp>

#include "study_losses.hpp"
#include "study_previews.hpp"

namespace study {

class TuningWork {
public:
    TuningWork(Hand& hand, Previews& previews) : hand_(hand), previews_(previews) {}

    void tune(const Tuning& tuning, const Tick& tick) {
        const reel::Stopwatch watch;
        const std::filesystem::path folder = hand_.folders().tuning(tuning);
        const Cell& cell = tuning.cell;
        const int steps = cell.options.config.max_train_steps;
        reel::make_output_folder(folder);
        const OpenClip& clip = hand_.open(tuning);
        if (steps > 0 && !std::filesystem::exists(folder / "trained.safetensors")) {
            train(tuning, clip, folder, tick);
        }
        // Only now: a run that is killed while it removes them finds the trained parameters, and needs none.
        remove_temporaries(folder, "checkpoint-");
        remove_temporaries(folder, ".");
        tick();
        reel::write_gif(folder / "source.gif", clip.source, clip.fps());
        reel::write_mp4(folder / "source.mp4", clip.source, clip.fps());
        const reel::Frames small = fitted(clip.source, picture_side);
        reel::write_gif(folder / "thumbnail.gif", small, clip.fps());
        reel::write_png(folder / "frames.png",
                        captioned_sheet({{some_frames(small, 8), cell.prompt},
                                         {some_frames(fitted(clip.reconstruction, picture_side), 8),
                                          "the same through the autoencoder"}}));
        const auto losses = steps > 0 ? read_losses(folder / "losses.csv") : std::vector<Loss>();
        write_record(folder, watch.seconds(), hand_.cpu().threads());
        reel::write_json(folder / "tuning.json",
                         {{"options", tuning.key},
                          {"frames", clip.source.count},
                          {"fps", clip.fps()},
                          {"tuning_loss", number(final_loss(losses))},
                          {"autoencoder_psnr", number(reel::metrics::psnr(clip.reconstruction, clip.source))}});
    }

private:
    /// The result goes to trained.safetensors; checkpoints are made on the way, of which the last is kept.
    void train(const Tuning& tuning, const OpenClip& clip, const std::filesystem::path& folder, const Tick& tick) {
        const Cell& cell = tuning.cell;
        const reel::TuneAVideoConfig& config = cell.options.config;
        hand_.prepare_training(cell.options);
        editing::Model& model = hand_.model();
        const auto tuner =
            model.networks->tune(clip.moments, hand_.text_of(cell.prompt), editing::tune_options(config));
        const reel::CheckpointIdentity identity{tuning.key};
        std::vector<Loss> losses;
        remove_temporaries(folder, ".");
        if (const auto checkpoint = reel::latest_checkpoint(folder)) {
            tuner->load_checkpoint(*checkpoint, identity);
            losses = read_losses(folder / "losses.csv", tuner->step_count());
            std::cerr << tuning.name << ": goes on at step " << tuner->step_count() << '\n';
        }
        if (tuner->step_count() == 0) { // of one that was killed before its first checkpoint
            std::error_code ignored;
            std::filesystem::remove_all(folder / "tensorboard", ignored);
        }
        reel::TensorBoardWriter board(folder / "tensorboard", tuner->step_count() > 0
                                                                  ? std::optional<std::int64_t>(tuner->step_count() + 1)
                                                                  : std::nullopt);
        reel::Progress bar("tune", static_cast<std::size_t>(config.max_train_steps));
        bar.skip(static_cast<std::size_t>(tuner->step_count()));
        while (tuner->step_count() < config.max_train_steps) {
            const reel::TuneReport report =
                tuner->update([&](index_t i) { return hand_.noise_of(cell, tuner->latent_shape(), i); });
            losses.push_back({report.step, report.loss, report.grad_norm, report.learning_rate});
            board.scalars({{"train/loss", report.loss},
                           {"train/grad_norm", report.grad_norm},
                           {"train/learning_rate", report.learning_rate}},
                          report.step);
            bar.note(reel::concat_text("loss ", report.loss));
            bar.step();
            tick();
            if (report.step % config.checkpointing_steps == 0 && report.step < config.max_train_steps) {
                write_losses(folder / "losses.csv", losses); // first: who continues there finds its past
                tuner->save_checkpoint(folder, identity);
                remove_older_checkpoints(folder, report.step);
            }
            previews_.show_tuning(tuning, report.step, tick);
        }
        write_losses(folder / "losses.csv", losses);
        reel::write_safetensors(folder / "trained.safetensors", model.networks->trained());
        hand_.restore();
        previews_.remove(tuning.name);
    }

    static void remove_older_checkpoints(const std::filesystem::path& folder, index_t newest) {
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

    Hand& hand_;
    Previews& previews_;
};

} // namespace study
