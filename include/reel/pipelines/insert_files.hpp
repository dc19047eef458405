#pragma once // Needs reel::text, reel::io and reel::video.
// What insert_object writes, and where. Link reel::pipelines and reel::video.

#include <filesystem>
#include <string>
#include <vector>

#include <reel/io/files/atomic_file.hpp>
#include <reel/pipelines/insert_options.hpp>
#include <reel/pipelines/preview.hpp>
#include <reel/pipelines/save_tuned.hpp>
#include <reel/pipelines/tuned_lora.hpp>

namespace reel {

/// The files of one run. `options` must outlive it.
struct InsertFiles {
    const InsertOptions& options;

    [[nodiscard]] std::filesystem::path folder() const { return options.config.output_dir; }
    [[nodiscard]] std::filesystem::path operator/(const char* name) const { return folder() / name; }

    /// STEM of an edit's clip; edits are numbered from 1.
    [[nodiscard]] std::filesystem::path edit_stem(const std::string& number, const std::string& prompt) const {
        return folder() / concat_text("edit-", number, "-", file_name_of(prompt));
    }
    [[nodiscard]] std::filesystem::path mask_file(const std::string& number) const {
        return folder() / concat_text("mask-", number, ".gif");
    }

    /// Keeps a preview of the edit that is being sampled; see preview_every.
    [[nodiscard]] EachStep preview(Job& in, AnyPipeline& model, const std::string& number,
                                   const ClipTimes& times) const {
        return preview_of_steps(in, model, {options.preview_every, preview_file(number), times});
    }
    [[nodiscard]] std::filesystem::path preview_file(const std::string& number) const {
        return folder() / concat_text("preview-", number, ".gif");
    }

    /// Where the noise goes that the clip was inverted to.
    [[nodiscard]] std::filesystem::path inverted_file() const {
        return reel::inverted_file(options.config.output_dir, options.config.validation_data.num_inv_steps);
    }

    /// Finds out before the work whether all that will be written can be. Makes the folders, and keeps other runs out
    /// of them.
    void check(Job& job) const {
        const std::filesystem::path folder = this->folder();
        require_other_folder(folder, options.config.pretrained_model_path);
        if (!job.writes_files()) {
            return;
        }
        job.claim(folder);
        if (!options.save_tuned.empty()) {
            job.claim(options.save_tuned);
            require_other_folder(options.save_tuned, options.config.pretrained_model_path);
            check_tuned_pipeline(options.save_tuned);
        }
        check_mp4({.lossless = options.lossless});
        std::vector<std::filesystem::path> files;
        for (const char* name : {"side_by_side.gif", "frames.png", "manifest.json"}) {
            files.push_back(folder / name);
        }
        const auto check_clip = [&](const std::filesystem::path& stem) { // as write_clip() has it
            files.emplace_back(stem.string() + ".gif");
            files.emplace_back(stem.string() + ".mp4");
            if (options.frames) {
                require_other_clip(stem, options.config.train_data.video_path);
                check_frame_folder(stem);
            }
        };
        check_clip(folder / "source");
        for (std::size_t i = 0; i < options.config.validation_data.prompts.size(); ++i) {
            const std::string number = std::to_string(i + 1);
            check_clip(edit_stem(number, options.config.validation_data.prompts[i]));
            if (options.edit.masked()) {
                files.push_back(mask_file(number));
            }
            if (options.preview_every > 0) {
                files.push_back(preview_file(number));
            }
        }
        if (options.tuned.empty()) {
            files.push_back(folder / "losses.csv");
        }
        if (options.tunes_lora()) {
            files.push_back(folder / tuned_lora_file);
        }
        if (options.edit.inverted()) {
            files.push_back(inverted_file());
        }
        if (!options.save_tensors.empty()) {
            files.emplace_back(options.save_tensors);
        }
        for (const std::filesystem::path& file : files) {
            require_other_clip(file, options.config.train_data.video_path);
        }
        check_outputs(files);
    }

    /// The noise that the clip was inverted to, where it was.
    void write_inverted(Job& in, const AnyTensor& noise) const {
        if (options.edit.inverted()) {
            in.write(inverted_file(), [&](const auto& file) { reel::write_inverted(file, in.cpu(), noise); });
        }
    }

    /// losses.csv, where anything may have been tuned, the LoRA that was, and the tuned model.
    void write_tuning(Job& in, const AnyPipeline& model, const LossLog& losses) const {
        if (options.tuned.empty()) {
            in.write(folder() / "losses.csv", [&](const auto& file) { losses.write(file); });
        }
        if (options.tunes_lora()) {
            in.write(folder() / tuned_lora_file,
                     [&](const auto& file) { model.save_lora(file, options.config.lora_names); });
        }
        if (!options.save_tuned.empty()) {
            const std::filesystem::path elsewhere = folder() / "tuned_model";
            in.attempt([&] {
                reel::save_tuned(model, options.save_tuned, [&] {
                    model.save_tuned(elsewhere);
                    return elsewhere;
                });
            });
        }
    }
};

} // namespace reel
