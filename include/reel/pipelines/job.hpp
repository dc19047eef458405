#pragma once // Needs reel::text and reel::io.
// A program's run around a pipeline: where it computes, what each stage takes, what it writes. Link reel::pipelines.

#include <cstdio>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <reel/io/files/failed_writes.hpp>
#include <reel/io/records/manifest.hpp>
#include <reel/pipelines/model_notes.hpp>
#include <reel/pipelines/plan.hpp>

namespace reel {

/// Where a job runs, and whether it is only planned.
struct JobOptions {
    BackendKind backend = BackendKind::cpu;
    int threads = 0;
    TextCleaning text_cleaning = TextCleaning::ftfy;
    PlanOptions plan{};

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(Option{"backend", "where the networks run: cpu, or cuda for an NVIDIA GPU"}, self.backend);
        visit(Option{"threads", "0: one per core", from_to(0, 1024)}, self.threads);
        visit(Option{"text_cleaning", "what prompts go through first: ftfy, or transformers5, which repairs nothing"},
              self.text_cleaning);
        PlanOptions::options(self.plan, visit);
    }
};

/// One run. With a rehearsal, which must outlive it, nothing is computed.
class Job {
public:
    explicit Job(const JobOptions& options, Rehearsal* rehearsal = nullptr)
        : text_cleaning_(options.text_cleaning), cpu_(options.threads, rehearsal), rehearsal_(rehearsal),
          backend_(open_backend(options.backend, cpu_)),
          stages_(rehearsal_ != nullptr ? probe_of(cpu_, *rehearsal_, mapped_) : backend_->probe()) {}

    [[nodiscard]] Cpu& cpu() { return cpu_; }
    /// Or null.
    [[nodiscard]] Rehearsal* rehearsal() const { return rehearsal_; }

    /// Begins a stage, which ends with what is returned.
    [[nodiscard]] StageTimer::Stage stage(std::string name) { return stages_.start(std::move(name)); }
    /// Does something as a stage, or with an empty name as none; returns what it returns.
    template <class Work>
    decltype(auto) during(std::string name, const Work& work) {
        const auto stage = name.empty() ? std::nullopt : std::optional(stages_.start(std::move(name)));
        return work();
    }

    /// A model on the job's backend; what is to be said of its folder (model_notes()) is said on stderr. `check_stop`
    /// is called between the steps of its stages.
    [[nodiscard]] std::unique_ptr<AnyPipeline> load(PipelineSource source, std::function<void()> check_stop) {
        source.text_cleaning = text_cleaning_;
        auto model = backend_->load(source); // first, since it says better what is wrong with a folder
        for (const std::string& note :
             rehearsal_ == nullptr ? model_notes(source.folder) : std::vector<std::string>{}) {
            std::cerr << "note: " << note << '\n';
        }
        model->watch.after_step = std::move(check_stop);
        model->watch.looks_at = [this, &model = *model](PipelinePart part) {
            if (looked_at_.insert(part).second) {
                mapped_ += model.mapped_bytes(part);
            }
        };
        return model;
    }

    /// Notes a file that is about to be written, for the manifest; returns its path.
    const std::filesystem::path& writes(std::filesystem::path path) {
        outputs_.push_back(std::move(path));
        return outputs_.back();
    }
    /// Writes a file, `write(path)`, and notes it for the manifest. One that cannot be written does not end the job:
    /// report_failed_writes() tells of it.
    template <class Write>
    void write(const std::filesystem::path& path, const Write& write) {
        if (failed_.attempt([&] { write(path); })) {
            outputs_.push_back(path);
        }
    }
    /// write(), as a function.
    [[nodiscard]] auto writer() {
        return [this](const std::filesystem::path& path, const auto& write) { this->write(path, write); };
    }
    /// What else may fail without ending the job.
    template <class Work>
    void attempt(const Work& work) {
        failed_.attempt(work);
    }
    /// Call last. Throws Error that names what could not be written.
    void report_failed_writes() const { failed_.report(); }

    /// Adds outputs and stages to a manifest and writes it into a folder; then prints what each stage took, and what
    /// was written.
    void finish(Manifest manifest, const std::filesystem::path& folder) {
        for (const std::filesystem::path& path : outputs_) {
            manifest.add_output(path);
        }
        manifest.set_stages(stages_);
        write(folder / "manifest.json", [&](const auto& file) { manifest.write(file); });
        for (const StageRecord& stage : stages_.stages()) {
            std::printf("%-12s %8.2f s  %8.1f MB\n", stage.name.c_str(), stage.seconds,
                        static_cast<double>(stage.peak_resident_bytes) / 1e6);
        }
        for (const std::filesystem::path& path : outputs_) {
            std::cout << "wrote " << path.string() << '\n';
        }
    }

    /// What the stages so far took, or would take.
    [[nodiscard]] Prediction prediction() { return {stages_.stages(), stages_.total()}; }

private:
    TextCleaning text_cleaning_;
    std::size_t mapped_ = 0; ///< bytes of weights that were looked at where they lie in files
    std::set<PipelinePart> looked_at_;
    Cpu cpu_;
    Rehearsal* rehearsal_;
    std::unique_ptr<PipelineBackend> backend_;
    StageTimer stages_;
    FailedWrites failed_;
    std::vector<std::filesystem::path> outputs_;
};

/// Says on stderr that float16 was chosen for a CPU.
inline void warn_of_precision(const TuneOptions& options, BackendKind backend) {
    if (options.mixed_precision == MixedPrecision::fp16 && backend == BackendKind::cpu) {
        std::cerr << "mixed_precision: fp16 is slow on a CPU, which computes it in float32; bf16 or no is faster\n";
    }
}

/// Does a job, or with --plan and --memory_limit looks ahead first. `work(options, rehearsal)` does it, in whatever
/// the options say, or with a rehearsal does not. Returns the exit status.
template <class O, class Work>
[[nodiscard]] int plan_or_run(const O& options, const Work& work) {
    const auto rehearse = [&](const TuneAVideoConfig& changed, Rehearsal& rehearsal) -> Prediction {
        return work(options.with(changed), &rehearsal);
    };
    if (const auto status = look_ahead(options.job.plan, options.config, options.tunes(), rehearse)) {
        return *status;
    }
    static_cast<void>(work(options, static_cast<Rehearsal*>(nullptr)));
    return 0;
}

/// A model folder's parts in a manifest. `unet_folder`: of a UNet that was tuned, or the folder itself.
inline void add_model(Manifest& manifest, const std::filesystem::path& folder,
                      const std::filesystem::path& unet_folder) {
    for (const char* part : {"model_index.json", "tokenizer", "text_encoder", "vae", "scheduler"}) {
        manifest.add_input(folder / part);
    }
    manifest.add_input(unet_folder / "unet");
}

} // namespace reel
