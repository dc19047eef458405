// Text to image in numbers: draws captions of the drawn world with a model, and lets a classifier that was trained on
// the world's own pictures say what they show.

#include <algorithm>
#include <cmath>
#include <memory>

#include <reel/core/format_text.hpp>
#include <reel/core/progress.hpp>
#include <reel/core/stage_timer.hpp>
#include <reel/core/usable_threads.hpp>
#include <reel/io/config/json.hpp>
#include <reel/io/config/options.hpp>
#include <reel/io/files/folder_lock.hpp>
#include <reel/io/pictures/frame_grid.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/records/manifest.hpp>
#include <reel/pipelines/picture_size.hpp>
#include <reel/pipelines/prompt_pictures.hpp>

#include "options.hpp"
#include "scene_classifier.hpp"
#include "trials.hpp"

namespace {

using reel::AnyTensor;
using reel::index_t;
using training::Row;
using training::Trial;

struct Options {
    std::string model = REEL_MODEL_FOLDER;
    reel::ModelOptions parts{};
    std::string output = "out/evaluate_text_to_image";
    int captions = 64;
    int pretending = 16;
    reel::PictureOptions sampling{.guidance_scale = 4};
    int batch_size = 16;
    std::string classifier;
    training::ClassifierTraining training;
    reel::BackendKind backend = reel::BackendKind::cpu;
    int threads = 0;

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        using namespace reel;
        visit(Option{"model", "diffusers folder that train_text_to_image wrote"}, self.model);
        reel::ModelOptions::options(self.parts, visit);
        visit(Option{"output", "folder to write into"}, self.output);
        visit(Option{"captions", "with an object", from_to(1, 1000)}, self.captions);
        visit(Option{"pretending", "captions without an object, counted apart", from_to(0, 1000)}, self.pretending);
        PictureOptions::options(self.sampling, visit);
        visit(Option{"batch_size", "pictures sampled at a time", at_least(1)}, self.batch_size);
        visit(Option{"classifier",
                     "safetensors file: used if it is there, else trained and written; none: in OUTPUT, anew"},
              self.classifier);
        visit(Option{"classifier_steps", "its training stops sooner at 99 %", at_least(1)}, self.training.max_steps);
        visit(Option{"backend", "where the networks run: cpu, or cuda for an NVIDIA GPU"}, self.backend);
        visit(Option{"threads", "0: one per core", from_to(0, 1024)}, self.threads);
    }

    void check(const reel::KeyLocator& locate) const { parts.check(locate); }
};

/// Trains or reads the classifier, has the pictures drawn, and counts.
class Evaluation {
public:
    explicit Evaluation(Options options)
        : options_(std::move(options)), cpu_(reel::usable_threads(options_.threads)),
          backend_(reel::open_backend(options_.backend, cpu_)), lock_(options_.output), output_(options_.output),
          stages_(backend_->probe()),
          pipeline_(backend_->load({.folder = options_.model, .pictures = true, .model = options_.parts})),
          pictures_(*pipeline_, options_.sampling), classifier_(reel::default_size(pipeline_->facts())),
          classifier_file_(options_.classifier.empty() ? output_ / "classifier.safetensors"
                                                       : std::filesystem::path(options_.classifier)),
          trials_(training::trials_of(options_.captions, true)) {
        pipeline_->watch = {.bars = false, .after_step = program::check_stop};
        for (Trial& trial : training::trials_of(options_.pretending, false)) {
            trials_.push_back(std::move(trial));
        }
    }

    void run() {
        prepare_classifier();
        draw();
        report();
    }

private:
    static constexpr index_t judged_pictures = 1024;
    static constexpr index_t redrawn_pictures = 256;

    /// Reads or trains it, and finds out how good it is on pictures that played no part in that: as they were drawn,
    /// and as the model's autoencoder draws them.
    void prepare_classifier() {
        const auto stage = stages_.start("classifier");
        std::error_code ignored;
        trained_ = options_.classifier.empty() || !std::filesystem::exists(classifier_file_, ignored);
        if (trained_) {
            if (!classifier_file_.parent_path().empty()) {
                reel::make_output_folder(classifier_file_.parent_path());
            }
            training::train(cpu_, classifier_, options_.training);
            training::save(classifier_, classifier_file_);
        } else {
            training::load(cpu_, classifier_, classifier_file_);
        }
        const int size = classifier_.size();
        const auto drawn = training::held_out_pictures(cpu_, judged_pictures, size, 1);
        on_drawn_ =
            training::accuracy(classifier_.recognise(training::unit_pixels(cpu_, drawn.rgb, size)), drawn.contents);
        const auto few = training::held_out_pictures(cpu_, redrawn_pictures, size, 2);
        reel::Frames frames = reel::make_frames(static_cast<int>(redrawn_pictures), size, size);
        frames.rgb = few.rgb;
        on_redrawn_ = training::accuracy(
            recognise(pipeline_->decode(pipeline_->mean_latents(pipeline_->encode(frames)))), few.contents);
        std::printf("classifier: right on %.1f %% of %d drawn pictures (colour %.1f %%), on %.1f %% (%.1f %%) of %d "
                    "through the autoencoder\n",
                    100 * on_drawn_.kind, static_cast<int>(judged_pictures), 100 * on_drawn_.colour,
                    100 * on_redrawn_.kind, 100 * on_redrawn_.colour, static_cast<int>(redrawn_pictures));
        std::fflush(stdout);
    }

    /// Of pixels in 0..1.
    [[nodiscard]] std::vector<training::Content> recognise(const AnyTensor& pixels) {
        const reel::Tensor<float> x = pixels.on_cpu(cpu_);
        return classifier_.recognise(reel::axpby(2.0F, x, -1.0F, reel::Tensor<float>::full(cpu_, x.shape(), 1)));
    }

    void draw() {
        const auto stage = stages_.start("sample");
        reel::Progress bar("sample", trials_.size());
        const int size = classifier_.size();
        for (std::size_t first = 0; first < trials_.size(); first += static_cast<std::size_t>(options_.batch_size)) {
            const std::size_t count = std::min(trials_.size() - first, static_cast<std::size_t>(options_.batch_size));
            std::vector<std::string> captions;
            for (std::size_t i = first; i < first + count; ++i) {
                captions.push_back(trials_[i].caption);
            }
            const AnyTensor noise = pictures_.noise(size, size, first, static_cast<index_t>(count));
            const AnyTensor pixels =
                pipeline_->decode(pictures_.sample(noise, captions, first, [&](index_t step, index_t steps) {
                    bar.note(reel::concat_text("step ", step, " of ", steps));
                    program::check_stop();
                }));
            std::vector<reel::Frames> drawn = reel::pictures_of(pixels);
            const std::vector<training::Content> found = recognise(pixels);
            for (std::size_t i = 0; i < count; ++i) {
                trials_[first + i].found = found[i];
                trials_[first + i].picture = std::move(drawn[i]);
            }
            bar.step(count);
        }
    }

    /// A row for each act, one for all, and one for the captions without an object.
    [[nodiscard]] std::vector<Row> rows() const {
        std::vector<Row> rows(world::act_count);
        Row all{"all four"};
        Row pretending{"without an object"};
        for (const Trial& trial : trials_) {
            if (trial.wanted.with_object) {
                Row& row = rows[static_cast<std::size_t>(trial.wanted.act)];
                row.name = std::string(world::name_of(trial.wanted.act)) + ", " +
                           std::string(world::object_of(trial.wanted.act));
                row.add(trial);
                all.add(trial);
            } else {
                pretending.add(trial);
            }
        }
        rows.push_back(all);
        if (pretending.pictures > 0) {
            rows.push_back(pretending);
        }
        return rows;
    }

    void report() {
        const auto stage = stages_.start("write");
        std::string table = "| captions | pictures | act recognised | object recognised | act and object | colour | "
                            "all three |\n|---|---|---|---|---|---|---|\n";
        std::string csv = "captions,pictures,act,object,act_and_object,colour,all_three\n";
        nlohmann::json shares = nlohmann::json::array();
        for (const Row& row : rows()) {
            if (row.pictures == 0) {
                continue;
            }
            const bool objects = row.name != "without an object";
            table += reel::format_text(
                "| %s | %d | %.0f %% | %.0f %% | %.0f %% | %s | %.0f %% |\n", row.name.c_str(), row.pictures,
                row.share(row.act), row.share(row.object), row.share(row.kind),
                (objects ? reel::format_text("%.0f %%", row.share(row.colour)) : std::string("-")).c_str(),
                row.share(row.all));
            csv += reel::format_text("%s,%d,%d,%d,%d,%d,%d\n", reel::csv_cell(row.name).c_str(), row.pictures, row.act,
                                     row.object, row.kind, row.colour, row.all);
            shares.push_back({{"captions", row.name},
                              {"pictures", row.pictures},
                              {"act", row.act},
                              {"object", row.object},
                              {"act_and_object", row.kind},
                              {"colour", row.colour},
                              {"all_three", row.all}});
        }
        table += reel::format_text(
            "\n%s, %d steps, guidance %g, seed %llu. The classifier is right on %.1f %% of %d drawn pictures it "
            "has not seen",
            pictures_.scheduler().c_str(), options_.sampling.num_inference_steps, options_.sampling.guidance_scale,
            static_cast<unsigned long long>(options_.sampling.seed), 100 * on_drawn_.kind,
            static_cast<int>(judged_pictures));
        table += reel::format_text(" (colour: %.1f %%), and on %.1f %% (%.1f %%) of %d such through the autoencoder.\n",
                                   100 * on_drawn_.colour, 100 * on_redrawn_.kind, 100 * on_redrawn_.colour,
                                   static_cast<int>(redrawn_pictures));
        const auto accuracy_of = [](const training::Accuracy& accuracy, index_t count) {
            return nlohmann::json{{"pictures", count}, {"act_and_object", accuracy.kind}, {"colour", accuracy.colour}};
        };
        const nlohmann::json summary{{"recognised", shares},
                                     {"classifier_accuracy",
                                      {{"drawn", accuracy_of(on_drawn_, judged_pictures)},
                                       {"through_the_autoencoder", accuracy_of(on_redrawn_, redrawn_pictures)}}}};
        std::string list = "number,caption,found,act,object,colour\n";
        std::vector<reel::Frames> tiles;
        for (std::size_t i = 0; i < trials_.size(); ++i) {
            const Trial& trial = trials_[i];
            list += reel::concat_text(i + 1, ",", reel::csv_cell(trial.caption), ",",
                                      reel::csv_cell(training::words(trial.found)), ",", trial.right_act() ? 1 : 0, ",",
                                      trial.right_object() ? 1 : 0, ",", trial.right_colour() ? 1 : 0, "\n");
            tiles.push_back(training::marked(trial));
        }
        // A multiple of the acts, so that each has its columns.
        const int columns =
            world::act_count *
            static_cast<int>(std::ceil(std::sqrt(static_cast<double>(tiles.size())) / world::act_count));
        reel::write_file(output_ / "summary.md", table);
        reel::write_file(output_ / "summary.csv", csv);
        reel::write_json(output_ / "summary.json", summary);
        reel::write_file(output_ / "pictures.csv", list);
        reel::write_png(output_ / "sheet.png", reel::make_grid(tiles, columns, 2));
        reel::Manifest manifest("evaluate_text_to_image");
        manifest.set_seed(options_.sampling.seed);
        manifest.set("options", options_json());
        manifest.add_input(options_.model);
        if (trained_) {
            manifest.add_output(classifier_file_);
        } else {
            manifest.add_input(classifier_file_);
        }
        for (const char* name : {"summary.md", "summary.csv", "summary.json", "pictures.csv", "sheet.png"}) {
            manifest.add_output(output_ / name);
        }
        manifest.set_stages(stages_);
        manifest.write(output_ / "manifest.json");
        std::cout << '\n' << table << "\nwrote " << reel::terminal_text(output_.string()) << '\n';
    }

    [[nodiscard]] nlohmann::json options_json() const {
        nlohmann::json json = reel::options_json(options_);
        json.erase("seed"); // said apart
        json["scheduler"] = pictures_.scheduler();
        json["threads"] = cpu_.threads();
        return json;
    }

    Options options_;
    reel::Cpu cpu_;
    std::unique_ptr<reel::PipelineBackend> backend_;
    reel::FolderLock lock_;
    std::filesystem::path output_;
    reel::StageTimer stages_;
    std::unique_ptr<reel::AnyPipeline> pipeline_;
    reel::PromptPictures pictures_;
    training::SceneClassifier classifier_;
    std::filesystem::path classifier_file_;
    bool trained_ = false; ///< in this run
    std::vector<Trial> trials_;
    training::Accuracy on_drawn_;
    training::Accuracy on_redrawn_;
};

} // namespace

int main(int argc, char** argv) {
    return program::run("evaluate_text_to_image", [&] {
        Options options;
        CLI::App app(
            "Draws captions of the drawn world (every act, colour, man and woman in turn) with a model, and counts\n"
            "in how many pictures a classifier recognises the act, its object and the colour. The classifier is\n"
            "trained first, on pictures of the world itself. Writes summary.md, .csv and .json, pictures.csv,\n"
            "sheet.png (wrong ones marked) and manifest.json into OUTPUT.");
        program::add_options(app, options);
        if (const auto status = program::parse(app, argc, argv)) {
            return *status;
        }
        program::check(options);
        Evaluation(std::move(options)).run();
        return 0;
    });
}
