#pragma once // Needs reel::text and reel::io.
// The networks of a Stable Diffusion folder on one backend, whatever scalar type they compute with: float goes in and
// comes out, and stays on the backend. So stages are compiled once for a backend, and each scalar type costs the
// compiler the networks alone.

#include <functional>
#include <memory>
#include <span>
#include <string>

#include <reel/io/pictures/frames.hpp>
#include <reel/pipelines/any_networks.hpp>
#include <reel/pipelines/control/named_control.hpp>
#include <reel/pipelines/pixel_mask.hpp>
#include <reel/text/clip_tokenizer.hpp>

namespace reel {

/// Text encoder, autoencoder and UNet.
template <Backend B>
class Networks {
public:
    using AfterFrame = std::function<void()>;

    Networks() = default;
    Networks(const Networks&) = delete;
    Networks& operator=(const Networks&) = delete;
    virtual ~Networks() = default;

    [[nodiscard]] virtual B& backend() const = 0;
    [[nodiscard]] virtual const PipelineFacts& facts() const = 0;
    [[nodiscard]] virtual const CLIPTokenizer& tokenizer() const = 0;
    [[nodiscard]] virtual double scaling_factor() const = 0;

    /// As a UNet3DConditionModel is called.
    [[nodiscard]] virtual Tensor<float, B> predict(const Tensor<float, B>& sample, std::span<const double> timesteps,
                                                   const Tensor<float, B>& text, index_t frames) const = 0;
    /// As a distilled one is.
    [[nodiscard]] virtual Tensor<float, B> predict_at(double guidance_scale, const Tensor<float, B>& sample,
                                                      std::span<const double> timesteps, const Tensor<float, B>& text,
                                                      index_t frames) const = 0;
    /// [1, tokens, channels]
    [[nodiscard]] virtual Tensor<float, B> text(std::span<const std::int32_t> ids) const = 0;
    /// encode_clip()
    [[nodiscard]] virtual Tensor<float, B> encode(const Frames& clip, const AfterFrame& after_frame) const = 0;
    /// AnyPipeline's, of an inpainting UNet.
    virtual void paint_inside(const Frames& clip, const PixelMask& mask, std::uint64_t seed,
                              const AfterFrame& after_frame) = 0;
    /// decode_clip()
    [[nodiscard]] virtual Tensor<float, B> decode(const Tensor<float, B>& latents,
                                                  const AfterFrame& after_frame) const = 0;

    /// under_named_control()
    virtual void under_control(const ControlSetup<B>& setup, const std::function<void(AnyControl<B>&)>& run) = 0;

    // As AnyPipeline's.
    [[nodiscard]] virtual std::string fingerprint() const = 0;
    /// blame_weights() of its files.
    [[nodiscard]] virtual std::string why_not_finite() const = 0;
    [[nodiscard]] virtual std::size_t mapped_bytes(PipelinePart part) const = 0;
    virtual void initialize(const Replay& replay) = 0;
    virtual void prepare_training(const TuneOptions& options, bool reference_checkpointing, bool keep) = 0;
    [[nodiscard]] virtual std::unique_ptr<AnyTuning> tune(const Tensor<float, B>& moments, const Tensor<float, B>& text,
                                                          const TuneOptions& options, const TuningNoise& noise) = 0;
    virtual void stop_training() = 0;
    [[nodiscard]] virtual StateDict trained() const = 0;
    virtual void set_trained(const StateDict& trained, const std::string& where) = 0;
    virtual void restore() = 0;
    virtual void save_tuned(const std::filesystem::path& output) const = 0;
    virtual void save_lora(const std::filesystem::path& file, LoraNaming names) const = 0;
};

/// Called as a UNet3DConditionModel is.
template <Backend B>
struct NetworksUnet {
    const Networks<B>* networks;

    [[nodiscard]] Tensor<float, B> operator()(const Tensor<float, B>& sample, std::span<const double> timesteps,
                                              const Tensor<float, B>& text, index_t frames) const {
        return networks->predict(sample, timesteps, text, frames);
    }
    [[nodiscard]] bool takes_guidance_scale() const { return networks->facts().takes_guidance_scale; }
    [[nodiscard]] Tensor<float, B> at_guidance_scale(double scale, const Tensor<float, B>& sample,
                                                     std::span<const double> timesteps, const Tensor<float, B>& text,
                                                     index_t frames) const {
        return networks->predict_at(scale, sample, timesteps, text, frames);
    }
};

/// The noise of one draw, on a backend.
template <Backend B>
[[nodiscard]] TrainingNoise<float, B> noise_of(B& backend, const TuningNoise& noise, const Shape& latents, index_t draw,
                                               index_t training_timesteps) {
    return noise.replay != nullptr ? noise.replay->training_noise<float>(backend, latents, draw)
                                   : training_noise<float>(backend, latents, noise.seed, draw, training_timesteps);
}

/// load_stable_diffusion<T>() on a backend. Both must outlive it. Defined in networks_of.hpp, for the file that is
/// compiled for T and B; mixed_precision of the source is not looked at.
template <Scalar T, Backend B>
[[nodiscard]] std::unique_ptr<Networks<B>> load_networks(B& backend, const PipelineSource& source);

} // namespace reel
