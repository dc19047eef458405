#pragma once // Needs reel::text and reel::io.
// How a program saves what it has tuned, which may have taken days. Link reel::pipelines.

#include <filesystem>
#include <string>

#include <reel/pipelines/any_pipeline.hpp>
#include <reel/pipelines/checkpoint_folder.hpp>

namespace reel {

/// Saves a tuned model into a folder. Where that does not take its UNet, `rescue()` saves it another way and returns
/// where. Throws Error that says what was not saved, and where the UNet is all the same.
template <class Rescue>
void save_tuned(const AnyPipeline& model, const std::filesystem::path& output, const Rescue& rescue) {
    std::string reason;
    try {
        model.save_tuned(output);
        return;
    } catch (const PartsNotSaved&) {
        throw;
    } catch (const Error& error) {
        reason = error.what();
    }
    std::filesystem::path kept;
    try {
        kept = rescue();
    } catch (const Error& error) {
        fail(reason, "; and elsewhere: ", error.what());
    }
    fail(reason, "; what was tuned is in ", kept.string());
}

/// A rescue: the state of a tuning as its last checkpoint, from which it can be continued and saved.
template <class Tuning>
[[nodiscard]] auto rescue_as_checkpoint(Tuning& tuning, const std::filesystem::path& output,
                                        const CheckpointIdentity& identity) {
    return [&] {
        const std::filesystem::path folder = checkpoint_folder(output, tuning.step_count());
        std::error_code ignored;
        if (!std::filesystem::exists(folder / "state.json", ignored)) { // else it is there already
            tuning.save_checkpoint(output, identity);
        }
        return folder;
    };
}

} // namespace reel
