// insert_object on drawn clips that the model has never seen, in several variants, with a table of how well it went.

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include <reel/core/progress.hpp>
#include <reel/core/ranges.hpp>
#include <reel/core/stopwatch.hpp>
#include <reel/core/usable_threads.hpp>
#include <reel/io/config/options.hpp>
#include <reel/io/files/folder_lock.hpp>
#include <reel/io/pictures/enlarge.hpp>
#include <reel/io/pictures/frame_grid.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/video/video_writer.hpp>
#include <reel/pipelines/laid_edit.hpp>
#include <reel/pipelines/named_sampler.hpp>
#include <reel/pipelines/tune_clip.hpp>
#include <reel/pipelines/user_mask.hpp>

#include "evaluation_table.hpp"
#include "options.hpp"
#include "world/clip_files.hpp"
#include "world/insertion.hpp"
#include "world/own_model.hpp"

namespace {

using evaluation::Row;
using evaluation::Variant;
using reel::AnyTensor;
using reel::index_t;

struct Options {
    world::EditSettings demo{};
    reel::InvertedLatents inverted_latents = reel::InvertedLatents::mean;
    std::string model{};
    reel::ModelOptions parts{};
    std::string variants = "reference,reference-untuned,no-inversion,neither,source-mask,source-delta,"
                           "source-delta-overlay,source-delta-untuned-overlay,source-delta-no-inversion-overlay,"
                           "source-delta-untuned-no-inversion-overlay";
    std::vector<std::string> acts = world::words<world::Act>();
    std::vector<std::string> colours = world::words<world::Colour>();
    std::uint64_t first_seed = 0;
    std::uint64_t seed = 33;
    std::string output = "out/evaluation";
    int clips = 40;
    reel::BackendKind backend = reel::BackendKind::cpu;
    int threads = 0;
    bool resume = false;
    bool sheets = true;

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        using namespace reel;
        auto& demo = self.demo;
        visit(Option{"model", "a diffusers folder, or a file [the model that comes with reel]"}, self.model);
        ModelOptions::options(self.parts, visit);
        visit(Option{"output", "folder to write to"}, self.output);
        visit(Option{"variants", "names with commas between"}, self.variants);
        visit(Option{"clips", "how many", from_to(1, 1e6)}, self.clips);
        visit(Option{"first_seed", "of the clips; the others follow"}, self.first_seed);
        visit(Option{"seed", "of everything random in editing"}, self.seed);
        visit(Option{"n_sample_frames", "of each clip", from_to(2, 1000)}, demo.frames);
        visit(Option{"size", "pixels a side", from_to(16, 4096)}, demo.size);
        visit(Option{"max_train_steps", "tuning steps", from_to(0, 1e6)}, demo.max_train_steps);
        visit(Option{"learning_rate", "of tuning"}, demo.learning_rate);
        visit(Option{"steps", "of inversion and of sampling", from_to(1, 1000)}, demo.steps);
        visit(Option{"guidance_scale", "of source variants"}, demo.guidance_scale);
        visit(Option{"reference_guidance_scale", "of reference variants"}, demo.reference_guidance_scale);
        visit(Option{"inverted_latents", "of the clip's distribution: the sample that tuning saw last, or the mean"},
              self.inverted_latents);
        MaskOptions::options(demo.mask, visit);
        DeltaOptions::options(demo.delta, visit);
        visit(Option{"backend", "where the networks run: cpu, or cuda for an NVIDIA GPU"}, self.backend);
        visit(Option{"threads", "0: one per core", from_to(0, 1024)}, self.threads);
        visit(Option{"resume", "go on where a run with the same options stopped"}, self.resume);
        visit(Option{"sheets", "write pictures of every clip"}, self.sheets);
    }

    /// What must fit together, beyond ranges.
    void check(const reel::KeyLocator& locate) const {
        demo.delta.check(locate);
        parts.check(locate);
    }
};

class Evaluation {
public:
    explicit Evaluation(const Options& options)
        : options_(options), output_(options.output), variants_(evaluation::variants_of(options.variants)),
          config_(world::config_of(options.demo)), cpu_(reel::usable_threads(options.threads)),
          backend_(reel::open_backend(options.backend, cpu_)) {}

    void run() {
        const reel::FolderLock lock(output_);
        reel::make_output_folder(output_ / "sheets");
        const nlohmann::json settings = settings_json();
        if (options_.resume && std::filesystem::exists(output_ / "settings.json")) {
            resume(settings);
        }
        pipeline_ = backend_->load({.folder = options_.model, .seed = options_.seed, .model = options_.parts});
        pipeline_->watch.after_step = program::check_stop;
        reel::check_steps(reel::ddim_sampler(pipeline_->facts()), config_.validation_data);
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
        std::cout << '\n' << summary << "wrote " << reel::terminal_text((output_ / "summary.md").string()) << '\n';
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
        nlohmann::json json = reel::options_json(options_);
        for (const char* other : {"output", "clips", "backend", "threads", "resume", "sheets"}) {
            json.erase(other);
        }
        json["acts"] = options_.acts;
        json["colours"] = options_.colours;
        return json;
    }

    /// Acts take turns; the colours of each act too, beginning with another one for every act.
    [[nodiscard]] world::Scene scene_of(int i, std::uint64_t seed) const {
        const int act = i % static_cast<int>(options_.acts.size());
        const int turn = i / static_cast<int>(options_.acts.size());
        const auto colour = static_cast<std::size_t>(turn + 4 * act) % options_.colours.size();
        return world::random_scene(seed, world::known_word<world::Act>(options_.acts[static_cast<std::size_t>(act)]),
                                   world::known_word<world::Colour>(options_.colours[colour]));
    }

    /// One clip in all variants. The model is as it was loaded before and after.
    [[nodiscard]] std::vector<Row> clip(int number, std::uint64_t seed) {
        const reel::Stopwatch clock;
        const world::EditSettings& demo = options_.demo;
        const world::Clip drawn = world::draw_clip(scene_of(number, seed), demo.frames, demo.size, demo.fps);
        const std::filesystem::path file = output_ / "clip.mp4";
        reel::write_mp4(file, drawn.pretending, demo.fps, world::clip_quality);
        config_.train_data.video_path = file.string();
        const reel::Frames source = reel::read_clip(config_.train_data);
        std::filesystem::remove(file);

        const AnyTensor moments = pipeline_->encode(source);
        const world::TwinComparison known = world::compare_with_twin(*pipeline_, drawn, source, moments);
        const double shared = clock.seconds();

        Row row{seed,
                std::string(world::name_of(drawn.scene.act)),
                std::string(world::name_of(drawn.scene.colour)),
                "twin",
                known.ceiling,
                known.autoencoder,
                shared};
        std::vector<Row> rows{row};
        std::map<std::string, Edited> edits;
        const auto run_all = [&](bool tuned, double before) {
            for (const Variant& variant : variants_) {
                if (variant.tuned == tuned) {
                    const reel::Stopwatch own;
                    Edited edited = edit(variant, drawn, source, latents_of(moments));
                    row.variant = variant.name;
                    row.measures = world::measure(edited.clip, drawn, source, known.reconstruction);
                    row.seconds = shared + before + own.seconds();
                    rows.push_back(row);
                    edits[variant.name] = std::move(edited);
                }
            }
        };
        run_all(false, 0);
        if (reel::ranges::any_of(variants_, &Variant::tuned) && demo.max_train_steps > 0) {
            const reel::Stopwatch tuning;
            tune(moments, drawn.prompt);
            run_all(true, tuning.seconds());
            pipeline_->restore(); // every clip starts from the model as it was loaded
        } else {
            run_all(true, 0);
        }
        if (options_.sheets) {
            write_sheet(seed, drawn, source, known, edits);
        }
        return rows;
    }

    void tune(const AnyTensor& moments, const std::string& prompt) {
        pipeline_->prepare_training(config_, false, true);
        const auto run = pipeline_->tune(moments, pipeline_->encode_prompt(prompt), config_, noise());
        static_cast<void>(
            reel::tune_clip(*run, config_, {.after_update = [](const reel::TuneReport&) { program::check_stop(); }}));
        pipeline_->stop_training();
    }

    /// Of tuning.
    [[nodiscard]] reel::TuningNoise noise() const { return {.seed = options_.seed}; }

    /// As insert_object takes them.
    [[nodiscard]] AnyTensor latents_of(const AnyTensor& moments) const {
        return options_.inverted_latents == reel::InvertedLatents::mean
                   ? pipeline_->mean_latents(moments)
                   : pipeline_->sample_latents(moments, noise(),
                                               std::max<index_t>(index_t{config_.max_train_steps} - 1, 0));
    }

    /// An edit, and where it could change the clip; undefined where it could everywhere.
    struct Edited {
        reel::Frames clip;
        AnyTensor mask;
    };

    [[nodiscard]] Edited edit(const Variant& variant, const world::Clip& drawn, const reel::Frames& source,
                              const AnyTensor& latents) {
        reel::EditRequest request{.sampler = reel::ddim_sampler(pipeline_->facts()),
                                  .sampling = config_.validation_data,
                                  .edit = variant.edit,
                                  .prompt = drawn.prompt,
                                  .seed = options_.seed};
        request.sampling.guidance_scale =
            variant.source_caption() ? options_.demo.guidance_scale : options_.demo.reference_guidance_scale;
        if (variant.edit.edit_friendly()) {
            request.sampling.eta = 1; // it takes a sampler that draws
            request.sampler = reel::ddim_sampler(pipeline_->facts(), request.sampling.eta);
        }
        request.edit.mask_options = options_.demo.mask;
        request.edit.delta = options_.demo.delta;
        const reel::PixelMask allowed = given_mask(variant, drawn, source, request.edit.user_mask);
        reel::AnyStart start = pipeline_->start_edit(request, latents);
        start.allowed = reel::latent_mask(cpu_, allowed, latents.shape());
        const reel::AnyPlace place = pipeline_->find_place(request, start, drawn.edit);
        const AnyTensor sampled = pipeline_->sample_edit(request, start.trajectory, place, drawn.edit);
        const auto decoded = [&](const AnyTensor& x) { return reel::frames_of(pipeline_->decode(x), source.fps); };
        reel::LaidEdits laid({source, allowed, variant.edit.overlay ? decoded(latents) : reel::Frames()});
        return {laid(decoded(sampled)).frames, place.mask};
    }

    /// Where a variant's user lets the clip change, given as a folder of pictures.
    [[nodiscard]] reel::PixelMask given_mask(const Variant& variant, const world::Clip& drawn,
                                             const reel::Frames& source, reel::UserMaskOptions& options) const {
        if (variant.given == evaluation::GivenPlace::none) {
            return {};
        }
        const reel::Frames white =
            metrics::picture_of(variant.given == evaluation::GivenPlace::box
                                    ? metrics::boxes_around(drawn.mask, source, 1.5)
                                    : metrics::grown(drawn.mask, source, metrics::Definitions{}.margin),
                                source);
        options.file = (output_ / "mask").string();
        reel::FrameFolder folder(options.file);
        for (int f = 0; f < white.count; ++f) {
            folder.write(white, f);
        }
        folder.commit();
        reel::PixelMask allowed = reel::user_mask(options, {source});
        std::filesystem::remove_all(options.file);
        return allowed;
    }

    /// Rows: the clip, every variant (and its mask), the twin through the autoencoder, the twin.
    void write_sheet(std::uint64_t seed, const world::Clip& drawn, const reel::Frames& source,
                     const world::TwinComparison& known, const std::map<std::string, Edited>& edits) const {
        std::vector<reel::Frames> sheet{source};
        for (const Variant& variant : variants_) {
            const Edited& edited = edits.at(variant.name);
            sheet.push_back(edited.clip);
            if (edited.mask.defined()) {
                sheet.push_back(world::place_picture(reel::mask_picture(edited.mask, drawn.twin), drawn));
            }
        }
        sheet.push_back(known.twin);
        sheet.push_back(drawn.twin);
        for (reel::Frames& frames : sheet) {
            frames = reel::enlarged(frames, 2);
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
    reel::Cpu cpu_;
    std::unique_ptr<reel::PipelineBackend> backend_;
    std::unique_ptr<reel::AnyPipeline> pipeline_;
    std::vector<Row> rows_;
    std::set<std::uint64_t> done_;
};

} // namespace

int main(int argc, char** argv) {
    return program::run("evaluate_insertion", [&] {
        Options options;
        CLI::App app(
            "Edits drawn clips that the model has never seen as insert_object does, and measures the edits.\n"
            "Writes clips.csv (one line a clip and variant), summary.md, summary.csv and sheets/ into the\n"
            "output folder. Variants: reference (inverted under the empty prompt) or source (under the\n"
            "clip's own, which also takes the empty one's place in guidance), then -mask or -delta, -given (the\n"
            "user's own mask) or -box (a box around it), a control as -masactrl or -edit_friendly, -untuned,\n"
            "-no-inversion and -overlay; no-inversion and neither are the reference's.");
        program::add_options(app, options);
        app.add_option("--acts", options.acts, "take turns")
            ->delimiter(',')
            ->check(CLI::IsMember(world::words<world::Act>()));
        app.add_option("--colours", options.colours, "take turns")
            ->delimiter(',')
            ->check(CLI::IsMember(world::words<world::Colour>()));
        if (const auto status = program::parse(app, argc, argv)) {
            return *status;
        }
        program::check(options);
        if (options.model.empty()) {
            options.model = world::own_model().string();
        }
        Evaluation(options).run();
        return 0;
    });
}
