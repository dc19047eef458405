#pragma once
// The networks of a Stable Diffusion folder, whatever scalar type they compute with and where. Schedulers, masks and
// everything else around them sees float tensors on the CPU, so that each scalar type and backend costs the compiler
// the networks alone: one .cpp or .cu each.

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <reel/core/stage_timer.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/pipelines/replay.hpp>
#include <reel/pipelines/saved_folder.hpp>
#include <reel/pipelines/stable_diffusion.hpp>
#include <reel/pipelines/tune.hpp>

namespace editing {

using reel::Cpu;
using reel::index_t;
using Tensor = reel::Tensor<float, Cpu>;

class Device;

/// What a model is loaded from, and as what.
struct ModelSource {
    std::filesystem::path folder;
    std::uint64_t seed = 0;              ///< of what inflation adds
    std::filesystem::path unet_folder{}; ///< of a UNet that was tuned, instead of the folder's
    std::string mixed_precision{"no"};   ///< no, bf16 or fp16: of frozen weights and of activations
    bool pictures = false;               ///< the UNet as it is, for pictures
    Device* device = nullptr;            ///< where the networks are, if not on the CPU; must outlive the model
};

/// The noise of one draw of tuning.
using Draw = std::function<reel::TrainingNoise<float, Cpu>(index_t draw)>;

/// A tuning that is under way: reel::Tuner.
class TuningRun {
public:
    TuningRun() = default;
    TuningRun(const TuningRun&) = delete;
    TuningRun& operator=(const TuningRun&) = delete;
    virtual ~TuningRun() = default;

    [[nodiscard]] virtual index_t step_count() const = 0;
    [[nodiscard]] virtual reel::Shape latent_shape() const = 0;
    [[nodiscard]] virtual Tensor latents() const = 0;
    virtual reel::TuneReport update(const Draw& draw) = 0;
    virtual void save_checkpoint(const std::filesystem::path& output, const reel::CheckpointIdentity& identity) = 0;
    virtual void load_checkpoint(const std::filesystem::path& folder, const reel::CheckpointIdentity& identity) = 0;
};

/// What a stage looks at.
enum class Part { encoder, decoder, text_layers, unet };

class Networks {
public:
    using AfterFrame = std::function<void()>;

    Networks() = default;
    Networks(const Networks&) = delete;
    Networks& operator=(const Networks&) = delete;
    virtual ~Networks() = default;

    /// As a UNet3DConditionModel is called.
    [[nodiscard]] virtual Tensor predict(const Tensor& sample, std::span<const double> timesteps, const Tensor& text,
                                         index_t frames) const = 0;
    /// [1, tokens, channels]
    [[nodiscard]] virtual Tensor text(std::span<const std::int32_t> ids) const = 0;
    /// encode_clip()
    [[nodiscard]] virtual Tensor encode(const reel::Frames& clip, const AfterFrame& after_frame) const = 0;
    /// decode_clip()
    [[nodiscard]] virtual Tensor decode(const Tensor& latents, const AfterFrame& after_frame) const = 0;

    /// Tells models apart: a hash over the first values of every parameter that came from files. Before tuning.
    [[nodiscard]] virtual std::string fingerprint() const = 0;
    /// Bytes of a part's weights that lie in files' maps.
    [[nodiscard]] virtual std::size_t mapped_bytes(Part part) const = 0;
    /// Replay::initialize()
    virtual void initialize(const reel::Replay& replay) = 0;

    /// Sets what trains and how gradients are computed. `keep`: restore() undoes what tuning does to it.
    virtual void prepare_training(const std::vector<std::string>& modules,
                                  std::optional<reel::CheckpointMode> checkpointing, bool keep) = 0;
    /// The parameters must be prepared, and this must outlive the run.
    [[nodiscard]] virtual std::unique_ptr<TuningRun> tune(const Tensor& moments, const Tensor& text,
                                                          const reel::TuneOptions& options) = 0;
    virtual void stop_training() = 0;
    /// The parameters that train, in float32, as a file has them.
    [[nodiscard]] virtual reel::StateDict trained() const = 0;
    /// Sets the parameters that trained() gave, until restore(). Throws Error when they are not this model's.
    virtual void set_trained(const reel::StateDict& trained, const std::string& where) = 0;
    /// Makes the model that was loaded: of what was tuned with `keep`, or set by set_trained().
    virtual void restore() = 0;

    /// reel::save_tuned_pipeline()
    virtual void save_tuned(const std::filesystem::path& source, const std::filesystem::path& output) const = 0;
};

/// Called as a UNet3DConditionModel is.
struct Unet {
    reel::UNetConfig config;
    const Networks* networks;

    [[nodiscard]] Tensor operator()(const Tensor& sample, std::span<const double> timesteps, const Tensor& text,
                                    index_t frames) const {
        return networks->predict(sample, timesteps, text, frames);
    }
};

struct Autoencoder {
    reel::AutoencoderKLConfig config;
};

/// A folder, ready to be tuned and sampled.
struct Model {
    std::filesystem::path folder;
    reel::CLIPTokenizer tokenizer;
    reel::DDPMScheduler training_scheduler;
    reel::DDIMConfig sampling; ///< of the folder's scheduler, with the pipeline's fixes for latents
    std::unique_ptr<Networks> networks;
    Unet unet;
    Autoencoder vae;
};

/// Where networks run instead of on the CPU: a GPU.
class Device {
public:
    Device() = default;
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;
    virtual ~Device() = default;

    /// load_model() here. `cpu` is where the networks' results are put.
    [[nodiscard]] virtual Model load(Cpu& cpu, const ModelSource& source) = 0;
    /// Of the device's memory, which this must outlive.
    [[nodiscard]] virtual reel::MemoryProbe probe() = 0;
};

/// Names that open_device() takes.
[[nodiscard]] inline std::vector<std::string> backend_names() {
    return {"cpu", "cuda"};
}

/// The device of a backend by its name; null for "cpu". Throws Error where the program was built without it or the
/// machine has none, with what to do.
[[nodiscard]] std::unique_ptr<Device> open_device(const std::string& backend);

// One for each scalar type. mixed_precision and device of the source are not looked at.
[[nodiscard]] Model load_float_model(Cpu& cpu, const ModelSource& source);
[[nodiscard]] Model load_bfloat16_model(Cpu& cpu, const ModelSource& source);
[[nodiscard]] Model load_half_model(Cpu& cpu, const ModelSource& source);

} // namespace editing
