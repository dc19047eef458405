#pragma once
// A study as one page that needs nothing but itself: report.html, from the folders of its results alone.

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <reel/core/version.hpp>
#include <reel/io/files/atomic_file.hpp>

#include "files.hpp"
#include "loss_curve.hpp"
#include "summary.hpp"
#include "worker.hpp"

namespace study {

namespace detail {

[[nodiscard]] inline std::string options_table(const nlohmann::json& options) {
    std::string text = "<div class=\"wide\"><table>";
    for (const auto& [key, value] : options.items()) {
        text += "<tr><th>" + escaped(key) + "</th><td><code>" +
                escaped(value.is_string() ? value.get<std::string>() : reel::json_text(value, "report")) +
                "</code></td></tr>";
    }
    return text + "</table></div>\n";
}

/// "1 seed", "2 seeds".
[[nodiscard]] inline std::string counted(std::size_t number, std::string_view what) {
    return reel::concat_text(number, " ", what, number == 1 ? "" : "s");
}

/// Writes report.html piece by piece: its pictures together may be large.
class ReportWriter {
public:
    ReportWriter(const Study& study, const Plan& plan, const Folders& folders, const std::vector<Outcome>& outcomes)
        : study_(study), plan_(plan), folders_(folders), outcomes_(outcomes), used_(used_columns(outcomes)),
          file_(folders.root / "report.html") {}

    void write() {
        const std::string title = escaped(study_.title.empty() ? "Study" : study_.title);
        put("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
            // The page says itself that it asks for nothing.
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
            "style-src 'unsafe-inline'\">\n"
            "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>" +
            title + "</title>\n<style>" + std::string(page_style) + "</style>\n</head>\n<body>\n<h1>" + title +
            "</h1>\n");
        introduction();
        failures();
        overview("By sampler and varied options", "sampler", [&](const Cell& c) { return setting_of(study_, c); });
        overview("By clip", "clip", [](const Cell& c) { return c.object + ", " + c.clip; });
        for (const Tuning& tuning : plan_.tunings) {
            clip(tuning);
        }
        all_measures();
        put("<p>made by reel " + std::string(reel::version) + "</p>\n</body>\n</html>\n");
        file_.commit();
    }

private:
    void put(const std::string& text) { file_.write(text); }

    void introduction() {
        std::set<std::string> clips;
        std::set<std::string> captions;
        std::set<std::string> samplers;
        std::set<std::uint64_t> seeds;
        for (const Edit& edit : plan_.edits) {
            clips.insert(edit.cell.object + '\0' + edit.cell.clip);
            captions.insert(edit.cell.caption);
            samplers.insert(edit.cell.sampler.name);
            seeds.insert(edit.cell.seed);
        }
        put("<p>" + counted(plan_.edits.size(), "cell") + ": " + counted(clips.size(), "clip") + ", " +
            counted(captions.size(), "caption") + ", " + counted(samplers.size(), "sampler") + ", " +
            counted(seeds.size(), "seed"));
        for (const std::string& key : study_.varied) {
            put(", <code>" + escaped(key) + "</code> varied");
        }
        put(". " + counted(plan_.tunings.size(), "tuning") + ", " + counted(plan_.inversions.size(), "inversion") +
            ".</p>\n");
    }

    void failures() {
        bool first = true;
        for (const Outcome& outcome : outcomes_) {
            if (!outcome.error.empty()) {
                put(std::exchange(first, false) ? "<h2>Failed</h2>\n<ul>\n" : "");
                put("<li class=\"error\"><code>" + escaped(outcome.edit->name) + "</code>: " + escaped(outcome.error) +
                    "</li>\n");
            }
        }
        put(first ? "" : "</ul>\n");
    }

    [[nodiscard]] std::string heads() const {
        std::string text;
        for (const Column& column : used_) {
            text += "<th title=\"" + escaped(column.title) + "\">" + escaped(column.label) + "</th>";
        }
        return text;
    }

    template <class NameOf>
    void overview(const char* title, const char* first, const NameOf& name_of) {
        put(reel::concat_text("<h2>", title, "</h2>\n<div class=\"wide\"><table><tr><th>", first, "</th><th>cells</th>",
                              heads(), "</tr>\n"));
        for (const Group& group : grouped(outcomes_, used_, name_of)) {
            put(reel::concat_text("<tr><td>", escaped(group.name), "</td><td class=\"n\">", group.cells - group.failed,
                                  group.failed > 0 ? " + " + std::to_string(group.failed) + " failed" : std::string(),
                                  "</td>"));
            for (std::size_t i = 0; i < used_.size(); ++i) {
                put("<td class=\"n\">" + short_text(group.mean(i)) + "</td>");
            }
            put("</tr>\n");
        }
        put("</table></div>\n");
    }

    void clip(const Tuning& tuning) {
        const Cell& cell = tuning.cell;
        const std::filesystem::path folder = folders_.tuning(tuning);
        put("<h2>" + escaped(cell.object) + ", " + escaped(cell.clip) + "</h2>\n<p>&ldquo;" + escaped(cell.prompt) +
            "&rdquo;</p>\n");
        if (!std::filesystem::exists(folder / "tuning.json")) {
            put("<p class=\"error\">not tuned</p>\n");
        } else {
            put("<figure>" + inline_picture(folder / "frames.png", cell.prompt) + "</figure>\n");
            if (cell.options.tuning.max_train_steps > 0) {
                reel::LossLog losses(reel::LossColumns::exact);
                losses.resume(folder / "losses.csv");
                put("<figure>" + loss_curve(losses) + "<figcaption>loss of tuning" +
                    (cell.options.tuning.max_train_steps > 20 ? ", and its mean over stretches" : "") +
                    "</figcaption></figure>\n");
            } else {
                put("<p>not tuned: the model as it is</p>\n");
            }
            put("<details><summary>options of the tuning</summary>" +
                options_table(ResultFile(folder / "tuning.json").at("options")) + "</details>\n");
        }
        for (const Inversion& inversion : plan_.inversions) {
            if (plan_.tunings[inversion.tuning].name == tuning.name) {
                cells_of(inversion);
            }
        }
    }

    void cells_of(const Inversion& inversion) {
        const std::filesystem::path folder = folders_.inversion(inversion);
        put("<h3>Edits</h3>\n");
        if (std::filesystem::exists(folder / "thumbnail.gif")) {
            put("<figure>" + inline_picture(folder / "thumbnail.gif", "the clip sampled back from its inversion") +
                "<figcaption>the clip sampled back from its inversion</figcaption></figure>\n");
        }
        if (std::filesystem::exists(folder / "inversion.json")) {
            put("<details><summary>options of the inversion</summary>" +
                options_table(ResultFile(folder / "inversion.json").at("options")) + "</details>\n");
        }
        put("<div class=\"cells\">\n");
        for (const Outcome& outcome : outcomes_) {
            if (plan_.inversions[outcome.edit->inversion].name == inversion.name) {
                cell(outcome);
            }
        }
        put("</div>\n");
    }

    void cell(const Outcome& outcome) {
        const Cell& c = outcome.edit->cell;
        const std::filesystem::path folder = folders_.edit(*outcome.edit);
        put(std::string("<div class=\"cell") + (outcome.error.empty() ? "" : " failed") + "\">\n<p><b>" +
            escaped(c.caption) + "</b><br>" + escaped(setting_of(study_, c)) + ", seed " + std::to_string(c.seed) +
            "</p>\n");
        if (!outcome.error.empty()) {
            put("<p class=\"error\">" + escaped(outcome.error) + "</p>\n</div>\n");
            return;
        }
        put("<figure>" + inline_picture(folder / "thumbnail.gif", "clip and edit: " + c.caption) + "</figure>\n");
        put("<details class=\"sheet\"><summary>frames</summary>" + inline_picture(folder / "frames.png", c.caption));
        if (std::filesystem::exists(folder / "mask.gif")) {
            put("<figure>" + inline_picture(folder / "mask.gif", "mask") +
                "<figcaption>where it may change</figcaption></figure>");
        }
        put("</details>\n<details><summary>measures</summary><table>");
        for (const Column& column : used_) {
            put("<tr><th title=\"" + escaped(column.title) + "\">" + escaped(column.label) + "</th><td class=\"n\">" +
                short_text(outcome.value(column.name)) + "</td></tr>");
        }
        put("</table></details>\n<details><summary>options</summary>" +
            options_table(ResultFile(folder / "options.json").json()) + "</details>\n</div>\n");
    }

    void all_measures() {
        put("<h2>All cells</h2>\n<div class=\"wide\"><table><tr><th>clip</th><th>caption</th><th>sampler</th>"
            "<th>seed</th>" +
            heads() + "</tr>\n");
        for (const Outcome& outcome : outcomes_) {
            const Cell& c = outcome.edit->cell;
            put("<tr><td>" + escaped(c.object + ", " + c.clip) + "</td><td>" + escaped(c.caption) + "</td><td>" +
                escaped(setting_of(study_, c)) + "</td><td class=\"n\">" + std::to_string(c.seed) + "</td>");
            for (const Column& column : used_) {
                put("<td class=\"n\">" + short_text(outcome.value(column.name)) + "</td>");
            }
            put("</tr>\n");
        }
        put("</table></div>\n");
    }

    const Study& study_;
    const Plan& plan_;
    const Folders& folders_;
    const std::vector<Outcome>& outcomes_;
    std::vector<Column> used_;
    reel::AtomicFile file_;
};

} // namespace detail

/// Writes summary.csv, summary.md and report.html. The same results give the same bytes. Throws Error when a result is
/// missing.
inline void write_reports(const Study& study, const Plan& plan, const Folders& folders,
                          const std::vector<Outcome>& outcomes) {
    reel::write_file(folders.root / "summary.csv", summary_csv(study, outcomes));
    reel::write_file(folders.root / "summary.md", summary_markdown(study, outcomes));
    detail::ReportWriter(study, plan, folders, outcomes).write();
}

} // namespace study
