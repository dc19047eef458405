#pragma once
// A study's inversions, and the edits that are sampled from them.

#include <string>
#include <utility>
#include <vector>

#include <reel/core/stopwatch.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/metrics/clip_similarity.hpp>

#include "study_losses.hpp"
#include "study_previews.hpp"

namespace study {

// insert_object's defaults.
static_assert([](const DraftChoice& a, const editing::DeltaSettings& b) {
    return a.steps == b.delta.steps && a.step_size == b.delta.step_size && a.weakest == b.delta.weakest &&
           a.strongest == b.delta.strongest && a.guidance_scale == b.delta.guidance_scale &&
           a.shrinkage == b.delta.shrinkage && a.fill_below == b.delta.fill_below && a.strength == b.strength;
}({}, {}));

class EditingWork {
public:
    EditingWork(Hand& hand, Previews& previews, std::filesystem::path clip_model)
        : hand_(hand), previews_(previews), clip_model_(std::move(clip_model)) {
        if (!clip_model_.empty()) {
            scorer_.emplace(reel::metrics::ClipScorer<float>::load(hand_.cpu(), clip_model_));
        }
    }

    /// The name of the CLIP model, "" without.
    [[nodiscard]] std::string scorer() const {
        const auto name = clip_model_.filename();
        return !scorer_ ? "" : name.empty() ? clip_model_.parent_path().filename().string() : name.string();
    }

    void invert(const Plan& plan, const Inversion& inversion, const Tick& tick) {
        const reel::Stopwatch watch;
        const Tuning& tuning = plan.tunings[inversion.tuning];
        const Options& options = inversion.cell.options;
        const std::filesystem::path folder = hand_.folders().inversion(inversion);
        hand_.activate(tuning);
        const OpenClip& clip = hand_.open(tuning);
        Trajectory trajectory{{hand_.clean_latents(inversion.cell, clip.moments)}, {}};
        nlohmann::json psnr;
        reel::make_output_folder(folder);
        remove_temporaries(folder, ".");
        if (options.inverted()) {
            AnySampler sampler = hand_.sampler_of(inversion.cell.sampler, options);
            trajectory = inverted(inversion, sampler, trajectory.latents.front(), tick);
            reel::TuneValidationData plain = options.config.validation_data;
            plain.num_inference_steps = plain.num_inv_steps;
            plain.guidance_scale = 0;
            const Tensor sampled =
                editing::sample(hand_.cpu(), hand_.model(), sampler, trajectory.latents.back(), tuning.cell.prompt, "",
                                plain, 0, [&](index_t, const Tensor&) { tick(); });
            const reel::Frames again = hand_.decoded(sampled, tick);
            psnr = number(reel::metrics::psnr(again, clip.source));
            reel::write_gif(folder / "reconstruction.gif", again, clip.fps());
            reel::write_gif(folder / "thumbnail.gif", fitted(again, picture_side), clip.fps());
        }
        tick();
        write_trajectory(folder / "inverted.safetensors", trajectory, inversion.keeps_all);
        write_record(folder, watch.seconds(), hand_.cpu().threads());
        reel::write_json(folder / "inversion.json", {{"options", inversion.key},
                                                     {"timesteps", trajectory.timesteps},
                                                     {"keeps_all", inversion.keeps_all},
                                                     {"inversion_psnr", psnr}});
        previews_.remove(inversion.name);
    }

    void edit(const Plan& plan, const Edit& edit, const Tick& tick) {
        const reel::Stopwatch watch;
        const Inversion& inversion = plan.inversions[edit.inversion];
        const Tuning& tuning = plan.tunings[inversion.tuning];
        const Cell& cell = edit.cell;
        const std::filesystem::path done = hand_.folders().edit(edit);
        OpenClip& clip = hand_.open(tuning);
        reel::make_output_folder(done.parent_path());
        remove_temporaries(done.parent_path(), "." + edit.name + ".");
        if (std::filesystem::exists(done / "metrics.json")) {
            add_scores(cell, done, tick);
            return;
        }
        hand_.activate(tuning);
        const nlohmann::json about = reel::read_json(hand_.folders().inversion(inversion) / "inversion.json");
        const Trajectory trajectory =
            read_trajectory(hand_.cpu(), hand_.folders().inversion(inversion) / "inverted.safetensors", about);
        Tensor mask;
        const Tensor latents = sampled(edit, trajectory, mask, tick);
        const reel::Frames result = hand_.decoded(latents, tick);

        reel::AtomicFolder folder(done);
        reel::write_safetensors(folder.path() / "latents.safetensors", {{"latents", reel::to_file(latents)}});
        write_pictures(folder.path(), cell, clip, result);
        if (mask.defined()) {
            reel::write_gif(
                folder.path() / "mask.gif",
                metrics::picture_of(editing::marks_of(mask, clip.source.height, clip.source.width), clip.source),
                clip.fps());
        }
        reel::write_json(folder.path() / "options.json", options_of(cell, hand_.seed()));
        nlohmann::json measures = measured(clip, result);
        measures["tuning_loss"] = reel::read_json(hand_.folders().tuning(tuning) / "tuning.json").at("tuning_loss");
        measures["inversion_psnr"] = about.at("inversion_psnr");
        score(cell, result, measures);
        write_record(folder.path(), watch.seconds(), hand_.cpu().threads());
        reel::write_json(folder.path() / "metrics.json", measures);
        tick();
        folder.commit();
        previews_.remove(edit.name);
    }

private:
    [[nodiscard]] Trajectory inverted(const Inversion& inversion, const AnySampler& sampler, const Tensor& latents,
                                      const Tick& tick) {
        const Options& options = inversion.cell.options;
        const std::string text = options.inversion_prompt == "source" ? inversion.cell.prompt : "";
        return editing::invert_trajectory(
            hand_.model(), sampler, latents, text, options.config.validation_data.num_inv_steps,
            options.reference_inversion ? reel::InversionFormula::reference : reel::InversionFormula::exact,
            [&](index_t k, const Tensor& x) {
                tick();
                previews_.show(inversion.name, k, x);
            });
    }

    /// The edit's latents. `mask` is set where there is one.
    [[nodiscard]] Tensor sampled(const Edit& edit, const Trajectory& inverted, Tensor& mask, const Tick& tick) {
        const Cell& cell = edit.cell;
        const Options& options = cell.options;
        const reel::TuneValidationData& v = options.config.validation_data;
        const int steps = v.num_inference_steps;
        const Tensor& clean = inverted.latents.front();
        AnySampler sampler = hand_.sampler_of(cell.sampler, options);
        sampler.set_eta(v.eta);
        sampler.set_timesteps(steps); // init_noise_sigma() depends on them
        editing::Draft draft;
        draft.start = options.inverted() ? inverted.latents.back()
                                         : reel::scale(editing::noise_like(hand_.cpu(), clean, cell.seed),
                                                       static_cast<float>(sampler.init_noise_sigma()));
        Trajectory outside;
        if (options.masked()) {
            outside = options.inverted() ? inverted
                                         : editing::noised_trajectory(hand_.cpu(), sampler, clean, steps, cell.seed,
                                                                      options.drafted());
            const editing::MaskSettings settings = mask_settings(options.mask);
            if (options.drafted()) {
                draft = editing::delta_draft(hand_.cpu(), hand_.model(), sampler, clean, cell.prompt, cell.caption,
                                             draft_settings(options.draft), settings.options, steps, cell.seed);
            } else {
                draft.mask =
                    editing::difference_mask(hand_.model(), outside, cell.prompt, cell.caption, settings, cell.seed);
            }
            mask = draft.mask;
        }
        const std::string away = options.guidance_prompt == "source" ? cell.prompt : v.negative_prompt.value_or("");
        const editing::Outside kept{outside, draft.mask, draft.skipped};
        return editing::sample(
            hand_.cpu(), hand_.model(), sampler, draft.start, cell.caption, away, v, cell.seed,
            [&](index_t k, const Tensor& x) {
                tick();
                previews_.show(edit.name, k, x);
            },
            options.masked() ? &kept : nullptr);
    }

    [[nodiscard]] static editing::DeltaSettings draft_settings(const DraftChoice& draft) {
        return {.delta = {.steps = draft.steps,
                          .step_size = draft.step_size,
                          .weakest = draft.weakest,
                          .strongest = draft.strongest,
                          .guidance_scale = draft.guidance_scale,
                          .shrinkage = draft.shrinkage,
                          .fill_below = draft.fill_below},
                .strength = draft.strength};
    }

    [[nodiscard]] static editing::MaskSettings mask_settings(const MaskChoice& mask) {
        return {.options = {.threshold = mask.threshold,
                            .quantile = mask.quantile,
                            .per_frame = mask.per_frame,
                            .smooth = mask.smooth,
                            .dilate = mask.dilate,
                            .regions = mask.regions},
                .noise = mask.noise,
                .strengths = mask.strengths,
                .draws = mask.draws};
    }

    static void write_pictures(const std::filesystem::path& folder, const Cell& cell, const OpenClip& clip,
                               const reel::Frames& result) {
        reel::write_gif(folder / "edit.gif", result, clip.fps());
        reel::write_mp4(folder / "edit.mp4", result, clip.fps());
        reel::write_gif(folder / "side_by_side.gif", reel::side_by_side({clip.source, result}), clip.fps());
        const reel::Frames before = fitted(clip.source, picture_side);
        const reel::Frames after = fitted(result, picture_side);
        reel::write_gif(folder / "thumbnail.gif", reel::side_by_side({before, after}), clip.fps());
        reel::write_png(folder / "frames.png", captioned_sheet({{some_frames(before, 8), cell.prompt},
                                                                {some_frames(after, 8), cell.caption}}));
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
            const metrics::Insertion found = editing::measure(result, *clip.drawn, clip.source, clip.reconstruction);
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
    void add_scores(const Cell& cell, const std::filesystem::path& folder, const Tick& tick) {
        const reel::StateDict saved = reel::read_safetensors(folder / "latents.safetensors");
        const auto latents = saved.find("latents");
        reel::require(latents != saved.end(), (folder / "latents.safetensors").string(), ": \"latents\" is missing");
        nlohmann::json measures = reel::read_json(folder / "metrics.json");
        score(cell, hand_.decoded(reel::from_file<float>(hand_.cpu(), latents->second, folder.string()), tick),
              measures);
        reel::write_json(folder / "metrics.json", measures);
    }

    Hand& hand_;
    Previews& previews_;
    std::filesystem::path clip_model_;
    std::optional<reel::metrics::ClipScorer<float>> scorer_;
};

} // namespace study
