#include <reel/pipelines/tune.hpp>

#include "golden_models.hpp"

// Whole models in bfloat16 against PyTorch's in float64 and in bfloat16: model.to(torch.bfloat16).

using namespace reel_test;
using reel::bfloat16;
using reel::Cpu;
using reel::Tensor;

namespace {

std::vector<double> doubles(const Tensor<bfloat16>& x) {
    const auto values = x.to_host();
    return {values.begin(), values.end()};
}

} // namespace

TEST_CASE("the whole inflated UNet agrees with PyTorch, bfloat16") {
    Cpu one(1);
    Cpu two(2);
    const Golden exact("unet");
    const Golden rounded("bfloat16");
    Agreement agreement("whole UNet, bfloat16 against float64", 2e-2);
    Agreement same_type("whole UNet, bfloat16 against PyTorch's", 2.5e-2);
    for (const std::string model : {"sd1", "sd2"}) {
        const auto run = [&](Cpu& cpu, const std::string& key) {
            const auto unet = golden_unet<bfloat16>(cpu, model);
            const auto frames = exact.at(key + "sample").shape[2];
            return doubles(clip_order(unet(exact.clip<bfloat16>(cpu, key + "sample"), exact.values(key + "timestep"),
                                           exact.tensor<bfloat16>(cpu, key + "encoder_hidden_states"), frames),
                                      frames));
        };
        for (const std::string letter : {"a", "b", "c"}) {
            const std::string key = model + "." + letter + ".";
            const auto out = run(one, key);
            agreement.check(key, relative_error(out, exact.values(key + "output")));
            same_type.check(key, relative_error(out, rounded.values(key + "unet")));
            same_type.check(key + "two threads", relative_error(run(two, key), out));
        }
    }
}

TEST_CASE("AutoencoderKL agrees with diffusers, bfloat16") {
    Cpu cpu(1);
    const Golden exact("vae");
    const Golden rounded("bfloat16");
    Agreement agreement("VAE, bfloat16 against float64", 3e-2);
    Agreement same_type("VAE, bfloat16 against PyTorch's", 4e-2);
    for (const std::string model : {"sd1", "sd2"}) {
        const auto vae = reel::load_autoencoder_kl<bfloat16>(cpu, model_folder(model, "vae"));
        const std::string key = model + ".even.";
        const auto moments = doubles(picture_order(vae.encode(exact.pictures<bfloat16>(cpu, key + "image"))));
        agreement.check(key + "moments", relative_error(moments, exact.values(key + "moments")));
        same_type.check(key + "moments", relative_error(moments, rounded.values(model + ".moments")));
        const auto decoded = doubles(picture_order(vae.decode(exact.pictures<bfloat16>(cpu, key + "latents"))));
        agreement.check(key + "decoded", relative_error(decoded, exact.values(key + "decoded")));
        same_type.check(key + "decoded", relative_error(decoded, rounded.values(model + ".decoded")));
    }
}

TEST_CASE("CLIPTextModel agrees with transformers, bfloat16") {
    Cpu cpu(1);
    const Golden golden("text");
    Agreement agreement("text encoder, bfloat16", 2e-2);
    for (const std::string model : {"sd1", "sd2"}) {
        const auto encoder = reel::load_clip_text_model<bfloat16>(cpu, model_folder(model, "text_encoder"));
        const auto stored = golden.values(model + ".input_ids");
        const std::vector<std::int32_t> ids(stored.begin(), stored.end());
        const auto out = doubles(encoder(ids, 6));
        agreement.check(model, relative_error(out, golden.values(model + ".last_hidden_state")));
    }
}

namespace {

/// Losses of a few steps of tuning the golden UNet, and what the trained parameters are then.
struct Tuned {
    std::vector<double> losses;
    std::vector<double> masters;
    std::vector<double> values;
};

template <class T>
Tuned tune(Cpu& cpu, double learning_rate) {
    using C = reel::compute_t<T>;
    const Golden golden("unet");
    auto unet = reel::load_unet<T>(cpu, model_folder("sd1", "unet"));
    static_cast<void>(reel::set_trainable_modules(unet, {"attn1.to_q", "attn2.to_q", "attn_temp"}));
    set_parameters(unet, cpu, Golden("sd1_temporal").tensors());
    unet.gradient_checkpointing = reel::CheckpointMode::exact;
    const auto latents = golden.clip<C>(cpu, "sd1.a.sample");
    const auto moments = reel::concat_channels(latents, Tensor<C>::full(cpu, latents.shape(), C(-20)));
    const reel::DDPMScheduler scheduler;
    reel::Tuner<T> tuner(unet, scheduler, moments, golden.tensor<T>(cpu, "sd1.a.encoder_hidden_states"), 1.0,
                         {.learning_rate = learning_rate});
    Tuned result;
    for (int step = 0; step < 4; ++step) {
        result.losses.push_back(tuner
                                    .update([&](reel::index_t draw) {
                                        return reel::training_noise<C>(cpu, tuner.latent_shape(), 33, draw, 1000);
                                    })
                                    .loss);
    }
    reel::for_each_parameter(unet, [&](const std::string&, const auto& parameter) {
        if (parameter.requires_grad()) {
            for (const auto value : parameter.master().to_host()) {
                result.masters.push_back(static_cast<double>(value));
            }
            for (const auto value : parameter.value().to_host()) {
                result.values.push_back(static_cast<double>(value));
            }
        }
    });
    return result;
}

} // namespace

TEST_CASE("a UNet is tuned with weights and activations in bfloat16, what trains in float32") {
    Cpu cpu(1);
    const Tuned exact = tune<float>(cpu, 1e-3);
    const Tuned exact_start = tune<float>(cpu, 0);
    const Tuned rounded = tune<bfloat16>(cpu, 1e-3);
    const Tuned start = tune<bfloat16>(cpu, 0);
    CHECK(relative_error(rounded.losses, exact.losses) < 1e-2);
    // Adam's first steps go by the gradients' signs, which differ where a gradient is nearly nothing.
    double along = 0;
    double whole = 0;
    double other = 0;
    for (std::size_t i = 0; i < exact.masters.size(); ++i) {
        const double expected = exact.masters[i] - exact_start.masters[i];
        const double found = rounded.masters[i] - start.masters[i];
        along += expected * found;
        whole += expected * expected;
        other += found * found;
        REQUIRE(static_cast<double>(bfloat16(rounded.masters[i])) == rounded.values[i]);
    }
    CHECK(along / std::sqrt(whole * other) > 0.9);

    // Steps far below a rounding of the weights still add up.
    const Tuned crept = tune<bfloat16>(cpu, 1e-7);
    CHECK(crept.masters != start.masters);
    CHECK(relative_error(crept.masters, start.masters) < 1e-6);
}

TEST_CASE("weights that a file holds in bfloat16 are used from its memory map") {
    Cpu cpu(1);
    const auto path = std::filesystem::temp_directory_path() / "reel_bfloat16_weights.safetensors";
    reel::Linear<bfloat16> layer(24, 8);
    reel::initialize(layer, cpu, 7);
    reel::write_safetensors(path, reel::parameter_sources(layer, reel::DType::bf16));
    reel::Linear<bfloat16> loaded(24, 8);
    reel::load_parameters(loaded, cpu, reel::read_weights_file(path), path.string());
    CHECK(!loaded.weight.value().owns_memory());
    const auto bits = [](const Tensor<bfloat16>& x) {
        std::vector<std::uint16_t> all;
        for (const bfloat16 value : x.to_host()) {
            all.push_back(value.bits);
        }
        return all;
    };
    CHECK(bits(loaded.weight.value()) == bits(layer.weight.value()));
    CHECK(bits(loaded.bias->value()) == bits(layer.bias->value()));
    std::filesystem::remove(path);
}
