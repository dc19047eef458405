#pragma once
// The work of a study: what runs the model. Compiled once, in study.cpp.

#include <functional>
#include <memory>

#include "study_plan.hpp"

namespace study {

struct WorkSettings {
    std::filesystem::path model;      ///< empty: the one that comes with reel
    std::filesystem::path clip_model; ///< empty: no CLIP measures
    std::uint64_t seed = 33;
    int threads = 0;
    int preview_every = 0; ///< steps; 0: none
    std::string mixed_precision{"no"};
    std::string backend{"cpu"}; ///< as editing::open_device() takes it
};

/// Where results are.
struct Folders {
    std::filesystem::path root;

    [[nodiscard]] std::filesystem::path tuning(const Tuning& t) const { return root / "tunings" / t.name; }
    [[nodiscard]] std::filesystem::path inversion(const Inversion& i) const { return root / "inversions" / i.name; }
    [[nodiscard]] std::filesystem::path edit(const Edit& e) const { return root / "cells" / e.name; }
    [[nodiscard]] std::filesystem::path preview(const std::string& name) const {
        return root / "previews" / (name + ".gif");
    }
};

/// Called between steps; throws when the work has to stop.
using Tick = std::function<void()>;

/// A loaded model, and what it has of the clip in hand. Results go to folders; the next stage reads them there, whoever
/// made them.
class Workshop {
public:
    /// Loads the models. Throws Error when they cannot be.
    Workshop(const WorkSettings& settings, Folders folders);
    Workshop(const Workshop&) = delete;
    Workshop& operator=(const Workshop&) = delete;
    ~Workshop();

    /// Tells models apart.
    [[nodiscard]] const std::string& fingerprint() const;

    /// The name of the CLIP model, "" without.
    [[nodiscard]] std::string scorer() const;

    /// Checks what does not depend on clips: samplers, and prompts. Throws Error.
    void check(const Study& study);

    /// Tunes, going on from the last checkpoint in the tuning's folder, and writes what is found of the clip.
    void tune(const Tuning& tuning, const Tick& tick);
    /// After its tuning.
    void invert(const Plan& plan, const Inversion& inversion, const Tick& tick);
    /// After its inversion. An edit that is there and lacks CLIP's measures gets those.
    void edit(const Plan& plan, const Edit& edit, const Tick& tick);

    [[nodiscard]] bool is_tuned(const Tuning& tuning) const;
    [[nodiscard]] bool is_inverted(const Inversion& inversion) const;
    [[nodiscard]] bool is_edited(const Edit& edit) const;

private:
    class Work;
    std::unique_ptr<Work> work_;
};

} // namespace study
