#pragma once // Needs reel::text and reel::io.
// A Stable Diffusion folder of whatever scalar type and backend, chosen at run time. What is handed from stage to stage
// stays where the networks are: latents, texts, masks, samplers' states. Link reel::pipelines, which has the usual
// scalar types and backends; any/pipeline_on.hpp makes others.

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <reel/core/stage_timer.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/parallel/communicator.hpp>
#include <reel/pipelines/any_edit.hpp>
#include <reel/pipelines/any_networks.hpp>
#include <reel/pipelines/noise_stream.hpp>
#include <reel/pipelines/pixel_mask.hpp>

namespace reel {

/// What a stage gives: a clip's moments; latents at the start and after every step of an inversion; latents after every
/// step of sampling an edit; pixels.
enum class StageResult { moments, inverted, sampled, decoded };

/// How long work is watched.
struct StageWatch {
    bool bars = true;                                          ///< progress bars on stderr
    std::function<void()> after_step{};                        ///< called between steps; may throw to end the work
    std::function<void(StageResult, const AnyTensor&)> sees{}; ///< every result of a stage, before anybody else
    std::function<void(PipelinePart)> looks_at{};              ///< called before a part of the model is used
    bool allow_nonfinite =
        false; ///< Inf and NaN in results are no error (NotFinite), which says what weights hold them
};

/// Sees the step's number and its latents.
using EachStep = std::function<void(index_t, const AnyTensor&)>;

/// A model, ready to be tuned and sampled. Errors are those of load_stable_diffusion() and of the stages.
class AnyPipeline {
public:
    AnyPipeline() = default;
    AnyPipeline(const AnyPipeline&) = delete;
    AnyPipeline& operator=(const AnyPipeline&) = delete;
    virtual ~AnyPipeline() = default;

    [[nodiscard]] virtual const PipelineFacts& facts() const = 0;
    /// Its stages are watched so.
    StageWatch watch{};
    /// Who shares its work: each does the same with it, in the same order. Clips of a UNet's call (guidance's halves)
    /// are divided, also frames that are decoded and draws of tuning; the rest is done by all.
    Communicator ranks{};

    /// What of a prompt the text encoder cannot see: "" where it is short enough. Throws Error for one that is no
    /// UTF-8.
    [[nodiscard]] virtual std::string unseen(const std::string& prompt) const = 0;
    /// See prompt_note(): "" where nothing is to be said.
    [[nodiscard]] virtual std::string note_on(const std::string& prompt) const = 0;
    /// Tokens that the text encoder sees of a prompt.
    [[nodiscard]] virtual index_t max_tokens() const = 0;

    /// Texts for the UNet: [prompts, tokens, channels].
    [[nodiscard]] virtual AnyTensor encode_prompts(std::span<const std::string> prompts) const = 0;
    [[nodiscard]] AnyTensor encode_prompt(const std::string& prompt) const { return encode_prompts({&prompt, 1}); }
    /// Moments of the latents' distribution [frames, h, w, 2 * latent channels]; see encode_clip().
    [[nodiscard]] virtual AnyTensor encode(const Frames& clip) const = 0;
    /// Shows an inpainting UNet, in all calls from now on, where it paints and the clip without that; the masked clip's
    /// latents are a sample by the seed. Before tuning. Does nothing for another model.
    virtual void paint_inside(const Frames& clip, const PixelMask& mask, std::uint64_t seed) = 0;
    /// (Scaled) latents of a distribution: the sample of one draw of tuning, or the mean.
    [[nodiscard]] virtual AnyTensor sample_latents(const AnyTensor& moments, const TuningNoise& noise,
                                                   index_t draw) const = 0;
    [[nodiscard]] virtual AnyTensor mean_latents(const AnyTensor& moments) const = 0;
    /// Pixels in 0..1 [frames, height, width, 3]; see decode_clip().
    [[nodiscard]] virtual AnyTensor decode(const AnyTensor& latents) const = 0;

    /// Standard normal numbers on the backend: the rows along the leading axis are divided among the streams.
    [[nodiscard]] virtual AnyTensor normal(const Shape& shape, std::uint64_t seed,
                                           std::span<const std::uint64_t> streams) const = 0;
    /// What sampling starts from without an inversion and a clip, before it is scaled to a sampler's first noise level.
    [[nodiscard]] AnyTensor start_noise(const Shape& shape, std::uint64_t seed) const {
        const auto stream = static_cast<std::uint64_t>(NoiseStream::start);
        return normal(shape, seed, {&stream, 1});
    }
    /// A file's tensor in the backend's memory. `what` names it in errors.
    [[nodiscard]] virtual AnyTensor upload(const HostTensor& tensor, const std::string& what) const = 0;
    /// Rows [first, last) along the leading axis.
    [[nodiscard]] virtual AnyTensor slice(const AnyTensor& x, index_t first, index_t last) const = 0;

    /// See edit_clip.hpp. `each` sees the start (step 0) and every step of the inversion; invert() keeps all of its
    /// latents where asked to, start_edit() where the edit wants them.
    [[nodiscard]] virtual AnyStart invert(const EditRequest& request, const AnyTensor& latents, bool keep_trajectory,
                                          const EachStep& each) const = 0;
    [[nodiscard]] virtual AnyStart noise_start(const EditRequest& request, const AnyTensor& latents) const = 0;
    [[nodiscard]] AnyStart start_edit(const EditRequest& request, const AnyTensor& latents,
                                      const EachStep& each = {}) const {
        return request.edit.inverted() ? invert(request, latents, request.edit.keeps_trajectory(), each)
                                       : noise_start(request, latents);
    }
    [[nodiscard]] virtual AnyPlace find_place(const EditRequest& request, const AnyStart& start,
                                              const std::string& edited) const = 0;
    [[nodiscard]] virtual AnyTensor sample_edit(const EditRequest& request, const AnyTrajectory& outside,
                                                const AnyPlace& place, const std::string& edited,
                                                const EachStep& each = {}) const = 0;
    /// Throws Error where a control does not go with the model and the prompts.
    virtual void check_control(const ControlOptions& control, const std::string& prompt,
                               const std::string& edited) const = 0;
    /// A clip or pictures from noise.
    [[nodiscard]] virtual AnyTensor sample(const SampleRequest& request, const EachStep& each = {}) const = 0;

    /// Tells models apart at a glance: a hash over the first values of every parameter that came from files. Before
    /// tuning. model_digests() are to the last bit.
    [[nodiscard]] virtual std::string fingerprint() const = 0;
    /// Bytes of a part's weights that lie in files' maps.
    [[nodiscard]] virtual std::size_t mapped_bytes(PipelinePart part) const = 0;
    /// Sets what inflation added from a file; see initialize_from().
    virtual void initialize(const Replay& replay) = 0;

    /// Sets what trains and how gradients are computed. `keep`: restore() undoes what tuning does to it.
    virtual void prepare_training(const TuneOptions& options, bool reference_checkpointing, bool keep = false) = 0;
    /// The parameters must be prepared, and this must outlive what it returns.
    [[nodiscard]] virtual std::unique_ptr<AnyTuning> tune(const AnyTensor& moments, const AnyTensor& text,
                                                          const TuneOptions& options, const TuningNoise& noise) = 0;
    /// Nothing trains any more; what a LoRA learned becomes part of the weights, as --lora merges its file.
    virtual void stop_training() = 0;
    /// The parameters that train, in float32, as a file has them.
    [[nodiscard]] virtual StateDict trained() const = 0;
    /// Sets the parameters that trained() gave, until restore(). Throws Error when they are not this model's.
    virtual void set_trained(const StateDict& trained, const std::string& where) = 0;
    /// Makes the model that was loaded: of what was tuned with `keep`, or set by set_trained().
    virtual void restore() = 0;
    /// save_tuned_pipeline()
    virtual void save_tuned(const std::filesystem::path& output) const = 0;
    /// Writes what was tuned as a LoRA, before or after stop_training(); see write_tuned_lora().
    virtual void save_lora(const std::filesystem::path& file, LoraNaming names) const = 0;
};

/// What a pipeline on another backend asks of the program.
struct PipelineHost {
    Cpu& cpu; ///< where a sampler of one's own works; must outlive the pipeline
    /// sampler_json(); the program's, so that no backend's module has all samplers of the CPU.
    nlohmann::json (*describe)(const Sampler&);
};

/// The clip's latents that an edit is made of: the mean, or what the last step of tuning looks at.
[[nodiscard]] inline AnyTensor latents_to_edit(const AnyPipeline& model, const AnyTensor& moments,
                                               InvertedLatents which, const TuneOptions& options,
                                               const TuningNoise& noise) {
    const index_t draws = index_t{options.max_train_steps} * options.gradient_accumulation_steps;
    return which == InvertedLatents::mean ? model.mean_latents(moments)
                                          : model.sample_latents(moments, noise, std::max<index_t>(draws - 1, 0));
}

/// Where networks run.
class PipelineBackend {
public:
    PipelineBackend() = default;
    PipelineBackend(const PipelineBackend&) = delete;
    PipelineBackend& operator=(const PipelineBackend&) = delete;
    virtual ~PipelineBackend() = default;

    /// This must outlive the model.
    [[nodiscard]] virtual std::unique_ptr<AnyPipeline> load(const PipelineSource& source) = 0;
    /// Of its memory, which this must outlive.
    [[nodiscard]] virtual MemoryProbe probe() = 0;
};

/// Names that open_backend() takes.
enum class BackendKind { cpu, cuda };

inline constexpr std::array backend_kind_names{NamedValue{"cpu", BackendKind::cpu},
                                               NamedValue{"cuda", BackendKind::cuda}};

/// The names of its values.
[[nodiscard]] constexpr const auto& names_of(BackendKind) {
    return backend_kind_names;
}

/// The backend `cpu` itself, which must outlive it, or a GPU. Throws Error where the program was built without it or
/// the machine has none, with what to do.
[[nodiscard]] std::unique_ptr<PipelineBackend> open_backend(BackendKind kind, Cpu& cpu);

} // namespace reel
