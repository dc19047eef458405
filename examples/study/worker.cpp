#include "worker.hpp"

#include <set>
#include <span>

#include <reel/io/files/sha256.hpp>
#include <reel/pipelines/prompts.hpp>

#include "editing_work.hpp"
#include "tuning_work.hpp"

namespace study {

std::pair<std::string, std::string> captions_of(const DrawnClip& drawn) {
    const world::Scene scene = scene_of(drawn);
    return {world::caption(scene, false), world::caption(scene, true)};
}

std::string drawing_hash(const Cell& cell) {
    const world::Clip drawn = drawing_of(cell);
    return reel::sha256_hex(std::as_bytes(std::span(drawn.pretending.rgb)));
}

class Worker::Work {
public:
    Work(const WorkerSettings& settings, Folders folders)
        : session_(settings, std::move(folders)), previews_(session_, settings.preview_every, failed_),
          tuning_(session_, previews_, failed_), editing_(session_, previews_, failed_, settings.clip_model) {}

    [[nodiscard]] const std::string& fingerprint() const { return session_.fingerprint(); }
    [[nodiscard]] const reel::PipelineFacts& model() const { return session_.pipeline().facts(); }
    [[nodiscard]] std::string scorer() const { return editing_.scorer(); }
    [[nodiscard]] const reel::FailedWrites& failed_writes() const { return failed_; }

    void check(const Study& study) {
        std::set<std::string> prompts;
        std::set<std::string> samplers;
        for (const Cell& cell : study.cells) {
            for (const auto& [key, text] : {std::pair{"prompt", cell.prompt}, std::pair{"caption", cell.caption}}) {
                if (prompts.insert(text).second) {
                    reel::check_prompt(session_.pipeline(), key, text);
                }
            }
            reel::require(!model().inpaints || cell.options.edit.user_mask.given(), model().folder.string(),
                          ": this is an inpainting model, which paints inside a mask, and ", cell.object, ", ",
                          cell.clip, " has none; give mask_box, mask_file or mask_polygon");
            session_.pipeline().check_control(cell.options.edit.control, cell.prompt, cell.caption);
            if (samplers.insert(cell.sampler.name).second) {
                static_cast<void>(session_.sampler_named(cell.sampler));
            }
        }
    }

    void tune(const Tuning& tuning, const CheckStop& check_stop) {
        session_.pipeline().watch.after_step = check_stop;
        tuning_.tune(tuning, check_stop);
    }
    void invert(const Plan& plan, const Inversion& inversion, const CheckStop& check_stop) {
        session_.pipeline().watch.after_step = check_stop;
        editing_.invert(plan, inversion, check_stop);
    }
    void edit(const Plan& plan, const Edit& edit, const CheckStop& check_stop) {
        session_.pipeline().watch.after_step = check_stop;
        editing_.edit(plan, edit, check_stop);
    }

    [[nodiscard]] bool is_tuned(const Tuning& tuning) const {
        return finished_result(session_.folders().tuning(tuning) / "tuning.json").has_value();
    }
    [[nodiscard]] bool is_inverted(const Inversion& inversion) const {
        const auto result = finished_result(session_.folders().inversion(inversion) / "inversion.json");
        return result && (!inversion.keeps_all || result->value("keeps_all", nlohmann::json()) == true);
    }
    [[nodiscard]] bool is_edited(const Edit& edit) const {
        const auto result = finished_result(session_.folders().edit(edit) / "metrics.json");
        return result && (scorer().empty() || result->value("clip_model", nlohmann::json()) == scorer());
    }

private:
    StudySession session_;
    reel::FailedWrites failed_;
    Previews previews_;
    TuningWork tuning_;
    EditingWork editing_;
};

Worker::Worker(const WorkerSettings& settings, Folders folders)
    : work_(std::make_unique<Work>(settings, std::move(folders))) {}
Worker::~Worker() = default;

const std::string& Worker::fingerprint() const {
    return work_->fingerprint();
}
const reel::PipelineFacts& Worker::model() const {
    return work_->model();
}
std::string Worker::scorer() const {
    return work_->scorer();
}
const reel::FailedWrites& Worker::failed_writes() const {
    return work_->failed_writes();
}
void Worker::check(const Study& study) {
    work_->check(study);
}
void Worker::tune(const Tuning& tuning, const CheckStop& check_stop) {
    work_->tune(tuning, check_stop);
}
void Worker::invert(const Plan& plan, const Inversion& inversion, const CheckStop& check_stop) {
    work_->invert(plan, inversion, check_stop);
}
void Worker::edit(const Plan& plan, const Edit& edit, const CheckStop& check_stop) {
    work_->edit(plan, edit, check_stop);
}
bool Worker::is_tuned(const Tuning& tuning) const {
    return work_->is_tuned(tuning);
}
bool Worker::is_inverted(const Inversion& inversion) const {
    return work_->is_inverted(inversion);
}
bool Worker::is_edited(const Edit& edit) const {
    return work_->is_edited(edit);
}

} // namespace study
