// insert_object on drawn clips that the model has never seen, in several variants, with a table of how well it went.

#include <chrono>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "support/demonstration.hpp"
#include "support/evaluation_table.hpp"

namespace {

using editing::Cpu;
using editing::index_t;
using editing::Tensor;
using evaluation::Row;
using evaluation::Variant;

struct Options {
    editing::Demonstration demo = editing::demonstration();
    std::string model;
    std::string backend = "cpu"; ///< as editing::open_device() takes it
    std::string output = "out/evaluation";
    std::string variants = "reference,reference-untuned,no-inversion,neither,source-mask,source-delta,"
                           "source-delta-overlay,source-delta-untuned-overlay,source-delta-no-inversion-overlay,"
                           "source-delta-untuned-no-inversion-overlay";
    std::vector<std::string> acts = editing::act_names();
    std::vector<std::string> colours = editing::colour_names();
    int clips = 40;
    std::uint64_t first_seed = 0;
    std::uint64_t seed = 33;
    int threads = 0;
    std::string inverted_latents = "mean";
    bool resume = false;
    bool sheets = true;
};

/// Seconds since it was made.
class Clock {
public:
    [[nodiscard]] double seconds() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    }

private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

class Evaluation {
public:
    explicit Evaluation(const Options& options)
        : options_(options), output_(options.output), variants_(evaluation::variants_of(options.variants)),
          config_(editing::demonstration_config(options.demo)), cpu_(options.threads),
          device_(editing::open_device(options.backend)) {}

    void run() {
        reel::make_output_folder(output_ / "sheets");
        const nlohmann::json settings = settings_json();
        if (options_.resume && std::filesystem::exists(output_ / "settings.json")) {
            resume(settings);
        }
        model_.emplace(
            editing::load_model(cpu_, {.folder = options_.model, .seed = options_.seed, .device = device_.get()}));
        editing::check_steps(editing::ddim_sampler(*model_), config_.validation_data);
        reel::write_json(output_ / "settings.json", settings);
        reel::Progress bar("evaluate", static_cast<std::size_t>(options_.clips));
        for (int i = 0; i < options_.clips; ++i) {
            const std::uint64_t seed = options_.first_seed + static_cast<std::uint64_t>(i);
            if (done_.contains(seed)) {
                bar.skip(1);
                continue;
            }
            const std::vector<Row> rows = clip(i, seed);
            bar.clear();
            for (const Row& row : rows) {
                std::cout << evaluation::line_of(row) << '\n';
                rows_.push_back(row);
            }
            std::cout << std::flush;
            evaluation::write_rows(output_ / "clips.csv", rows_);
            bar.step();
            program::check_stop();
        }
        const std::string summary = evaluation::summary(rows_);
        reel::write_file(output_ / "summary.md", summary);
        evaluation::write_summary_csv(output_ / "summary.csv", rows_);
        std::cout << '\n' << summary << "wrote " << (output_ / "summary.md").string() << '\n';
    }

private:
    void resume(const nlohmann::json& settings) {
        const std::string where = (output_ / "settings.json").string();
        const nlohmann::json before = reel::read_json(where);
        for (const auto& [key, value] : settings.items()) {
            reel::require(before.contains(key) && before[key] == value, "--resume: ", where, " has ", key, " ",
                          before.contains(key) ? before[key].dump() : "missing", ", this run ", value.dump(),
                          "; use the same options or another --output");
        }
        rows_ = evaluation::read_rows(output_ / "clips.csv");
        for (const Row& row : rows_) {
            done_.insert(row.seed);
        }
    }

    /// What must be equal for rows to belong to one table; the number of clips may grow.
    [[nodiscard]] nlohmann::json settings_json() const {
        const editing::Demonstration& demo = options_.demo;
        nlohmann::json json{{"model", options_.model},
                            {"variants", options_.variants},
                            {"acts", options_.acts},
                            {"colours", options_.colours},
                            {"first_seed", options_.first_seed},
                            {"seed", options_.seed},
                            {"n_sample_frames", demo.frames},
                            {"size", demo.size},
                            {"max_train_steps", demo.max_train_steps},
                            {"learning_rate", demo.learning_rate},
                            {"steps", demo.steps},
                            {"guidance_scale", demo.guidance_scale},
                            {"reference_guidance_scale", demo.reference_guidance_scale},
                            {"inverted_latents", options_.inverted_latents}};
        json.update(editing::as_json(demo.mask));
        json.update(editing::as_json(demo.delta));
        return json;
    }

    /// Acts take turns; the colours of each act too, beginning with another one for every act.
    [[nodiscard]] world::Scene scene_of(int i, std::uint64_t seed) const {
        const int act = i % static_cast<int>(options_.acts.size());
        const int turn = i / static_cast<int>(options_.acts.size());
        const auto colour = static_cast<std::size_t>(turn + 4 * act) % options_.colours.size();
        return world::random_scene(
            seed, editing::value_of<world::Act>(editing::act_names(), options_.acts[static_cast<std::size_t>(act)]),
            editing::value_of<world::Colour>(editing::colour_names(), options_.colours[colour]));
    }

    /// One clip in all variants. The model is as it was loaded before and after.
    [[nodiscard]] std::vector<Row> clip(int number, std::uint64_t seed) {
        const Clock clock;
        const editing::Demonstration& demo = options_.demo;
        const world::Clip drawn = world::draw_clip(scene_of(number, seed), demo.frames, demo.size, demo.fps);
        const std::filesystem::path file = output_ / "clip.mp4";
        reel::write_mp4(file, drawn.pretending, demo.fps, world::clip_quality);
        config_.train_data.video_path = file.string();
        const reel::Frames source = editing::read_clip(config_.train_data);
        std::filesystem::remove(file);

        const Tensor moments = editing::encode(cpu_, *model_, source);
        const editing::Known known = editing::look_at(cpu_, *model_, drawn, source, moments);
        const double shared = clock.seconds();

        Row row{seed,
                std::string(world::name_of(drawn.scene.act)),
                std::string(world::name_of(drawn.scene.colour)),
                "twin",
                known.ceiling,
                known.autoencoder,
                shared};
        std::vector<Row> rows{row};
        std::map<std::string, reel::Frames> results;
        std::map<std::string, std::vector<std::uint8_t>> places;
        const auto run_all = [&](bool tuned, double before) {
            for (const Variant& variant : variants_) {
                if (variant.tuned == tuned) {
                    const Clock own;
                    std::vector<std::uint8_t> place;
                    reel::Frames result = edit(variant, drawn, source, latents_of(moments), place);
                    row.variant = variant.name;
                    row.measures = editing::measure(result, drawn, source, known.reconstruction);
                    row.seconds = shared + before + own.seconds();
                    rows.push_back(row);
                    results[variant.name] = std::move(result);
                    places[variant.name] = std::move(place);
                }
            }
        };
        run_all(false, 0);
        if (std::ranges::any_of(variants_, &Variant::tuned) && demo.max_train_steps > 0) {
            const Clock tuning;
            editing::prepare_training(*model_, config_, false, true);
            tune(moments, drawn.prompt);
            model_->networks->stop_training();
            run_all(true, tuning.seconds());
            model_->networks->restore(); // every clip starts from the model as it was loaded
        } else {
            run_all(true, 0);
        }
        if (options_.sheets) {
            write_sheet(seed, drawn, source, known, results, places);
        }
        return rows;
    }

    void tune(const Tensor& moments, const std::string& prompt) {
        const auto tuner =
            model_->networks->tune(moments, editing::encode_prompt(*model_, prompt), editing::tune_options(config_));
        const index_t timesteps = model_->training_scheduler.schedule().size();
        while (tuner->step_count() < config_.max_train_steps) {
            static_cast<void>(tuner->update([&](index_t draw) {
                return reel::training_noise<float>(cpu_, tuner->latent_shape(), options_.seed, draw, timesteps);
            }));
            program::check_stop();
        }
    }

    /// As insert_object takes them.
    [[nodiscard]] Tensor latents_of(const Tensor& moments) {
        if (options_.inverted_latents == "mean") {
            return editing::mean_latents(*model_, moments);
        }
        const auto random = reel::training_noise<float>(
            cpu_, moments.shape().with(3, moments.shape(3) / 2), options_.seed,
            std::max<index_t>(index_t{config_.max_train_steps} - 1, 0), model_->training_scheduler.schedule().size());
        return reel::sample_latents(moments, random.posterior, model_->vae.config.scaling_factor);
    }

    [[nodiscard]] reel::Frames edit(const Variant& variant, const world::Clip& drawn, const reel::Frames& source,
                                    const Tensor& latents, std::vector<std::uint8_t>& place) {
        const std::string prompt = variant.source_caption ? drawn.prompt : "";
        reel::TuneValidationData sampling = config_.validation_data;
        sampling.guidance_scale =
            variant.source_caption ? options_.demo.guidance_scale : options_.demo.reference_guidance_scale;
        const auto ignore = [](index_t, const Tensor&) {};
        editing::Sampler sampler = editing::ddim_sampler(*model_);
        const bool drafted = variant.place == evaluation::Place::delta;
        const int steps = sampling.num_inv_steps;
        const editing::Trajectory trajectory =
            variant.inverted ? editing::invert_trajectory(*model_, sampler, latents, prompt, steps,
                                                          reel::InversionFormula::exact, ignore)
                             : editing::noised_trajectory(cpu_, sampler, latents, steps, options_.seed, drafted);
        editing::Draft draft;
        if (drafted) {
            draft = editing::delta_draft(cpu_, *model_, sampler, latents, drawn.prompt, drawn.edit, options_.demo.delta,
                                         options_.demo.mask.options, steps, options_.seed);
        } else {
            // Without an inversion sampling starts from noise alone, not from the clip with noise.
            draft.start =
                variant.inverted ? trajectory.latents.back() : editing::noise_like(cpu_, latents, options_.seed);
            if (variant.masked()) {
                draft.mask = editing::difference_mask(*model_, trajectory, drawn.prompt, drawn.edit, options_.demo.mask,
                                                      options_.seed);
            }
        }
        if (variant.masked()) {
            place = editing::marks_of(draft.mask, source.height, source.width);
        }
        const editing::Outside outside{trajectory, draft.mask, draft.skipped};
        const Tensor sampled = editing::sample(cpu_, *model_, sampler, draft.start, drawn.edit, prompt, sampling,
                                               options_.seed, ignore, variant.masked() ? &outside : nullptr);
        reel::Frames result = editing::decode(*model_, sampled, source.fps);
        return variant.overlaid ? reel::overlay(source, result, editing::decode(*model_, latents, source.fps)) : result;
    }

    /// Rows: the clip, every variant (and its mask), the twin through the autoencoder, the twin.
    void write_sheet(std::uint64_t seed, const world::Clip& drawn, const reel::Frames& source,
                     const editing::Known& known, const std::map<std::string, reel::Frames>& results,
                     const std::map<std::string, std::vector<std::uint8_t>>& places) const {
        std::vector<reel::Frames> sheet{source};
        for (const Variant& variant : variants_) {
            sheet.push_back(results.at(variant.name));
            if (variant.masked()) {
                sheet.push_back(editing::mask_picture(places.at(variant.name), drawn));
            }
        }
        sheet.push_back(known.twin);
        sheet.push_back(drawn.twin);
        for (reel::Frames& frames : sheet) {
            frames = editing::enlarged(frames, 2);
        }
        reel::write_png(output_ / "sheets" /
                            reel::concat_text("clip-", seed, "-", world::name_of(drawn.scene.act), "-",
                                              world::name_of(drawn.scene.colour), ".png"),
                        reel::contact_sheet(sheet));
    }

    Options options_;
    std::filesystem::path output_;
    std::vector<Variant> variants_;
    reel::TuneAVideoConfig config_;
    Cpu cpu_;
    std::unique_ptr<editing::Device> device_; ///< or null
    std::optional<editing::Model> model_;
    std::vector<Row> rows_;
    std::set<std::uint64_t> done_;
};

} // namespace

int main(int argc, char** argv) {
    return program::run("evaluate_insertion", [&] {
        Options options;
        editing::Demonstration& demo = options.demo;
        CLI::App app(
            "Edits drawn clips that the model has never seen as insert_object does, and measures the edits.\n"
            "Writes clips.csv (one line a clip and variant), summary.md, summary.csv and sheets/ into the\n"
            "output folder. Variants: reference (inverted under the empty prompt) or source (under the\n"
            "clip's own, which also takes the empty one's place in guidance), then -mask or -delta, -untuned,\n"
            "-no-inversion and -overlay; no-inversion and neither are the reference's.");
        app.get_formatter()->column_width(38);
        app.option_defaults()->always_capture_default();
        app.add_option("--model", options.model, "diffusers folder [the model that comes with reel]");
        app.add_option("--output", options.output, "folder to write to");
        app.add_option("--variants", options.variants, "names with commas between");
        app.add_option("--clips", options.clips, "how many")->check(CLI::Range(1, 1000000));
        app.add_option("--first_seed", options.first_seed, "of the clips; the others follow")
            ->check(program::not_negative);
        app.add_option("--acts", options.acts, "take turns")
            ->delimiter(',')
            ->check(CLI::IsMember(editing::act_names()));
        app.add_option("--colours", options.colours, "take turns")
            ->delimiter(',')
            ->check(CLI::IsMember(editing::colour_names()));
        app.add_option("--seed", options.seed, "of everything random in editing")->check(program::not_negative);
        app.add_option("--n_sample_frames", demo.frames, "of each clip")->check(CLI::Range(2, 1000));
        app.add_option("--size", demo.size, "pixels a side")->check(CLI::Range(16, 4096));
        app.add_option("--max_train_steps", demo.max_train_steps, "tuning steps")->check(CLI::Range(0, 1000000));
        app.add_option("--learning_rate", demo.learning_rate, "of tuning");
        app.add_option("--steps", demo.steps, "of inversion and of sampling")->check(CLI::Range(1, 1000));
        app.add_option("--guidance_scale", demo.guidance_scale, "of source variants");
        app.add_option("--reference_guidance_scale", demo.reference_guidance_scale, "of reference variants");
        app.add_option("--inverted_latents", options.inverted_latents,
                       "of the clip's distribution: the sample that tuning saw last, or the mean")
            ->check(CLI::IsMember({"sample", "mean"}));
        editing::add_mask_options(app, demo.mask);
        editing::add_delta_options(app, demo.delta);
        editing::add_backend_option(app, options.backend);
        app.add_option("--threads", options.threads, "0: one per core")->check(CLI::Range(0, 1024));
        app.add_flag("--resume", options.resume, "go on where a run with the same options stopped");
        app.add_option("--sheets", options.sheets, "write pictures of every clip");
        if (const auto status = program::parse(app, argc, argv)) {
            return *status;
        }
        check(demo.delta);
        if (options.model.empty()) {
            options.model = editing::own_model().string();
        }
        Evaluation(options).run();
        return 0;
    });
}
