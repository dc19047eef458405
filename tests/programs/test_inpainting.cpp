// insert_object with a model that paints inside of a mask; and that the others refuse it.

#include <reel/io/config/json.hpp>

#include "support/inpainting_model.hpp"
#include "support/programs.hpp"

using namespace reel_test;

namespace {

const std::string edit_gif = "edit-1-a_man_is_driving.gif";

class Workplace : public TemporaryFolder {
public:
    Workplace() {
        write_clip(*this / "clip.mp4", 2);
        put_inpainting_model(*this / "model");
    }

    [[nodiscard]] Words command(const std::string& output, const Words& more = {}) const {
        return small_edit(*this, output,
                          Words{"--model", *this / "model", "--learning_rate", "1e-3", "--num_inv_steps", "3",
                                "--num_inference_steps", "3"} +
                              more);
    }
    [[nodiscard]] std::string edited(const std::string& output, const Words& more) const {
        INFO(output);
        run_well(command(output, more));
        const nlohmann::json outside = reel::read_json(*this / output / "manifest.json").at("outside_mask");
        CHECK(outside.at("changed") == 0);
        CHECK(outside.at("pixels") > 0);
        return read_text(*this / output / edit_gif);
    }
};

const std::string sentence =
    "the vae has 4 latent channels, the unet takes 9 and gives 4; this is an inpainting model, "
    "which paints inside a mask: give insert_object one (--mask_box, --mask_file, "
    "--mask_polygon), or take the plain model of it\n";

} // namespace

TEST_CASE("an inpainting model is tuned, inverted and sampled with the mask that is given") {
    const Workplace work;
    const Words box{"--mask_box", "0,0,0.5,1"};
    const Words tuned{"--max_train_steps", "2"};
    const std::string edit = work.edited("edit", box + tuned + Words{"--save_tuned", work / "tuned"});
    CHECK(work.edited("again", box + tuned) == edit);
    CHECK(work.edited("untuned", box + Words{"--max_train_steps", "0"}) != edit);
    CHECK(work.edited("elsewhere", Words{"--mask_box", "0.5,0,0.5,1"} + tuned) != edit);
    CHECK(reel::read_json(work / "tuned" / "unet" / "config.json").at("in_channels") == 9);
    CHECK(work.edited("from tuned", box + Words{"--tuned", work / "tuned", "--max_train_steps", "2"}) == edit);
    // without the memory of checkpoints, to rounding; in 16 bits; with what else touches masks and inversions
    static_cast<void>(work.edited("no checkpoints", box + tuned + Words{"--gradient_checkpointing", "false"}));
    static_cast<void>(work.edited("bf16", box + tuned + Words{"--mixed_precision", "bf16"}));
    static_cast<void>(work.edited("lora", box + tuned + Words{"--tune", "lora", "--mask_feather", "4"}));
    static_cast<void>(work.edited("more", box + tuned +
                                              Words{"--mask", "difference", "--inversion", "edit_friendly", "--eta",
                                                    "1", "--overlay", "--preview_every", "1"}));
    static_cast<void>(
        work.edited("noise", box + tuned + Words{"--start", "noise", "--mask", "delta", "--delta_steps", "2"}));
    static_cast<void>(work.edited("pasted", box + tuned + Words{"--paste", "--lossless"}));
    const Ended planned = run(work.command("planned", box + tuned + Words{"--plan"}));
    INFO(planned.out, planned.err);
    CHECK(planned.status == 0);
}

TEST_CASE("an inpainting model without a mask, or with one that is too small for it, is refused in a sentence") {
    const Workplace work;
    const std::string model = work / "model";
    const Ended without = run(work.command("without"));
    CHECK(without.status == 1);
    CHECK(without.err.ends_with("insert_object: error: " + model + ": " + sentence));
    put_text(work / "config.yaml", "pretrained_model_path: " + model + "\noutput_dir: " + (work / "out").string() +
                                       "\ntrain_data: {video_path: " + (work / "clip.mp4").string() +
                                       ", prompt: a man, n_sample_frames: 2, width: 32, height: 32}\n"
                                       "validation_data: {prompts: [a dog], video_length: 2, width: 32, height: 32}\n"
                                       "max_train_steps: 1\n");
    const Ended tuning = run({tune_video, "--config", work / "config.yaml"});
    CHECK(tuning.status == 1);
    CHECK(tuning.err.ends_with(": " + sentence));
    const Ended small = run(work.command("small", {"--mask_box", "9,9,3,3", "--max_train_steps", "0"}));
    CHECK(small.status == 1);
    CHECK(contains(small.err, "the mask is too small for an inpainting model: of every 8x8 pixels"));
}
