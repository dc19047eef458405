#pragma once
// --save_tensors: a pipeline's intermediate results, in the reference's axis order. Needs reel::io.

#include <string>
#include <vector>

#include <reel/pipelines/any_pipeline.hpp>
#include <reel/pipelines/loss_log.hpp>
#include <reel/pipelines/replay.hpp>

namespace reel {

/// Watches a pipeline. Without a path nothing is brought over, and nothing kept. Of the first clip that is encoded and
/// the first edit that is sampled:
///   vae.moments [frames, 8, h, w], inv.latents [steps + 1, 1, 4, frames, h, w], sample.latents [steps, 1, 4, frames,
///   h, w], sample.frames [1, 3, frames, H, W] in 0..1.
class SavedTensors {
public:
    /// Both must outlive it, and it must not move.
    SavedTensors(Cpu& cpu, AnyPipeline& model, const std::filesystem::path& path)
        : cpu_(cpu), model_(model), recorder_(path) {
        if (recorder_.on()) {
            model.watch.sees = [this](StageResult what, const AnyTensor& x) { see(what, x); };
        }
    }
    SavedTensors(const SavedTensors&) = delete;
    SavedTensors& operator=(const SavedTensors&) = delete;
    ~SavedTensors() { model_.watch.sees = nullptr; }

    /// Losses and gradient norms [steps] as train.loss and train.grad_norm, the latents of the first update [1, 4,
    /// frames, h, w] as train.latents0, and every parameter that trains as trained.NAME: while they do.
    void record_tuning(const LossLog& log, const AnyTensor& first_latents) {
        if (!recorder_.on()) {
            return;
        }
        std::vector<float> losses;
        std::vector<float> norms;
        for (const LossLog::Row& row : log.rows()) {
            losses.push_back(static_cast<float>(row.report.loss));
            norms.push_back(static_cast<float>(row.report.grad_norm));
        }
        recorder_.record("train.loss", losses);
        recorder_.record("train.grad_norm", norms);
        recorder_.record("train.latents0", as_clip(first_latents));
        for (const auto& [name, tensor] : model_.trained()) {
            recorder_.record("trained." + name, tensor);
        }
    }

    /// Adds text.train, text.edit and text.uncond [1, tokens, channels] of an edit and the prompt it leads to, and
    /// writes the file.
    void write(const EditRequest& request, const std::string& edited) {
        if (recorder_.on()) {
            recorder_.record("text.train", to_file(model_.encode_prompt(request.prompt)));
            recorder_.record("text.edit", to_file(model_.encode_prompt(edited)));
            recorder_.record("text.uncond", to_file(model_.encode_prompt(request.away())));
            recorder_.write();
        }
    }

private:
    [[nodiscard]] HostTensor as_clip(const AnyTensor& x) const {
        return to_file(to_reference_order(x.on_cpu(cpu_), x.shape(0)));
    }

    void see(StageResult what, const AnyTensor& x) {
        switch (what) {
        case StageResult::moments:
            if (!encoded_) {
                recorder_.record("vae.moments", to_file(permute(x.on_cpu(cpu_), {0, 3, 1, 2})));
            }
            encoded_ = true;
            break;
        case StageResult::inverted:
            recorder_.append("inv.latents", x.on_cpu(cpu_));
            break;
        case StageResult::sampled:
            if (!decoded_) {
                recorder_.append("sample.latents", x.on_cpu(cpu_));
            }
            sampled_ = true;
            break;
        case StageResult::decoded:
            if (sampled_ && !decoded_) {
                recorder_.record("sample.frames", as_clip(x));
                decoded_ = true;
            }
            break;
        }
    }

    Cpu& cpu_;
    AnyPipeline& model_;
    TensorRecorder recorder_;
    bool encoded_ = false;
    bool sampled_ = false;
    bool decoded_ = false;
};

} // namespace reel
