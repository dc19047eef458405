#pragma once
// Which inversion leads to the start of which sampler.

#include <type_traits>
#include <vector>

#include <reel/pipelines/blend.hpp>
#include <reel/pipelines/edit_options.hpp>
#include <reel/schedulers/any_scheduler.hpp>
#include <reel/schedulers/ddim_inverse.hpp>
#include <reel/schedulers/dpm_solver_multistep_inverse.hpp>
#include <reel/schedulers/edit_friendly.hpp>

namespace reel {

namespace detail {

template <class S>
[[nodiscard]] std::string sampler_name(const S& sampler) {
    if constexpr (requires { sampler.name(); }) {
        return sampler.name();
    } else {
        return "this sampler";
    }
}

/// The scheduler itself, or null when `sampler` is not and does not hold one.
template <class Wanted, class S>
[[nodiscard]] const Wanted* held_as(const S& sampler) {
    if constexpr (std::same_as<Wanted, S>) {
        return &sampler;
    } else if constexpr (requires { sampler.template as<Wanted>(); }) {
        return sampler.template as<Wanted>();
    } else {
        return nullptr;
    }
}

} // namespace detail

/// Calls run(inversion) with the inversion that a sampler goes with, for tensors of T on B: DDIM's, or
/// DPM-Solver++'s. Throws Error, with what to do, for a sampler that has none.
template <Real T, Backend B, class S, class Run>
void with_inversion(const S& sampler, InversionFormula formula, const Run& run) {
    if (const auto* ddim = detail::held_as<DDIMScheduler>(sampler)) {
        run(DDIMInverseScheduler(ddim->config(), formula));
        return;
    }
    const auto* solver = detail::held_as<DPMSolverMultistepScheduler<T, B>>(sampler);
    require(solver != nullptr, detail::sampler_name(sampler), ": no inversion leads to a start for this sampler; use ",
            "DDIMScheduler or DPMSolverMultistepScheduler, edit-friendly inversion where it draws noise (--inversion ",
            "edit_friendly), or start from noise (--start noise)");
    run(DPMSolverMultistepInverseScheduler<T, B>(solver->config()));
}

/// Throws Error, with what to do, unless the inversion goes with the sampler in `steps` steps: before the work.
template <Real T, Backend B, class S>
void require_inversion(const S& sampler, InversionKind kind, index_t steps, B& backend) {
    const auto undoes = [&](const void* held, std::string_view class_name, std::string_view name) {
        require(held != nullptr, "it undoes the steps of ", class_name, ", and the sampler is ",
                detail::sampler_name(sampler), "; use --scheduler ", name, ", or leave the option out");
    };
    switch (kind) {
    case InversionKind::own:
        break;
    case InversionKind::ddim:
        return undoes(detail::held_as<DDIMScheduler>(sampler), "DDIMScheduler", "ddim");
    case InversionKind::dpmpp:
        return undoes(detail::held_as<DPMSolverMultistepScheduler<T, B>>(sampler), "DPMSolverMultistepScheduler",
                      "dpm++_2m");
    case InversionKind::edit_friendly:
        check_edit_friendly<T>(sampler, steps, backend);
    }
}

/// The sampler, stopping at the levels that its inversion visits: DPM-Solver++ gets linspace spacing and ends at the
/// schedule's lowest level. Throws Error as with_inversion() does.
template <Real T, Backend B>
[[nodiscard]] AnyScheduler<T, B> with_levels_of_inversion(const AnyScheduler<T, B>& sampler) {
    AnyScheduler<T, B> suited = sampler;
    with_inversion<T, B>(sampler, InversionFormula::reference, [&](const auto& inversion) {
        if constexpr (requires { inversion.sampler_config(); }) {
            suited = AnyScheduler<T, B>(sampler.name(), DPMSolverMultistepScheduler<T, B>(inversion.sampler_config()));
        }
    });
    return suited;
}

/// The timesteps of the levels that the sampler's inversion leads to, upwards. Throws Error as with_inversion() does,
/// and where the noise schedule has no room for the steps.
template <Real T, Backend B>
[[nodiscard]] std::vector<double> levels_of_inversion(const AnyScheduler<T, B>& sampler, index_t steps) {
    std::vector<double> levels;
    with_inversion<T, B>(sampler, InversionFormula::reference, [&](auto&& inversion) {
        inversion.set_timesteps(steps);
        levels = levels_of_inversion(inversion);
    });
    return levels;
}

} // namespace reel
