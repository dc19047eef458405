#pragma once
// Schedulers by name, for command lines and configuration files. Needs nlohmann-json (target reel::io).

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <reel/core/ranges.hpp>
#include <reel/schedulers/any_scheduler.hpp>
#include <reel/schedulers/config/multistep_config.hpp>
#include <reel/schedulers/config/scheduler_config.hpp>
#include <reel/schedulers/config/scheduler_json.hpp>
#include <reel/schedulers/config/sigma_config.hpp>

namespace reel {

/// A list of scheduler types.
template <class... S>
struct SchedulerList {
    /// Calls `visit.template operator()<S>()` for each until one returns true; returns whether one did.
    template <class Visit>
    static bool any(const Visit& visit) {
        return (visit.template operator()<S>() || ...);
    }
};

/// What make_scheduler() can make, for tensors of T on B: one line per class.
template <Real T = float, Backend B = Cpu>
using RegisteredSchedulers = SchedulerList<
    // clang-format off
    DDIMScheduler,
    DDPMScheduler,
    PNDMScheduler<T, B>,
    LMSDiscreteScheduler<T, B>,
    EulerDiscreteScheduler,
    EulerAncestralDiscreteScheduler,
    HeunDiscreteScheduler<T, B>,
    KDPM2DiscreteScheduler<T, B>,
    KDPM2AncestralDiscreteScheduler<T, B>,
    DPMSolverMultistepScheduler<T, B>,
    DPMSolverSinglestepScheduler<T, B>,
    UniPCMultistepScheduler<T, B>,
    DEISMultistepScheduler<T, B>,
    LCMScheduler,
    TCDScheduler,
    EDMEulerScheduler
    // clang-format on
    >;

/// A short name for a class, or for a class and some of its choices.
struct SchedulerAlias {
    std::string_view name;
    std::string_view class_name;
    std::string_view choices = "{}"; ///< JSON that is laid over a configuration
};

/// The short names.
inline constexpr std::array scheduler_aliases{
    SchedulerAlias{"ddim", "DDIMScheduler"},
    SchedulerAlias{"ddpm", "DDPMScheduler"},
    SchedulerAlias{"pndm", "PNDMScheduler"},
    SchedulerAlias{"plms", "PNDMScheduler", R"({"skip_prk_steps": true})"},
    SchedulerAlias{"lms", "LMSDiscreteScheduler"},
    SchedulerAlias{"euler", "EulerDiscreteScheduler"},
    SchedulerAlias{"euler_a", "EulerAncestralDiscreteScheduler"},
    SchedulerAlias{"heun", "HeunDiscreteScheduler"},
    SchedulerAlias{"dpm2", "KDPM2DiscreteScheduler"},
    SchedulerAlias{"dpm2_a", "KDPM2AncestralDiscreteScheduler"},
    SchedulerAlias{"dpm++_2m", "DPMSolverMultistepScheduler", R"({"solver_order": 2})"},
    SchedulerAlias{"dpm++_3m", "DPMSolverMultistepScheduler", R"({"solver_order": 3})"},
    SchedulerAlias{"dpm++_2m_sde", "DPMSolverMultistepScheduler", R"({"algorithm_type": "sde-dpmsolver++"})"},
    SchedulerAlias{"dpm++_2s", "DPMSolverSinglestepScheduler"},
    SchedulerAlias{"unipc", "UniPCMultistepScheduler"},
    SchedulerAlias{"deis", "DEISMultistepScheduler"},
    SchedulerAlias{"lcm", "LCMScheduler"},
    SchedulerAlias{"tcd", "TCDScheduler"},
    SchedulerAlias{"edm_euler", "EDMEulerScheduler"},
};

/// The class names that make_scheduler() knows, without the short ones.
[[nodiscard]] inline std::vector<std::string> scheduler_class_names() {
    std::vector<std::string> names;
    RegisteredSchedulers<>::any([&]<class S>() {
        names.emplace_back(SchedulerFile<S>::class_name);
        return false;
    });
    return names;
}

/// Every name that make_scheduler() knows: the short ones first.
[[nodiscard]] inline std::vector<std::string> scheduler_names() {
    std::vector<std::string> names;
    for (const SchedulerAlias& alias : scheduler_aliases) {
        names.emplace_back(alias.name);
    }
    const std::vector<std::string> classes = scheduler_class_names();
    names.insert(names.end(), classes.begin(), classes.end());
    return names;
}

/// What a pipeline for latents makes of any scheduler's configuration; see stable_diffusion_fixes(DDIMConfig).
[[nodiscard]] inline nlohmann::json stable_diffusion_fixes(nlohmann::json config) {
    if (config.is_object()) { // make_scheduler() says what is wrong with others
        config["clip_sample"] = false;
        config["steps_offset"] = 1;
    }
    return config;
}

/// A scheduler by name: a class name of diffusers, or a short one in upper or lower case. `config` is what
/// scheduler_config.json holds, written for this class or for another that describes the same kind of model; a short
/// name's choices go before it. With an empty name, the configuration's `_class_name` decides. `where` (a file) starts
/// messages about the configuration, `option` those about the name. Throws Error for an unknown name, with the nearest
/// that is known, and whatever scheduler_from_config() refuses.
template <Real T, Backend B = Cpu>
[[nodiscard]] AnyScheduler<T, B> make_scheduler(std::string_view name, nlohmann::json config = nlohmann::json::object(),
                                                const std::string& where = "scheduler configuration",
                                                const std::string& option = "--scheduler") {
    require(config.is_object(), where, ": expected a JSON object");
    std::string class_name(name);
    std::string source = option;
    if (name.empty()) {
        const auto entry = config.find("_class_name");
        require(entry != config.end() && entry->is_string(), where,
                ": \"_class_name\" is missing, and no scheduler is named");
        class_name = entry->get<std::string>();
        source = where + ": \"_class_name\"";
    }
    std::string lower(name);
    ranges::transform(lower, lower.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
    for (const SchedulerAlias& alias : scheduler_aliases) {
        if (lower == alias.name) {
            class_name = alias.class_name;
            config.update(nlohmann::json::parse(alias.choices));
        }
    }
    std::optional<AnyScheduler<T, B>> made;
    const bool known = RegisteredSchedulers<T, B>::any([&]<class S>() {
        if (class_name != SchedulerFile<S>::class_name) {
            return false;
        }
        made.emplace(class_name, scheduler_from_config<S>(config, where));
        return true;
    });
    if (!known) {
        const std::vector<std::string> names = name.empty() ? scheduler_class_names() : scheduler_names();
        std::string list;
        for (const std::string& each : names) {
            list += (list.empty() ? "" : ", ") + each;
        }
        fail(source, ": \"", class_name.substr(0, 80), "\" is no scheduler that reel has",
             did_you_mean(class_name, names), "; expected one of: ", list);
    }
    return *std::move(made);
}

/// The same with the configuration in a file, or in the scheduler_config.json of a folder.
template <Real T, Backend B = Cpu>
[[nodiscard]] AnyScheduler<T, B> load_scheduler(const std::filesystem::path& path, std::string_view name = "",
                                                const std::string& option = "--scheduler") {
    std::error_code ignored;
    const std::filesystem::path file =
        std::filesystem::is_directory(path, ignored) ? path / "scheduler_config.json" : path;
    return make_scheduler<T, B>(name, read_scheduler_json(file), file.string(), option);
}

/// The scheduler's configuration, as diffusers reads it. Throws Error for one that is not in RegisteredSchedulers.
template <Real T, Backend B>
[[nodiscard]] nlohmann::json scheduler_to_config(const AnyScheduler<T, B>& scheduler) {
    nlohmann::json config;
    const bool known = RegisteredSchedulers<T, B>::any([&]<class S>() {
        const S* held = scheduler.template as<S>();
        if (held != nullptr) {
            config = scheduler_to_config(*held);
        }
        return held != nullptr;
    });
    require(known, scheduler.name(), ": cannot be written: it is not one of reel's registered schedulers");
    return config;
}

/// For a choice at run time what require_inversion_pair() of scheduler.hpp is at compile time: throws Error, with both
/// names and what would do, unless samples from `scheduler` may start where the inversion ended.
template <class Inversion, Real T, Backend B>
void require_inversion_pair(const Inversion& inversion, const AnyScheduler<T, B>& scheduler) {
    std::string suited;
    const bool pair = RegisteredSchedulers<T, B>::any([&]<class S>() {
        if constexpr (inverts<Inversion, S>) {
            suited += (suited.empty() ? "" : ", ") + std::string(SchedulerFile<S>::class_name);
            if (const S* held = scheduler.template as<S>()) {
                inversion.check_sampler(*held);
                return true;
            }
        }
        return false;
    });
    require(pair, Inversion::class_name, ": its result does not suit ", scheduler.name(), "; sample with ",
            suited.empty() ? "a scheduler that it was made for" : suited);
}

} // namespace reel
