// One prompt (or one clip), several samplers and step counts: a contact sheet, a table and a plot of how far each is
// from where 1000 steps of DDIM lead. The model is loaded once; the loop is run<>() below, the same for every sampler.

#include <chrono>
#include <cmath>
#include <numeric>

#include <reel/core/random.hpp>
#include <reel/pipelines/edit.hpp>
#include <reel/schedulers/config/model_scheduler.hpp>
#include <reel/schedulers/scheduler_registry.hpp>

#include "support/comparison_sheet.hpp"
#include "support/editing.hpp"

namespace {

using editing::Cpu;
using editing::index_t;
using editing::Tensor;

struct Options {
    std::string model;
    std::string prompt;
    std::string negative_prompt;
    std::string video;
    std::string output;
    std::vector<std::string> samplers{"ddim", "plms", "euler", "heun", "dpm++_2m", "unipc", "deis", "euler_a"};
    std::vector<int> steps{5, 10, 20, 50};
    std::string timestep_spacing = "trailing";
    std::string scheduler_config;
    int reference_steps = 1000;
    int frames = 1;
    int width = 0;
    int height = 0;
    double guidance_scale = 7.5;
    std::uint64_t seed = 33;
    int threads = 0;
    std::string backend = "cpu"; ///< as editing::open_device() takes it
};

class Comparison {
public:
    explicit Comparison(Options options)
        : options_(std::move(options)), cpu_(options_.threads), device_(editing::open_device(options_.backend)) {}

    void run() {
        reel::make_output_folder(options_.output);
        prepare_samplers();
        load();
        reference_.sampler = "ddim " + std::to_string(options_.reference_steps);
        auto exact = reel::make_scheduler<float>("DDIMScheduler", config("trailing", 0), where_);
        const Tensor goal = sample(exact, options_.reference_steps, reference_);
        reference_.picture = editing::decode(*model_, goal, 0);
        for (auto& sampler : samplers_) {
            for (const int steps : options_.steps) {
                comparison::Entry entry{.sampler = sampler.first, .steps = steps};
                const Tensor latents = sample(sampler.second, steps, entry);
                entry.distance = relative_distance(latents, goal);
                entry.picture = editing::decode(*model_, latents, 0);
                std::printf("%-14s %4d steps  %4d calls  %8.2f s  distance %.4f\n", entry.sampler.c_str(), steps,
                            entry.model_calls, entry.seconds, entry.distance);
                std::fflush(stdout);
                entries_.push_back(std::move(entry));
            }
        }
        write();
    }

private:
    [[nodiscard]] nlohmann::json config(const std::string& spacing, int steps_offset) const {
        nlohmann::json json = reel::stable_diffusion_fixes(scheduler_json_);
        json["timestep_spacing"] = spacing;
        json["steps_offset"] = steps_offset;
        return json;
    }

    /// Finds out before the work whether the samplers exist and have room for the steps.
    void prepare_samplers() {
        std::filesystem::path file = options_.scheduler_config.empty()
                                         ? std::filesystem::path(options_.model) / "scheduler"
                                         : std::filesystem::path(options_.scheduler_config);
        std::error_code ignored;
        if (options_.scheduler_config.empty() || std::filesystem::is_directory(file, ignored)) {
            file /= "scheduler_config.json";
        }
        where_ = file.string();
        scheduler_json_ = options_.scheduler_config.empty() ? reel::read_model_scheduler(file.parent_path()).config
                                                            : reel::read_scheduler_json(file);
        for (const std::string& name : options_.samplers) {
            samplers_.emplace_back(
                name, reel::make_scheduler<float>(name, config(options_.timestep_spacing, 0), where_, "--samplers"));
            for (const int steps : options_.steps) {
                try {
                    samplers_.back().second.set_timesteps(steps);
                } catch (const reel::Error& error) {
                    reel::fail("--samplers ", name, " --steps ", steps, ": ", error.what());
                }
            }
        }
    }

    void load() {
        const std::filesystem::path folder = options_.model;
        const auto unet = reel::read_unet_config(reel::ConfigReader::from_file(folder / "unet" / "config.json"));
        const bool picture = !unet.temporal && options_.frames == 1 && options_.video.empty();
        model_.emplace(editing::load_model(
            cpu_, {.folder = folder, .seed = options_.seed, .pictures = picture, .device = device_.get()}));
        guidance_ = {editing::encode_prompt(*model_, options_.prompt),
                     editing::encode_prompt(*model_, options_.negative_prompt), options_.guidance_scale};
        const index_t step = model_->vae.config.pixels_per_latent();
        const int usual = static_cast<int>(model_->unet.config.sample_size * step);
        options_.width = options_.width > 0 ? options_.width : usual;
        options_.height = options_.height > 0 ? options_.height : usual;
        reel::require(options_.width % step == 0 && options_.height % step == 0, "--width ", options_.width,
                      " and --height ", options_.height, ": expected multiples of ", step);
        if (!options_.video.empty()) {
            const reel::Frames clip = reel::read_video(
                options_.video, {.max_frames = options_.frames, .width = options_.width, .height = options_.height});
            clip_ = editing::mean_latents(*model_, editing::encode(cpu_, *model_, clip));
            options_.frames = clip.count;
        }
        noise_ = Tensor(
            cpu_, {options_.frames, options_.height / step, options_.width / step, model_->unet.config.in_channels});
        reel::fill_normal(cpu_, noise_, options_.seed, 0);
    }

    /// The loop. What it took goes into `entry`.
    [[nodiscard]] Tensor sample(reel::AnyScheduler<float>& sampler, int steps, comparison::Entry& entry) {
        sampler.set_timesteps(steps);
        Tensor x = clip_.defined() ? sampler.add_noise(clip_, noise_, sampler.timesteps().front())
                                   : reel::scale(noise_, static_cast<float>(sampler.init_noise_sigma()));
        std::uint64_t draws = 0;
        const auto noise = [&](const reel::Shape& shape) {
            Tensor drawn(cpu_, shape);
            reel::fill_normal(cpu_, drawn, options_.seed, ++draws);
            return drawn;
        };
        entry.steps = steps;
        entry.model_calls = static_cast<int>(sampler.timesteps().size());
        reel::Progress bar(entry.sampler, static_cast<std::size_t>(entry.model_calls));
        const auto start = std::chrono::steady_clock::now();
        for (const double t : sampler.timesteps()) {
            const Tensor input = sampler.scale_model_input(x, t);
            x = sampler.step(reel::guided_prediction(model_->unet, input, t, guidance_), t, x, noise);
            bar.step();
            program::check_stop();
        }
        entry.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        entry.draws = draws > 0;
        return x;
    }

    /// Root of the mean square of the difference, relative to that of `goal`.
    [[nodiscard]] static double relative_distance(const Tensor& x, const Tensor& goal) {
        const std::vector<float> a = x.to_host();
        const std::vector<float> b = goal.to_host();
        double difference = 0;
        double size = 0;
        for (std::size_t i = 0; i < a.size(); ++i) {
            difference += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
            size += std::pow(static_cast<double>(b[i]), 2);
        }
        return std::sqrt(difference / size);
    }

    void write() const {
        const std::filesystem::path folder = options_.output;
        reel::write_png(folder / "samplers.png",
                        comparison::contact_sheet(options_.samplers, options_.steps, entries_, reference_));
        reel::write_file(folder / "samplers.csv", comparison::csv(entries_));
        reel::write_file(folder / "samplers.md", comparison::markdown(entries_, reference_));
        reel::write_file(folder / "distance.svg", comparison::svg(options_.samplers, entries_));
        for (const char* name : {"samplers.png", "samplers.csv", "samplers.md", "distance.svg"}) {
            std::cout << "wrote " << (folder / name).string() << '\n';
        }
    }

    Options options_;
    Cpu cpu_;
    std::unique_ptr<editing::Device> device_; ///< or null
    std::string where_;
    nlohmann::json scheduler_json_;
    std::vector<std::pair<std::string, reel::AnyScheduler<float>>> samplers_;
    std::optional<editing::Model> model_;
    reel::Guidance<float, Cpu> guidance_;
    Tensor clip_;
    Tensor noise_;
    comparison::Entry reference_;
    std::vector<comparison::Entry> entries_;
};

} // namespace

int main(int argc, char** argv) {
    return program::run("compare_samplers", [&] {
        Options options;
        CLI::App app("Samples one prompt (or one clip with full noise) with several samplers and step counts and\n"
                     "compares each with 1000 steps of DDIM. Writes samplers.png (samplers down, step counts across),\n"
                     "samplers.csv, samplers.md and distance.svg.");
        app.get_formatter()->column_width(38);
        app.option_defaults()->always_capture_default();
        app.add_option("--model", options.model, "diffusers folder, as it is or tuned")->required();
        app.add_option("--prompt", options.prompt, "what to show")->required();
        app.add_option("--output", options.output, "folder to write to")->required();
        app.add_option("--negative_prompt", options.negative_prompt, "what not to show");
        app.add_option("--video", options.video, "a clip, whose latents with noise are the start");
        app.add_option("--samplers", options.samplers, "names, short or diffusers' classes")->delimiter(',');
        app.add_option("--steps", options.steps, "step counts")->delimiter(',')->check(CLI::Range(1, 1000));
        app.add_option("--scheduler_config", options.scheduler_config,
                       "scheduler_config.json, or a folder with one, instead of the model's own");
        app.add_option("--timestep_spacing", options.timestep_spacing, "leading, trailing or linspace");
        app.add_option("--reference_steps", options.reference_steps, "of DDIM")->check(CLI::Range(1, 1000));
        app.add_option("--frames", options.frames, "1: a picture")->check(CLI::Range(1, 1024));
        app.add_option("--width", options.width, "pixels; 0: the model's")->check(CLI::Range(0, 8192));
        app.add_option("--height", options.height, "pixels; 0: the model's")->check(CLI::Range(0, 8192));
        app.add_option("--guidance_scale", options.guidance_scale, "1 or less: none");
        app.add_option("--seed", options.seed, "of the noise")->check(program::not_negative);
        editing::add_backend_option(app, options.backend);
        app.add_option("--threads", options.threads, "0: one per core")->check(CLI::Range(0, 1024));
        if (const auto status = program::parse(app, argc, argv)) {
            return *status;
        }
        Comparison(std::move(options)).run();
        return 0;
    });
}
