// One prompt (or one clip), several samplers and step counts: a contact sheet, a table and a plot of how far each is
// from where 1000 steps of DDIM lead. The model is loaded once; every sampler gets the same noise.

#include <cstdio>
#include <filesystem>

#include <reel/core/progress.hpp>
#include <reel/core/stopwatch.hpp>
#include <reel/models/configs.hpp>
#include <reel/pipelines/clip_files.hpp>
#include <reel/pipelines/named_sampler.hpp>
#include <reel/pipelines/sampler_comparison.hpp>
#include <reel/schedulers/config/model_scheduler.hpp>
#include <reel/schedulers/scheduler_registry.hpp>

#include "options.hpp"

namespace {

struct Options {
    std::string model{}, prompt{}, output{}, negative_prompt{}, video{}, scheduler_config{};
    std::vector<std::string> samplers{"ddim", "plms", "euler", "heun", "dpm++_2m", "unipc", "deis", "euler_a"};
    std::vector<int> steps{5, 10, 20, 50};
    std::string timestep_spacing = "trailing";
    int reference_steps = 1000, frames = 1, width = 0, height = 0, threads = 0;
    double guidance_scale = 7.5;
    std::uint64_t seed = 33;
    reel::BackendKind backend = reel::BackendKind::cpu;

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        using namespace reel;
        visit(Option{"model", "diffusers folder, as it is or tuned"}, self.model);
        visit(Option{"prompt", "what to show"}, self.prompt);
        visit(Option{"output", "folder to write to"}, self.output);
        visit(Option{"negative_prompt", "what not to show"}, self.negative_prompt);
        visit(Option{"video", "a clip, whose latents with noise are the start"}, self.video);
        visit(Option{"steps", "step counts", from_to(1, 1000)}, self.steps);
        visit(Option{"scheduler_config", "scheduler_config.json, or a folder with one, instead of the model's own"},
              self.scheduler_config);
        visit(Option{"timestep_spacing", "leading, trailing or linspace"}, self.timestep_spacing);
        visit(Option{"reference_steps", "of DDIM", from_to(1, 1000)}, self.reference_steps);
        visit(Option{"frames", "1: a picture", from_to(1, 1024)}, self.frames);
        visit(Option{"width", "pixels; 0: the model's", from_to(0, 8192)}, self.width);
        visit(Option{"height", "pixels; 0: the model's", from_to(0, 8192)}, self.height);
        visit(Option{"guidance_scale", "1 or less: none"}, self.guidance_scale);
        visit(Option{"seed", "of the noise"}, self.seed);
        visit(Option{"backend", "where the networks run: cpu, or cuda for an NVIDIA GPU"}, self.backend);
        visit(Option{"threads", "0: one per core", from_to(0, 1024)}, self.threads);
    }
};

} // namespace

int main(int argc, char** argv) {
    return program::run("compare_samplers", [&] {
        Options options;
        CLI::App app("Samples one prompt (or one clip with full noise) with several samplers and step counts and\n"
                     "compares each with 1000 steps of DDIM. Writes samplers.png (samplers down, step counts across),\n"
                     "samplers.csv, samplers.md and distance.svg.");
        program::add_options(app, options);
        app.add_option("--samplers", options.samplers, "names, short or diffusers' classes")->delimiter(',');
        for (const char* name : {"--model", "--prompt", "--output"}) {
            app.get_option(name)->required();
        }
        if (const auto status = program::parse(app, argc, argv)) {
            return *status;
        }
        program::check(options);
        const std::filesystem::path folder = options.model;
        reel::make_output_folder(options.output);

        // The samplers: whether they exist and have room for the steps is found out before the work.
        std::filesystem::path file =
            options.scheduler_config.empty() ? folder / "scheduler" : std::filesystem::path(options.scheduler_config);
        std::error_code ignored;
        if (options.scheduler_config.empty() || std::filesystem::is_directory(file, ignored)) {
            file /= "scheduler_config.json";
        }
        nlohmann::json config = reel::stable_diffusion_fixes(options.scheduler_config.empty()
                                                                 ? reel::read_model_scheduler(file.parent_path()).config
                                                                 : reel::read_scheduler_json(file));
        config.update({{"timestep_spacing", options.timestep_spacing}, {"steps_offset", 0}});
        std::vector<std::pair<std::string, reel::Sampler>> samplers;
        for (const std::string& name : options.samplers) {
            samplers.emplace_back(name, reel::make_scheduler<float>(name, config, file.string(), "--samplers"));
            for (const int steps : options.steps) {
                try {
                    samplers.back().second.set_timesteps(steps);
                } catch (const reel::Error& error) {
                    reel::fail("--samplers ", name, " --steps ", steps, ": ", error.what());
                }
            }
        }
        config["timestep_spacing"] = "trailing";
        const reel::Sampler exact = reel::make_scheduler<float>("DDIMScheduler", config, file.string());

        // The model, the texts, and the noise that all of them start from.
        reel::Cpu cpu(options.threads);
        const auto backend = reel::open_backend(options.backend, cpu);
        const auto unet = reel::read_unet_config(reel::ConfigReader::from_file(folder / "unet" / "config.json"));
        const auto model = backend->load({.folder = folder,
                                          .seed = options.seed,
                                          .pictures = !unet.temporal && options.frames == 1 && options.video.empty()});
        const auto multiple = static_cast<int>(model->facts().pixels_per_latent);
        const int usual = static_cast<int>(model->facts().sample_size) * multiple;
        options.width = options.width > 0 ? options.width : usual;
        options.height = options.height > 0 ? options.height : usual;
        reel::require(options.width % multiple == 0 && options.height % multiple == 0, "--width ", options.width,
                      " and --height ", options.height, ": expected multiples of ", multiple);
        reel::SampleRequest request{.sampler = exact,
                                    .guidance_scale = options.guidance_scale,
                                    .text = model->encode_prompt(options.prompt),
                                    .negative = model->encode_prompt(options.negative_prompt),
                                    .noise = {}};
        if (!options.video.empty()) {
            const reel::Frames clip = reel::read_video(
                options.video, {.max_frames = options.frames, .width = options.width, .height = options.height});
            request.clean = model->mean_latents(model->encode(clip));
            options.frames = clip.count;
        }
        const auto normal = [&](const reel::Shape& shape, std::uint64_t stream) {
            return model->normal(shape, options.seed, {&stream, 1});
        };
        const reel::Shape shape{options.frames, options.height / multiple, options.width / multiple,
                                model->facts().latent_channels};
        request.noise = normal(shape, 0);

        // What one sampler makes of it; the first is the reference.
        std::vector<float> goal;
        const auto sampled = [&](const std::string& name, reel::Sampler sampler, int steps) {
            sampler.set_timesteps(steps);
            reel::SamplerRun run{.sampler = name, .steps = steps, .calls = sampler.timesteps().size()};
            std::uint64_t draws = 0;
            request.sampler = std::move(sampler);
            request.steps = steps;
            request.draw = [&](const reel::Shape& drawn) { return normal(drawn, ++draws); };
            reel::Progress bar(name, run.calls);
            const reel::Stopwatch watch;
            const reel::AnyTensor latents = model->sample(request, [&](reel::index_t, const reel::AnyTensor&) {
                bar.step();
                program::check_stop();
            });
            run.seconds = watch.seconds();
            run.draws = draws > 0;
            run.distance = goal.empty() ? 0 : reel::relative_distance(latents.to_host(), goal);
            goal = goal.empty() ? latents.to_host() : goal;
            bar.clear();
            run.picture = reel::frames_of(model->decode(latents), 0);
            return run;
        };
        const std::string name = "ddim " + std::to_string(options.reference_steps);
        const reel::SamplerRun reference = sampled(name, exact, options.reference_steps);
        std::vector<reel::SamplerRun> runs;
        for (const auto& [sampler_name, sampler] : samplers) {
            for (const int steps : options.steps) {
                reel::SamplerRun run = sampled(sampler_name, sampler, steps);
                std::printf("%-14s %4d steps  %4zu calls  %8.2f s  distance %.4f\n", run.sampler.c_str(), run.steps,
                            run.calls, run.seconds, run.distance);
                std::fflush(stdout);
                runs.push_back(std::move(run));
            }
        }
        for (const auto& path : reel::write_comparison(options.output, reference, runs)) {
            std::cout << "wrote " << path.string() << '\n';
        }
        return 0;
    });
}
