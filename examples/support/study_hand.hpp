#pragma once
// A model, and what is at hand of the clip that is worked on: opened once, for all that is made of it.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <reel/metrics/edit_measures.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/schedulers/scheduler_registry.hpp>

#include "demonstration.hpp"
#include "study_files.hpp"
#include "study_work.hpp"

namespace study {

using editing::Cpu;
using editing::index_t;
using editing::Tensor;
using editing::Trajectory;
using AnySampler = reel::AnyScheduler<float>;

[[nodiscard]] inline world::Scene scene_of(const Drawn& drawn) {
    return world::random_scene(drawn.world_seed, editing::value_of<world::Act>(editing::act_names(), drawn.act),
                               editing::value_of<world::Colour>(editing::colour_names(), drawn.colour));
}

/// The clip of a drawn cell.
[[nodiscard]] inline world::Clip drawing_of(const Cell& cell) {
    const reel::TuneTrainData& data = cell.options.config.train_data;
    return world::draw_clip(scene_of(*cell.drawn), data.n_sample_frames, data.width, editing::demonstration().fps);
}

/// The clip of a tuning, as it was opened.
struct OpenClip {
    reel::Frames source;
    std::optional<world::Clip> drawn; ///< with its truth, where the clip is drawn
    Tensor moments;
    reel::Frames reconstruction;                 ///< through the autoencoder
    std::optional<reel::metrics::Motion> motion; ///< of the source, once it was asked for

    [[nodiscard]] double fps() const { return source.fps > 0 ? source.fps : 8; }
};

class Hand {
public:
    Hand(const WorkSettings& settings, Folders folders)
        : folders_(std::move(folders)), seed_(settings.seed), cpu_(settings.threads),
          device_(editing::open_device(settings.backend)) {
        const std::filesystem::path folder = settings.model.empty() ? editing::own_model() : settings.model;
        const std::filesystem::path file = folder / "scheduler" / "scheduler_config.json";
        model_.emplace(editing::load_model(
            cpu_,
            {.folder = folder, .seed = seed_, .mixed_precision = settings.mixed_precision, .device = device_.get()}));
        where_ = file.string();
        scheduler_json_ = reel::stable_diffusion_fixes(reel::read_scheduler_json(file));
        fingerprint_ = model_->networks->fingerprint();
    }
    Hand(const Hand&) = delete;
    Hand& operator=(const Hand&) = delete;

    [[nodiscard]] Cpu& cpu() { return cpu_; }
    [[nodiscard]] editing::Model& model() { return *model_; }
    [[nodiscard]] const Folders& folders() const { return folders_; }
    [[nodiscard]] std::uint64_t seed() const { return seed_; }
    [[nodiscard]] const std::string& fingerprint() const { return fingerprint_; }

    /// Throws Error for an unknown sampler, or a configuration that does not fit it.
    [[nodiscard]] AnySampler sampler_named(const Sampler& sampler) const {
        nlohmann::json config = scheduler_json_;
        config.update(sampler.config);
        return reel::make_scheduler<float>(sampler.scheduler, config,
                                           where_ + " with the config of sampler \"" + sampler.name + "\"",
                                           "sampler \"" + sampler.name + "\"");
    }

    /// The same, stopping at the levels that its inversion visits where it starts from that.
    [[nodiscard]] AnySampler sampler_of(const Sampler& sampler, const Options& options) const {
        const AnySampler named = sampler_named(sampler);
        const bool invertible = named.as<reel::DDIMScheduler>() != nullptr ||
                                named.as<reel::DPMSolverMultistepScheduler<float, Cpu>>() != nullptr;
        reel::require(!options.inverted() || invertible, named.name(), " cannot start from an inverted clip: no ",
                      "inversion undoes its steps; take ddim or dpm++_2m, or set start: noise");
        return options.inverted() ? editing::with_levels_of_inversion(named) : named;
    }

    [[nodiscard]] Tensor text_of(const std::string& prompt) const { return editing::encode_prompt(*model_, prompt); }

    /// The clip of a tuning.
    [[nodiscard]] OpenClip& open(const Tuning& tuning) {
        if (opened_ == tuning.name) {
            return clip_;
        }
        opened_.clear();
        clip_ = {};
        const Cell& cell = tuning.cell;
        reel::TuneTrainData data = cell.options.config.train_data;
        if (cell.drawn) {
            clip_.drawn = drawing_of(cell);
            clip_.source = clip_.drawn->pretending;
        } else {
            data.video_path = cell.video.string();
            clip_.source = editing::read_clip(data);
        }
        clip_.moments = editing::encode(cpu_, *model_, clip_.source);
        clip_.reconstruction = editing::reconstruct(*model_, clip_.moments, clip_.fps());
        opened_ = tuning.name;
        return clip_;
    }

    /// Makes the model that a tuning led to, or with nothing the original.
    void activate(const Tuning& tuning) {
        if (active_ == tuning.name) {
            return;
        }
        restore();
        if (tuning.cell.options.config.max_train_steps > 0) {
            // Always from the file, so that the process that tuned computes with what all others have.
            const std::filesystem::path file = folders_.tuning(tuning) / "trained.safetensors";
            model_->networks->set_trained(reel::read_safetensors(file), file.string());
        }
        active_ = tuning.name;
    }

    /// Makes the parameters that a tuning changes trainable, from the original's values on.
    void prepare_training(const Options& options) {
        restore();
        editing::prepare_training(*model_, options.config, options.reference_checkpointing, true);
    }

    /// Makes the original model.
    void restore() {
        active_.clear();
        model_->networks->restore();
    }

    /// Of one draw of a tuning.
    [[nodiscard]] reel::TrainingNoise<float, Cpu> noise_of(const Cell& cell, const reel::Shape& shape, index_t draw) {
        return reel::training_noise<float>(cpu_, shape, cell.options.tuning_seed.value_or(seed_), draw,
                                           model_->training_scheduler.schedule().size());
    }

    /// The clip's latents that are inverted: the mean, or as insert_object the sample that tuning saw last.
    [[nodiscard]] Tensor clean_latents(const Cell& cell, const Tensor& moments) {
        if (cell.options.inverted_latents == "mean") {
            return editing::mean_latents(*model_, moments);
        }
        const reel::TuneAVideoConfig& c = cell.options.config;
        const index_t draws = index_t{c.max_train_steps} * c.gradient_accumulation_steps;
        const auto random =
            noise_of(cell, moments.shape().with(3, moments.shape(3) / 2), std::max<index_t>(draws - 1, 0));
        return reel::sample_latents(moments, random.posterior, model_->vae.config.scaling_factor);
    }

    [[nodiscard]] reel::Frames decoded(const Tensor& latents, const Tick& tick) {
        const Tensor unit = model_->networks->decode(latents, tick);
        return reel::to_frames_u8(unit.to_host(), static_cast<int>(unit.shape(0)), static_cast<int>(unit.shape(1)),
                                  static_cast<int>(unit.shape(2)), clip_.fps());
    }

private:
    Folders folders_;
    std::uint64_t seed_;
    Cpu cpu_;
    std::unique_ptr<editing::Device> device_; ///< or null
    std::optional<editing::Model> model_;
    std::string where_;
    nlohmann::json scheduler_json_;
    std::string fingerprint_;
    std::string active_; ///< whose parameters the model has; "": the original's, or none's
    std::string opened_; ///< whose clip this is
    OpenClip clip_;
};

} // namespace study
