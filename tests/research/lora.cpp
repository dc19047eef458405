// LoRA (Hu et al. 2021, arXiv:2106.09685) on every projection of every attention, trained alone. lora MODEL CLIP
#include <reel/io/video/video_reader.hpp>
#include <reel/nn/initialize.hpp>
#include <reel/optim/adamw.hpp>
#include <reel/optim/trained_parameters.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/pipelines/stable_diffusion.hpp>
#include <reel/pipelines/tune.hpp>

struct Lora {
    std::vector<reel::Parameter<float>> matrices;
    static void members(auto& self, const auto& visit) { visit("lora", self.matrices); }
};

int main(int, char** argv) {
    reel::Cpu cpu;
    auto model = reel::load_stable_diffusion<float>(cpu, argv[1], 33);
    Lora lora;
    reel::for_each_module<reel::Linear<float>>(model.unet, [&](const std::string& name, auto& layer) {
        if (name.find(".attn") != std::string::npos) {
            const auto size = layer.weight.spec().shape; // [out, in]
            lora.matrices.emplace_back(reel::ParameterSpec{.shape = {4, size[1]}, .init = reel::ParameterInit::normal});
            auto& b = lora.matrices.emplace_back(reel::ParameterSpec{.shape = {size[0], 4}}); // zero at first
            layer.weight.derive([](auto w, auto down, auto up) { return w + 0.1 * matmul(up, down); }, layer.weight,
                                lora.matrices.end()[-2], b);
        }
    });
    reel::initialize(lora, cpu, 33);
    reel::for_each_parameter(lora, [](const auto&, auto& parameter) { parameter.train(true); });
    const auto clip = reel::read_video(argv[2], {.max_frames = 4});
    const auto latents = reel::encode_latents(model.vae, reel::to_tensor<float>(cpu, clip));
    const auto text = reel::encode_prompt(model, "a woman is swinging");
    const auto draw = reel::training_noise<float>(cpu, latents.shape(), 33, 0, 1000);
    const auto noisy = model.training_scheduler.add_noise(latents, draw.noise, draw.timestep);
    const auto predict = [&]<class V>(const V& x) { return model.unet(x, draw.timestep, V(text), 4); };
    const auto before = predict(noisy);
    reel::AdamW<float> optimizer({.learning_rate = 1e-2});
    for (int step = 0; step < 20; ++step) {
        backward(mse_loss(predict(reel::Variable<float>(noisy)), draw.noise));
        optimizer.step(reel::trained_parameters<float>(lora));
        reel::zero_grad(lora);
    }
    reel::require(mse(predict(noisy), draw.noise) < 0.9 * mse(before, draw.noise), "the loss does not fall");
    reel::for_each_parameter(lora,
                             [&](const auto&, auto& p) { p.set(reel::Tensor<float>::zeros(cpu, p.spec().shape)); });
    reel::require(predict(noisy).to_host() == before.to_host(), "something else has changed");
}
