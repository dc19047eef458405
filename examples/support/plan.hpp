#pragma once
// --plan and --memory_limit: what a job will take, found out before it begins.

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <reel/backend/cpu/rehearsal.hpp>
#include <reel/core/stage_timer.hpp>
#include <reel/pipelines/tune_config_file.hpp>

#include "program.hpp"

namespace plan {

/// What the job that does not fit ends with.
inline constexpr int does_not_fit = 3;

struct Options {
    bool plan = false;
    std::size_t memory_limit = 0; ///< bytes; 0: what the machine has available

    [[nodiscard]] bool asked() const { return plan || memory_limit != 0; }
};

void add_options(CLI::App& app, Options& options);

/// Throws Error when a look ahead is asked for where the networks do not run on the CPU, the one that can be rehearsed.
void require_cpu(const Options& options, const std::string& backend);

/// What a job takes, stage by stage.
struct Prediction {
    std::vector<reel::StageRecord> stages;
    reel::StageRecord total;
};

/// The job, rehearsed with a configuration: the same code on a Cpu that the rehearsal observes. Its output_dir is a
/// folder of its own, which will be removed.
using Rehearse = std::function<Prediction(const reel::TuneAVideoConfig& config, reel::Rehearsal& rehearsal)>;

/// What a job on this Cpu takes beyond its process, for a stage timer: `mapped` are the bytes of weights that it reads
/// from files' maps by now. All three must outlive the probe.
[[nodiscard]] reel::MemoryProbe probe_of(reel::Cpu& cpu, const reel::Rehearsal& rehearsal, const std::size_t& mapped);

/// With --plan prints what the job will take, and if that is too much which options to change. With --memory_limit
/// alone prints only the latter, on stderr. Returns the exit status, or nothing when the job is to be done.
/// `tunes`: tuning is part of it.
[[nodiscard]] std::optional<int> look_ahead(const Options& options, const reel::TuneAVideoConfig& config, bool tunes,
                                            const Rehearse& rehearse);

} // namespace plan
