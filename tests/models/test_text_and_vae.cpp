#include "golden_models.hpp"

using namespace reel_test;
using reel::AutoencoderKL;
using reel::Cpu;
using reel::Tensor;

namespace {

template <class T>
void check_text(double bound) {
    Cpu cpu(1);
    const Golden golden("text");
    Agreement agreement("text encoder, " + scalar_name<T>(), bound);
    for (const std::string model : {"sd1", "sd2"}) {
        const auto encoder = reel::load_clip_text_model<T>(cpu, model_folder(model, "text_encoder"));
        const auto stored = golden.values(model + ".input_ids");
        const std::vector<std::int32_t> ids(stored.begin(), stored.end());
        const auto& expected = golden.at(model + ".last_hidden_state");
        const Tensor<T> all = encoder(ids, 6);
        agreement.check(model, relative_error(all, expected));
        for (reel::index_t i = 0; i < 6; ++i) {
            const Tensor<T> one = encoder(std::span(ids).subspan(static_cast<std::size_t>(77 * i), 77));
            agreement.check(model + " prompt by prompt",
                            relative_error(one.to_host(), numbers({expected.dtype,
                                                                   {77, expected.shape[2]},
                                                                   expected.data + 77 * i * expected.shape[2] * 4,
                                                                   expected.owner,
                                                                   false})));
        }
    }
}

template <class T>
void check_vae(double bound) {
    Cpu cpu(1);
    const Golden golden("vae");
    Agreement agreement("VAE, " + scalar_name<T>(), bound);
    Agreement slices("VAE picture by picture, " + scalar_name<T>(), 16 * std::numeric_limits<T>::epsilon());
    for (const std::string model : {"sd1", "sd2"}) {
        const auto vae = reel::load_autoencoder_kl<T>(cpu, model_folder(model, "vae"));
        CHECK(vae.config.scaling_factor == 0.18215);
        CHECK(vae.config.pixels_per_latent() == 8);
        for (const std::string size : {"even", "odd"}) {
            const std::string key = model + "." + size + ".";
            const auto image = golden.pictures<T>(cpu, key + "image");
            const auto noise = golden.pictures<T>(cpu, key + "noise");
            const auto latents = golden.pictures<T>(cpu, key + "latents");
            const Tensor<T> moments = vae.encode(image);
            const Tensor<T> mean = reel::sample_latents(moments, Tensor<T>{}, 1.0);
            const auto ones = Tensor<T>::full(cpu, noise.shape(), T(1));
            const auto compare = [&](const std::string& name, const Tensor<T>& found) {
                agreement.check(key + name, relative_error(picture_order(found), golden.at(key + name)));
            };
            compare("moments", moments);
            compare("mean", mean);
            compare("std", reel::subtract(reel::sample_latents(moments, ones, 1.0), mean));
            compare("sample", reel::sample_latents(moments, noise, 1.0));
            const reel::DiagonalGaussianDistribution<T> distribution{moments};
            compare("mean", distribution.mean());
            compare("std", distribution.std());
            const Tensor<T> squared = reel::multiply(distribution.std(), distribution.std());
            CHECK(difference(distribution.var(), squared) < 16 * std::numeric_limits<T>::epsilon());
            const Tensor<T> decoded = vae.decode(latents);
            compare("decoded", decoded);

            int steps = 0;
            const auto encode = [&](const Tensor<T>& x) { return vae.encode(x); };
            const auto decode = [&](const Tensor<T>& x) { return vae.decode(x); };
            const Tensor<T> sliced_moments = reel::sliced(image, encode);
            const Tensor<T> sliced_decoded = reel::sliced(latents, decode, [&] { ++steps; });
            CHECK(steps == 2);
            compare("moments", sliced_moments);
            compare("decoded", sliced_decoded);
            // Not bit for bit: a matrix product may group its terms by the number of rows.
            slices.check(key + "moments", difference(sliced_moments, moments));
            slices.check(key + "decoded", difference(sliced_decoded, decoded));
        }
    }
}

} // namespace

TEST_CASE("CLIPTextModel agrees with transformers") {
    check_text<float>(1e-5);
    check_text<double>(2e-7); // the golden file holds float32
}

TEST_CASE("AutoencoderKL agrees with diffusers") {
    check_vae<float>(1e-5);
    check_vae<double>(2e-7);
}

TEST_CASE("sample_latents scales and bounds the log variance") {
    Cpu cpu(1);
    const auto moments = Tensor<double>::from_host(cpu, {1, 1, 3, 2}, {1.0, 100.0, 2.0, -100.0, 3.0, 0.0});
    const auto noise = Tensor<double>::from_host(cpu, {1, 1, 3, 1}, {1.0, 1.0, -2.0});
    const auto sample = reel::sample_latents(moments, noise, 0.5).to_host();
    CHECK(sample[0] == doctest::Approx(0.5 * (1 + std::exp(10.0))));
    CHECK(sample[1] == doctest::Approx(0.5 * (2 + std::exp(-15.0))).epsilon(1e-12));
    CHECK(sample[2] == doctest::Approx(0.5));
    CHECK_THROWS_WITH_AS(static_cast<void>(reel::sample_latents(moments, moments, 1.0)),
                         "sample_latents: noise [1, 1, 3, 2]; expected [1, 1, 3, 1]", reel::Error);
}

TEST_CASE("CLIPTextModel refuses what it has no vector for") {
    Cpu cpu(1);
    const auto encoder = reel::load_clip_text_model<float>(cpu, model_folder("sd1", "text_encoder"));
    const std::vector<std::int32_t> unknown{0, 555};
    CHECK_THROWS_WITH_AS(static_cast<void>(encoder(unknown)), "embedding: index 555 in a table of 555 rows",
                         reel::Error);
    const std::vector<std::int32_t> many(78, 0);
    CHECK_THROWS_WITH_AS(static_cast<void>(encoder(many)), "CLIPTextModel: 78 tokens; expected 1 to 77", reel::Error);
}
