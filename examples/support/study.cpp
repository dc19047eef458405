#include "study_work.hpp"

#include <set>
#include <span>

#include "study_editing.hpp"
#include "study_tuning.hpp"

namespace study {

std::pair<std::string, std::string> captions_of(const Drawn& drawn) {
    const world::Scene scene = scene_of(drawn);
    return {world::caption(scene, false), world::caption(scene, true)};
}

std::string drawing_hash(const Cell& cell) {
    const world::Clip drawn = drawing_of(cell);
    return reel::sha256_hex(std::as_bytes(std::span(drawn.pretending.rgb)));
}

class Workshop::Work {
public:
    Work(const WorkSettings& settings, Folders folders)
        : hand_(settings, std::move(folders)), previews_(hand_, settings.preview_every), tuning_(hand_, previews_),
          editing_(hand_, previews_, settings.clip_model) {}

    [[nodiscard]] const std::string& fingerprint() const { return hand_.fingerprint(); }
    [[nodiscard]] std::string scorer() const { return editing_.scorer(); }

    void check(const Study& study) {
        std::set<std::string> prompts;
        std::set<std::string> samplers;
        for (const Cell& cell : study.cells) {
            for (const auto& [key, text] : {std::pair{"prompt", cell.prompt}, std::pair{"caption", cell.caption}}) {
                if (prompts.insert(text).second) {
                    editing::check_prompt(hand_.model(), key, text);
                }
            }
            if (samplers.insert(cell.sampler.name).second) {
                static_cast<void>(hand_.sampler_named(cell.sampler));
            }
        }
    }

    void tune(const Tuning& tuning, const Tick& tick) { tuning_.tune(tuning, tick); }
    void invert(const Plan& plan, const Inversion& inversion, const Tick& tick) {
        editing_.invert(plan, inversion, tick);
    }
    void edit(const Plan& plan, const Edit& edit, const Tick& tick) { editing_.edit(plan, edit, tick); }

    [[nodiscard]] bool is_tuned(const Tuning& tuning) const {
        return std::filesystem::exists(hand_.folders().tuning(tuning) / "tuning.json");
    }
    [[nodiscard]] bool is_inverted(const Inversion& inversion) const {
        const std::filesystem::path file = hand_.folders().inversion(inversion) / "inversion.json";
        return std::filesystem::exists(file) &&
               (!inversion.keeps_all || reel::read_json(file).at("keeps_all").get<bool>());
    }
    [[nodiscard]] bool is_edited(const Edit& edit) const {
        const std::filesystem::path file = hand_.folders().edit(edit) / "metrics.json";
        return std::filesystem::exists(file) &&
               (scorer().empty() || reel::read_json(file).value("clip_model", "") == scorer());
    }

private:
    Hand hand_;
    Previews previews_;
    TuningWork tuning_;
    EditingWork editing_;
};

Workshop::Workshop(const WorkSettings& settings, Folders folders)
    : work_(std::make_unique<Work>(settings, std::move(folders))) {}
Workshop::~Workshop() = default;

const std::string& Workshop::fingerprint() const {
    return work_->fingerprint();
}
std::string Workshop::scorer() const {
    return work_->scorer();
}
void Workshop::check(const Study& study) {
    work_->check(study);
}
void Workshop::tune(const Tuning& tuning, const Tick& tick) {
    work_->tune(tuning, tick);
}
void Workshop::invert(const Plan& plan, const Inversion& inversion, const Tick& tick) {
    work_->invert(plan, inversion, tick);
}
void Workshop::edit(const Plan& plan, const Edit& edit, const Tick& tick) {
    work_->edit(plan, edit, tick);
}
bool Workshop::is_tuned(const Tuning& tuning) const {
    return work_->is_tuned(tuning);
}
bool Workshop::is_inverted(const Inversion& inversion) const {
    return work_->is_inverted(inversion);
}
bool Workshop::is_edited(const Edit& edit) const {
    return work_->is_edited(edit);
}

} // namespace study
