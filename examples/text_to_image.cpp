// Pictures from prompts, with a Stable Diffusion folder: the model that comes with reel, or any other.

#include <algorithm>
#include <cctype>
#include <cmath>
#include <optional>

#include <reel/core/progress.hpp>
#include <reel/core/stage_timer.hpp>
#include <reel/io/pictures/frame_grid.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/records/manifest.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/ops/rearrange.hpp>
#include <reel/pipelines/model_notes.hpp>

#include "support/backend_option.hpp"
#include "support/picture_model.hpp"
#include "support/program.hpp"

namespace {

using reel::Cpu;
using reel::index_t;
using Tensor = reel::Tensor<float>;

struct Options {
    std::string model = REEL_MODEL_FOLDER;
    std::vector<std::string> prompts;
    pictures::Sampling sampling;
    int images_per_prompt = 1;
    int height = 0;
    int width = 0;
    int batch_size = 8;
    std::string scheduler;
    std::string output = "out/text_to_image";
    std::string save_tensors;
    int threads = 0;
    std::string backend = "cpu"; ///< as editing::open_device() takes it
};

/// A prompt as a file name: letters, digits and dashes kept, at most 60 bytes.
[[nodiscard]] std::string file_name_of(const std::string& prompt) {
    std::string name = prompt.substr(0, 60);
    std::replace_if(
        name.begin(), name.end(), [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-'; },
        '_');
    return name.empty() ? "_" : name;
}

/// [n, height, width, channels] as a file's [n, channels, height, width].
[[nodiscard]] reel::HostTensor to_file(const Tensor& x) {
    const Tensor ordered = reel::permute(x, {0, 3, 1, 2});
    return reel::HostTensor::make(std::vector<std::int64_t>(ordered.shape().begin(), ordered.shape().end()),
                                  ordered.to_host());
}

class Job {
public:
    explicit Job(Options options)
        : options_(std::move(options)), output_(options_.output), cpu_(options_.threads),
          device_(editing::open_device(options_.backend)),
          stages_(device_ != nullptr ? device_->probe() : reel::probe_of(cpu_.memory())) {}

    void run() {
        prepare();
        draw();
        write();
    }

private:
    /// Finds out before the work what can go wrong after it.
    void prepare() {
        const auto stage = stages_.start("load model");
        reel::make_output_folder(output_);
        if (const auto folder = std::filesystem::path(options_.save_tensors).parent_path(); !folder.empty()) {
            reel::make_output_folder(folder);
        }
        model_.emplace(cpu_, options_.model, options_.scheduler, device_.get());
        for (const std::string& note : reel::model_notes(options_.model)) {
            std::cerr << "note: " << note << '\n';
        }
        model_->check(options_.sampling);
        for (auto [option, side] : {std::pair{"--height", &options_.height}, std::pair{"--width", &options_.width}}) {
            *side = *side == 0 ? model_->default_size() : *side;
            reel::require(*side % model_->pixels_per_latent() == 0, option, " ", *side, ": expected a multiple of ",
                          model_->pixels_per_latent(), ", the autoencoder's pixels per latent");
        }
        for (const std::string& prompt : options_.prompts) {
            warn("--prompt", prompt);
        }
        warn("--negative_prompt", options_.sampling.negative_prompt);
    }

    void warn(const char* option, const std::string& prompt) const {
        std::string unseen = model_->unseen(option, prompt);
        if (!unseen.empty()) {
            unseen.resize(std::min<std::size_t>(unseen.size(), 60));
            while (!unseen.empty() && (static_cast<unsigned char>(unseen.back()) & 0x80U) != 0) {
                unseen.pop_back(); // no half of a character
            }
            std::cerr << "warning: " << option << " is longer than the text encoder can see; not seen: \"" << unseen
                      << "...\"\n";
        }
    }

    void draw() {
        const auto stage = stages_.start("sample");
        const std::size_t total = options_.prompts.size() * static_cast<std::size_t>(options_.images_per_prompt);
        reel::Progress bar("sample", total);
        for (std::size_t first = 0; first < total; first += static_cast<std::size_t>(options_.batch_size)) {
            const std::size_t count = std::min(total - first, static_cast<std::size_t>(options_.batch_size));
            std::vector<std::string> prompts;
            for (std::size_t i = first; i < first + count; ++i) {
                prompts.push_back(options_.prompts[i / static_cast<std::size_t>(options_.images_per_prompt)]);
            }
            const Tensor noise = model_->noise(options_.height, options_.width, options_.sampling.seed, first,
                                               static_cast<index_t>(count));
            const Tensor latents =
                model_->sample(noise, prompts, options_.sampling, first, [&](index_t step, index_t steps) {
                    bar.note(reel::concat_text("step ", step, " of ", steps));
                    program::check_stop();
                });
            const Tensor pixels = model_->decode(latents);
            const reel::Frames frames = pictures::frames_of(pixels);
            for (int i = 0; i < frames.count; ++i) {
                reel::Frames picture = reel::make_frames(1, frames.height, frames.width);
                std::copy(frames.frame(i).begin(), frames.frame(i).end(), picture.rgb.begin());
                write_picture(pictures_.size() + 1, prompts[static_cast<std::size_t>(i)], picture);
                pictures_.push_back(std::move(picture));
            }
            if (!options_.save_tensors.empty()) {
                noise_.push_back(noise);
                latents_.push_back(latents);
                pixels_.push_back(pixels);
            }
            bar.step(count);
        }
    }

    void write_picture(std::size_t number, const std::string& prompt, const reel::Frames& picture) {
        std::string name = std::to_string(number);
        name.insert(0, name.size() < 4 ? 4 - name.size() : 0, '0');
        outputs_.push_back(output_ / (name + "-" + file_name_of(prompt) + ".png"));
        reel::write_png(outputs_.back(), picture);
    }

    /// All pictures: a row for each prompt, or where there is one of each, about as many rows as columns.
    void write_sheet() {
        const auto total = static_cast<int>(pictures_.size());
        const int columns = options_.images_per_prompt > 1
                                ? options_.images_per_prompt
                                : static_cast<int>(std::ceil(std::sqrt(static_cast<double>(total))));
        const int rows = (total + columns - 1) / columns;
        constexpr int padding = 2;
        if (std::max(columns * (options_.width + padding), rows * (options_.height + padding)) + padding >
            reel::max_picture_side) {
            std::cerr << "warning: sheet.png is left out: with " << total << " pictures it would be larger than "
                      << reel::max_picture_side << " pixels\n";
            return;
        }
        outputs_.push_back(output_ / "sheet.png");
        reel::write_png(outputs_.back(), reel::make_grid(pictures_, columns, padding));
    }

    void write() {
        {
            const auto stage = stages_.start("write");
            write_sheet();
            if (!options_.save_tensors.empty()) {
                const auto joined = [](const std::vector<Tensor>& parts) {
                    return to_file(reel::concat_rows(std::span<const Tensor>(parts)));
                };
                outputs_.emplace_back(options_.save_tensors);
                const reel::StateDict tensors{
                    {"noise", joined(noise_)}, {"latents", joined(latents_)}, {"pictures", joined(pixels_)}};
                reel::write_safetensors(options_.save_tensors, tensors, {{"format", "pt"}});
            }
        }
        reel::Manifest manifest("text_to_image");
        manifest.set_seed(options_.sampling.seed);
        manifest.set("options", options_json());
        for (const char* part : {"model_index.json", "tokenizer", "text_encoder", "vae", "unet", "scheduler"}) {
            manifest.add_input(std::filesystem::path(options_.model) / part);
        }
        for (const std::filesystem::path& path : outputs_) {
            manifest.add_output(path);
        }
        manifest.set_stages(stages_);
        outputs_.push_back(output_ / "manifest.json");
        manifest.write(outputs_.back());
        for (const std::filesystem::path& path : outputs_) {
            std::cout << "wrote " << path.string() << '\n';
        }
    }

    [[nodiscard]] nlohmann::json options_json() const {
        const pictures::Sampling& s = options_.sampling;
        return {{"model", options_.model},
                {"prompt", options_.prompts},
                {"negative_prompt", s.negative_prompt},
                {"guidance_scale", s.guidance_scale},
                {"num_inference_steps", s.steps},
                {"eta", s.eta},
                {"num_images_per_prompt", options_.images_per_prompt},
                {"scheduler", model_->scheduler()},
                {"height", options_.height},
                {"width", options_.width},
                {"batch_size", options_.batch_size},
                {"threads", cpu_.threads()},
                {"backend", options_.backend},
                {"save_tensors", options_.save_tensors},
                {"output", options_.output}};
    }

    Options options_;
    std::filesystem::path output_;
    Cpu cpu_;
    std::unique_ptr<editing::Device> device_; ///< or null
    reel::StageTimer stages_;
    std::optional<pictures::PictureModel> model_;
    std::vector<reel::Frames> pictures_;
    std::vector<Tensor> noise_, latents_, pixels_;
    std::vector<std::filesystem::path> outputs_;
};

} // namespace

int main(int argc, char** argv) {
    return program::run("text_to_image", [&] {
        Options options;
        CLI::App app(
            "Draws pictures from prompts with a Stable Diffusion folder. Writes into OUTPUT a PNG file for each\n"
            "picture, sheet.png and manifest.json.");
        app.get_formatter()->column_width(38);
        app.option_defaults()->always_capture_default();
        const auto at_least = [](double least) { return CLI::Range(least, 1e6); };
        pictures::Sampling& sampling = options.sampling;
        app.add_option("--prompt", options.prompts, "what to draw; may be given more than once")
            ->required()
            ->expected(1)
            ->take_all();
        app.add_option("--negative_prompt", sampling.negative_prompt, "what guidance leads away from");
        app.add_option("--model", options.model, "diffusers folder of a Stable Diffusion with a 2D UNet");
        app.add_option("--output", options.output, "folder to write into");
        app.add_option("--guidance_scale", sampling.guidance_scale, "1 or less: no guidance")
            ->check(CLI::Range(-1e3, 1e3));
        app.add_option("--num_inference_steps", sampling.steps, "steps of the sampler")->check(at_least(1));
        app.add_option("--num_images_per_prompt", options.images_per_prompt, "pictures of each prompt")
            ->check(at_least(1));
        app.add_option("--scheduler", options.scheduler,
                       "a sampler by its name: ddim, euler, dpm++_2m, unipc, ...; none: the folder's own");
        app.add_option("--eta", sampling.eta, "0: deterministic, for samplers that have the choice")
            ->check(CLI::Range(0.0, 1.0));
        app.add_option("--seed", sampling.seed, "of the noise")->check(program::not_negative);
        app.add_option("--height", options.height, "pixels; 0: what the model was made for")
            ->check(CLI::Range(0, 4096));
        app.add_option("--width", options.width, "pixels; 0: what the model was made for")->check(CLI::Range(0, 4096));
        app.add_option("--batch_size", options.batch_size, "pictures sampled at a time")->check(at_least(1));
        app.add_option("--save_tensors", options.save_tensors,
                       "safetensors file for noise, latents and pictures [n, channels, height, width]");
        editing::add_backend_option(app, options.backend);
        app.add_option("--threads", options.threads, "0: one per core")->check(CLI::Range(0, 1024));
        if (const auto status = program::parse(app, argc, argv)) {
            return *status;
        }
        Job(std::move(options)).run();
        return 0;
    });
}
