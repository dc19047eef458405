#pragma once // Needs reel::text, reel::io and reel::video.

#include <filesystem>
#include <utility>

#include <reel/io/video/gif.hpp>
#include <reel/pipelines/any_pipeline.hpp>
#include <reel/pipelines/clip_files.hpp>
#include <reel/pipelines/job.hpp>

namespace reel {

/// A GIF of what is being sampled, as it looks so far.
struct Preview {
    int every = 0; ///< steps; 0: none
    std::filesystem::path file;
    ClipTimes times;
};

/// What sample_edit() calls after every step to keep a preview; it does nothing in a rehearsal. Decoding it is part of
/// the work, but no result: nothing that watches the pipeline sees it, and one that fails is told at the job's end.
[[nodiscard]] inline EachStep preview_of_steps(Job& in, AnyPipeline& model, const Preview& preview) {
    if (preview.every == 0 || in.rehearsal() != nullptr) {
        return {};
    }
    return [&in, &model, preview](index_t k, const AnyTensor& latents) {
        if (k % preview.every != 0) {
            return;
        }
        const StageWatch watch = std::exchange(model.watch, {.bars = false, .allow_nonfinite = true});
        const Communicator ranks = std::exchange(model.ranks, {}); // who writes it decodes it
        static_cast<void>(in.attempt(
            [&] { write_gif(preview.file, frames_of(model.decode(latents), preview.times.fps), preview.times); }));
        model.watch = watch;
        model.ranks = ranks;
    };
}

} // namespace reel
