#pragma once
// What AnyPipeline's stages are asked for, and hand on.

#include <functional>
#include <string>
#include <vector>

#include <reel/pipelines/any_tensor.hpp>
#include <reel/pipelines/edit_options.hpp>
#include <reel/schedulers/any_scheduler.hpp>

namespace reel {

/// Whatever sampler a run has. Where the networks are on another backend, one of reel's is made there with the same
/// configuration; another is given copies of what it works on.
using Sampler = AnyScheduler<float, Cpu>;

/// A clip's latents at every noise level; see Trajectory.
struct AnyTrajectory {
    std::vector<AnyTensor> latents;
    std::vector<double> timesteps;
    std::vector<AnyTensor> outputs{};
};

/// See ClipStart. `allowed` may lie anywhere.
struct AnyStart {
    AnyTensor noise;
    AnyTrajectory trajectory{};
    AnyTensor allowed{};
};

/// See EditPlace.
struct AnyPlace {
    AnyTensor start;
    AnyTensor mask{};
    index_t skipped = 0;
};

/// An edit of a clip; see ClipEditor.
struct EditRequest {
    Sampler sampler;
    SamplingOptions sampling{};
    EditOptions edit{};
    std::string prompt{}; ///< what the clip shows
    std::uint64_t seed = 0;

    /// The text that the clip is inverted under.
    [[nodiscard]] std::string inverted_under() const {
        return edit.inversion_prompt == InversionPrompt::source ? prompt : "";
    }
    /// The text that guidance leads away from.
    [[nodiscard]] std::string away() const {
        return edit.guidance_prompt == GuidancePrompt::source ? prompt : sampling.negative_prompt.value_or("");
    }
};

/// A clip, or pictures with a text each, sampled from noise.
struct SampleRequest {
    Sampler sampler;
    index_t steps = 50;
    double guidance_scale = 7.5;                   ///< 1 or less: none
    AnyTensor text;                                ///< [1 or pictures, tokens, channels]
    AnyTensor negative;                            ///< the same shape
    AnyTensor noise;                               ///< standard normal latents
    AnyTensor clean{};                             ///< latents that the noise is added to; undefined: none
    std::function<AnyTensor(const Shape&)> draw{}; ///< for samplers that draw
};

} // namespace reel
