#pragma once // Needs reel::text and reel::io.
// --plan and --memory_limit: what a job will take, found out before it begins. Link reel::pipelines.

#include <cstddef>
#include <functional>
#include <optional>
#include <vector>

#include <reel/backend/cpu/rehearsal.hpp>
#include <reel/core/stage_timer.hpp>
#include <reel/pipelines/any_pipeline.hpp>
#include <reel/pipelines/tune_config.hpp>

namespace reel {

/// Exit status of a job that does not fit.
inline constexpr int job_does_not_fit = 3;

/// Whether a job is looked at before it is done.
struct PlanOptions {
    bool plan = false;
    std::size_t memory_limit = 0; ///< bytes; 0: what the machine has available

    [[nodiscard]] bool asked() const { return plan || memory_limit != 0; }

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(Option{"plan", "print what the job will take, time and memory by stage, and do nothing; exit status 3 "
                             "when it does not fit into memory"},
              self.plan);
        visit(Option{"memory_limit",
                     "refuse a job that needs more, such as 4GB; 0: with --plan what is available, else none",
                     {.least = 0, .of = "bytes"}},
              self.memory_limit);
    }
};

/// Throws Error when a look ahead is asked for where the networks do not run on the CPU, the one that can be rehearsed.
void require_cpu(const PlanOptions& options, BackendKind backend);

/// What a job takes, stage by stage.
struct Prediction {
    std::vector<StageRecord> stages;
    StageRecord total;
};

/// The job, rehearsed with a configuration: the same code on a Cpu that the rehearsal observes. Its output_dir is a
/// folder of its own, which will be removed.
using Rehearse = std::function<Prediction(const TuneAVideoConfig& config, Rehearsal& rehearsal)>;

/// What a job on this Cpu takes beyond its process, for a stage timer: `mapped` are the bytes of weights that it reads
/// from files' maps by now. All three must outlive the probe.
[[nodiscard]] MemoryProbe probe_of(Cpu& cpu, const Rehearsal& rehearsal, const std::size_t& mapped);

/// With plan prints what the job will take, and if that is too much which options to change. With memory_limit alone
/// prints only the latter, on stderr. Returns the exit status, or nothing when the job is to be done. `tunes`: tuning
/// is part of it.
[[nodiscard]] std::optional<int> look_ahead(const PlanOptions& options, const TuneAVideoConfig& config, bool tunes,
                                            const Rehearse& rehearse);

} // namespace reel
