#pragma once
// A model, and the clip that is worked on: opened once, for all that is made of it.

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <reel/core/usable_threads.hpp>
#include <reel/metrics/edit_measures.hpp>
#include <reel/pipelines/clip_files.hpp>
#include <reel/pipelines/inversion.hpp>
#include <reel/pipelines/pasted_clip.hpp>
#include <reel/pipelines/user_mask.hpp>
#include <reel/schedulers/config/model_scheduler.hpp>
#include <reel/schedulers/scheduler_registry.hpp>

#include "files.hpp"
#include "worker.hpp"
#include "world/insertion.hpp"
#include "world/own_model.hpp"

namespace study {

using reel::AnyPipeline;
using reel::AnyTensor;
using reel::index_t;

[[nodiscard]] inline world::Scene scene_of(const DrawnClip& drawn) {
    return world::random_scene(drawn.world_seed, world::known_word<world::Act>(drawn.act),
                               world::known_word<world::Colour>(drawn.colour));
}

/// The clip of a drawn cell.
[[nodiscard]] inline world::Clip drawing_of(const Cell& cell) {
    const reel::TuneTrainData& clip = cell.options.clip;
    return world::draw_clip(scene_of(*cell.drawn), clip.n_sample_frames, clip.width, world::EditSettings{}.fps);
}

/// Makes a cell's clip what surrounds its mask, as reel::cut_out(). `tell`: of sound that cannot go along.
[[nodiscard]] inline reel::PixelMask cut_out(const Cell& cell, reel::SourceClip& source, bool tell) {
    reel::TuneTrainData data = cell.options.clip;
    data.video_path = cell.video.string();
    const auto sound = reel::whole_sound(cell.video, cell.options.reading, tell);
    return reel::cut_out(source, {data, cell.options.reading, cell.options.edit.user_mask, cell.options.paste, sound});
}

/// The clip of a tuning, as it was opened.
struct OpenClip {
    reel::Frames source;
    reel::ClipTimes times{};
    reel::PictureSize file{};         ///< of the clip as it is
    std::optional<world::Clip> drawn; ///< with its truth, where the clip is drawn
    AnyTensor moments;
    reel::Frames reconstruction;                 ///< through the autoencoder
    std::optional<reel::metrics::Motion> motion; ///< of the source, once it was asked for
};

/// Where the study lets a clip change.
[[nodiscard]] inline reel::PixelMask allowed_in(const Cell& cell, const OpenClip& clip) {
    reel::TuneTrainData data = cell.options.clip;
    data.video_path = cell.video.string();
    return reel::user_mask(cell.options.edit.user_mask, {clip.source, clip.file, &data, cell.options.reading});
}

class StudySession {
public:
    StudySession(const WorkerSettings& settings, Folders folders)
        : folders_(std::move(folders)), seed_(settings.seed), cpu_(reel::usable_threads(settings.threads)),
          backend_(reel::open_backend(settings.backend, cpu_)) {
        pipeline_ = backend_->load({.folder = settings.model.empty() ? world::own_model() : settings.model,
                                    .seed = seed_,
                                    .mixed_precision = settings.mixed_precision,
                                    .masked = true,
                                    .model = settings.parts,
                                    .loras = settings.lora.choice(),
                                    .allow_nonfinite = settings.allow_nonfinite});
        reel::tell_loras(pipeline_->facts().loras);
        where_ = pipeline_->facts().scheduler.file;
        scheduler_json_ = reel::stable_diffusion_fixes(pipeline_->facts().scheduler.config);
        fingerprint_ = pipeline_->fingerprint();
    }
    StudySession(const StudySession&) = delete;
    StudySession& operator=(const StudySession&) = delete;

    [[nodiscard]] reel::Cpu& cpu() { return cpu_; }
    [[nodiscard]] AnyPipeline& pipeline() { return *pipeline_; }
    [[nodiscard]] const AnyPipeline& pipeline() const { return *pipeline_; }
    [[nodiscard]] const Folders& folders() const { return folders_; }
    [[nodiscard]] std::uint64_t seed() const { return seed_; }
    [[nodiscard]] const std::string& fingerprint() const { return fingerprint_; }

    /// Throws Error for an unknown sampler, or a configuration that does not fit it.
    [[nodiscard]] reel::Sampler sampler_named(const SamplerChoice& sampler) const {
        nlohmann::json config = scheduler_json_;
        config.update(sampler.config);
        return reel::make_scheduler<float>(sampler.scheduler, config,
                                           where_ + " with the config of sampler \"" + sampler.name + "\"",
                                           "sampler \"" + sampler.name + "\"");
    }

    /// The same, stopping at the levels that its inversion visits where it starts from that.
    [[nodiscard]] reel::Sampler sampler_of(const SamplerChoice& sampler, const Options& options) const {
        reel::Sampler named = sampler_named(sampler);
        if (options.edit.edit_friendly()) {
            named.set_eta(options.sampling.eta);
        }
        if (options.edit.inverted()) {
            try {
                reel::Cpu cpu(1);
                reel::require_inversion<float>(named, options.edit.inversion, options.sampling.num_inv_steps, cpu);
            } catch (const reel::Error& error) {
                reel::fail("inversion ", reel::option_text(options.edit.inversion), ": ", error.what());
            }
        }
        if (options.edit.edit_friendly()) {
            return named;
        }
        const bool invertible = named.as<reel::DDIMScheduler>() != nullptr ||
                                named.as<reel::DPMSolverMultistepScheduler<float, reel::Cpu>>() != nullptr;
        reel::require(!options.edit.inverted() || invertible, named.name(), " cannot start from an inverted clip: no ",
                      "inversion undoes its steps; take ddim or dpm++_2m, or set start: noise, or where it draws noise "
                      "inversion: edit_friendly");
        return options.edit.inverted() ? reel::with_levels_of_inversion(named) : named;
    }

    /// What the pipeline is asked for to edit a cell's clip.
    [[nodiscard]] reel::EditRequest request_of(const Cell& cell) const {
        return {.sampler = sampler_of(cell.sampler, cell.options),
                .sampling = cell.options.sampling,
                .edit = cell.options.edit,
                .prompt = cell.prompt,
                .seed = cell.seed};
    }

    /// The clip of a tuning.
    [[nodiscard]] OpenClip& open(const Tuning& tuning) {
        if (opened_ == tuning.name) {
            return clip_;
        }
        opened_.clear();
        clip_ = {};
        const Cell& cell = tuning.cell;
        reel::PixelMask allowed;
        if (cell.drawn) {
            clip_.drawn = drawing_of(cell);
            clip_.source = clip_.drawn->pretending;
            clip_.times.fps = reel::fps_of(clip_.source);
        } else {
            reel::TuneTrainData clip = cell.options.clip;
            clip.video_path = cell.video.string();
            reel::VideoTaken taken;
            reel::SourceClip source{reel::read_clip(clip, cell.options.reading, &taken)};
            source.file = {taken.file_width, taken.file_height};
            if (cell.options.paste.paste) {
                allowed = cut_out(cell, source, true);
            }
            clip_.times = reel::times_of(source.frames, taken);
            clip_.source = std::move(source.frames);
            clip_.file = source.file;
        }
        if (pipeline_->facts().inpaints) {
            pipeline_->paint_inside(clip_.source, cell.options.paste.paste ? allowed : allowed_in(cell, clip_), seed_);
        }
        clip_.moments = pipeline_->encode(clip_.source);
        clip_.reconstruction = decoded(pipeline_->mean_latents(clip_.moments));
        opened_ = tuning.name;
        return clip_;
    }

    /// Makes the model that a tuning led to, or with nothing the original.
    void activate(const Tuning& tuning) {
        if (active_ == tuning.name) {
            return;
        }
        restore();
        if (tuning.cell.options.tuning.max_train_steps > 0) {
            // Always from the file, so that the process that tuned computes with what all others have.
            const std::filesystem::path file = folders_.tuning(tuning) / "trained.safetensors";
            pipeline_->set_trained(reel::read_safetensors(file), file.string());
        }
        active_ = tuning.name;
    }

    /// Makes the parameters that a tuning changes trainable, from the original's values on.
    void prepare_training(const Options& options) {
        restore();
        pipeline_->prepare_training(options.tuning, options.edit.reference.reference_checkpointing, true);
    }

    /// Makes the original model.
    void restore() {
        active_.clear();
        pipeline_->restore();
    }

    /// Of a cell's tuning.
    [[nodiscard]] reel::TuningNoise noise_of(const Cell& cell) const {
        return {.seed = cell.options.tuning_seed.value_or(seed_)};
    }

    /// The clip's latents that are inverted: the mean, or as insert_object the sample that tuning saw last.
    [[nodiscard]] AnyTensor clean_latents(const Cell& cell, const AnyTensor& moments) const {
        if (cell.options.edit.inverted_latents == reel::InvertedLatents::mean) {
            return pipeline_->mean_latents(moments);
        }
        const reel::TuneOptions& tuning = cell.options.tuning;
        const index_t draws = index_t{tuning.max_train_steps} * tuning.gradient_accumulation_steps;
        return pipeline_->sample_latents(moments, noise_of(cell), std::max<index_t>(draws - 1, 0));
    }

    /// Latents as a clip, at the source's rate.
    [[nodiscard]] reel::Frames decoded(const AnyTensor& latents) const {
        return reel::frames_of(pipeline_->decode(latents), clip_.times.fps);
    }

private:
    Folders folders_;
    std::uint64_t seed_;
    reel::Cpu cpu_;
    std::unique_ptr<reel::PipelineBackend> backend_;
    std::unique_ptr<AnyPipeline> pipeline_;
    std::string where_;
    nlohmann::json scheduler_json_;
    std::string fingerprint_;
    std::string active_; ///< whose parameters the model has; "": the original's, or none's
    std::string opened_; ///< whose clip this is
    OpenClip clip_;
};

} // namespace study
