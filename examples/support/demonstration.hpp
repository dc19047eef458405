#pragma once
// Editing drawn clips with the model that comes with reel: its settings, the clip as a file, and the comparison with
// the truth, which is known because the clip is drawn.

#include <unistd.h>

#include "editing.hpp"
#include "world/insertion_metrics.hpp"
#include "world/world.hpp"
#include "world/clip_files.hpp"

#ifndef REEL_MODEL_FOLDER // the build says where the source tree is
#define REEL_MODEL_FOLDER "examples/model"
#endif

namespace editing {

/// The settings of the demonstration, which are also evaluate_insertion's. insert_object with a clip of one's own has
/// the reference's.
struct Demonstration {
    std::uint64_t world_seed = 1024; ///< of the clip: the red swing next to the mean of those held out
    world::Act act = world::Act::swinging;
    world::Colour colour = world::Colour::red;
    int frames = 8;
    int size = 64; ///< pixels a side
    double fps = 8;
    int max_train_steps = 60;
    double learning_rate = 2e-4;
    int steps = 20;                      ///< of inversion and of sampling
    double guidance_scale = 3;           ///< with the source's caption in place of the empty one
    double reference_guidance_scale = 5; ///< with the empty one
    MaskSettings mask{.options = {.threshold = 0.58, .smooth = 1, .regions = 1}, .strengths = {0.8}, .draws = 10};
    DeltaSettings delta{};
};

[[nodiscard]] inline Demonstration demonstration() {
    return {};
}

/// Where the model that comes with reel is: beside the installed program, or in the source tree it was built from.
/// Throws Error that says what was looked for when it is in neither.
[[nodiscard]] inline std::filesystem::path own_model() {
    std::error_code error;
    const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
    const std::filesystem::path installed = program.parent_path().parent_path() / "share" / "reel" / "model";
    const std::filesystem::path source = REEL_MODEL_FOLDER;
    for (const std::filesystem::path& folder : {installed, source}) {
        if (std::filesystem::exists(folder / "model_index.json", error)) {
            return folder;
        }
    }
    reel::fail("the model that comes with reel is missing: no model_index.json in ", source.string(), " or ",
               installed.string(), "; get the whole repository, or give a diffusers folder with --model");
}

/// A configuration with the demonstration's settings.
[[nodiscard]] inline reel::TuneAVideoConfig demonstration_config(const Demonstration& demo) {
    reel::TuneAVideoConfig config;
    config.train_data.n_sample_frames = demo.frames;
    config.train_data.width = demo.size;
    config.train_data.height = demo.size;
    config.max_train_steps = demo.max_train_steps;
    config.learning_rate = demo.learning_rate;
    config.gradient_checkpointing = false; // the model is small
    config.mixed_precision = reel::MixedPrecision::no;
    config.validation_data.num_inv_steps = demo.steps;
    config.validation_data.num_inference_steps = demo.steps;
    config.validation_data.guidance_scale = demo.guidance_scale;
    return config;
}

[[nodiscard]] inline std::vector<std::string> act_names() {
    std::vector<std::string> names;
    for (int i = 0; i < world::act_count; ++i) {
        names.emplace_back(world::name_of(static_cast<world::Act>(i)));
    }
    return names;
}

[[nodiscard]] inline std::vector<std::string> colour_names() {
    std::vector<std::string> names;
    for (int i = 0; i < world::colour_count; ++i) {
        names.emplace_back(world::name_of(static_cast<world::Colour>(i)));
    }
    return names;
}

/// The value whose name stands at that place in act_names() or colour_names(). Throws Error for another name.
template <class Value>
[[nodiscard]] Value value_of(const std::vector<std::string>& names, const std::string& name) {
    const auto found = std::ranges::find(names, name);
    reel::require(found != names.end(), "\"", name, "\" is unknown", reel::did_you_mean(name, names));
    return static_cast<Value>(found - names.begin());
}

/// "a red tennis racket"
[[nodiscard]] inline std::string object_name(const world::Scene& scene) {
    return reel::concat_text("a ", world::name_of(scene.colour), " ", world::object_of(scene.act));
}

/// What is known of a drawn clip, and of how well the autoencoder can draw it.
struct Known {
    reel::Frames reconstruction; ///< the autoencoder's picture of the clip
    reel::Frames twin;           ///< the autoencoder's picture of the twin
    double autoencoder = 0;      ///< dB: mean over clip and twin of the autoencoder's PSNR
    metrics::Insertion ceiling;  ///< the twin's measures: what a perfect edit would get
};

/// The measures of an edit of a drawn clip. `source` is the clip as it was read.
[[nodiscard]] inline metrics::Insertion measure(const reel::Frames& result, const world::Clip& drawn,
                                                const reel::Frames& source, const reel::Frames& reconstruction) {
    std::array<std::array<double, 3>, world::colour_count> palette{};
    for (int i = 0; i < world::colour_count; ++i) {
        palette[static_cast<std::size_t>(i)] = world::rgb_of(static_cast<world::Colour>(i));
    }
    return metrics::measure(result, {source, reconstruction, drawn.mask, palette});
}

/// `moments` are the clip's.
[[nodiscard]] inline Known look_at(Cpu& cpu, const Model& model, const world::Clip& drawn, const reel::Frames& source,
                                   const Tensor& moments) {
    Known known{
        reconstruct(model, moments, source.fps), reconstruct(model, encode(cpu, model, drawn.twin), source.fps), 0, {}};
    known.autoencoder = (metrics::psnr(known.reconstruction, source) + metrics::psnr(known.twin, drawn.twin)) / 2;
    known.ceiling = measure(known.twin, drawn, source, known.reconstruction);
    return known;
}

/// The place an edit was confined to in grey, and the true object's pixels in white. `place` may be empty.
[[nodiscard]] inline reel::Frames mask_picture(std::span<const std::uint8_t> place, const world::Clip& drawn) {
    reel::Frames picture = metrics::picture_of(drawn.mask, drawn.twin);
    for (std::size_t i = 0; i < place.size(); ++i) {
        if (place[i] != 0 && drawn.mask[i] == 0) {
            std::fill_n(picture.rgb.begin() + static_cast<std::ptrdiff_t>(3 * i), 3, std::uint8_t{110});
        }
    }
    return picture;
}

/// Every pixel as a square of `factor` pixels a side, so that small pictures can be looked at.
[[nodiscard]] inline reel::Frames enlarged(const reel::Frames& clip, int factor) {
    reel::Frames large = reel::make_frames(clip.count, clip.height * factor, clip.width * factor, clip.fps);
    for (int i = 0; i < large.count; ++i) {
        for (int y = 0; y < large.height; ++y) {
            for (int x = 0; x < large.width; ++x) {
                std::copy_n(clip.pixel(i, y / factor, x / factor), 3, large.pixel(i, y, x));
            }
        }
    }
    return large;
}

/// The options that decide where an edit may change the clip.
inline void add_mask_options(CLI::App& app, MaskSettings& mask) {
    reel::MaskOptions& options = mask.options;
    app.add_option("--mask_threshold", options.threshold, "share of the largest difference above which may change");
    app.add_option("--mask_quantile", options.quantile, "what counts as the largest: this quantile of all; 1: maximum");
    app.add_option("--mask_per_frame", options.per_frame, "a largest difference for every frame, not for the clip");
    app.add_option("--mask_smooth", options.smooth, "first average over squares of this radius, in latents' pixels");
    app.add_option("--mask_dilate", options.dilate, "at the end grow by this radius");
    app.add_option("--mask_regions", options.regions, "keep so many connected regions a frame; 0: all");
    app.add_option("--mask_noise", mask.noise, "compare the captions on fresh noise or on the inversion's latents")
        ->check(CLI::IsMember({"draws", "inversion"}));
    app.add_option("--mask_strengths", mask.strengths, "noise levels to compare at, 0 to 1")->delimiter(',');
    app.add_option("--mask_draws", mask.draws, "of noise at each level")->check(CLI::Range(1, 10000));
}

inline void add_delta_options(CLI::App& app, DeltaSettings& settings) {
    reel::DeltaOptions& delta = settings.delta;
    app.add_option("--delta_steps", delta.steps, "of delta denoising")->check(CLI::Range(1, 100000));
    app.add_option("--delta_step_size", delta.step_size, "of each, against the difference of noise predictions");
    app.add_option("--delta_weakest", delta.weakest, "noise that the clip is looked at with, 0 to 1: from this");
    app.add_option("--delta_strongest", delta.strongest, "to this");
    app.add_option("--delta_guidance_scale", delta.guidance_scale, "of the edited prompt against the clip's");
    app.add_option("--delta_shrinkage", delta.shrinkage, "what each step takes off a pixel's change");
    app.add_option("--delta_fill", delta.fill_below,
                   "a frame that has changed less than this share of the most changed one takes over the\n"
                   "nearest's change, after 2/3 and 5/6 of the steps; 0: never");
    app.add_option("--delta_strength", settings.strength, "noise on the draft where sampling begins, 0 to 1");
}

[[nodiscard]] inline nlohmann::json as_json(const DeltaSettings& settings) {
    return {{"delta_steps", settings.delta.steps},
            {"delta_step_size", settings.delta.step_size},
            {"delta_weakest", settings.delta.weakest},
            {"delta_strongest", settings.delta.strongest},
            {"delta_guidance_scale", settings.delta.guidance_scale},
            {"delta_shrinkage", settings.delta.shrinkage},
            {"delta_fill", settings.delta.fill_below},
            {"delta_strength", settings.strength}};
}

[[nodiscard]] inline nlohmann::json as_json(const MaskSettings& mask) {
    return {{"mask_threshold", mask.options.threshold},
            {"mask_quantile", mask.options.quantile},
            {"mask_per_frame", mask.options.per_frame},
            {"mask_smooth", mask.options.smooth},
            {"mask_dilate", mask.options.dilate},
            {"mask_regions", mask.options.regions},
            {"mask_noise", mask.noise},
            {"mask_strengths", mask.strengths},
            {"mask_draws", mask.draws}};
}

[[nodiscard]] inline nlohmann::json as_json(const metrics::Insertion& insertion) {
    return {{"iou", insertion.iou},
            {"background_db", insertion.background},
            {"background_source_db", insertion.background_source},
            {"flicker", insertion.flicker},
            {"colour", insertion.colour ? nlohmann::json(world::name_of(static_cast<world::Colour>(*insertion.colour)))
                                        : nlohmann::json()},
            {"objects", insertion.objects},
            {"one_object", insertion.one_object}};
}

[[nodiscard]] inline nlohmann::json as_json(const world::Clip& clip) {
    return {{"act", world::name_of(clip.scene.act)},
            {"colour", world::name_of(clip.scene.colour)},
            {"prompt", clip.prompt},
            {"edit", clip.edit}};
}

/// The columns of csv_row().
inline constexpr std::string_view csv_header =
    "what,iou,background_db,background_source_db,flicker,colour,objects,one_object";

[[nodiscard]] inline std::string csv_row(std::string_view what, const metrics::Insertion& insertion) {
    return reel::concat_text(what, ",", insertion.iou, ",", insertion.background, ",", insertion.background_source, ",",
                             insertion.flicker, ",",
                             insertion.colour ? world::name_of(static_cast<world::Colour>(*insertion.colour)) : "none",
                             ",", insertion.objects, ",", insertion.one_object ? 1 : 0);
}

} // namespace editing
