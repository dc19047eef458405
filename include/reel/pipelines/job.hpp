#pragma once // Needs reel::text and reel::io.
// A program's run around a pipeline: where it computes, what each stage takes, what it writes. Link reel::pipelines.

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <reel/backend/cpu/products.hpp>
#include <reel/core/ranges.hpp>
#include <reel/io/files/failed_writes.hpp>
#include <reel/io/files/folder_lock.hpp>
#include <reel/io/records/manifest.hpp>
#include <reel/pipelines/lora_options.hpp>
#include <reel/pipelines/model_files.hpp>
#include <reel/pipelines/model_options.hpp>
#include <reel/pipelines/picture_memory.hpp>
#include <reel/pipelines/plan.hpp>
#include <reel/pipelines/ranks_at_work.hpp>

namespace reel {

/// Where a job runs, and whether it is only planned.
struct JobOptions {
    BackendKind backend = BackendKind::cpu;
    int threads = 0;
    TextCleaning text_cleaning = TextCleaning::ftfy;
    ModelOptions model{};
    bool allow_nonfinite = false;
    PlanOptions plan{};
    Communicator ranks{}; ///< who does the job together, each with the same options; no option itself

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(Option{"backend", "where the networks run: cpu, or cuda for an NVIDIA GPU"}, self.backend);
        visit(Option{"threads", "0: one per core", from_to(0, 1024)}, self.threads);
        visit(Option{"text_cleaning", "what prompts go through first: ftfy, or transformers5, which repairs nothing"},
              self.text_cleaning);
        ModelOptions::options(self.model, visit);
        visit(Option{"allow_nonfinite", "go on where latents hold Inf or NaN"}, self.allow_nonfinite);
        PlanOptions::options(self.plan, visit);
    }
};

/// One run. With a rehearsal, which must outlive it, nothing is computed.
class Job {
public:
    explicit Job(const JobOptions& options, Rehearsal* rehearsal = nullptr)
        : text_cleaning_(options.text_cleaning), model_(options.model),
          allow_nonfinite_(options.allow_nonfinite || rehearsal != nullptr),
          ranks_(rehearsal == nullptr ? options.ranks : Communicator()), on_cpu_(options.backend == BackendKind::cpu),
          cpu_(threads_of_rank(options.threads, ranks_, rehearsal == nullptr), rehearsal), rehearsal_(rehearsal),
          backend_(open_backend(options.backend, cpu_)),
          stages_(rehearsal_ != nullptr ? probe_of(cpu_, *rehearsal_, mapped_) : backend_->probe()) {}

    [[nodiscard]] Cpu& cpu() { return cpu_; }
    /// Or null.
    [[nodiscard]] Rehearsal* rehearsal() const { return rehearsal_; }

    /// Who does it together.
    [[nodiscard]] const Communicator& ranks() const { return ranks_; }
    /// Whether this process writes the job's files: of ranks, the first. The others' write(), attempt() and claim() do
    /// nothing.
    [[nodiscard]] bool writes_files() const { return ranks_.first(); }

    /// Begins a stage, which ends with what is returned.
    [[nodiscard]] StageTimer::Stage stage(std::string name) { return stages_.start(std::move(name)); }
    /// Does something as a stage, or with an empty name as none; returns what it returns.
    template <class Work>
    decltype(auto) during(std::string name, const Work& work) {
        const auto stage = name.empty() ? std::nullopt : std::optional(stages_.start(std::move(name)));
        return work();
    }

    /// A model on the job's backend; what is to be said of its folder (model_notes()) is said on stderr, what LoRAs
    /// were merged (tell_loras()) and what computes on the CPU on stdout. `check_stop` is called between the steps of
    /// its stages.
    [[nodiscard]] std::unique_ptr<AnyPipeline> load(PipelineSource source, std::function<void()> check_stop) {
        source.text_cleaning = text_cleaning_;
        source.model = model_;
        source.allow_nonfinite = allow_nonfinite_;
        auto model = backend_->load(source);
        for (const std::string& note : rehearsal_ == nullptr ? model->facts().notes : std::vector<std::string>{}) {
            std::cerr << "note: " << terminal_text(note) << '\n';
        }
        if (rehearsal_ == nullptr) {
            tell_loras(model->facts().loras);
            if (on_cpu_) {
                std::cout << "on the CPU, " << cpu_.threads() << (cpu_.threads() == 1 ? " thread; " : " threads; ")
                          << products_text() << std::endl;
            }
        }
        model->watch.after_step = std::move(check_stop);
        model->ranks = ranks_;
        model->watch.looks_at = [this, &model = *model](PipelinePart part) {
            if (looked_at_.insert(part).second) {
                mapped_ += model.mapped_bytes(part);
            }
        };
        return model;
    }

    /// Makes a folder to write into and keeps other runs out of it until the job ends. Throws Error that says who is at
    /// work there.
    void claim(const std::filesystem::path& folder) {
        if (!writes_files()) {
            return;
        }
        std::error_code ignored;
        const auto is_it = [&](const FolderLock& held) {
            return std::filesystem::equivalent(held.folder(), folder, ignored);
        };
        if (ranges::none_of(claims_, is_it)) {
            claims_.emplace_back(folder);
        }
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
        if (attempt([&] { write(path); })) {
            outputs_.push_back(path);
        }
    }
    /// write(), as a function.
    [[nodiscard]] auto writer() {
        return [this](const std::filesystem::path& path, const auto& write) { this->write(path, write); };
    }
    /// What else is written, and may fail without ending the job. Returns whether it was done, and went well.
    template <class Work>
    bool attempt(const Work& work) {
        return writes_files() && failed_.attempt(work);
    }
    /// For what gathers its own.
    [[nodiscard]] FailedWrites& failed_writes() { return failed_; }
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
            std::cout << "wrote " << terminal_text(path.string()) << '\n';
        }
    }

    /// What the stages so far took, or would take.
    [[nodiscard]] Prediction prediction() { return {stages_.stages(), stages_.total()}; }

private:
    TextCleaning text_cleaning_;
    ModelOptions model_;
    bool allow_nonfinite_;   ///< a rehearsal computes nothing
    std::size_t mapped_ = 0; ///< bytes of weights that were looked at where they lie in files
    std::set<PipelinePart> looked_at_;
    Communicator ranks_;
    bool on_cpu_;
    Cpu cpu_;
    Rehearsal* rehearsal_;
    std::unique_ptr<PipelineBackend> backend_;
    StageTimer stages_;
    FailedWrites failed_;
    std::vector<std::filesystem::path> outputs_;
    std::vector<FolderLock> claims_;
};

/// Says on stderr that float16 was chosen for a CPU.
inline void warn_of_precision(const TuneOptions& options, BackendKind backend) {
    if (options.mixed_precision == MixedPrecision::fp16 && backend == BackendKind::cpu) {
        std::cerr << "mixed_precision: fp16 is slow on a CPU, which computes it in float32; bf16 or no is faster\n";
    }
}

/// Says on stderr that a LoRA is tuned with the learning rate of whole weights.
inline void warn_of_learning_rate(const TuneOptions& options) {
    if (options.tune == TuneKind::lora && options.max_train_steps > 0 &&
        options.learning_rate <= TuneOptions{}.learning_rate) {
        std::cerr << "learning_rate: at " << options.learning_rate
                  << " a LoRA learns next to nothing; take 5 to 15 times what whole weights take\n";
    }
}

/// too_large() of a job on the CPU whose model is there.
[[nodiscard]] inline std::string too_large(const TuneAVideoConfig& config, const ModelOptions& model,
                                           BackendKind backend) {
    const auto vae = known_vae(config.pretrained_model_path, model.vae);
    if (backend != BackendKind::cpu || !vae) {
        return ""; // loading it says what is wrong
    }
    const TuneTrainData& data = config.train_data;
    return too_large({data.n_sample_frames, data.height, data.width,
                      config.mixed_precision == MixedPrecision::no ? sizeof(float) : sizeof(half)},
                     *vae);
}

/// Does a job, or with --plan and --memory_limit looks ahead first. `work(options, rehearsal)` does it, in whatever
/// the options say, or with a rehearsal does not. `ranks` do it together; each plans what it takes alone. Returns the
/// exit status.
template <class O, class Work>
[[nodiscard]] int plan_or_run(O options, const Communicator& ranks, const Work& work) {
    options.job.ranks = ranks;
    const auto rehearse = [&](const TuneAVideoConfig& changed, Rehearsal& rehearsal) -> Prediction {
        return work(options.with(changed), &rehearsal);
    };
    if (const auto status = look_ahead(options.job.plan, options.config, options.tunes(), rehearse)) {
        return *status;
    }
    if (const std::string text =
            options.job.plan.asked() ? "" : too_large(options.config, options.job.model, options.job.backend);
        !text.empty()) {
        std::cerr << text << "; --memory_limit sets another limit\n";
        return job_does_not_fit;
    }
    tell_ranks(ranks, options.job.threads, options.tunes() ? options.config.gradient_accumulation_steps : 0);
    static_cast<void>(work(options, static_cast<Rehearsal*>(nullptr)));
    return 0;
}

/// The same of a process alone.
template <class O, class Work>
[[nodiscard]] int plan_or_run(const O& options, const Work& work) {
    return plan_or_run(options, {}, work);
}

/// LoRA files in a manifest.
inline void add_loras(Manifest& manifest, const LoraOptions& options) {
    for (const LoraUse& use : options.choice().uses) {
        manifest.add_input(use.file);
    }
}

/// A model's parts in a manifest. `tuned`: the folder of a UNet that was tuned, or "".
inline void add_model(Manifest& manifest, const std::filesystem::path& model, const ModelOptions& options,
                      const std::filesystem::path& tuned = {}) {
    for (const std::filesystem::path& input : model_inputs(model, options)) {
        if (tuned.empty() || input.filename() != "unet") {
            manifest.add_input(input);
        }
    }
    if (!tuned.empty()) {
        manifest.add_input(tuned / "unet");
    }
}

} // namespace reel
