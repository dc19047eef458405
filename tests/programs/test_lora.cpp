// --lora: what it changes in each program, what is said of it, and what is refused.

#include <cmath>
#include <set>

#include <reel/io/config/json.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/io/weights/torch_checkpoint.hpp>

#include "support/programs.hpp"

using namespace reel_test;

namespace {

const Path golden = std::filesystem::absolute("golden/lora");
const std::string locon = (golden / "locon.safetensors").string();

Words edit(const TemporaryFolder& folder, const std::string& out, const Words& more = {}) {
    return small_edit(folder, out, Words{"--max_train_steps", "2"} + more);
}

std::string refused(const Words& command) {
    const Ended ended = run(command);
    INFO(ended.err);
    CHECK(ended.status != 0);
    CHECK(lines_of(ended.err).size() == 1);
    return ended.err;
}

double worst(const reel::HostTensor& found, const reel::HostTensor& expected) {
    REQUIRE(found.shape == expected.shape);
    const auto a = found.to_vector<double>();
    const auto b = expected.to_vector<double>();
    double difference = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        difference = std::max(difference, std::abs(a[i] - b[i]));
    }
    return difference;
}

} // namespace

TEST_CASE("text_to_image: --lora changes the picture, says what was used, and at scale 0 changes no byte") {
    const TemporaryFolder folder;
    const Ended plain = run_well(small_picture(folder / "plain"));
    CHECK(!contains(plain.out, "lora "));
    const Ended with_lora = run_well(small_picture(folder / "with", {"--lora", locon}));
    CHECK(contains(with_lora.out, "lora " + locon + ": used 33 of 33 tensors, scale 1\n"));
    CHECK(with_lora.err.empty());
    const std::string picture = "0001-a_red_stool.png";
    CHECK(read_text(folder / "with" / picture) != read_text(folder / "plain" / picture));
    const Ended none = run_well(small_picture(folder / "none", {"--lora", locon + ":0"}));
    CHECK(contains(none.out, "used 33 of 33 tensors, scale 0\n"));
    CHECK(untimed_files_in(folder / "none") == untimed_files_in(folder / "plain"));
    // Twice, of which one takes the other back, and half with half.
    run_well(small_picture(folder / "half", {"--lora", locon + ":0.5", "--lora", locon + ":0.5"}));
    const auto latents = [&](const char* run) {
        return reel::read_safetensors(folder / run / "t.safetensors").at("latents");
    };
    CHECK(worst(latents("half"), latents("with")) < 1e-3);
    CHECK(worst(latents("plain"), latents("with")) > 1e-2);
    const nlohmann::json manifest = reel::read_json(folder / "half" / "manifest.json");
    CHECK(manifest["options"]["lora"].size() == 2);
    CHECK(contains(manifest["inputs"].dump(), "locon.safetensors"));
}

TEST_CASE("text_to_image: --lora_partial leaves out what the model has no layer for, and warns") {
    const TemporaryFolder folder;
    reel::StateDict tensors = reel::read_safetensors(locon);
    const reel::StateDict whole = tensors;
    tensors.emplace("lora_unet_elsewhere.alpha", reel::HostTensor::make<float>({}, {1}));
    const Path more = folder / "more.safetensors";
    reel::write_safetensors(more, tensors);
    const std::string error = refused(small_picture(folder / "refused", {"--lora", more}));
    CHECK(contains(error, "text_to_image: error: " + more.string() + ": tensor \"lora_unet_elsewhere.alpha\""));
    CHECK(contains(error, "1 of 34 tensors"));
    const Ended ended = run_well(small_picture(folder / "partial", {"--lora", more, "--lora_partial"}));
    CHECK(contains(ended.out, "used 33 of 34 tensors, scale 1\n"));
    CHECK(contains(ended.err, "warning: " + more.string() + ": 1 of 34 tensors are of no layer of this model"));
    run_well(small_picture(folder / "whole", {"--lora", locon}));
    CHECK(untimed_files_in(folder / "partial") == untimed_files_in(folder / "whole"));
}

TEST_CASE("a LoRA for few steps with its samplers: LCM, TCD, and trailing DDIM") {
    const TemporaryFolder folder;
    write_clip(folder / "clip.mp4");
    const Words lora{"--lora", golden / "few_steps.safetensors"};
    const Words four = lora + Words{"--guidance_scale", "1"};
    const auto drawn = [&](const std::string& name, const Words& more) {
        run_well(with(small_picture(folder / name, four + more), "--num_inference_steps", "4"));
        return read_text(folder / name / "0001-a_red_stool.png");
    };
    std::set<std::string> different;
    const std::string lcm = drawn("lcm", {"--scheduler", "LCM"});
    different.insert(lcm);
    CHECK(reel::read_json(folder / "lcm" / "manifest.json")["options"]["scheduler"] == "LCMScheduler");
    CHECK((drawn("negative", {"--scheduler", "lcm", "--negative_prompt", "a dog"}) == lcm));
    different.insert(drawn("tcd", {"--scheduler", "TCD"}));
    different.insert(drawn("gamma", {"--scheduler", "TCD", "--eta", "0.3"}));
    different.insert(drawn("ddim", {"--scheduler", "ddim"}));
    different.insert(drawn("trailing", {"--scheduler", "ddim", "--timestep_spacing", "trailing"}));
    CHECK(different.size() == 5);
    CHECK(reel::read_json(folder / "trailing" / "manifest.json")["options"]["timestep_spacing"] == "trailing");
    CHECK(contains(refused(small_picture(folder / "no", {"--scheduler", "lcm", "--timestep_spacing", "trailing"})),
                   "--timestep_spacing trailing: LCMScheduler has no choice of timesteps"));

    // No inversion leads to where these begin: an edit begins with noise, or with the draft of its mask.
    for (const char* name : {"LCM", "TCD"}) {
        const Words sampler = four + Words{"--scheduler", name};
        CHECK(contains(refused(edit(folder, "no", sampler)), "start from noise (--start noise)"));
        CHECK_FALSE(std::filesystem::exists(folder / "no" / "manifest.json"));
        run_well(edit(folder, std::string("edit ") + name, sampler + Words{"--start", "noise"}));
        CHECK(untimed_files_in(folder / (std::string("edit ") + name)).contains("edit-1-a_man_is_driving.gif"));
    }
    run_well(edit(folder, "masked",
                  four + Words{"--scheduler", "LCM", "--start", "noise", "--mask", "delta", "--delta_steps", "2"}));
    run_well(edit(folder, "inverted", four + Words{"--timestep_spacing", "trailing"}));
    run_well(edit(folder, "leading", four));
    CHECK(untimed_files_in(folder / "inverted") != untimed_files_in(folder / "leading"));
}

TEST_CASE("files that are no LoRA for the model end a program in one line") {
    const TemporaryFolder folder;
    const auto with_lora = [&](const std::string& file) {
        return refused(small_picture(folder / "out", {"--lora", file}));
    };
    CHECK(contains(with_lora("none.safetensors"), "none.safetensors: no such LoRA file"));
    CHECK(contains(with_lora(locon + ":nan"), "not a finite number"));
    CHECK(contains(with_lora(golden / "locon_sd2.safetensors"), "values in and"));
    CHECK(contains(with_lora(sd2_model / "unet" / "diffusion_pytorch_model.safetensors"), "give it as --model"));
    CHECK(contains(with_lora(sd1_model), "a model's folder, not a LoRA"));
    CHECK(contains(refused(with(small_picture(folder / "out"), "--model", locon)),
                   "a LoRA for a model, which --lora takes"));
}

TEST_CASE("compare_samplers takes them") {
    const TemporaryFolder folder;
    const auto compare = [&](const char* out, const Words& more) {
        const Ended ended =
            run_well(Words{REEL_COMPARE_SAMPLERS, "--model", sd1_model, "--prompt", "a man", "--output", folder / out,
                           "--samplers", "ddim", "--steps", "2", "--reference_steps", "4", "--threads", "1"} +
                     more);
        return std::pair(ended.out, read_text(folder / out / "samplers.png"));
    };
    const auto plain = compare("plain", {});
    const auto with_lora = compare("with", {"--lora", locon + ":0.8"});
    CHECK(contains(with_lora.first, "lora " + locon + ": used 33 of 33 tensors, scale 0.8\n"));
    CHECK(with_lora.second != plain.second);
}

TEST_CASE("insert_object: what is tuned and saved has the LoRA in it, the text encoder too") {
    const TemporaryFolder folder;
    write_clip(folder / "clip.mp4");
    run_well(edit(folder, "plain"));
    const Ended ended = run_well(
        edit(folder, "with", {"--lora", locon, "--save_tuned", folder / "tuned", "--trainable_modules", "attn_temp"}));
    CHECK(contains(ended.out, "lora " + locon + ": used 33 of 33 tensors, scale 1\n"));
    CHECK(untimed_files_in(folder / "with") != untimed_files_in(folder / "plain"));
    run_well(edit(folder, "none", {"--lora", locon + ":0"}));
    CHECK(untimed_files_in(folder / "none") == untimed_files_in(folder / "plain"));
    // Weights that did not train are those of the golden file.
    const auto expected = reel::read_safetensors(golden / "expected.safetensors");
    const auto unet = reel::read_torch_checkpoint(folder / "tuned" / "unet" / "diffusion_pytorch_model.bin").tensors;
    const auto text = reel::read_torch_checkpoint(folder / "tuned" / "text_encoder" / "pytorch_model.bin").tensors;
    std::size_t compared = 0;
    for (const auto& [key, tensor] : expected) {
        for (const auto& [part, tensors] : {std::pair{"locon/unet/", &unet}, std::pair{"locon/text_encoder/", &text}}) {
            if (key.starts_with(part)) {
                CAPTURE(key);
                CHECK(worst(tensors->at(key.substr(std::string(part).size())), tensor) <= 1e-6);
                ++compared;
            }
        }
    }
    CHECK(compared == 11);
    CHECK(std::filesystem::exists(folder / "tuned" / "text_encoder" / "config.json"));
    // The saved folder is a model by itself: the edit of the whole job without the LoRA's file.
    run_well(with(edit(folder, "again", {"--tuned", folder / "tuned"}), "--model", folder / "tuned"));
    auto whole = untimed_files_in(folder / "with");
    CHECK(untimed_files_in(folder / "again") == whole);
}

TEST_CASE("tune_video goes on with the LoRA that it began with, a folder of PEFT's too") {
    const TemporaryFolder folder;
    write_clip(folder / "clip.mp4");
    const auto tune = [&](const std::string& lora, const std::string& more) {
        put_text(folder / "config.yaml",
                 "pretrained_model_path: " + sd1_model.string() + "\noutput_dir: " + (folder / "out").string() +
                     "\ntrain_data: {video_path: " + (folder / "clip.mp4").string() +
                     ", prompt: a man, n_sample_frames: 2, width: 32, height: 32}\nseed: 1\nmixed_precision: no\n"
                     "validation_data: {prompts: []}\nvalidation_steps: 100\ncheckpointing_steps: 1\n" +
                     more);
        return Words{tune_video, "--config", folder / "config.yaml", "--threads", "1", "--lora", lora};
    };
    const std::string peft = golden / "peft_lora";
    run_well(tune(peft, "max_train_steps: 1\n"));
    const std::string two = "max_train_steps: 2\nresume_from_checkpoint: latest\n";
    const std::string error = refused(tune(peft + ":0.5", two));
    CHECK(contains(error, "the checkpoint was made with another model: its lora/0 at"));
    CHECK(contains(run_well(tune(peft, two)).err, "continuing from"));
}
