#pragma once
// Numbers that are none: noticed where it costs nothing, in latents and losses, and then looked for in the weights,
// which costs a second. Needs nlohmann-json and zlib (target reel::io).

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>

#include <reel/core/error.hpp>
#include <reel/core/ranges.hpp>
#include <reel/io/weights/finite.hpp>
#include <reel/pipelines/model_files.hpp>
#include <reel/pipelines/tune_report.hpp>

namespace reel {

/// An Inf or NaN where pictures or a model were to be made of it.
class NotFinite : public Error {
public:
    using Error::Error;
};

/// Why a model's results are not finite: the tensor and the file that hold an Inf or NaN, or that none does. Reads all
/// weights.
template <class = void>
[[nodiscard]] std::string blame_weights(const ModelFiles& model) {
    try {
        const auto look = [](const ModelPart& part, const WeightNames& names) {
            const NamedWeights weights = part.weights(names);
            require_finite(weights.tensors, weights.file);
        };
        look(model.text_encoder, transformers_weight_names);
        look(model.vae, diffusers_weight_names);
        look(model.unet, diffusers_weight_names);
    } catch (const Error& error) {
        return error.what();
    }
    return concat_text("all weights of ", model.path.string(),
                       " are finite, so they were tuned too far or do not fit 16 bits; take a smaller learning_rate, "
                       "or mixed_precision no");
}

/// Throws NotFinite where values hold an Inf or NaN. `what` are they; `why()` says why it may be.
template <class Why>
void require_finite_values(std::span<const float> values, const std::string& what, const Why& why) {
    const auto bad = ranges::find_if_not(values, [](float value) { return std::isfinite(value); });
    if (bad != values.end()) {
        throw NotFinite(
            concat_text(what, " hold ", *bad, ": ", std::string(why()), " (allow_nonfinite lets such numbers pass)"));
    }
}

/// Whether an update of a tuning left numbers behind: a step that float16 left out did.
[[nodiscard]] inline bool is_finite(const TuneReport& report) {
    return std::isfinite(report.loss) && (report.skipped || std::isfinite(report.grad_norm));
}

} // namespace reel
