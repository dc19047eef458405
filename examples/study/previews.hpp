#pragma once
// Small clips of what is being worked on, for those who watch.

#include <algorithm>
#include <string>

#include <reel/io/files/failed_writes.hpp>
#include <reel/io/video/gif.hpp>
#include <reel/pipelines/named_sampler.hpp>

#include "pictures.hpp"
#include "study_session.hpp"

namespace study {

/// What reel::write_clip() writes with: files that cannot be written are gathered.
[[nodiscard]] inline auto attempt_by(reel::FailedWrites& failed) {
    return [&failed](const std::filesystem::path& file, const auto& write) { failed.attempt([&] { write(file); }); };
}

/// Writes previews/NAME.gif every so many steps; never with 0.
class Previews {
public:
    Previews(StudySession& session, int every, reel::FailedWrites& failed)
        : session_(session), every_(every), failed_(failed) {}

    [[nodiscard]] bool wanted(index_t step) const { return every_ > 0 && step > 0 && step % every_ == 0; }

    /// A few frames of the present latents, decoded as if they were clean.
    void show(const std::string& name, index_t step, const AnyTensor& latents) {
        if (!wanted(step)) {
            return;
        }
        const reel::Frames frames =
            session_.decoded(session_.pipeline().slice(latents, 0, std::min<index_t>(latents.shape(0), 4)));
        failed_.attempt([&] {
            reel::make_output_folder(session_.folders().root / "previews");
            reel::write_gif(session_.folders().preview(name), fitted(frames, 128), frames.fps);
        });
    }

    /// What a model that is being tuned makes of the clip's prompt, in few steps from noise.
    void show_tuning(const Tuning& tuning, index_t step) {
        if (!wanted(step)) {
            return;
        }
        const AnyPipeline& pipeline = session_.pipeline();
        const AnyTensor mean = pipeline.mean_latents(session_.open(tuning).moments);
        const reel::EditRequest request{.sampler = reel::ddim_sampler(pipeline.facts()),
                                        .sampling = {.num_inference_steps = 10, .guidance_scale = 0},
                                        .edit = {.start = reel::EditStart::noise}};
        reel::EditRequest from_noise = request;
        from_noise.seed = session_.seed();
        const reel::AnyStart start = pipeline.noise_start(from_noise, mean);
        show(tuning.name, step, pipeline.sample_edit(request, {}, {.start = start.noise}, tuning.cell.prompt));
    }

    /// Nothing is being worked on any more.
    void remove(const std::string& name) const {
        std::error_code ignored;
        std::filesystem::remove(session_.folders().preview(name), ignored);
    }

private:
    StudySession& session_;
    int every_;
    reel::FailedWrites& failed_;
};

} // namespace study
