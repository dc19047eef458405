// Pictures from prompts, with a Stable Diffusion folder: the model that comes with reel, or any other.

#include <algorithm>
#include <cmath>
#include <map>

#include <reel/core/format_text.hpp>
#include <reel/core/progress.hpp>
#include <reel/io/config/options.hpp>
#include <reel/io/files/file_name.hpp>
#include <reel/io/pictures/frame_grid.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/pipelines/job.hpp>
#include <reel/pipelines/prompt_pictures.hpp>
#include <reel/pipelines/prompts.hpp>

#include "options.hpp"

using namespace reel;

namespace {

struct TextToImageOptions {
    std::vector<std::string> prompt{};
    std::string model = REEL_MODEL_FOLDER, output = "out/text_to_image", save_tensors{};
    PictureOptions sampling{};
    int num_images_per_prompt = 1, height = 0, width = 0, batch_size = 8, threads = 0;
    BackendKind backend = BackendKind::cpu;

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(Option{"prompt", "what to draw; may be given more than once"}, self.prompt);
        visit(Option{"model", "diffusers folder of a Stable Diffusion with a 2D UNet"}, self.model);
        visit(Option{"output", "folder to write into"}, self.output);
        PictureOptions::options(self.sampling, visit);
        visit(Option{"num_images_per_prompt", "pictures of each prompt", at_least(1)}, self.num_images_per_prompt);
        visit(Option{"height", "pixels; 0: what the model was made for", from_to(0, 4096)}, self.height);
        visit(Option{"width", "pixels; 0: what the model was made for", from_to(0, 4096)}, self.width);
        visit(Option{"batch_size", "pictures sampled at a time", at_least(1)}, self.batch_size);
        visit(Option{"save_tensors", "file for noise, latents and pictures [n, channels, height, width]"},
              self.save_tensors);
        visit(Option{"backend", "where the networks run: cpu, or cuda for an NVIDIA GPU"}, self.backend);
        visit(Option{"threads", "0: one per core", from_to(0, 1024)}, self.threads);
    }
};

void text_to_image(TextToImageOptions o) {
    Job job({.backend = o.backend, .threads = o.threads});
    const std::filesystem::path output = o.output;

    // Load, and find out before the work what can go wrong after it.
    auto loading = job.stage("load model");
    for (const auto& folder : {output, std::filesystem::path(o.save_tensors).parent_path()}) {
        folder.empty() ? void() : make_output_folder(folder);
    }
    const auto model = job.load({.folder = o.model, .pictures = true}, program::check_stop);
    model->watch.bars = false;
    const PromptPictures sampler(*model, o.sampling);
    sampler.settle_size(o.height, "--height");
    sampler.settle_size(o.width, "--width");
    for (const std::string& prompt : o.prompt) {
        check_prompt(*model, "--prompt", prompt);
    }
    check_prompt(*model, "--negative_prompt", o.sampling.negative_prompt);
    loading.done();

    // Sample and decode, some at a time.
    auto sampling = job.stage("sample");
    std::vector<std::string> prompts; // of each picture
    for (const std::string& prompt : o.prompt) {
        prompts.insert(prompts.end(), static_cast<std::size_t>(o.num_images_per_prompt), prompt);
    }
    std::vector<Frames> pictures;
    std::map<std::string, std::vector<AnyTensor>> tensors;
    Progress bar("sample", prompts.size());
    for (std::size_t first = 0; first < prompts.size(); first = pictures.size()) {
        const auto count = std::min(prompts.size() - first, static_cast<std::size_t>(o.batch_size));
        const AnyTensor noise = sampler.noise(o.height, o.width, first, static_cast<index_t>(count));
        const AnyTensor latents =
            sampler.sample(noise, std::span(prompts).subspan(first, count), first, [&](index_t step, index_t steps) {
                bar.note(concat_text("step ", step, " of ", steps));
                program::check_stop();
            });
        const AnyTensor pixels = model->decode(latents);
        for (const Frames& picture : pictures_of(pixels)) {
            const std::string name = file_name_of(prompts[pictures.size()], 60);
            pictures.push_back(picture);
            write_png(job.writes(output / format_text("%04zu-%s.png", pictures.size(), name.c_str())), picture);
        }
        for (const auto& [name, tensor] :
             {std::pair{"noise", noise}, std::pair{"latents", latents}, std::pair{"pictures", pixels}}) {
            o.save_tensors.empty() ? void() : tensors[name].push_back(tensor);
        }
        bar.step(count);
    }
    sampling.done();

    // Write the rest: on the sheet a row for each prompt, or with one picture of each as many rows as columns.
    auto writing = job.stage("write");
    const int columns = o.num_images_per_prompt > 1
                            ? o.num_images_per_prompt
                            : static_cast<int>(std::ceil(std::sqrt(static_cast<double>(pictures.size()))));
    try {
        const Frames sheet = make_grid(pictures, columns);
        write_png(job.writes(output / "sheet.png"), sheet);
    } catch (const Error& error) {
        std::cerr << "warning: sheet.png is left out: " << error.what() << '\n';
    }
    if (!o.save_tensors.empty()) {
        write_safetensors(job.writes(o.save_tensors), picture_tensors(job.cpu(), tensors), {{"format", "pt"}});
    }
    writing.done();
    nlohmann::json settings = options_json(o);
    settings.erase("seed"); // said apart
    settings.update({{"scheduler", sampler.scheduler()}, {"threads", job.cpu().threads()}});
    Manifest manifest("text_to_image");
    manifest.set_seed(o.sampling.seed);
    manifest.set("options", std::move(settings));
    add_model(manifest, o.model, o.model);
    job.finish(std::move(manifest), output);
}

} // namespace

int main(int argc, char** argv) {
    return program::run("text_to_image", [&] {
        TextToImageOptions options;
        CLI::App app(
            "Draws pictures from prompts with a Stable Diffusion folder. Writes into OUTPUT a PNG file for each\n"
            "picture, sheet.png and manifest.json.");
        program::add_options(app, options);
        app.get_option("--prompt")->required()->expected(1)->take_all();
        if (const auto status = program::parse(app, argc, argv)) {
            return *status;
        }
        program::check(options);
        text_to_image(std::move(options));
        return 0;
    });
}
