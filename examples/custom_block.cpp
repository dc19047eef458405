// Blocks of one's own in the UNet, two ways. `convolution`: another module in the place of the temporal attention, by
// a template argument. `lora`: low-rank matrices beside the weights of every attention (Hu et al. 2021,
// arXiv:2106.09685), by parameters that are derived from others. custom_block convolution|lora MODEL CLIP PROMPT EDIT
// OUTPUT.gif

#include <iostream>

#include <reel/io/pictures/frame_grid.hpp>
#include <reel/io/video/gif.hpp>
#include <reel/io/video/video_reader.hpp>
#include <reel/nn/initialize.hpp>
#include <reel/optim/adamw.hpp>
#include <reel/optim/trained_parameters.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/pipelines/edit.hpp>
#include <reel/pipelines/load_stable_diffusion.hpp>
#include <reel/pipelines/tune.hpp>
#include <reel/schedulers/ddim_inverse.hpp>

using reel::index_t;

namespace {

/// The files of a model and of a clip, what the clip shows and what it shall show, and the GIF of both.
struct Job {
    std::string model, video, prompt, edit, output;
};

/// Along time, three frames wide, each token alone; zero at first.
template <reel::Scalar T, reel::Backend B>
struct TemporalConvolution {
    static constexpr reel::Couples couples = reel::Couples::frames; // long clips may go through some tokens at a time
    reel::Parameter<T, B> weight; ///< [channels, 3 * channels]: of the frame before, the frame, the frame after
    TemporalConvolution(index_t channels, index_t /*heads*/) : weight({.shape = {channels, 3 * channels}}) {}
    static void members(auto& self, const auto& visit) { visit("conv_temp.weight", self.weight); }
    /// x [clips * frames, tokens, channels]; beyond a clip's ends its last frames stand still.
    template <class V>
    [[nodiscard]] V operator()(const V& x, index_t frames) const {
        std::vector<std::int32_t> before, after;
        for (std::int32_t i = 0; i < x.shape(0); ++i) {
            before.push_back(i % frames == 0 ? i : i - 1);
            after.push_back((i + 1) % frames == 0 ? i : i + 1);
        }
        const V three = concat_channels(concat_channels(index_select(x, before), x), index_select(x, after));
        return linear(three, weight.template as<V>());
    }
};
struct ConvolutionParts : reel::DefaultParts {
    template <reel::Scalar T, reel::Backend B, class>
    using Temporal = TemporalConvolution<T, B>;
};

/// W + 0.1 B A for every weight W of the attentions: A [4, in] is random, B [out, 4] zero at first.
struct Lora {
    std::vector<reel::Parameter<float>> matrices;
    static void members(auto& self, const auto& visit) { visit("lora", self.matrices); }

    Lora(reel::UNet3DConditionModel<float>& unet, reel::Cpu& cpu) {
        reel::for_each_module<reel::Linear<float>>(unet, [&](const std::string& name, auto& layer) {
            if (name.find(".attn") != std::string::npos) {
                const reel::Shape weight = layer.weight.spec().shape;
                matrices.emplace_back(
                    reel::ParameterSpec{.shape = {4, weight[1]}, .init = reel::ParameterInit::normal});
                matrices.emplace_back(reel::ParameterSpec{.shape = {weight[0], 4}});
                layer.weight.derive([](const auto& w, const auto& a, const auto& b) { return w + 0.1 * matmul(b, a); },
                                    layer.weight, matrices.end()[-2], matrices.back());
            }
        });
        reel::initialize(*this, cpu, 33);
        reel::for_each_parameter(*this, [](const std::string&, auto& matrix) { matrix.train(true); });
    }
};

/// Tunes what trains in `trained`, which is the UNet or a part of it, on the clip; then inverts the clip and edits it.
void tune_and_edit(const Job& job, reel::Cpu& cpu, const auto& model, const auto& trained) {
    const auto clip = reel::read_video(job.video);
    const auto latents = reel::encode_latents(model.vae, reel::to_tensor<float>(cpu, clip));
    const auto prompt = reel::encode_prompt(model, job.prompt);
    reel::AdamW<float> optimizer({.learning_rate = 1e-3});
    for (index_t step = 0; step < 50; ++step) {
        const auto draw = reel::training_noise<float>(cpu, latents.shape(), 33, step, 1000);
        const reel::Variable<float> noisy(model.training_scheduler.add_noise(latents, draw.noise, draw.timestep));
        backward(
            mse_loss(model.unet(noisy, draw.timestep, reel::Variable<float>(prompt), latents.shape(0)), draw.noise));
        optimizer.step(reel::trained_parameters<float>(trained));
        reel::zero_grad(trained);
    }
    reel::DDIMInverseScheduler inverse(model.sampling);
    const auto noise = reel::invert(model.unet, inverse, latents, prompt, 10);
    reel::DDIMScheduler sampler(model.sampling);
    const auto x =
        reel::sample_clip(model.unet, sampler, noise, {reel::encode_prompt(model, job.edit), prompt, 7.5}, 10);
    const auto frames = reel::to_frames(reel::decode_clip(model.vae, x), clip.fps);
    reel::write_gif(job.output, reel::side_by_side({clip, frames}), clip.fps);
    std::cout << "written: " << job.output << '\n';
}

} // namespace

int main(int argc, char** argv) {
    try {
        const std::string block = argc == 7 ? argv[1] : "";
        reel::require(block == "convolution" || block == "lora",
                      "usage: custom_block convolution|lora MODEL CLIP PROMPT EDIT "
                      "OUTPUT.gif");
        const Job job{argv[2], argv[3], argv[4], argv[5], argv[6]};
        reel::Cpu cpu;
        if (block == "convolution") {
            auto model = reel::load_stable_diffusion<float, ConvolutionParts>(cpu, job.model, 33);
            reel::set_trainable_modules(model.unet, {"conv_temp"});
            tune_and_edit(job, cpu, model, model.unet);
        } else {
            auto model = reel::load_stable_diffusion<float>(cpu, job.model, 33);
            tune_and_edit(job, cpu, model, Lora(model.unet, cpu));
        }
    } catch (const std::exception& error) {
        std::cerr << "custom_block: error: " << error.what() << '\n';
        return 1;
    }
}
