// A UNet made of other parts.
#include <reel/models/from_pretrained.hpp>
#include <reel/models/latent_shape.hpp>

#include "io/temporary_folder.hpp"
#include "models/golden_models.hpp"
#include "models/open_unet.hpp"

using namespace open_unet;

TEST_CASE("a UNet of exchanged parts: the same whole, in pieces, recorded, checkpointed") {
    Cpu cpu(2);
    auto unet = small_unet<double, AllParts>(cpu);
    set_trainable_modules(unet, {"attn2", "conv_temp"});
    check_same<double>(cpu, unet, bound<double>());
}

TEST_CASE("a folder is loaded with parts of one's own: theirs start fresh, what they replace is left out") {
    Cpu cpu(1);
    const std::filesystem::path folder = reel_test::model_folder("sd1", "unet");
    const auto plain = load_unet<double>(cpu, folder, 7);
    auto own = load_unet<double, AllParts>(cpu, folder, 7);
    const auto& theirs = own.down_blocks[0].attentions[0].transformer_blocks[0];
    const auto& ours = plain.down_blocks[0].attentions[0].transformer_blocks[0];
    CHECK(theirs.attn1.to_q.weight.value().to_host() == ours.attn1.to_q.weight.value().to_host());
    CHECK(theirs.temporal->conv.weight.defined());
    CHECK(theirs.ff.expand.down.defined());
    const reel_test::TemporaryFolder scratch;
    save_unet(own, scratch / "own");                                         // in float32
    const auto again = load_unet<double, AllParts>(cpu, scratch / "own", 8); // nothing is fresh
    const auto x = randoms<double>(cpu, {frames, 8, 8, 4}, 1);
    const auto text = randoms<double>(cpu, {1, 7, own.config.cross_attention_dim}, 2);
    CHECK(difference(own(x, 5, text, frames), again(x, 5, text, frames)) < 1e-6);
    CHECK_THROWS_AS(static_cast<void>(load_unet<double>(cpu, scratch / "own")), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(load_unet<double, LoraParts>(cpu, scratch / "own")),
                         doctest::Contains("tensors are missing"), Error);
}

TEST_CASE("the latents' shape follows from the autoencoder") {
    AutoencoderKLConfig config;
    CHECK(latent_shape(config, 8, 64, 96) == Shape{8, 8, 12, 4});
    config.block_out_channels = {8, 16};
    config.latent_channels = 6;
    config.norm_num_groups = 8;
    CHECK(latent_shape(AutoencoderKL<float>(config), 2, 64, 96) == Shape{2, 32, 48, 6});
    CHECK_THROWS_WITH_AS(static_cast<void>(latent_shape(config, 2, 63, 96)),
                         "latent_shape: 2 frames of 63 x 96 pixels; expected multiples of 2", Error);
}
