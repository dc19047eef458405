#pragma once
// The work of a study: what runs the model. Compiled once, in worker.cpp.

#include <functional>
#include <memory>

#include <reel/io/files/failed_writes.hpp>
#include <reel/pipelines/any_pipeline.hpp>
#include <reel/pipelines/lora_options.hpp>

#include "plan.hpp"

namespace study {

struct WorkerSettings {
    std::filesystem::path model; ///< empty: the one that comes with reel
    reel::ModelOptions parts;
    std::filesystem::path clip_model; ///< empty: no CLIP measures
    std::uint64_t seed = 33;
    int threads = 0;
    int preview_every = 0; ///< steps; 0: none
    reel::MixedPrecision mixed_precision = reel::MixedPrecision::no;
    reel::BackendKind backend = reel::BackendKind::cpu;
    reel::LoraOptions lora{};
    bool allow_nonfinite = false; ///< Inf and NaN in latents and losses are no failure
};

/// Where results are.
struct Folders {
    std::filesystem::path root;

    [[nodiscard]] std::filesystem::path tuning(const Tuning& t) const { return root / "tunings" / t.name; }
    [[nodiscard]] std::filesystem::path inversion(const Inversion& i) const { return root / "inversions" / i.name; }
    [[nodiscard]] std::filesystem::path edit(const Edit& e) const { return root / "cells" / e.name; }
    [[nodiscard]] std::filesystem::path preview(const std::string& name) const {
        return root / "previews" / (name + ".gif");
    }
};

/// Called between steps; throws when the work has to stop.
using CheckStop = std::function<void()>;

/// A loaded model, and what it has of the clip that is worked on. Results go to folders; the next stage reads them
/// there, whoever made them.
class Worker {
public:
    /// Loads the models. Throws Error when they cannot be.
    Worker(const WorkerSettings& settings, Folders folders);
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;
    ~Worker();

    /// Tells models apart.
    [[nodiscard]] const std::string& fingerprint() const;
    /// The model's folder.
    [[nodiscard]] const reel::PipelineFacts& model() const;

    /// The name of the CLIP model, "" without.
    [[nodiscard]] std::string scorer() const;

    /// Pictures that could not be written. They are missing in results that are otherwise complete.
    [[nodiscard]] const reel::FailedWrites& failed_writes() const;

    /// Checks what does not depend on clips: samplers, and prompts. Throws Error.
    void check(const Study& study);

    /// Tunes, going on from the last checkpoint in the tuning's folder, and writes what is found of the clip.
    void tune(const Tuning& tuning, const CheckStop& check_stop);
    /// After its tuning.
    void invert(const Plan& plan, const Inversion& inversion, const CheckStop& check_stop);
    /// After its inversion. An edit that is there and lacks CLIP's measures gets those.
    void edit(const Plan& plan, const Edit& edit, const CheckStop& check_stop);

    [[nodiscard]] bool is_tuned(const Tuning& tuning) const;
    [[nodiscard]] bool is_inverted(const Inversion& inversion) const;
    [[nodiscard]] bool is_edited(const Edit& edit) const;

private:
    class Work;
    std::unique_ptr<Work> work_;
};

} // namespace study
