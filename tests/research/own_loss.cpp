// Parameters of one's own beside a frozen model, and a loss that looks inside a mask and wants neighbouring frames to
// err alike. own_loss MODEL CLIP
#include <reel/io/video/video_reader.hpp>
#include <reel/optim/adamw.hpp>
#include <reel/optim/trained_parameters.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/pipelines/stable_diffusion.hpp>
#include <reel/pipelines/tune.hpp>

using Tensor = reel::Tensor<float>;
using Variable = reel::Variable<float>;

struct Own {
    reel::Parameter<float> offset; ///< added to the prompt's vectors
    reel::Parameter<float> gain;   ///< of the prediction, one number a pixel, beyond 1
    Own(const reel::Shape& text, const reel::Shape& pixels) : offset({.shape = text}), gain({.shape = pixels}) {}
    static void members(auto& self, const auto& visit) {
        visit("offset", self.offset);
        visit("gain", self.gain);
    }
};

Variable masked_and_smooth(const Variable& prediction, const Tensor& target, const Tensor& mask) {
    const Variable error = prediction - target;
    const Variable change = error.slice(1, error.shape(0)) - error.slice(0, error.shape(0) - 1);
    return mean(masked(square(error), mask)) + 0.1 * mean(square(change));
}

int main(int, char** argv) {
    reel::Cpu cpu;
    const auto model = reel::load_stable_diffusion<float>(cpu, argv[1], 33);
    const auto clip = reel::read_video(argv[2], {.max_frames = 4});
    const auto latents = reel::encode_latents(model.vae, reel::to_tensor<float>(cpu, clip));
    const auto text = reel::encode_prompt(model, "a woman is swinging");
    const auto mask = Tensor::zeros(cpu, latents.shape().with(3, 1));
    mask.slice(0, 2).fill(1); // the first two frames
    Own own(text.shape(), mask.shape());
    for (auto* parameter : {&own.offset, &own.gain}) {
        parameter->set(Tensor::zeros(cpu, parameter->spec().shape));
        parameter->train(true);
    }
    reel::AdamW<float> optimizer({.learning_rate = 1e-2});
    std::vector<double> losses;
    for (reel::index_t step = 0; step < 30; ++step) { // three draws of noise, in turn
        const auto draw = reel::training_noise<float>(cpu, latents.shape(), 33, step % 3, 1000);
        const auto noisy = model.training_scheduler.add_noise(latents, draw.noise, draw.timestep);
        const auto prediction = model.unet(Variable(noisy), draw.timestep, text + own.offset.variable(), 4);
        const auto loss = masked_and_smooth(masked(prediction, own.gain.variable() + 1), draw.noise, mask);
        backward(loss);
        optimizer.step(reel::trained_parameters<float>(own));
        reel::zero_grad(own);
        losses.push_back(loss.item());
    }
    const double first = losses[0] + losses[1] + losses[2], last = losses[27] + losses[28] + losses[29];
    reel::require(last < 0.9 * first, "the loss does not fall: ", first, " to ", last);
    reel::require(squared_norm(own.offset.value()) > 0 && squared_norm(own.gain.value()) > 0,
                  "something did not train");
}
