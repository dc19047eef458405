// Text to image in numbers: draws captions of the drawn world with a model, and lets a classifier that was trained on
// the world's own pictures say what they show.

#include <algorithm>
#include <array>
#include <cmath>

#include <reel/core/progress.hpp>
#include <reel/core/stage_timer.hpp>
#include <reel/io/config/json.hpp>
#include <reel/io/pictures/frame_grid.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/records/manifest.hpp>
#include <reel/ops/rearrange.hpp>

#include "scene_classifier.hpp"
#include "support/backend_option.hpp"
#include "support/picture_model.hpp"
#include "support/program.hpp"

namespace {

using reel::Cpu;
using reel::index_t;
using training::Content;
using Tensor = reel::Tensor<float>;

struct Options {
    std::string model = REEL_MODEL_FOLDER;
    std::string output = "out/evaluate_text_to_image";
    std::string classifier;
    training::ClassifierTraining training;
    int captions = 64;
    int pretending = 16;
    pictures::Sampling sampling{.guidance_scale = 4, .steps = 50};
    std::string scheduler;
    int batch_size = 16;
    int threads = 0;
    std::string backend = "cpu"; ///< as editing::open_device() takes it
};

/// A picture to draw, and what came out.
struct Trial {
    std::string caption;
    Content wanted;
    Content found;
    reel::Frames picture;

    [[nodiscard]] bool right_act() const { return found.act == wanted.act; }
    /// Whether an object is seen exactly where one was asked for.
    [[nodiscard]] bool right_object() const { return found.with_object == wanted.with_object; }
    [[nodiscard]] bool right_kind() const { return right_act() && right_object(); }
    [[nodiscard]] bool right_colour() const { return !wanted.with_object || found.colour == wanted.colour; }
    [[nodiscard]] bool right() const { return right_kind() && right_colour(); }
};

/// Acts take turns, then colours, then man and woman.
[[nodiscard]] std::vector<Trial> trials_of(int count, bool with_object) {
    std::vector<Trial> trials;
    for (int i = 0; i < count; ++i) {
        world::Scene scene;
        scene.act = static_cast<world::Act>(i % world::act_count);
        const int round = i / world::act_count;
        scene.colour = static_cast<world::Colour>(with_object ? round % world::colour_count : 0);
        scene.woman = (with_object ? round / world::colour_count : round) % 2 == 1;
        trials.push_back({world::caption(scene, with_object), {scene.act, with_object, scene.colour}, {}, {}});
    }
    return trials;
}

/// How many were recognised.
struct Row {
    std::string name;
    int pictures = 0;
    int act = 0;
    int object = 0;
    int kind = 0;
    int colour = 0;
    int all = 0;

    void add(const Trial& trial) {
        ++pictures;
        act += trial.right_act() ? 1 : 0;
        object += trial.right_object() ? 1 : 0;
        kind += trial.right_kind() ? 1 : 0;
        colour += trial.right_colour() ? 1 : 0;
        all += trial.right() ? 1 : 0;
    }
    [[nodiscard]] double share(int right) const { return 100.0 * right / std::max(pictures, 1); }
};

[[nodiscard]] std::string text(const char* format, const auto&... values) {
    std::array<char, 400> line{};
    std::snprintf(line.data(), line.size(), format, values...);
    return line.data();
}

/// What a picture shows, in words.
[[nodiscard]] std::string words(const Content& content) {
    std::string result(world::name_of(content.act));
    if (content.with_object) {
        result +=
            " with a " + std::string(world::name_of(content.colour)) + " " + std::string(world::object_of(content.act));
    }
    return result;
}

/// A picture twice as large in a frame: green where all is right, yellow where the colour is wrong, red where the act
/// or the object is.
[[nodiscard]] reel::Frames marked(const Trial& trial) {
    constexpr int border = 4;
    constexpr std::array<std::uint8_t, 3> green{30, 160, 60};
    constexpr std::array<std::uint8_t, 3> yellow{240, 190, 0};
    constexpr std::array<std::uint8_t, 3> red{220, 0, 0};
    const auto& paint = trial.right() ? green : (trial.right_kind() ? yellow : red);
    reel::Frames tile = reel::make_frames(1, 2 * (trial.picture.height + border), 2 * (trial.picture.width + border));
    for (int y = 0; y < tile.height; ++y) {
        for (int x = 0; x < tile.width; ++x) {
            const bool inside = y >= border && y < tile.height - border && x >= border && x < tile.width - border;
            std::copy_n(inside ? trial.picture.pixel(0, (y - border) / 2, (x - border) / 2) : paint.data(), 3,
                        tile.pixel(0, y, x));
        }
    }
    return tile;
}

class Job {
public:
    explicit Job(Options options)
        : options_(std::move(options)), device_(editing::open_device(options_.backend)), output_(made(options_.output)),
          cpu_(options_.threads), stages_(device_ != nullptr ? device_->probe() : reel::probe_of(cpu_.memory())),
          model_(cpu_, options_.model, options_.scheduler, device_.get()), classifier_(model_.default_size()),
          classifier_file_(options_.classifier.empty() ? output_ / "classifier.safetensors"
                                                       : std::filesystem::path(options_.classifier)),
          trials_(trials_of(options_.captions, true)) {
        model_.check(options_.sampling);
        for (Trial& trial : trials_of(options_.pretending, false)) {
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

    [[nodiscard]] static std::filesystem::path made(const std::string& folder) {
        reel::make_output_folder(folder);
        return folder;
    }

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
        on_redrawn_ = training::accuracy(recognise(model_.reconstruct(frames)), few.contents);
        std::printf("classifier: right on %.1f %% of %d drawn pictures (colour %.1f %%), on %.1f %% (%.1f %%) of %d "
                    "through the autoencoder\n",
                    100 * on_drawn_.kind, static_cast<int>(judged_pictures), 100 * on_drawn_.colour,
                    100 * on_redrawn_.kind, 100 * on_redrawn_.colour, static_cast<int>(redrawn_pictures));
        std::fflush(stdout);
    }

    /// Of pixels in 0..1.
    [[nodiscard]] std::vector<Content> recognise(const Tensor& pixels) const {
        return classifier_.recognise(
            reel::axpby(2.0F, pixels, -1.0F, Tensor::full(pixels.backend(), pixels.shape(), 1)));
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
            const Tensor noise = model_.noise(size, size, options_.sampling.seed, first, static_cast<index_t>(count));
            const Tensor pixels = model_.decode(
                model_.sample(noise, captions, options_.sampling, first, [&](index_t step, index_t steps) {
                    bar.note(reel::concat_text("step ", step, " of ", steps));
                    program::check_stop();
                }));
            const reel::Frames frames = pictures::frames_of(pixels);
            const std::vector<Content> found = recognise(pixels);
            for (std::size_t i = 0; i < count; ++i) {
                Trial& trial = trials_[first + i];
                trial.found = found[i];
                trial.picture = reel::make_frames(1, size, size);
                const auto bytes = frames.frame(static_cast<int>(i));
                std::copy(bytes.begin(), bytes.end(), trial.picture.rgb.begin());
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
            table +=
                text("| %s | %d | %.0f %% | %.0f %% | %.0f %% | %s | %.0f %% |\n", row.name.c_str(), row.pictures,
                     row.share(row.act), row.share(row.object), row.share(row.kind),
                     (objects ? text("%.0f %%", row.share(row.colour)) : std::string("-")).c_str(), row.share(row.all));
            csv += text("\"%s\",%d,%d,%d,%d,%d,%d\n", row.name.c_str(), row.pictures, row.act, row.object, row.kind,
                        row.colour, row.all);
            shares.push_back({{"captions", row.name},
                              {"pictures", row.pictures},
                              {"act", row.act},
                              {"object", row.object},
                              {"act_and_object", row.kind},
                              {"colour", row.colour},
                              {"all_three", row.all}});
        }
        table +=
            text("\n%s, %d steps, guidance %g, seed %llu. The classifier is right on %.1f %% of %d drawn pictures it "
                 "has not seen",
                 model_.scheduler().c_str(), options_.sampling.steps, options_.sampling.guidance_scale,
                 static_cast<unsigned long long>(options_.sampling.seed), 100 * on_drawn_.kind,
                 static_cast<int>(judged_pictures));
        table += text(" (colour: %.1f %%), and on %.1f %% (%.1f %%) of %d such through the autoencoder.\n",
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
            list +=
                reel::concat_text(i + 1, ",", trial.caption, ",", words(trial.found), ",", trial.right_act() ? 1 : 0,
                                  ",", trial.right_object() ? 1 : 0, ",", trial.right_colour() ? 1 : 0, "\n");
            tiles.push_back(marked(trial));
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
        std::cout << '\n' << table << "\nwrote " << output_.string() << '\n';
    }

    [[nodiscard]] nlohmann::json options_json() const {
        const pictures::Sampling& s = options_.sampling;
        return {{"model", options_.model},
                {"output", options_.output},
                {"classifier", options_.classifier},
                {"classifier_steps", options_.training.max_steps},
                {"captions", options_.captions},
                {"pretending", options_.pretending},
                {"guidance_scale", s.guidance_scale},
                {"num_inference_steps", s.steps},
                {"negative_prompt", s.negative_prompt},
                {"scheduler", model_.scheduler()},
                {"batch_size", options_.batch_size},
                {"threads", cpu_.threads()},
                {"backend", options_.backend}};
    }

    Options options_;
    std::unique_ptr<editing::Device> device_; ///< or null
    std::filesystem::path output_;
    Cpu cpu_;
    reel::StageTimer stages_;
    pictures::PictureModel model_;
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
        app.get_formatter()->column_width(38);
        app.option_defaults()->always_capture_default();
        const auto at_least = [](double least) { return CLI::Range(least, 1e6); };
        app.add_option("--model", options.model, "diffusers folder that train_text_to_image wrote");
        app.add_option("--output", options.output, "folder to write into");
        app.add_option("--captions", options.captions, "with an object")->check(CLI::Range(1, 1000));
        app.add_option("--pretending", options.pretending, "captions without an object, counted apart")
            ->check(CLI::Range(0, 1000));
        app.add_option("--guidance_scale", options.sampling.guidance_scale, "1 or less: no guidance")
            ->check(CLI::Range(-1e3, 1e3));
        app.add_option("--negative_prompt", options.sampling.negative_prompt, "what guidance leads away from");
        app.add_option("--num_inference_steps", options.sampling.steps, "steps of the sampler")->check(at_least(1));
        app.add_option("--scheduler", options.scheduler,
                       "a sampler by its name: ddim, euler, dpm++_2m, unipc, ...; none: the folder's own");
        app.add_option("--seed", options.sampling.seed, "of the noise")->check(program::not_negative);
        app.add_option("--batch_size", options.batch_size, "pictures sampled at a time")->check(at_least(1));
        app.add_option("--classifier", options.classifier,
                       "safetensors file: used if it is there, else trained and written; none: in OUTPUT, anew");
        app.add_option("--classifier_steps", options.training.max_steps, "its training stops sooner at 99 %")
            ->check(at_least(1));
        editing::add_backend_option(app, options.backend);
        app.add_option("--threads", options.threads, "0: one per core")->check(CLI::Range(0, 1024));
        if (const auto status = program::parse(app, argc, argv)) {
            return *status;
        }
        Job(std::move(options)).run();
        return 0;
    });
}
