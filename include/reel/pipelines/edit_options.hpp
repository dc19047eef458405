#pragma once
// How an edit is sampled: where it starts, where it may change the clip, what guides it.

#include <optional>
#include <string>
#include <vector>

#include <reel/pipelines/control_options.hpp>
#include <reel/pipelines/mask_options.hpp>
#include <reel/pipelines/tune_options.hpp>
#include <reel/pipelines/user_mask_options.hpp>

namespace reel {

/// Where sampling starts: from what the clip inverts to, or from noise.
enum class EditStart { inversion, noise };
/// How the clip is turned into noise: as the sampler goes with, by DDIM's or DPM-Solver++'s steps run upwards, or with
/// independent noise at every level (Huberman-Spiegelglas et al. 2023, arXiv:2304.06140).
enum class InversionKind { own, ddim, dpmpp, edit_friendly };
/// Which latents of the clip's distribution are inverted: the sample that tuning saw last, or the mean.
enum class InvertedLatents { sample, mean };
/// What the clip is inverted under: no prompt, or its own.
enum class InversionPrompt { empty, source };
/// What guidance leads away from: the negative prompt, or the clip's own.
enum class GuidancePrompt { negative, source };
/// Where an edit may change the clip: everywhere, where the prompts' predictions differ, or where a draft changes it.
enum class MaskKind { none, difference, delta };

inline constexpr std::array edit_start_names{NamedValue{"inversion", EditStart::inversion},
                                             NamedValue{"noise", EditStart::noise}};
inline constexpr std::array inversion_kind_names{
    NamedValue{"own", InversionKind::own}, NamedValue{"ddim", InversionKind::ddim},
    NamedValue{"dpmpp", InversionKind::dpmpp}, NamedValue{"edit_friendly", InversionKind::edit_friendly}};
inline constexpr std::array inverted_latents_names{NamedValue{"sample", InvertedLatents::sample},
                                                   NamedValue{"mean", InvertedLatents::mean}};
inline constexpr std::array inversion_prompt_names{NamedValue{"empty", InversionPrompt::empty},
                                                   NamedValue{"source", InversionPrompt::source}};
inline constexpr std::array guidance_prompt_names{NamedValue{"negative", GuidancePrompt::negative},
                                                  NamedValue{"source", GuidancePrompt::source}};
inline constexpr std::array mask_kind_names{NamedValue{"none", MaskKind::none},
                                            NamedValue{"difference", MaskKind::difference},
                                            NamedValue{"delta", MaskKind::delta}};

/// The names of its values.
[[nodiscard]] constexpr const auto& names_of(EditStart) {
    return edit_start_names;
}
/// The names of its values.
[[nodiscard]] constexpr const auto& names_of(InversionKind) {
    return inversion_kind_names;
}
/// The names of its values.
[[nodiscard]] constexpr const auto& names_of(InvertedLatents) {
    return inverted_latents_names;
}
/// The names of its values.
[[nodiscard]] constexpr const auto& names_of(InversionPrompt) {
    return inversion_prompt_names;
}
/// The names of its values.
[[nodiscard]] constexpr const auto& names_of(GuidancePrompt) {
    return guidance_prompt_names;
}
/// The names of its values.
[[nodiscard]] constexpr const auto& names_of(MaskKind) {
    return mask_kind_names;
}

/// Names and defaults are Tune-A-Video's.
struct SamplingOptions {
    int num_inference_steps = 50;
    double guidance_scale = 7.5; ///< no guidance at 1 and below
    std::optional<std::string> negative_prompt{};
    double eta = 0; ///< 0: DDIM, 1: as noisy as DDPM
    bool use_inv_latent = false;
    int num_inv_steps = 50;

    bool operator==(const SamplingOptions&) const = default;

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(Option{"num_inference_steps", "sampling steps", at_least(1)}, self.num_inference_steps);
        visit(Option{"guidance_scale", "of the edited prompt; 1 or less: none", from_to(0, 1e4)}, self.guidance_scale);
        visit(Option{"negative_prompt", "what it shall not show"}, self.negative_prompt);
        visit(Option{"eta", "0: deterministic sampling, 1: as noisy as DDPM", from_to(0, 1)}, self.eta);
        visit(Option{"use_inv_latent", "start from the inverted clip and not from noise"}, self.use_inv_latent);
        visit(Option{"num_inv_steps", "inversion steps", at_least(1)}, self.num_inv_steps);
    }
};

/// What the reference has no options for. The defaults do as it does.
struct EditOptions {
    EditStart start = EditStart::inversion;
    InversionKind inversion = InversionKind::own;
    double inversion_skip = 0.36; ///< share of edit_friendly's steps; the paper's: 36 of 100
    InvertedLatents inverted_latents = InvertedLatents::sample;
    InversionPrompt inversion_prompt = InversionPrompt::empty;
    GuidancePrompt guidance_prompt = GuidancePrompt::negative;
    std::vector<double> guidance_interval{0, 1}; ///< the steps that are guided, as in GuidanceInterval
    MaskKind mask = MaskKind::none;
    MaskOptions mask_options{};
    DeltaOptions delta{};
    UserMaskOptions user_mask{}; ///< inside of which the other mask, where there is one, lies
    ControlOptions control{};
    bool overlay = false;
    ReferenceOptions reference{};

    bool operator==(const EditOptions&) const = default;

    [[nodiscard]] bool masked() const { return mask != MaskKind::none || user_mask.given(); }
    /// Whether sampling looks at the clip or is led to words.
    [[nodiscard]] bool steered() const { return control.given() || control.excites(); }
    /// Whether sampling needs the clip at every noise level.
    [[nodiscard]] bool keeps_trajectory() const { return masked() || control.given() || edit_friendly(); }
    [[nodiscard]] bool drafted() const { return mask == MaskKind::delta; }
    [[nodiscard]] bool inverted() const { return start == EditStart::inversion; }
    [[nodiscard]] bool edit_friendly() const { return inverted() && inversion == InversionKind::edit_friendly; }

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(Option{"start", "sample from what the clip inverts to, or from noise"}, self.start);
        visit(Option{"inversion",
                     "how the clip is turned into noise: ddim or dpmpp (DPM-Solver++), its sampler's steps "
                     "undone; edit_friendly, noise at every level, for samplers that draw; own: ddim or "
                     "dpmpp, as the sampler is"},
              self.inversion);
        visit(Option{"inversion_skip",
                     "share of the steps, the noisiest, that an edit after inversion edit_friendly "
                     "leaves out: with more it stays closer to the clip",
                     from_to(0, 1)},
              self.inversion_skip);
        visit(Option{"inverted_latents", "of the clip's distribution: the sample that tuning saw last, or the mean"},
              self.inverted_latents);
        visit(Option{"inversion_prompt", "invert under no prompt, or under the clip's"}, self.inversion_prompt);
        visit(Option{"guidance_prompt", "guide away from negative_prompt, or from the clip's prompt"},
              self.guidance_prompt);
        visit(Option{"guidance_interval",
                     "guide from this share of the steps to that; the others take half of the time", from_to(0, 1),
                     "number"},
              self.guidance_interval);
        visit(Option{"mask", "change all (none), or only where the prompts' noise predictions differ (difference), or "
                             "where a draft of the edit by delta denoising changes the clip (delta), which is also "
                             "what sampling then starts from"},
              self.mask);
        MaskOptions::options(self.mask_options, visit);
        DeltaOptions::options(self.delta, visit);
        UserMaskOptions::options(self.user_mask, visit);
        ControlOptions::options(self.control, visit);
        visit(Option{"overlay", "lay what has changed over the clip: pixels that the edit leaves stay the clip's own, "
                                "and not what the autoencoder makes of them"},
              self.overlay);
        ReferenceOptions::options(self.reference, visit);
    }

    /// What must fit together, beyond ranges.
    void check(const KeyLocator& locate) const {
        delta.check(locate);
        user_mask.check(locate);
        const bool two = guidance_interval.size() == 2;
        require(two && guidance_interval[0] < guidance_interval[1], locate("guidance_interval"),
                ": expected two shares of the steps, the first below the second, such as 0,0.6");
        require(!steered() || guidance_interval == std::vector<double>{0, 1}, locate("guidance_interval"),
                ": what steers an edit by its attention looks at guidance's halves in every step; leave out ",
                control.given() ? locate("control") : locate("excite_word"), ", or the interval");
        require(inverted() || mask != MaskKind::difference || mask_options.noise != MaskNoise::inversion,
                locate("mask_noise"), " inversion: with ", locate("start"), " noise nothing is inverted; use ",
                locate("mask_noise"), " draws");
        check_inversion(locate);
        control.check(locate);
        if (control.control == ControlKind::ledits) {
            require(edit_friendly(), locate("control"), " ledits: it samples with the noise that an edit-friendly ",
                    "inversion found; give ", locate("inversion"), " edit_friendly");
            return;
        }
        const auto inverts = [&](bool ok, const char* name, const char* value) {
            require(ok || !control.given(), locate("control"), " ", option_text(control.control),
                    ": it reads the clip off its inversion under the clip's own prompt; give ", locate(name), " ",
                    value);
        };
        inverts(inverted(), "start", "inversion");
        inverts(inversion_prompt == InversionPrompt::source, "inversion_prompt", "source");
    }

    /// What asks for a mask, or for a control, as messages name it.
    [[nodiscard]] std::string trajectory_text(const KeyLocator& locate) const {
        return !masked() && !control.given() ? locate("excite_word")
               : !masked()                   ? locate("control") + " " + std::string(option_text(control.control))
               : mask != MaskKind::none      ? locate("mask") + " " + std::string(option_text(mask))
                                             : locate(user_mask.option());
    }

    /// Throws Error unless an edit can take the inversion's latents step by step, where it wants them.
    void check_steps(const SamplingOptions& sampling, const KeyLocator& locate) const {
        require(!(masked() || control.given()) || sampling.num_inv_steps == sampling.num_inference_steps,
                trajectory_text(locate), ": ", locate("num_inv_steps"), " is ", sampling.num_inv_steps, " and ",
                locate("num_inference_steps"), " ", sampling.num_inference_steps, "; they must be equal, because ",
                masked() ? "outside the mask " : "", "each sampling step takes the inversion's latents");
        require(!edit_friendly() || sampling.num_inv_steps == sampling.num_inference_steps, locate("inversion"),
                " edit_friendly: ", locate("num_inv_steps"), " is ", sampling.num_inv_steps, " and ",
                locate("num_inference_steps"), " ", sampling.num_inference_steps,
                "; they must be equal, because each sampling step takes the noise that the inversion found for it");
    }

private:
    void check_inversion(const KeyLocator& locate) const {
        const std::string asked = concat_text(locate("inversion"), " ", option_text(inversion));
        require(inverted() || inversion == InversionKind::own, asked, ": with ", locate("start"),
                " noise nothing is inverted; leave one of the two out");
        if (!edit_friendly()) {
            return;
        }
        require(!drafted(), asked, ": its noise belongs to the clip, and with ", locate("mask"),
                " delta sampling starts from a draft; use ", locate("mask"), " difference, or another inversion");
        require(mask != MaskKind::difference || mask_options.noise != MaskNoise::inversion, asked, ": with ",
                locate("mask_noise"), " inversion prompts are compared on a run's latents, which it has none of; use ",
                locate("mask_noise"), " draws");
        require(!reference.reference_inversion, asked, ": ", locate("reference_inversion"),
                " is of DDIM's; leave one of the two out");
    }
};

} // namespace reel
