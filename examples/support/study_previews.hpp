#pragma once
// Small clips of what is being worked on, for those who watch.

#include <algorithm>
#include <string>

#include "study_hand.hpp"
#include "study_pictures.hpp"

namespace study {

/// Writes previews/NAME.gif every so many steps; never with 0.
class Previews {
public:
    Previews(Hand& hand, int every) : hand_(hand), every_(every) {}

    [[nodiscard]] bool wanted(index_t step) const { return every_ > 0 && step > 0 && step % every_ == 0; }

    /// A few frames of the present latents, decoded as if they were clean.
    void show(const std::string& name, index_t step, const Tensor& latents) {
        if (!wanted(step)) {
            return;
        }
        reel::make_output_folder(hand_.folders().root / "previews");
        const reel::Frames frames = hand_.decoded(latents.slice(0, std::min<index_t>(latents.shape(0), 4)), [] {});
        reel::write_gif(hand_.folders().preview(name), fitted(frames, 128), frames.fps);
    }

    /// What a model that is being tuned makes of the clip's prompt, in few steps from noise.
    void show_tuning(const Tuning& tuning, index_t step, const Tick& tick) {
        if (!wanted(step)) {
            return;
        }
        AnySampler sampler = editing::ddim_sampler(hand_.model());
        const Tensor mean = editing::mean_latents(hand_.model(), hand_.open(tuning).moments);
        reel::TuneValidationData quick;
        quick.num_inference_steps = 10;
        quick.guidance_scale = 0;
        const Tensor shown =
            editing::sample(hand_.cpu(), hand_.model(), sampler, editing::noise_like(hand_.cpu(), mean, hand_.seed()),
                            tuning.cell.prompt, "", quick, 0, [&](index_t, const Tensor&) { tick(); });
        show(tuning.name, step, shown);
    }

    /// Nothing is being worked on any more.
    void remove(const std::string& name) const {
        std::error_code ignored;
        std::filesystem::remove(hand_.folders().preview(name), ignored);
    }

private:
    Hand& hand_;
    int every_;
};

} // namespace study
