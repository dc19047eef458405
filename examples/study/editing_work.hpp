#pragma once
// A study's inversions, and the edits that are sampled from them.

#include <string>
#include <utility>
#include <vector>

#include <reel/core/stopwatch.hpp>
#include <reel/io/files/atomic_folder.hpp>
#include <reel/io/pictures/frame_grid.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/video/video_writer.hpp>
#include <reel/metrics/clip_similarity.hpp>
#include <reel/metrics/psnr.hpp>
#include <reel/pipelines/laid_edit.hpp>

#include "previews.hpp"

namespace study {

class EditingWork {
public:
    EditingWork(StudySession& session, Previews& previews, reel::FailedWrites& failed, std::filesystem::path clip_model)
        : session_(session), previews_(previews), failed_(failed), clip_model_(std::move(clip_model)) {
        if (!clip_model_.empty()) {
            scorer_.emplace(reel::metrics::ClipScorer<float>::load(session_.cpu(), clip_model_));
        }
    }

    /// The name of the CLIP model, "" without.
    [[nodiscard]] std::string scorer() const {
        const auto name = clip_model_.filename();
        return !scorer_ ? "" : name.empty() ? clip_model_.parent_path().filename().string() : name.string();
    }

    void invert(const Plan& plan, const Inversion& inversion, const CheckStop& check_stop) {
        const reel::Stopwatch watch;
        const Tuning& tuning = plan.tunings[inversion.tuning];
        const std::filesystem::path folder = session_.folders().inversion(inversion);
        session_.activate(tuning);
        const OpenClip& clip = session_.open(tuning);
        reel::AnyTrajectory trajectory{{session_.clean_latents(inversion.cell, clip.moments)}, {}};
        nlohmann::json psnr;
        reel::make_output_folder(folder);
        remove_beginning_with(folder, ".");
        if (inversion.cell.options.edit.inverted()) {
            const reel::EditRequest request = session_.request_of(inversion.cell);
            trajectory = session_.pipeline()
                             .invert(request, trajectory.latents.front(), true,
                                     [&](index_t k, const AnyTensor& x) { previews_.show(inversion.name, k, x); })
                             .trajectory;
            const reel::Frames again = session_.decoded(sampled_back(request, trajectory));
            psnr = number(reel::metrics::psnr(again, clip.source));
            failed_.attempt([&] { reel::write_gif(folder / "reconstruction.gif", again, clip.times); });
            failed_.attempt(
                [&] { reel::write_gif(folder / "thumbnail.gif", fitted(again, picture_side), clip.times); });
        }
        check_stop();
        write_trajectory(folder / "inverted.safetensors", trajectory, inversion.keeps_all);
        write_record(folder, watch.seconds(), session_.cpu().threads());
        reel::write_json(folder / "inversion.json", {{"options", inversion.key},
                                                     {"timesteps", trajectory.timesteps},
                                                     {"keeps_all", inversion.keeps_all},
                                                     {"inversion_psnr", psnr}});
        previews_.remove(inversion.name);
    }

    void edit(const Plan& plan, const Edit& edit, const CheckStop& check_stop) {
        const reel::Stopwatch watch;
        const Inversion& inversion = plan.inversions[edit.inversion];
        const Tuning& tuning = plan.tunings[inversion.tuning];
        const Cell& cell = edit.cell;
        const std::filesystem::path done = session_.folders().edit(edit);
        OpenClip& clip = session_.open(tuning);
        reel::make_output_folder(done.parent_path());
        remove_beginning_with(done.parent_path(), "." + edit.name + ".");
        if (finished_result(done / "metrics.json")) {
            add_scores(cell, done);
            return;
        }
        session_.activate(tuning);
        const ResultFile about(session_.folders().inversion(inversion) / "inversion.json");
        const reel::AnyTrajectory inverted = read_trajectory(
            session_.pipeline(), session_.folders().inversion(inversion) / "inverted.safetensors", about);
        reel::SourceClip whole;
        whole.frames.fps = clip.source.fps;
        whole.file = clip.file;
        const reel::PixelMask allowed = cell.options.paste.paste ? cut_out(cell, whole, false) : allowed_in(cell, clip);
        const auto [latents, mask] = sampled(edit, inverted, allowed);
        const bool overlaid = cell.options.edit.overlay;
        reel::LaidEdits laid({clip.source, allowed,
                              overlaid ? session_.decoded(inverted.latents.front()) : reel::Frames(), whole.pasting});
        const reel::LaidEdit result = laid(session_.decoded(latents));

        reel::AtomicFolder folder(done);
        reel::write_safetensors(folder.path() / "latents.safetensors", {{"latents", reel::to_file(latents)}});
        laid.write(folder.path() / "edit", result, {clip.times}, attempt_by(failed_));
        write_pictures(folder.path(), cell, clip, result.frames);
        if (mask.defined()) {
            failed_.attempt([&] {
                reel::write_gif(folder.path() / "mask.gif", reel::mask_picture(mask, clip.source), clip.times);
            });
        }
        reel::write_json(folder.path() / "options.json", options_of(cell, session_.seed()));
        nlohmann::json measures = measured(clip, result.frames);
        if (!allowed.everywhere()) {
            measures["outside_mask_changed"] = laid.outside().changed;
            measures["outside_mask_pixels"] = laid.outside().pixels;
        }
        if (whole.pasting) {
            measures["crop"] = reel::crop_json(*whole.pasting);
        }
        measures["tuning_loss"] = ResultFile(session_.folders().tuning(tuning) / "tuning.json").at("tuning_loss");
        measures["inversion_psnr"] = about.at("inversion_psnr");
        score(cell, result.frames, measures);
        write_record(folder.path(), watch.seconds(), session_.cpu().threads());
        reel::write_json(folder.path() / "metrics.json", measures);
        check_stop();
        folder.commit();
        previews_.remove(edit.name);
    }

private:
    /// The clip again, from its inversion under its own prompt and without guidance.
    [[nodiscard]] AnyTensor sampled_back(const reel::EditRequest& inversion, const reel::AnyTrajectory& from) const {
        reel::EditRequest request{.sampler = inversion.sampler, .sampling = inversion.sampling};
        request.sampling.num_inference_steps = request.sampling.num_inv_steps;
        request.sampling.guidance_scale = 0;
        request.sampling.negative_prompt.reset();
        request.edit.inversion = inversion.edit.inversion;
        return session_.pipeline().sample_edit(request, from, {.start = from.latents.back()}, inversion.prompt);
    }

    /// An edit's latents, and where it could change the clip.
    struct Sampled {
        AnyTensor latents;
        AnyTensor mask; ///< undefined: everywhere
    };

    [[nodiscard]] Sampled sampled(const Edit& edit, const reel::AnyTrajectory& inverted,
                                  const reel::PixelMask& allowed) {
        const Cell& cell = edit.cell;
        reel::EditRequest request = session_.request_of(cell);
        request.sampler.set_eta(cell.options.sampling.eta);
        const AnyPipeline& pipeline = session_.pipeline();
        reel::AnyStart start;
        if (!cell.options.edit.inverted()) {
            start = pipeline.noise_start(request, inverted.latents.front());
        } else {
            start.noise = inverted.latents.back();
            if (cell.options.edit.keeps_trajectory()) {
                start.trajectory = inverted;
            }
        }
        start.allowed = reel::latent_mask(session_.cpu(), allowed, inverted.latents.front().shape());
        const reel::AnyPlace place = pipeline.find_place(request, start, cell.caption);
        return {pipeline.sample_edit(request, start.trajectory, place, cell.caption,
                                     [&](index_t k, const AnyTensor& x) { previews_.show(edit.name, k, x); }),
                place.mask};
    }

    void write_pictures(const std::filesystem::path& folder, const Cell& cell, const OpenClip& clip,
                        const reel::Frames& result) const {
        const auto gif = [&](const char* name, const reel::Frames& both) {
            failed_.attempt([&] { reel::write_gif(folder / name, both, clip.times); });
        };
        gif("side_by_side.gif", reel::side_by_side({clip.source, result}));
        const reel::Frames before = fitted(clip.source, picture_side);
        const reel::Frames after = fitted(result, picture_side);
        gif("thumbnail.gif", reel::side_by_side({before, after}));
        failed_.attempt([&] {
            reel::write_png(folder / "frames.png", captioned_sheet({{some_frames(before, 8), cell.prompt},
                                                                    {some_frames(after, 8), cell.caption}}));
        });
    }

    [[nodiscard]] static nlohmann::json measured(OpenClip& clip, const reel::Frames& result) {
        if (!clip.motion) {
            clip.motion = reel::metrics::motion_of(clip.source);
        }
        nlohmann::json json;
        for (const auto& [name, value] :
             reel::metrics::named_measures(reel::metrics::measure_edit(result, clip.reconstruction, *clip.motion))) {
            json[std::string(name)] = number(value);
        }
        json["autoencoder_psnr"] = number(reel::metrics::psnr(clip.reconstruction, clip.source));
        if (clip.drawn) { // the true object is known
            const metrics::Insertion found = world::measure(result, *clip.drawn, clip.source, clip.reconstruction);
            json["object_iou"] = number(found.iou);
            json["object_count"] = number(found.objects);
        }
        return json;
    }

    void score(const Cell& cell, const reel::Frames& result, nlohmann::json& measures) const {
        if (scorer_) {
            const reel::metrics::ClipMeasures scores = scorer_->measure(result, cell.caption);
            measures["clip_model"] = scorer();
            measures["clip_frames"] = number(100 * scores.pairs);
            measures["clip_neighbours"] = number(100 * scores.neighbours);
            measures["clip_text"] = number(scores.text);
        }
    }

    /// CLIP's measures of an edit that was made without.
    void add_scores(const Cell& cell, const std::filesystem::path& folder) {
        const std::filesystem::path file = folder / "latents.safetensors";
        const reel::StateDict saved = reel::read_safetensors(file);
        const auto latents = saved.find("latents");
        reel::require(latents != saved.end(), file.string(), ": \"latents\" is missing");
        nlohmann::json measures = ResultFile(folder / "metrics.json").json();
        score(cell, session_.decoded(session_.pipeline().upload(latents->second, folder.string())), measures);
        reel::write_json(folder / "metrics.json", measures);
    }

    StudySession& session_;
    Previews& previews_;
    reel::FailedWrites& failed_;
    std::filesystem::path clip_model_;
    std::optional<reel::metrics::ClipScorer<float>> scorer_;
};

} // namespace study
