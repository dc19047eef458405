// Pictures from prompts, with a Stable Diffusion folder: the model that comes with reel, or any other.

#include <algorithm>
#include <cmath>
#include <map>

#include <reel/core/format_text.hpp>
#include <reel/core/progress.hpp>
#include <reel/io/files/file_name.hpp>
#include <reel/io/pictures/frame_grid.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/weights/tensor_file.hpp>
#include <reel/pipelines/picture_size.hpp>
#include <reel/pipelines/prompt_pictures.hpp>
#include <reel/pipelines/text_to_image_options.hpp>

#include "options.hpp"

using namespace reel;

namespace {

void text_to_image(TextToImageOptions o) {
    Job job({.backend = o.backend, .threads = o.threads, .model = o.parts, .allow_nonfinite = o.allow_nonfinite});
    const std::filesystem::path output = o.output;

    // Load, and find out before the work what can go wrong after it.
    auto loading = job.stage("load model");
    o.make_folders(job);
    const auto model = job.load({.folder = o.model, .pictures = true, .loras = o.lora.choice()}, program::check_stop);
    model->watch.bars = false;
    const PromptPictures sampler(*model, o.sampling);
    o.height = picture_size(o.height, model->facts(), "--height");
    o.width = picture_size(o.width, model->facts(), "--width");
    o.check_texts(*model);
    loading.done();

    // Sample and decode, some at a time.
    auto sampling = job.stage("sample");
    const std::vector<std::string> prompts = o.prompts(); // of each picture
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
        write_tensors(job.writes(o.save_tensors), picture_tensors(job.cpu(), tensors));
    }
    writing.done();
    job.finish(o.manifest(job.cpu(), sampler.scheduler()), output);
}

} // namespace

int main(int argc, char** argv) {
    return program::run("text_to_image", [&] {
        TextToImageOptions options{.model = REEL_MODEL_FOLDER};
        CLI::App app("Draws pictures from prompts with a Stable Diffusion. Writes into OUTPUT a PNG file for each\n"
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
