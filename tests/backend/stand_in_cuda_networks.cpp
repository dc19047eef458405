// The programs' networks on the backend Cuda against the same on Cpu: one folder, one clip, what goes in and comes out.

#include <doctest/doctest.h>

#include <reel/backend/cuda/cuda.cuh>

#include "support/networks_of.hpp"

#include "backend/compare.hpp"
#include "io/temporary_folder.hpp"

namespace {

using editing::Cpu;
using editing::index_t;
using editing::Model;
using editing::Tensor;

/// Two frames in which every channel differs.
[[nodiscard]] reel::Frames clip() {
    reel::Frames frames = reel::make_frames(2, 16, 32, 8);
    for (std::size_t i = 0; i < frames.rgb.size(); ++i) {
        frames.rgb[i] = static_cast<std::uint8_t>(37 * i + i / 97);
    }
    return frames;
}

void compare(const char* what, const Tensor& found, const Tensor& expected) {
    INFO(what);
    REQUIRE(found.shape() == expected.shape());
    CHECK(near::relative_error(found.to_host(), expected.to_host()) < 1e-4);
}

[[nodiscard]] std::unique_ptr<editing::TuningRun> tuning(Model& model, const Tensor& moments, const Tensor& text) {
    model.networks->prepare_training({"attn1.to_q", "attn2.to_q", "attn_temp"}, reel::CheckpointMode::exact, true);
    return model.networks->tune(moments, text, {.max_train_steps = 2, .learning_rate = 1e-3});
}

void compare(const reel::StateDict& found, const reel::StateDict& expected, double limit) {
    REQUIRE(found.size() == expected.size());
    REQUIRE(!found.empty());
    for (const auto& [name, tensor] : expected) {
        CAPTURE(name);
        CHECK(near::relative_error(found.at(name).to_vector<float>(), tensor.to_vector<float>()) <= limit);
    }
}

} // namespace

TEST_CASE("the programs' networks on Cuda give what they give on Cpu") {
    Cpu cpu(1);
    reel::Cuda cuda;
    {
        const editing::ModelSource source{.folder = "golden/sd1_tiny", .seed = 5};
        Model there = editing::load_as<float>(cpu, cuda, source);
        Model here = editing::load_as<float>(cpu, cpu, source);
        CHECK(there.networks->fingerprint() == here.networks->fingerprint());
        CHECK(there.networks->mapped_bytes(editing::Part::unet) == 0);

        const reel::Frames frames = clip();
        index_t seen = 0;
        const Tensor moments = here.networks->encode(frames, [] {});
        compare("encode", there.networks->encode(frames, [&] { ++seen; }), moments);
        CHECK(seen == frames.count);
        const auto ids = here.tokenizer.encode("a man is skiing");
        const Tensor text = here.networks->text(ids);
        compare("text", there.networks->text(ids), text);
        const auto noise = [&](index_t number) {
            return reel::training_noise<float>(cpu, {2, 2, 4, 4}, 3, number, 1000);
        };
        const Tensor latents = noise(9).noise;
        const double timestep = 500;
        const auto predict = [&](const Model& model) { return model.unet(latents, std::span(&timestep, 1), text, 2); };
        const Tensor untuned = predict(here);
        compare("predict", predict(there), untuned);
        compare("decode", there.networks->decode(latents, [] {}), here.networks->decode(latents, [] {}));

        // Tuning, whose checkpoint goes on on the other backend, and whose end is undone.
        const auto expected = tuning(here, moments, text);
        const auto found = tuning(there, moments, text);
        const reel::StateDict before = there.networks->trained();
        compare(before, here.networks->trained(), 0);
        const reel::TuneReport a = expected->update(noise);
        const reel::TuneReport b = found->update(noise);
        CHECK(b.loss == doctest::Approx(a.loss).epsilon(1e-4));
        CHECK(b.grad_norm == doctest::Approx(a.grad_norm).epsilon(1e-3));
        compare("latents of tuning", found->latents(), expected->latents());
        // Adam's first step is the gradient's sign: where a gradient is almost nothing, the two may differ by 2 lr.
        compare(there.networks->trained(), here.networks->trained(), 1e-2);
        const reel_test::TemporaryFolder folder;
        const reel::CheckpointIdentity identity{{{"seed", 3}}};
        found->save_checkpoint(folder / ".", identity);
        expected->load_checkpoint(folder / "checkpoint-1", identity);
        compare(there.networks->trained(), here.networks->trained(), 0);
        found->load_checkpoint(folder / "checkpoint-1", identity);
        CHECK(found->update(noise).loss == doctest::Approx(expected->update(noise).loss).epsilon(1e-4));
        const reel::StateDict tuned = there.networks->trained();
        there.networks->restore();
        compare("predict, restored", predict(there), untuned);
        there.networks->set_trained(tuned, "tuned");
        here.networks->restore();
        here.networks->set_trained(tuned, "tuned");
        compare("predict, tuned", predict(there), predict(here));
    }
    CHECK(cuda.memory().statistics().in_use == 0);
}
