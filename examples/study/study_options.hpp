#pragma once
// The options that decide how a cell of a study is made, and which stage of the work each of them matters to. They are
// reel's own; here is only which of them a study has.

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <reel/core/ranges.hpp>
#include <reel/io/config/options.hpp>
#include <reel/pipelines/clip_options.hpp>
#include <reel/pipelines/paste_options.hpp>
#include <reel/pipelines/tune_clip.hpp>
#include <reel/pipelines/tune_config.hpp>

namespace study {

using reel::Option;

/// Everything that may be set for all cells, for an object, a clip or a sampler, or varied. Names and defaults are
/// insert_object's.
struct Options {
    reel::TuneTrainData clip{}; ///< its path and prompt are the cell's
    reel::TuneOptions tuning{.checkpointing_steps = 100, .mixed_precision = reel::MixedPrecision::no};
    reel::SamplingOptions sampling{};
    reel::EditOptions edit{};
    reel::ClipOptions reading{};
    reel::PasteOptions paste{};
    std::optional<std::uint64_t> tuning_seed{};

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        // The rest is not for a cell to choose: it is the study's, or follows from others.
        constexpr std::array<std::string_view, 6> others{
            "video_path", "prompt", "train_batch_size", "mixed_precision", "resume_from_checkpoint", "use_inv_latent"};
        const auto visit_own = [&](const auto& about, auto& value) {
            if (reel::ranges::find(others, about.name) == others.end()) {
                visit(about, value);
            }
        };
        reel::TuneTrainData::options(self.clip, visit_own);
        reel::ClipOptions::options(self.reading, visit_own);
        reel::TuneOptions::options(self.tuning, visit_own);
        visit(Option{"tuning_seed", "of tuning's noise; nothing: the study's seed"}, self.tuning_seed);
        reel::SamplingOptions::options(self.sampling, visit_own);
        reel::EditOptions::options(self.edit, visit_own);
        reel::PasteOptions::options(self.paste, visit_own);
    }

    /// What must fit together, beyond ranges.
    void check(const reel::KeyLocator& locate) const {
        tuning.check(locate);
        edit.check(locate);
        edit.check_steps(sampling, locate);
        paste.check(edit.user_mask, locate);
    }
};

/// Lays a group of options over others. Throws Error with file and line for an unknown key (with the nearest known
/// one) or a value of another type.
inline void read_options(reel::YamlReader reader, Options& options) {
    reel::read_options(reader, options);
    reader.finish();
}

/// Checks ranges and what must fit together. `where` begins the messages.
inline void check_options(const Options& options, const std::string& where) {
    reel::check_options(options, [&](std::string_view key) { return reel::concat_text(where, ": ", key); });
}

/// The same for a drawn clip, which is not read.
inline void check_drawn_options(const Options& options, const std::string& where) {
    reel::require(options.reading.fps == 0, where, ": fps: a drawn clip has its own rate; leave it away");
    reel::require(!options.paste.paste, where, ": paste: a drawn clip has the size it is edited at; leave it away");
    const reel::TuneTrainData& clip = options.clip;
    reel::require(clip.width == clip.height && clip.sample_start_idx == 0 && clip.sample_frame_rate == 1, where,
                  ": drawn clips are square, and all of their frames are taken");
}

/// What tuning depends on, beside the clip and its prompt.
[[nodiscard]] inline nlohmann::json tuning_json(const Options& options, std::uint64_t seed) {
    nlohmann::json json = reel::tuning_identity(options.tuning, options.edit.reference.reference_checkpointing);
    json.update(reel::options_json(options.clip));
    json.erase("video_path");
    json.erase("prompt");
    json["max_train_steps"] = options.tuning.max_train_steps;
    json["tuning_seed"] = options.tuning_seed.value_or(seed);
    if (options.reading.fps > 0) { // which came later
        json["fps"] = options.reading.fps;
    }
    if (options.paste.paste) { // the clip is what surrounds the mask
        json["cut_out"] = reel::options_json(options.edit.user_mask);
        json["cut_out"].erase("mask_feather"); // which moves no edge
        json["cut_out"]["paste_context"] = options.paste.context;
    }
    return json;
}

/// What inversion depends on, beside the tuned model and the sampler whose steps it undoes.
[[nodiscard]] inline nlohmann::json inversion_json(const Options& options) {
    const reel::EditOptions& edit = options.edit;
    nlohmann::json json{{"start", reel::option_text(edit.start)},
                        {"inverted_latents", reel::option_text(edit.inverted_latents)}};
    if (edit.inverted()) {
        json.update({{"num_inv_steps", options.sampling.num_inv_steps},
                     {"inversion_prompt", reel::option_text(edit.inversion_prompt)},
                     {"reference_inversion", edit.reference.reference_inversion}});
    }
    if (edit.edit_friendly()) { // which draws; ddim and dpmpp are what the sampler says already
        json.update({{"inversion", reel::option_text(edit.inversion)}, {"eta", options.sampling.eta}});
    }
    return json;
}

/// What sampling depends on, beside the inversion, the sampler, the caption and the seed. What came later is named
/// where it is used, so that what was sampled before is found again.
[[nodiscard]] inline nlohmann::json sampling_json(const Options& options) {
    const reel::EditOptions& edit = options.edit;
    nlohmann::json json = reel::options_json(options.sampling);
    json.erase("use_inv_latent");
    json.erase("num_inv_steps");
    json["negative_prompt"] = options.sampling.negative_prompt.value_or("");
    json["guidance_prompt"] = reel::option_text(edit.guidance_prompt);
    json["mask"] = reel::option_text(edit.mask);
    if (edit.masked()) {
        json.update(reel::options_json(edit.mask_options));
    }
    if (edit.drafted()) {
        json.update(reel::options_json(edit.delta));
    }
    if (edit.user_mask.given()) {
        json["user_mask"] = reel::options_json(edit.user_mask);
    }
    if (edit.steered()) {
        json.update(reel::options_json(edit.control));
    }
    if (edit.overlay) {
        json["overlay"] = true;
    }
    if (edit.edit_friendly()) {
        json["inversion_skip"] = edit.inversion_skip;
    }
    return json;
}

} // namespace study
