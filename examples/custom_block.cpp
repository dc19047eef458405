// Blocks of one's own in the UNet, two ways. `convolution`: another module in the place of the temporal attention, by
// a template argument. `lora`: low-rank matrices beside the weights of every attention (Hu et al. 2021,
// arXiv:2106.09685), by parameters that are derived from others.

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

#include "options.hpp"

using namespace reel;

namespace {

enum class Block { convolution, lora };
inline constexpr std::array block_names{NamedValue{"convolution", Block::convolution}, NamedValue{"lora", Block::lora}};
constexpr const auto& names_of(Block) {
    return block_names;
}

struct Job : program::ClipEdit {
    Block block = Block::convolution;
    static void options(auto& self, const auto& visit) {
        visit(Option{"block", "what is exchanged"}, self.block);
        ClipEdit::options(self, visit);
    }
};

/// Along time, three frames wide, each token alone; zero at first.
template <Scalar T, Backend B>
struct TemporalConvolution {
    static constexpr Couples couples = Couples::frames; // long clips may go through some tokens at a time
    Parameter<T, B> weight; ///< [channels, 3 * channels]: of the frame before, the frame, the frame after
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
struct ConvolutionParts : DefaultParts {
    template <Scalar T, Backend B, class>
    using Temporal = TemporalConvolution<T, B>;
};

/// W + 0.1 B A for every weight W of the attentions: A [4, in] is random, B [out, 4] zero at first.
struct Lora {
    std::vector<Parameter<float>> matrices;
    static void members(auto& self, const auto& visit) { visit("lora", self.matrices); }

    Lora(UNet3DConditionModel<float>& unet, Cpu& cpu) {
        for_each_module<Linear<float>>(unet, [&](const std::string& name, auto& layer) {
            if (name.find(".attn") != std::string::npos) {
                const Shape weight = layer.weight.spec().shape;
                matrices.emplace_back(ParameterSpec{.shape = {4, weight[1]}, .init = ParameterInit::normal});
                matrices.emplace_back(ParameterSpec{.shape = {weight[0], 4}});
                layer.weight.derive([](const auto& w, const auto& a, const auto& b) { return w + 0.1 * matmul(b, a); },
                                    layer.weight, matrices.end()[-2], matrices.back());
            }
        });
        initialize(*this, cpu, 33);
        for_each_parameter(*this, [](const std::string&, auto& matrix) { matrix.train(true); });
    }
};

/// Tunes what trains in `trained`, which is the UNet or a part of it, on the clip; then inverts the clip and edits it.
void tune_and_edit(const Job& job, Cpu& cpu, const auto& model, const auto& trained) {
    const auto clip = read_video(job.video);
    const auto latents = encode_latents(model.vae, to_tensor<float>(cpu, clip));
    const auto prompt = encode_prompt(model, job.prompt);
    AdamW<float> optimizer({.learning_rate = 1e-3});
    for (index_t step = 0; step < 50; ++step) {
        const auto draw = training_noise<float>(cpu, latents.shape(), 33, step, 1000);
        const Variable<float> noisy(model.training_scheduler.add_noise(latents, draw.noise, draw.timestep));
        backward(mse_loss(model.unet(noisy, draw.timestep, Variable<float>(prompt), latents.shape(0)), draw.noise));
        optimizer.step(trained_parameters<float>(trained));
        zero_grad(trained);
    }
    DDIMInverseScheduler inverse(model.sampling);
    const auto noise = invert(model.unet, inverse, latents, prompt, 10);
    DDIMScheduler sampler(model.sampling);
    const Guidance<float, Cpu> guidance{encode_prompt(model, job.edit), prompt, 7.5};
    const auto x = sample_clip(model.unet, sampler, noise, {.guidance = guidance, .num_inference_steps = 10});
    const auto frames = to_frames(decode_clip(model.vae, x), clip.fps);
    write_gif(job.output, side_by_side({clip, frames}), clip.fps);
    std::cout << "written: " << job.output << '\n';
}

} // namespace

int main(int argc, char** argv) {
    const auto work = [](const Job& job) {
        Cpu cpu;
        if (job.block == Block::convolution) {
            auto model = load_stable_diffusion<float, ConvolutionParts>(cpu, job.model, 33);
            set_trainable_modules(model.unet, {"conv_temp"});
            tune_and_edit(job, cpu, model, model.unet);
        } else {
            auto model = load_stable_diffusion<float>(cpu, job.model, 33);
            tune_and_edit(job, cpu, model, Lora(model.unet, cpu));
        }
    };
    const char* text = "Tunes a block of its own on a clip, and edits the clip. Writes OUTPUT, a GIF of both.";
    return program::run({"custom_block", text, program::clip_edit_options}, argc, argv, Job{}, work);
}
