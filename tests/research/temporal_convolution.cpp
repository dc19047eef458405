// A convolution along time in the place of the temporal attention, tuned on a clip. temporal_convolution MODEL CLIP
#include <reel/io/video/video_reader.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/pipelines/load_stable_diffusion.hpp>
#include <reel/pipelines/tune.hpp>

template <reel::Scalar T, reel::Backend B>
struct TemporalConvolution {
    static constexpr reel::Couples couples = reel::Couples::frames;
    reel::Conv2d<T, B> conv; // over pictures one pixel wide, whose rows are the frames
    TemporalConvolution(reel::index_t channels, reel::index_t /*heads*/)
        : conv(channels, channels, 3, reel::ConvOptions::same_pad(1)) {}
    static void members(auto& self, const auto& visit) { visit("conv_temp", self.conv); }
    template <class V>
    V operator()(const V& x, reel::index_t frames) const {
        const reel::Shape s = x.shape(); // [clips * frames, tokens, channels]
        const V columns = reshape(permute(reshape(x, {-1, frames, s[1], s[2]}), {0, 2, 1, 3}), {-1, frames, 1, s[2]});
        return reshape(permute(reshape(conv(columns), {-1, s[1], frames, s[2]}), {0, 2, 1, 3}), {s[0], s[1], s[2]});
    }
};
struct Parts : reel::DefaultParts {
    template <reel::Scalar T, reel::Backend B, class>
    using Temporal = TemporalConvolution<T, B>;
};

int main(int, char** argv) {
    reel::Cpu cpu;
    auto model = reel::load_stable_diffusion<float, Parts>(cpu, argv[1], 33);
    const auto clip = reel::to_tensor<float>(cpu, reel::read_video(argv[2], {.max_frames = 4}));
    const auto text = reel::encode_prompt(model, "a woman is swinging");
    reel::set_trainable_modules(model.unet, {"conv_temp"});
    reel::Tuner tuner(model.unet, model.training_scheduler, reel::encode_clip(model.vae, clip), text,
                      model.vae.config.scaling_factor, {.learning_rate = 1e-3});
    const auto same = [&](auto) { return reel::training_noise<float>(cpu, tuner.latent_shape(), 33, 0, 1000); };
    const double first = tuner.update(same).loss;
    while (tuner.step_count() < 20)
        tuner.update(same);
    reel::require(tuner.update(same).loss < 0.9 * first, "the loss does not fall");
    const auto whole = model.unet(tuner.latents(), 500, text, 4);
    cpu.piece_bytes = 4096;
    reel::require(mse(model.unet(tuner.latents(), 500, text, 4), whole) < 1e-9, "in pieces it is another");
}
