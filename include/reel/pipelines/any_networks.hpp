#pragma once // Needs reel::text and reel::io.
// What a model is loaded from and tuned with, whatever its scalar type and backend.

#include <filesystem>
#include <memory>
#include <string>

#include <reel/pipelines/any_tensor.hpp>
#include <reel/pipelines/checkpoint_folder.hpp>
#include <reel/pipelines/replay.hpp>
#include <reel/pipelines/tune_options.hpp>
#include <reel/pipelines/tune_report.hpp>
#include <reel/schedulers/ddim.hpp>
#include <reel/text/clip_words.hpp>

namespace reel {

/// What a model is loaded from, and as what.
struct PipelineSource {
    std::filesystem::path folder;
    std::uint64_t seed = 0;              ///< of what inflation adds
    std::filesystem::path unet_folder{}; ///< of a UNet that was tuned, instead of the folder's
    MixedPrecision mixed_precision = MixedPrecision::no;
    bool pictures = false; ///< the UNet as it is, for pictures
    TextCleaning text_cleaning = TextCleaning::ftfy;
};

/// What is known of a model.
struct PipelineFacts {
    std::filesystem::path folder;
    index_t latent_channels = 4;
    index_t pixels_per_latent = 8;
    index_t sample_size = 64; ///< side that the UNet was made for, in latents' pixels
    index_t training_timesteps = 1000;
    DDIMConfig sampling; ///< of the folder's scheduler, with the pipeline's fixes for latents
};

/// What a stage looks at.
enum class PipelinePart { encoder, decoder, text_layers, unet };

/// All that is random in tuning: of a seed, or from a file.
struct TuningNoise {
    std::uint64_t seed = 0;
    const Replay* replay = nullptr; ///< when given, must outlive what draws
};

/// A tuning that is under way: what tune_clip() runs.
class AnyTuning {
public:
    AnyTuning() = default;
    AnyTuning(const AnyTuning&) = delete;
    AnyTuning& operator=(const AnyTuning&) = delete;
    virtual ~AnyTuning() = default;

    [[nodiscard]] virtual index_t step_count() const = 0;
    /// The clip's latents that the last update looked at (scaled); undefined before the first.
    [[nodiscard]] virtual AnyTensor latents() const = 0;
    virtual TuneReport update() = 0;
    virtual void save_checkpoint(const std::filesystem::path& output, const CheckpointIdentity& identity) = 0;
    virtual void load_checkpoint(const std::filesystem::path& folder, const CheckpointIdentity& identity) = 0;
};

} // namespace reel
