#pragma once
// A folder with everything that the pages speak of, small: models with random weights, clips of a few frames.

#include "markdown.hpp"
#include "support/programs.hpp"

namespace docs {

namespace fs = std::filesystem;

inline const fs::path root = fs::canonical("..");
inline const fs::path build = REEL_BUILD_FOLDER;
inline const std::string programs = (build / "examples").string();

/// A configuration as Tune-A-Video's, for a run of seconds.
inline constexpr const char* small_config = R"(pretrained_model_path: stable-diffusion-v1-4
output_dir: out/man-skiing
train_data: {video_path: clip.mp4, prompt: a man is skiing, n_sample_frames: 2, width: 32, height: 32}
validation_data:
  prompts: [a panda is skiing]
  video_length: 2
  width: 32
  height: 32
  num_inference_steps: 2
  num_inv_steps: 2
  use_inv_latent: true
learning_rate: 3e-5
train_batch_size: 1
max_train_steps: 2
checkpointing_steps: 1
validation_steps: 1
trainable_modules: [attn1.to_q, attn2.to_q, attn_temp]
seed: 33
)";

inline constexpr const char* small_study = R"(model: stable-diffusion-v1-4
seeds: [1, 2]
options: {n_sample_frames: 2, width: 32, height: 32, max_train_steps: 2, num_inv_steps: 2, num_inference_steps: 2}
objects:
  racket:
    prompt: a man is swinging
    captions: [a man is swinging a red tennis racket]
    clips: {pretended: clip.mp4}
)";

/// What takes a moment to make, once for all pages.
inline const fs::path& materials() {
    static const reel_test::TemporaryFolder folder;
    static const bool made = [] {
        const auto program = [](const std::string& name) { return programs + "/" + name; };
        const std::string demo = folder / "demo";
        const std::string clip = demo + "/clip.mp4";
        const std::string model = demo + "/model";
        reel_test::run_well({program("make_demo"), demo});
        reel_test::run_well({program("video_tools"), "rate", clip, folder / "take3.mov", "--fps", "5", "--retime"});
        reel_test::run_well({program("convert_checkpoint"), model, folder / "single.ckpt"});
        reel_test::run_well(
            {program("convert_checkpoint"), model + "/unet/diffusion_pytorch_model.safetensors", folder / "unet.bin"});
        reel_test::run_well({program("draw_world"), "--pictures", "24", folder / "pictures"});
        return true;
    }();
    REQUIRE(made);
    return folder.path();
}

/// The folder in which a page's commands are run.
class Scratch {
public:
    Scratch() {
        const fs::path& made = materials();
        for (const char* model : {"stable-diffusion-v1-4", "stable-diffusion", "model", "MODEL"}) {
            give(made / "demo/model", model);
        }
        for (const char* clip : {"clip.mp4", "CLIP.mp4", "racket.mp4", "crowd.mp4", "out/edit.mp4"}) {
            give(made / "demo/clip.mp4", clip);
        }
        give(made / "take3.mov", "take3.mov");
        give(made / "single.ckpt", "v1-5-pruned.ckpt");
        give(made / "unet.bin", "diffusion_pytorch_model.bin");
        give(made / "pictures", "my_pictures");
        write("configs/man-skiing.yaml", small_config);
        write("study.yaml", small_study);
        // the repository, and the folders that it is built in
        give(root, "reel");
        give(root / "include", "include");
        give(root / "examples/model", "examples/model");
        write("examples/studies/demo.yaml", shrunk(reel_test::read_text(root / "examples/studies/demo.yaml")));
        for (const auto& entry : fs::directory_iterator(build)) {
            give(entry.path(), "build/" + entry.path().filename().string());
        }
        give(build, "build/demo");
        fs::create_directory(path() / "home");
    }

    [[nodiscard]] const fs::path& path() const { return folder_.path(); }

    void write(const std::string& name, const std::string& text) const {
        fs::create_directories((path() / name).parent_path());
        reel_test::put_text(path() / name, text);
    }

private:
    void give(const fs::path& what, const std::string& name) const {
        fs::create_directories((path() / name).parent_path());
        fs::create_symlink(what, path() / name);
    }

    /// A study with few steps.
    [[nodiscard]] static std::string shrunk(const std::string& text) {
        std::string result;
        for (std::string line : split_lines(text)) {
            for (const char* key : {"max_train_steps", "num_inv_steps", "num_inference_steps", "n_sample_frames"}) {
                if (line.starts_with("  " + std::string(key) + ":")) {
                    line = "  " + std::string(key) + ": 2";
                }
            }
            result += line + "\n";
        }
        return result;
    }

    reel_test::TemporaryFolder folder_;
};

} // namespace docs
