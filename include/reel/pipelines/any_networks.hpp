#pragma once // Needs reel::text and reel::io.
// What a model is loaded from and tuned with, whatever its scalar type and backend.

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <reel/io/lora/lora_use.hpp>
#include <reel/parallel/communicator.hpp>
#include <reel/pipelines/any_tensor.hpp>
#include <reel/pipelines/checkpoint_folder.hpp>
#include <reel/pipelines/model_options.hpp>
#include <reel/pipelines/replay.hpp>
#include <reel/pipelines/tune_options.hpp>
#include <reel/pipelines/tune_report.hpp>
#include <reel/schedulers/config/model_scheduler.hpp>
#include <reel/schedulers/ddim.hpp>
#include <reel/text/clip_words.hpp>

namespace reel {

/// What a model is loaded from, and as what.
struct PipelineSource {
    std::filesystem::path folder;        ///< or file: what open_model() takes
    std::uint64_t seed = 0;              ///< of what inflation adds
    std::filesystem::path unet_folder{}; ///< of a UNet that was tuned, instead of the folder's
    MixedPrecision mixed_precision = MixedPrecision::no;
    bool pictures = false; ///< the UNet as it is, for pictures
    bool masked = false;   ///< an inpainting model is not refused: paint_inside() will be called
    TextCleaning text_cleaning = TextCleaning::ftfy;
    ModelOptions model{};         ///< parts from elsewhere, and how prompts are read
    LoraChoice loras{};           ///< merged into the UNet and the text encoder
    bool allow_nonfinite = false; ///< Inf and NaN in its results are no error
};

/// What is known of a model.
struct PipelineFacts {
    std::filesystem::path folder;
    std::map<std::string, std::filesystem::path> files{}; ///< files_of_model(), and LoRAs
    index_t latent_channels = 4;
    index_t pixels_per_latent = 8;
    index_t sample_size = 64; ///< side that the UNet was made for, in latents' pixels
    index_t training_timesteps = 1000;
    bool inpaints = false;             ///< the UNet paints inside of a mask, which it is shown
    bool takes_guidance_scale = false; ///< the UNet is distilled: it is told the scale, and no negative prompt
    DDIMConfig sampling;               ///< of the folder's scheduler, with the pipeline's fixes for latents
    ModelSchedulerConfig scheduler{};  ///< the model's own
    std::vector<std::string> notes{};  ///< model_notes()
    PromptSyntax prompt_syntax = PromptSyntax::plain;
    std::vector<LoraReport> loras{}; ///< what was merged
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
    /// The clip's latents that the last update looked at (scaled), also one before this run; undefined before the
    /// first.
    [[nodiscard]] virtual AnyTensor latents() const = 0;
    virtual TuneReport update() = 0;
    /// Divides every step's draws among ranks; see Tuner::share_draws().
    virtual void share_draws(const Communicator& ranks) = 0;
    virtual void save_checkpoint(const std::filesystem::path& output, const CheckpointIdentity& identity) = 0;
    virtual void load_checkpoint(const std::filesystem::path& folder, const CheckpointIdentity& identity) = 0;

    /// Inf and NaN in its losses are no error of tune_clip().
    bool allow_nonfinite = false;
    /// Why a loss may not be finite; see blame_weights().
    [[nodiscard]] virtual std::string why_not_finite() const = 0;
};

} // namespace reel
