// --vae with a tiny autoencoder (TAESD): every program takes it, what it draws is what AutoencoderTiny decodes, and
// what is tuned and saved with it loads again.

#include <algorithm>
#include <cmath>

#include <reel/io/config/json.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/io/weights/torch_checkpoint.hpp>
#include <reel/io/weights/torch_writer.hpp>
#include <reel/models/from_pretrained.hpp>

#include "support/golden.hpp"
#include "support/programs.hpp"

using namespace reel_test;

namespace {

const Path golden = std::filesystem::absolute("models/golden/tiny_vae");
const std::string folder_of_diffusers = golden / "four";
const std::string decoder = golden / "halves" / "taesd_decoder.pth";
const std::string note = "a tiny autoencoder, quick and coarser than a whole one";

Words edited(const TemporaryFolder& folder, const std::string& out, const Words& more) {
    return small_edit(folder, out, Words{"--max_train_steps", "2"} + more);
}

std::string refused(const Words& command) {
    const Ended ended = run(command);
    INFO(ended.err);
    CHECK(ended.status == 1);
    Words lines = lines_of(ended.err);
    std::erase_if(lines, [](const std::string& line) { return line.starts_with("note: "); });
    CHECK(lines.size() == 1);
    return ended.err;
}

} // namespace

TEST_CASE("text_to_image --vae: a tiny autoencoder decodes, wherever it is from") {
    const TemporaryFolder folder;
    const Ended ended = run_well(small_picture(folder / "tiny", {"--vae", folder_of_diffusers}));
    CHECK(contains(ended.err, note));
    run_well(small_picture(folder / "plain", {}));
    for (const std::string& given : {decoder, std::string(golden / "halves"),
                                     std::string(golden / "four" / "diffusion_pytorch_model.safetensors")}) {
        run_well(small_picture(folder / "again", {"--vae", given}));
        CHECK(untimed_files_in(folder / "again") == untimed_files_in(folder / "tiny"));
        std::filesystem::remove_all(folder / "again");
    }
    // The same latents as with the model's own; pictures of them.
    const reel::StateDict made = reel::read_safetensors(folder / "tiny" / "t.safetensors");
    const reel::StateDict plain = reel::read_safetensors(folder / "plain" / "t.safetensors");
    CHECK(std::ranges::equal(made.at("latents").bytes(), plain.at("latents").bytes()));
    CHECK_FALSE(std::ranges::equal(made.at("pictures").bytes(), plain.at("pictures").bytes()));
    reel::Cpu cpu(1);
    const auto vae = reel::load_autoencoder_tiny<double>(cpu, folder_of_diffusers);
    const auto& latents = made.at("latents");
    const auto decoded =
        reel::permute(
            vae.decode(reel::permute(
                reel::Tensor<double>::from_host(cpu, shape_of(latents), latents.to_vector<double>()), {0, 2, 3, 1})),
            {0, 3, 1, 2})
            .to_host();
    const auto pictures = made.at("pictures").to_vector<double>();
    REQUIRE(pictures.size() == decoded.size());
    double worst = 0;
    for (std::size_t i = 0; i < pictures.size(); ++i) {
        worst = std::max(worst, std::abs(pictures[i] - std::clamp(decoded[i] / 2 + 0.5, 0.0, 1.0)));
    }
    CHECK(worst < 1e-5);
}

TEST_CASE("text_to_image --vae: both halves are in the manifest, and what does not fit is one sentence") {
    const TemporaryFolder folder;
    run_well(small_picture(folder / "halves", {"--vae", decoder}));
    const std::string inputs = reel::read_json(folder / "halves" / "manifest.json")["inputs"].dump();
    CHECK(contains(inputs, "taesd_decoder.pth"));
    CHECK(contains(inputs, "taesd_encoder.pth"));
    CHECK(contains(refused(small_picture(folder / "out", {"--vae", golden / "sixteen"})),
                   "the vae has 16 latent channels, the unet takes 4"));
    std::filesystem::copy_file(decoder, folder / "taesd_decoder.pth");
    CHECK(contains(refused(small_picture(folder / "out", {"--vae", folder / "taesd_decoder.pth"})),
                   "put the encoder beside it"));
    CHECK(contains(refused(small_picture(folder / "out", {"--unet", decoder})), "(TAESD), which --vae takes"));
}

TEST_CASE("insert_object --vae: the whole job with a tiny autoencoder; what is saved loads again") {
    const TemporaryFolder folder;
    write_clip(folder / "clip.mp4");
    const Words more{"--vae", decoder, "--save_tuned", folder / "tuned"};
    const Ended ended = run_well(edited(folder, "tiny", more));
    CHECK(contains(ended.err, note));
    const auto tiny = untimed_files_in(folder / "tiny");
    run_well(edited(folder, "again", {"--vae", folder_of_diffusers}));
    CHECK(untimed_files_in(folder / "again") == tiny);
    run_well(edited(folder, "plain", {}));
    CHECK(untimed_files_in(folder / "plain") != tiny);
    CHECK(reel::read_json(folder / "tuned" / "model_index.json")["vae"][1] == "AutoencoderTiny");
    CHECK(reel::read_json(folder / "tuned" / "vae" / "config.json")["latent_channels"] == 4);
    const reel::StateDict saved =
        reel::read_torch_checkpoint(folder / "tuned" / "vae" / "diffusion_pytorch_model.bin").tensors;
    const reel::StateDict given = reel::load_weights(folder_of_diffusers, reel::diffusers_weight_names);
    REQUIRE(saved.size() == given.size());
    for (const auto& [name, tensor] : given) {
        CHECK(std::ranges::equal(saved.at(name).bytes(), tensor.bytes()));
    }
    const Words whole = with(edited(folder, "saved", {}), "--model", folder / "tuned");
    const Ended loaded = run_well(with(whole, "--max_train_steps", "0"));
    CHECK(contains(loaded.err, note));
    const std::string edit = "edit-1-a_man_is_driving.gif";
    CHECK(untimed_files_in(folder / "saved").at(edit) == tiny.at(edit));
    run_well(edited(folder, "half", {"--vae", decoder, "--tuned", folder / "tuned"}));
    CHECK(untimed_files_in(folder / "half").at(edit) == tiny.at(edit));
}

TEST_CASE("insert_object --preview_every: the edit as it looks so far, and all else as without") {
    const TemporaryFolder folder;
    write_clip(folder / "clip.mp4");
    const auto made = [&](const std::string& name, Words more) {
        const Words tensors{"--vae", decoder, "--save_tensors", folder / name / "t.safetensors"};
        more.insert(more.end(), tensors.begin(), tensors.end());
        run_well(edited(folder, name, more));
        return untimed_files_in(folder / name);
    };
    const auto without = made("without", {});
    CHECK(!without.contains("preview-1.gif"));
    auto with_previews = made("with", {"--preview_every", "1"});
    // The last of them is of the last step.
    CHECK(with_previews.at("preview-1.gif") == without.at("edit-1-a_man_is_driving.gif"));
    with_previews.erase("preview-1.gif");
    CHECK(with_previews == without);
    CHECK(made("seldom", {"--preview_every", "3"}) == without); // than there are steps
    CHECK(contains(refused(edited(folder, "never", {"--preview_every", "-1"})), "--preview_every"));
}

TEST_CASE("tune_video --vae: a run goes on with the tiny autoencoder that it began with, and with no other") {
    const TemporaryFolder folder;
    write_clip(folder / "clip.mp4");
    std::filesystem::copy(golden / "halves", folder / "halves");
    const auto tune = [&](const Path& vae, const std::string& more) {
        put_text(folder / "config.yaml",
                 "pretrained_model_path: " + sd1_model.string() + "\noutput_dir: " + (folder / "out").string() +
                     "\ntrain_data: {video_path: " + (folder / "clip.mp4").string() +
                     ", prompt: a man, n_sample_frames: 2, width: 32, height: 32}\nseed: 1\nmixed_precision: no\n"
                     "validation_data: {prompts: [a dog], num_inference_steps: 2, num_inv_steps: 2, "
                     "use_inv_latent: true}\nvalidation_steps: 2\ncheckpointing_steps: 1\n" +
                     more);
        return Words{tune_video, "--config", folder / "config.yaml", "--threads", "1", "--vae", vae};
    };
    const Path given = folder / "halves" / "taesd_decoder.pth";
    run_well(tune(given, "max_train_steps: 1\n"));
    const std::string two = "max_train_steps: 2\nresume_from_checkpoint: latest\n";
    CHECK(contains(refused(tune(folder_of_diffusers, two)), "the checkpoint was made with another model"));
    reel::StateDict encoder = reel::read_torch_checkpoint(folder / "halves" / "taesd_encoder.pth").tensors;
    std::vector<float> values = encoder.at("0.bias").to_vector<float>();
    values.front() += 1;
    encoder.at("0.bias") = reel::HostTensor::make<float>(encoder.at("0.bias").shape, values);
    const std::string bytes = read_text(folder / "halves" / "taesd_encoder.pth");
    reel::write_torch_checkpoint(folder / "halves" / "taesd_encoder.pth", reel::tensor_sources(encoder));
    CHECK(contains(refused(tune(given, two)), "its vae/taesd_encoder.pth"));
    put_text(folder / "halves" / "taesd_encoder.pth", bytes);
    CHECK(contains(run_well(tune(given, two)).err, "continuing from"));
    CHECK(std::filesystem::exists(folder / "out" / "samples"));
}
