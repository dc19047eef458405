// The whole job in one command: a clip, its prompt and an edited prompt in, an edited clip out. Without a clip: a drawn
// one, edited with the model that comes with reel and compared with what it should have become.

#include <algorithm>
#include <chrono>

#include <reel/core/stage_timer.hpp>
#include <reel/io/manifest.hpp>

#include "support/config_options.hpp"
#include "support/demonstration.hpp"

namespace {

using editing::Cpu;
using editing::index_t;
using editing::Tensor;

struct Options {
    reel::TuneAVideoConfig config;
    std::string config_file;
    std::string tuned;
    std::string save_tuned;
    std::string replay;
    std::string save_tensors;
    int threads = 0;
    bool reference_checkpointing = false;
    bool reference_inversion = false;
    std::string inverted_latents = "sample";
    std::string inversion_prompt = "empty";
    std::string guidance_prompt = "negative";
    std::string mask = "none";
    editing::MaskSettings mask_settings;
    std::optional<world::Scene> scene; ///< of the demonstration's clip
    std::uint64_t world_seed = 0;      ///< that the scene follows from

    [[nodiscard]] bool masked() const { return mask == "difference"; }
};

/// One run, stage by stage. Members are what later stages and the manifest need.
class Job {
public:
    explicit Job(Options options)
        : options_(std::move(options)), config_(options_.config), output_(config_.output_dir), cpu_(options_.threads),
          stages_(reel::probe_of(cpu_.memory())), recorder_(options_.save_tensors) {}

    void run() {
        prepare();
        read();
        load();
        tune();
        const Tensor noise = invert();
        for (const std::string& prompt : config_.validation_data.prompts) {
            edit(noise, prompt);
        }
        if (drawn_) {
            compare();
        }
        write();
        if (drawn_) {
            conclude();
        }
    }

private:
    /// Finds out before the work whether its results can be written.
    void prepare() {
        reel::make_output_folder(output_);
        if (!options_.save_tuned.empty()) {
            reel::require_other_folder(options_.save_tuned, config_.pretrained_model_path);
            reel::make_output_folder(options_.save_tuned);
        }
        if (const auto folder = std::filesystem::path(options_.save_tensors).parent_path(); !folder.empty()) {
            reel::make_output_folder(folder);
        }
        std::error_code ignored;
        reel::require(options_.tuned.empty() ||
                          std::filesystem::is_directory(std::filesystem::path(options_.tuned) / "unet", ignored),
                      "--tuned ", options_.tuned, ": it has no folder unet; expected what --save_tuned or tune_video ",
                      "wrote");
    }

    void read() {
        const auto stage = stages_.start("read clip");
        if (options_.scene) {
            draw();
        }
        if (!options_.replay.empty()) {
            replay_.emplace(options_.replay);
            if (const reel::HostTensor* video = replay_->video()) {
                clip_ = editing::frames_of(*video, 8);
                config_.train_data.n_sample_frames = clip_.count; // for the manifest
                config_.train_data.width = clip_.width;
                config_.train_data.height = clip_.height;
            }
        }
        if (clip_.count == 0) {
            clip_ = editing::read_clip(config_.train_data);
        }
        fps_ = clip_.fps > 0 ? clip_.fps : 8;
    }

    /// The demonstration's clip, as a file like any other.
    void draw() {
        const reel::TuneTrainData& data = config_.train_data;
        drawn_ = world::draw_clip(*options_.scene, data.n_sample_frames, data.width, editing::demonstration().fps);
        reel::write_mp4(data.video_path, drawn_->pretending, drawn_->pretending.fps, world::clip_quality);
        outputs_.emplace_back(data.video_path);
    }

    void load() {
        const auto stage = stages_.start("load model");
        const std::filesystem::path tuned = options_.tuned;
        model_.emplace(editing::load_model(cpu_, config_.pretrained_model_path, *config_.seed,
                                           tuned.empty() ? tuned : tuned / "unet"));
        if (replay_ && tuned.empty()) {
            replay_->initialize(model_->unet, cpu_);
        }
        editing::check_prompts(*model_, config_);
        editing::check_steps(*model_, config_.validation_data);
    }

    [[nodiscard]] reel::TrainingNoise<float, Cpu> noise_of(const reel::Shape& latents, index_t draw) {
        return replay_ ? replay_->training_noise<float>(cpu_, latents, draw)
                       : reel::training_noise<float>(cpu_, latents, *config_.seed, draw,
                                                     model_->training_scheduler.schedule().size());
    }

    /// Tunes, or with --tuned only draws the latents that the last step of tuning would have looked at.
    void tune() {
        {
            const auto stage = stages_.start("encode clip");
            moments_ = editing::encode(cpu_, *model_, clip_);
            recorder_.record("vae.moments", reel::to_file(reel::permute(moments_, {0, 3, 1, 2})));
        }
        const Tensor text = editing::encode_prompt(*model_, config_.train_data.prompt);
        recorder_.record("text.train", reel::to_file(text));
        const double factor = model_->vae.config.scaling_factor;
        const index_t draws = index_t{config_.max_train_steps} * config_.gradient_accumulation_steps;
        if (!options_.tuned.empty() || draws == 0) {
            const reel::Shape shape = moments_.shape().with(3, moments_.shape(3) / 2);
            const auto random = noise_of(shape, std::max<index_t>(draws - 1, 0));
            latents_ = reel::sample_latents(moments_, random.posterior, factor);
            return;
        }
        const auto stage = stages_.start("tune");
        editing::prepare_training(*model_, config_, options_.reference_checkpointing);
        reel::Tuner<float, Cpu> tuner(model_->unet, model_->training_scheduler, moments_, text, factor,
                                      editing::tune_options(config_));
        std::vector<float> losses;
        std::vector<float> norms;
        reel::Progress bar("tune", static_cast<std::size_t>(config_.max_train_steps));
        while (tuner.step_count() < config_.max_train_steps) {
            const auto start = std::chrono::steady_clock::now();
            const reel::TuneReport report =
                editing::update(tuner, [&](index_t draw) { return noise_of(tuner.latent_shape(), draw); });
            log_.add(report, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
            losses.push_back(static_cast<float>(report.loss));
            norms.push_back(static_cast<float>(report.grad_norm));
            if (report.step == 1) {
                recorder_.record("train.latents0",
                                 reel::to_file(reel::to_reference_order(tuner.latents(), clip_.count)));
            }
            bar.note(reel::concat_text("loss ", report.loss));
            bar.step();
            program::check_stop();
        }
        recorder_.record("train.loss", losses);
        recorder_.record("train.grad_norm", norms);
        reel::for_each_parameter(model_->unet, [&](const std::string& name, auto& parameter) {
            if (parameter.requires_grad()) {
                if (recorder_.on()) {
                    recorder_.record("trained." + name,
                                     reel::to_file_tensor(parameter.value(), parameter.spec(), reel::DType::f32));
                }
                parameter.train(false);
            }
        });
        latents_ = tuner.latents();
    }

    /// The prompt that guidance leads away from.
    [[nodiscard]] std::string guidance_prompt() const {
        return options_.guidance_prompt == "source" ? config_.train_data.prompt
                                                    : config_.validation_data.negative_prompt.value_or("");
    }

    [[nodiscard]] Tensor invert() {
        const auto stage = stages_.start("invert");
        recorder_.record("text.uncond", reel::to_file(editing::encode_prompt(*model_, guidance_prompt())));
        if (options_.inverted_latents == "mean") {
            latents_ = editing::mean_latents(*model_, moments_);
        }
        const std::string prompt = options_.inversion_prompt == "source" ? config_.train_data.prompt : "";
        const auto formula =
            options_.reference_inversion ? reel::InversionFormula::reference : reel::InversionFormula::exact;
        const int steps = config_.validation_data.num_inv_steps;
        const auto each = [&](index_t, const Tensor& x) { recorder_.append("inv.latents", x); };
        Tensor noise;
        if (options_.masked()) {
            trajectory_ = editing::invert_trajectory(*model_, latents_, prompt, steps, formula, each);
            noise = trajectory_.latents.back();
        } else {
            noise = editing::invert(*model_, latents_, prompt, steps, formula, each);
        }
        reel::make_output_folder(output_ / "inv_latents");
        outputs_.push_back(output_ / "inv_latents" / ("ddim_latent-" + std::to_string(steps) + ".pt"));
        reel::write_torch_tensor(outputs_.back(), reel::to_file(reel::to_reference_order(noise, clip_.count)));
        return noise;
    }

    /// Samples one edit; --save_tensors records the first.
    void edit(const Tensor& noise, const std::string& prompt) {
        const bool first = edits_.empty();
        const std::string number = std::to_string(edits_.size() + 1);
        Tensor mask;
        if (options_.masked()) {
            const auto stage = stages_.start("mask " + number);
            mask = editing::difference_mask(*model_, trajectory_, config_.train_data.prompt, prompt,
                                            options_.mask_settings, *config_.seed);
            places_.push_back(editing::marks_of(mask, clip_.height, clip_.width));
            outputs_.push_back(output_ / ("mask-" + number + ".gif"));
            reel::write_gif(outputs_.back(), metrics::picture_of(places_.back(), clip_), fps_);
        }
        Tensor sampled;
        {
            const auto stage = stages_.start("sample " + number);
            const editing::Outside outside{trajectory_, mask};
            sampled = editing::sample(
                cpu_, *model_, noise, prompt, guidance_prompt(), config_.validation_data, *config_.seed,
                [&](index_t, const Tensor& x) {
                    if (first) {
                        recorder_.append("sample.latents", x);
                    }
                },
                options_.masked() ? &outside : nullptr);
        }
        const auto stage = stages_.start("decode " + number);
        Tensor pixels;
        edits_.push_back(editing::decode(*model_, sampled, fps_, &pixels));
        if (first && recorder_.on()) {
            recorder_.record("text.edit", reel::to_file(editing::encode_prompt(*model_, prompt)));
            recorder_.record("sample.frames", reel::to_file(reel::to_reference_order(pixels, clip_.count)));
        }
        write_clip("edit-" + number + "-" + editing::file_name_of(prompt), edits_.back());
    }

    void write_clip(const std::string& name, const reel::Frames& frames) {
        outputs_.push_back(output_ / (name + ".gif"));
        reel::write_gif(outputs_.back(), frames, fps_);
        outputs_.push_back(output_ / (name + ".mp4"));
        reel::write_mp4(outputs_.back(), frames, fps_);
    }

    /// Measures the demonstration's edit.
    void compare() {
        const auto stage = stages_.start("compare");
        known_ = editing::look_at(cpu_, *model_, *drawn_, clip_, moments_);
        insertion_ = editing::measure(edits_.front(), *drawn_, clip_, known_.reconstruction);
    }

    /// metrics.json, metrics.csv, and in details.png all that was compared.
    void write_comparison() {
        outputs_.push_back(output_ / "metrics.json");
        reel::write_json(outputs_.back(), {{"clip", scene_json()},
                                           {"edit", editing::as_json(insertion_)},
                                           {"ceiling", editing::as_json(known_.ceiling)},
                                           {"autoencoder_db", known_.autoencoder}});
        outputs_.push_back(output_ / "metrics.csv");
        reel::write_file(outputs_.back(),
                         reel::concat_text(editing::csv_header, "\n", editing::csv_row("edit", insertion_), "\n",
                                           editing::csv_row("ceiling", known_.ceiling), "\n"));
        const double changed = metrics::Definitions{}.changed;
        outputs_.push_back(output_ / "details.png");
        reel::write_png(
            outputs_.back(),
            reel::contact_sheet(
                {clip_, known_.reconstruction, edits_.front(),
                 metrics::picture_of(metrics::changed_pixels(edits_.front(), known_.reconstruction, changed), clip_),
                 metrics::picture_of(drawn_->mask, clip_), drawn_->twin, known_.twin},
                1, 0));
    }

    [[nodiscard]] nlohmann::json scene_json() const {
        nlohmann::json scene = editing::as_json(*drawn_);
        scene["world_seed"] = options_.world_seed;
        return scene;
    }

    /// What happened, in the last lines of the screen.
    void conclude() {
        const auto line = [](const char* what, const metrics::Insertion& found) {
            std::printf("%-22s IoU %.2f, background %.1f dB, flicker %.2f, %.1f objects a frame\n", what, found.iou,
                        found.background, found.flicker, found.objects);
        };
        std::printf("\"%s\" became \"%s\"\n", config_.train_data.prompt.c_str(),
                    config_.validation_data.prompts.front().c_str());
        line("the edit:", insertion_);
        line("a perfect one would be:", known_.ceiling);
        const bool seen = insertion_.colour.has_value() && insertion_.iou >= 0.1;
        std::printf("rows of frames.png: the clip, the edit, what it should be, %s\n",
                    options_.masked() ? "where it may change (grey) and the true object (white)" : "the true object");
        std::printf("%s: %s, IoU %.2f, background %.1f dB: %s\n", seen ? "inserted" : "not inserted",
                    editing::object_name(*options_.scene).c_str(), insertion_.iou, insertion_.background,
                    (output_ / "frames.png").c_str());
    }

    void write() {
        {
            const auto stage = stages_.start("write");
            write_clip("source", clip_);
            std::vector<reel::Frames> all{clip_};
            all.insert(all.end(), edits_.begin(), edits_.end());
            if (drawn_) {
                all.push_back(drawn_->twin);
                all.push_back(
                    editing::mask_picture(places_.empty() ? std::vector<std::uint8_t>() : places_.front(), *drawn_));
                for (reel::Frames& frames : all) {
                    frames = editing::enlarged(frames, 3);
                }
                write_comparison();
            }
            outputs_.push_back(output_ / "side_by_side.gif");
            reel::write_gif(outputs_.back(), reel::side_by_side(all), fps_);
            outputs_.push_back(output_ / "frames.png");
            reel::write_png(outputs_.back(), reel::contact_sheet(all, std::max(1, (clip_.count + 7) / 8)));
            if (options_.tuned.empty()) {
                outputs_.push_back(output_ / "losses.csv");
                log_.write(outputs_.back());
            }
            if (!options_.save_tuned.empty()) {
                reel::save_tuned_pipeline(model_->unet, config_.pretrained_model_path, options_.save_tuned);
            }
            recorder_.write();
        }
        write_manifest();
        for (const std::filesystem::path& path : outputs_) {
            std::cout << "wrote " << path.string() << '\n';
        }
    }

    /// Everything needed to repeat the run, and what it took.
    void write_manifest() {
        reel::Manifest manifest("insert_object");
        manifest.set_seed(config_.seed);
        manifest.set("options", options_json());
        manifest.add_version("ffmpeg", av_version_info());
        if (!drawn_ && (!replay_ || replay_->video() == nullptr)) {
            manifest.add_input(config_.train_data.video_path);
        }
        for (const char* part : {"model_index.json", "tokenizer", "text_encoder", "vae", "scheduler"}) {
            manifest.add_input(std::filesystem::path(config_.pretrained_model_path) / part);
        }
        const std::filesystem::path unet = options_.tuned.empty() ? config_.pretrained_model_path : options_.tuned;
        manifest.add_input(unet / "unet");
        for (const std::string& file : {options_.config_file, options_.replay}) {
            if (!file.empty()) {
                manifest.add_input(file);
            }
        }
        for (const std::filesystem::path& path : outputs_) {
            manifest.add_output(path);
        }
        manifest.set_stages(stages_);
        manifest.write(output_ / "manifest.json");
        for (const reel::StageRecord& stage : stages_.stages()) {
            std::printf("%-12s %8.2f s  %8.1f MB\n", stage.name.c_str(), stage.seconds,
                        static_cast<double>(stage.peak_resident_bytes) / 1e6);
        }
        outputs_.push_back(output_ / "manifest.json");
    }

    [[nodiscard]] nlohmann::json options_json() const {
        nlohmann::json mask = editing::as_json(options_.mask_settings);
        nlohmann::json json = options_without_mask();
        json.update(mask);
        if (options_.scene) {
            json["scene"] = scene_json();
        }
        return json;
    }

    [[nodiscard]] nlohmann::json options_without_mask() const {
        const reel::TuneTrainData& train = config_.train_data;
        const reel::TuneValidationData& v = config_.validation_data;
        return {{"config", options_.config_file},
                {"model", config_.pretrained_model_path},
                {"video", train.video_path},
                {"prompt", train.prompt},
                {"edit", v.prompts},
                {"output", config_.output_dir},
                {"n_sample_frames", train.n_sample_frames},
                {"width", train.width},
                {"height", train.height},
                {"sample_start_idx", train.sample_start_idx},
                {"sample_frame_rate", train.sample_frame_rate},
                {"max_train_steps", config_.max_train_steps},
                {"learning_rate", config_.learning_rate},
                {"scale_lr", config_.scale_lr},
                {"lr_scheduler", config_.lr_scheduler},
                {"lr_warmup_steps", config_.lr_warmup_steps},
                {"adam_beta1", config_.adam_beta1},
                {"adam_beta2", config_.adam_beta2},
                {"adam_weight_decay", config_.adam_weight_decay},
                {"adam_epsilon", config_.adam_epsilon},
                {"max_grad_norm", config_.max_grad_norm},
                {"gradient_accumulation_steps", config_.gradient_accumulation_steps},
                {"trainable_modules", config_.trainable_modules},
                {"gradient_checkpointing", config_.gradient_checkpointing},
                {"num_inv_steps", v.num_inv_steps},
                {"num_inference_steps", v.num_inference_steps},
                {"guidance_scale", v.guidance_scale},
                {"negative_prompt", v.negative_prompt.value_or("")},
                {"eta", v.eta},
                {"seed", *config_.seed},
                {"threads", cpu_.threads()},
                {"tuned", options_.tuned},
                {"save_tuned", options_.save_tuned},
                {"replay", options_.replay},
                {"save_tensors", options_.save_tensors},
                {"reference_checkpointing", options_.reference_checkpointing},
                {"reference_inversion", options_.reference_inversion},
                {"inverted_latents", options_.inverted_latents},
                {"inversion_prompt", options_.inversion_prompt},
                {"guidance_prompt", options_.guidance_prompt},
                {"mask", options_.mask}};
    }

    Options options_;
    reel::TuneAVideoConfig& config_;
    std::filesystem::path output_;
    Cpu cpu_;
    reel::StageTimer stages_;
    reel::TensorRecorder recorder_;
    std::optional<reel::Replay> replay_;
    reel::Frames clip_;
    double fps_ = 8;
    std::optional<editing::Model> model_;
    editing::LossLog log_;
    Tensor moments_;
    Tensor latents_;
    editing::Trajectory trajectory_;
    std::vector<std::vector<std::uint8_t>> places_; ///< of each edit, where it may change the clip
    std::vector<reel::Frames> edits_;
    std::optional<world::Clip> drawn_;
    editing::Known known_;
    metrics::Insertion insertion_;
    std::vector<std::filesystem::path> outputs_;
};

} // namespace

int main(int argc, char** argv) {
    return program::run("insert_object", [&] {
        Options options;
        reel::TuneAVideoConfig& config = options.config;
        options.config_file = program::config_argument(argc, argv);
        const bool from_file = !options.config_file.empty();
        const bool demonstration =
            !program::any_given(argc, argv, {"--config", "--video", "--prompt", "--edit", "--replay", "--help", "-h"});
        editing::Demonstration demo = editing::demonstration();
        if (from_file) {
            config = reel::read_tune_config(options.config_file);
        } else if (demonstration) {
            config = editing::demonstration_config(demo);
            config.output_dir = "out/insert_object";
            options.inverted_latents = "mean";
            options.inversion_prompt = "source";
            options.guidance_prompt = "source";
            options.mask = "difference";
            options.mask_settings = demo.mask;
        }
        config.seed = config.seed.value_or(33);
        config.validation_data.use_inv_latent = true;

        CLI::App app("Tunes Stable Diffusion on a clip and its prompt, inverts the clip, and samples it again with an\n"
                     "edited prompt. Writes source, edits, side-by-side, frame grid, losses, inverted latent and\n"
                     "manifest.json into the output folder. Options override --config and carry its keys' names.\n"
                     "Without --config, --video and prompts: edits a drawn clip of somebody who pretends, with the\n"
                     "model that comes with reel and settings for it, and measures what came out.");
        app.get_formatter()->column_width(38);
        app.option_defaults()->always_capture_default();
        app.add_option("--config", options.config_file, "YAML file with Tune-A-Video's keys");
        program::ConfigOptions shared(app, config, from_file || demonstration);
        std::vector<std::string> edits;
        app.add_option("--edit", edits, "what it shall show; repeatable [the config's prompts]");
        app.add_option("--seed", *config.seed, "of everything random")->check(program::not_negative);
        app.add_option("--threads", options.threads, "0: one per core")->check(CLI::Range(0, 1024));
        app.add_option("--inverted_latents", options.inverted_latents,
                       "of the clip's distribution: the sample that tuning saw last, or the mean")
            ->check(CLI::IsMember({"sample", "mean"}));
        app.add_option("--inversion_prompt", options.inversion_prompt, "invert under no prompt, or under --prompt")
            ->check(CLI::IsMember({"empty", "source"}));
        app.add_option("--guidance_prompt", options.guidance_prompt,
                       "guide away from --negative_prompt, or from --prompt")
            ->check(CLI::IsMember({"negative", "source"}));
        app.add_option("--mask", options.mask, "change all, or only where the prompts' noise predictions differ")
            ->check(CLI::IsMember({"none", "difference"}));
        editing::add_mask_options(app, options.mask_settings);
        app.add_option("--tuned", options.tuned, "a folder that was tuned before: only edit");
        app.add_option("--save_tuned", options.save_tuned, "folder for the tuned model, as Tune-A-Video saves it");
        app.add_option("--replay", options.replay, "safetensors file with all that is random");
        app.add_option("--save_tensors", options.save_tensors, "safetensors file for intermediate results");
        app.add_flag("--reference_checkpointing", options.reference_checkpointing,
                     "leave the down blocks untrained, as the reference's gradient checkpointing does");
        app.add_flag("--reference_inversion", options.reference_inversion,
                     "invert with the epsilon formula whatever the model predicts, as the reference does");
        std::string act(world::name_of(demo.act));
        std::string colour(world::name_of(demo.colour));
        CLI::Option* const drawn[] = {
            app.add_option("--world_seed", demo.world_seed, "of the drawn clip")->check(program::not_negative),
            app.add_option("--act", act, "what is done in the drawn clip")->check(CLI::IsMember(editing::act_names())),
            app.add_option("--colour", colour, "of the object to insert there")
                ->check(CLI::IsMember(editing::colour_names()))};
        if (const auto status = program::parse(app, argc, argv)) {
            return *status;
        }
        for (const CLI::Option* option : drawn) {
            reel::require(demonstration || option->count() == 0, option->get_name(),
                          ": there is no drawn clip; leave --video, --config and the prompts away");
        }
        if (demonstration) {
            reel::require(config.train_data.width == config.train_data.height, "--width ", config.train_data.width,
                          " and --height ", config.train_data.height, ": drawn clips are square");
            options.world_seed = demo.world_seed;
            options.scene =
                world::random_scene(demo.world_seed, editing::value_of<world::Act>(editing::act_names(), act),
                                    editing::value_of<world::Colour>(editing::colour_names(), colour));
            config.train_data.prompt = world::caption(*options.scene, false);
            edits = {world::caption(*options.scene, true)};
            config.train_data.video_path = (std::filesystem::path(config.output_dir) / "pretending.mp4").string();
            if (config.pretrained_model_path.empty()) {
                config.pretrained_model_path = editing::own_model().string();
            }
        }
        if (!edits.empty()) {
            config.validation_data.prompts = edits;
        }
        shared.align_validation(true);
        program::validate_options(config);
        const auto given = [](const std::string& prompt) { return !prompt.empty(); };
        reel::require(given(config.train_data.prompt), "--prompt: expected a text, found an empty one");
        reel::require(!config.validation_data.prompts.empty(),
                      "no edited prompt: give --edit, or validation_data.prompts in --config");
        reel::require(std::ranges::all_of(config.validation_data.prompts, given),
                      "--edit: expected a text, found an empty one");
        reel::require(
            !options.masked() || config.validation_data.num_inv_steps == config.validation_data.num_inference_steps,
            "--mask difference: --num_inv_steps is ", config.validation_data.num_inv_steps,
            " and --num_inference_steps ", config.validation_data.num_inference_steps,
            "; they must be equal, because outside the mask each sampling step takes the inversion's latents");
        Job(std::move(options)).run();
        return 0;
    });
}
