#pragma once
// A Tuner as tune_clip() runs it. Needs reel::io.

#include <utility>

#include <reel/pipelines/saved_folder.hpp>
#include <reel/pipelines/tune_clip.hpp>

namespace reel {

/// A Tuner with the noise of its draws and its loss: what tune_clip() wants. `draw(i)` gives the noise of draw i; the
/// loss is as Tuner::update() takes it.
///
///     TuningRun run(tuner, [&](index_t i) { return training_noise<float>(cpu, tuner.latent_shape(), seed, i, 1000);
///     }); tune_clip(run, options, {.folder = "out", .identity = {tuning_identity(options, false)}});
template <class Tuner, class Draw, class Loss = MseLoss>
class TuningRun {
public:
    /// The tuner must outlive it.
    TuningRun(Tuner& tuner, Draw draw, Loss loss = {})
        : tuner_(tuner), draw_(std::move(draw)), loss_(std::move(loss)) {}

    [[nodiscard]] index_t step_count() const { return tuner_.step_count(); }
    TuneReport update() { return tuner_.update(draw_, loss_); }
    void save_checkpoint(const std::filesystem::path& output, const CheckpointIdentity& identity) {
        reel::save_checkpoint(tuner_, tuner_.unet(), output, identity);
    }
    void load_checkpoint(const std::filesystem::path& folder, const CheckpointIdentity& identity) {
        reel::load_checkpoint(tuner_, tuner_.unet(), tuner_.backend(), folder, identity);
    }

private:
    Tuner& tuner_;
    Draw draw_;
    Loss loss_;
};

} // namespace reel
