#pragma once
// What a study comes to, as tables: summary.csv and summary.md.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <reel/core/format_text.hpp>
#include <reel/core/options.hpp>
#include <reel/core/ranges.hpp>
#include <reel/core/shown_text.hpp>
#include <reel/io/config/json.hpp>

#include "html.hpp"
#include "plan.hpp"

namespace study {

/// A measure as tables show it. `title` says in a few words what it is; docs/metrics.md defines it.
struct Column {
    const char* name;
    const char* label;
    const char* title;
};

inline constexpr std::array columns{
    Column{"psnr_outside", "PSNR outside",
           "dB against the autoencoder's picture of the clip, outside the changed region"},
    Column{"ssim_outside", "SSIM outside", "the same of SSIM"},
    Column{"changed_share", "changed", "size of the changed region: share of the picture, mean over frames"},
    Column{"warped", "warped", "difference of neighbouring frames along the clip's motion, in 8-bit levels"},
    Column{"warped_outside", "warped outside", "the same outside the changed region"},
    Column{"warped_reference", "warped, clip", "the same of the autoencoder's picture of the clip"},
    Column{"object_iou", "object IoU", "changed pixels and the true object's: drawn clips only"},
    Column{"object_count", "objects", "connected regions per frame: drawn clips only"},
    Column{"clip_text", "CLIP text", "100 x mean cosine of frames and caption"},
    Column{"clip_frames", "CLIP frames", "100 x mean cosine of all pairs of frames"},
    Column{"clip_neighbours", "CLIP neighbours", "100 x mean cosine of neighbouring frames"},
    Column{"tuning_loss", "tuning loss", "mean over the last tenth of the steps"},
    Column{"inversion_psnr", "inversion PSNR", "dB of the clip sampled back from its inversion, against the clip"},
    Column{"autoencoder_psnr", "autoencoder PSNR", "dB of the clip encoded and decoded, against the clip"},
    Column{"outside_mask_changed", "outside the mask",
           "pixels outside of the user's mask that are not the clip's own, to the byte: those of all frames"},
    Column{"psnr", "PSNR", "dB, whole picture"},
    Column{"ssim", "SSIM", "whole picture"},
    Column{"changed_frames", "frames changed", "share of the frames in which anything has changed"},
    Column{"changed_x", "at x", "centre of the changed region, share of the width"},
    Column{"changed_y", "at y", "share of the height"},
    Column{"changed_left", "left", "bounding box of the changed region, share of the width"},
    Column{"changed_top", "top", "share of the height"},
    Column{"changed_right", "right", "share of the width"},
    Column{"changed_bottom", "bottom", "share of the height"},
};

/// One cell with what became of it.
struct Outcome {
    const Edit* edit = nullptr;
    std::string error; ///< "" where it went well
    nlohmann::json measures = nlohmann::json::object();

    /// A measure, nothing where there is none.
    [[nodiscard]] std::optional<double> value(const char* name) const {
        const auto found = measures.find(name);
        if (found == measures.end() || found->is_null()) {
            return std::nullopt;
        }
        return found->is_number() ? found->get<double>() : std::numeric_limits<double>::infinity();
    }
};

namespace detail {

[[nodiscard]] inline std::string short_text(std::optional<double> value) {
    return !value ? "" : std::isinf(*value) ? "inf" : reel::format_text("%.4g", *value);
}

/// Those of the columns that some cell has.
[[nodiscard]] inline std::vector<Column> used_columns(const std::vector<Outcome>& outcomes) {
    std::vector<Column> used;
    for (const Column& column : columns) {
        if (reel::ranges::any_of(outcomes, [&](const Outcome& o) { return o.value(column.name).has_value(); })) {
            used.push_back(column);
        }
    }
    return used;
}

/// How a cell was made, beside its clip, caption and seed: the sampler and what is varied.
[[nodiscard]] inline std::string setting_of(const Study& study, const Cell& cell) {
    std::string text = cell.sampler.name;
    for (std::size_t i = 0; i < study.varied.size(); ++i) {
        text += ", " + study.varied[i] + " " + cell.varied[i];
    }
    return text;
}

/// Means over the cells that have a finite value, for every group, in the order in which groups appear.
struct Group {
    std::string name;
    int cells = 0;
    int failed = 0;
    std::vector<std::pair<double, int>> sums; ///< and how many, for each column

    [[nodiscard]] std::optional<double> mean(std::size_t column) const {
        const auto& [sum, count] = sums[column];
        return count == 0 ? std::nullopt : std::optional(sum / count);
    }
};

template <class NameOf>
[[nodiscard]] std::vector<Group> grouped(const std::vector<Outcome>& outcomes, const std::vector<Column>& used,
                                         const NameOf& name_of) {
    std::vector<Group> groups;
    for (const Outcome& outcome : outcomes) {
        const std::string name = name_of(outcome.edit->cell);
        auto group = reel::ranges::find(groups, name, &Group::name);
        if (group == groups.end()) {
            groups.push_back({name, 0, 0, std::vector<std::pair<double, int>>(used.size())});
            group = std::prev(groups.end());
        }
        ++group->cells;
        group->failed += outcome.error.empty() ? 0 : 1;
        for (std::size_t i = 0; i < used.size(); ++i) {
            if (const auto value = outcome.value(used[i].name); value && std::isfinite(*value)) {
                group->sums[i].first += *value;
                ++group->sums[i].second;
            }
        }
    }
    return groups;
}

} // namespace detail

/// Every cell on a line, with every measure in full.
[[nodiscard]] inline std::string summary_csv(const Study& study, const std::vector<Outcome>& outcomes) {
    std::string text = "object,clip,prompt,caption,sampler,seed";
    for (const std::string& key : study.varied) {
        text += "," + reel::csv_cell(key);
    }
    for (const Column& column : columns) {
        text += reel::concat_text(",", column.name);
    }
    text += ",state,error,folder\n";
    for (const Outcome& outcome : outcomes) {
        const Cell& cell = outcome.edit->cell;
        text += reel::csv_cell(cell.object) + "," + reel::csv_cell(cell.clip) + "," + reel::csv_cell(cell.prompt) +
                "," + reel::csv_cell(cell.caption) + "," + reel::csv_cell(cell.sampler.name) + "," +
                std::to_string(cell.seed);
        for (const std::string& value : cell.varied) {
            text += "," + reel::csv_cell(value);
        }
        for (const Column& column : columns) {
            const auto value = outcome.value(column.name);
            text += "," + (value ? reel::option_text(*value) : "");
        }
        text += outcome.error.empty() ? ",done,," : ",failed," + reel::csv_cell(outcome.error) + ",";
        text += "cells/" + outcome.edit->name + "\n";
    }
    return text;
}

/// Means by sampler and varied options, and by clip; then every cell.
[[nodiscard]] inline std::string summary_markdown(const Study& study, const std::vector<Outcome>& outcomes) {
    const std::vector<Column> used = detail::used_columns(outcomes);
    const auto failed = reel::ranges::count_if(outcomes, [](const Outcome& o) { return !o.error.empty(); });
    std::string text = "# " + (study.title.empty() ? "Study" : markdown_field(study.title)) + "\n\n" +
                       std::to_string(outcomes.size()) + " cells" +
                       (failed > 0 ? ", " + std::to_string(failed) + " failed" : "") +
                       ". Measures: means over cells.\n";
    const auto header = [&](const std::string& first) {
        text += "\n| " + first + " |";
        std::string line = "|---|---:|";
        for (const Column& column : used) {
            text += reel::concat_text(" ", column.label, " |");
            line += "---:|";
        }
        text += "\n" + line + "\n";
    };
    const auto table = [&](const std::string& first, const auto& name_of) {
        header(first + " | cells");
        for (const detail::Group& group : detail::grouped(outcomes, used, name_of)) {
            text += "| " + markdown_field(group.name) + " | " + std::to_string(group.cells - group.failed) + " |";
            for (std::size_t i = 0; i < used.size(); ++i) {
                text += " " + detail::short_text(group.mean(i)) + " |";
            }
            text += "\n";
        }
    };
    table("sampler", [&](const Cell& cell) { return detail::setting_of(study, cell); });
    table("clip", [](const Cell& cell) { return cell.object + ", " + cell.clip; });
    header("cell | seed");
    for (const Outcome& outcome : outcomes) {
        const Cell& cell = outcome.edit->cell;
        text += "| " +
                markdown_field(cell.object + ", " + cell.clip + ": " + cell.caption + " (" +
                               detail::setting_of(study, cell) + ")") +
                (outcome.error.empty() ? "" : " **failed**") + " | " + std::to_string(cell.seed) + " |";
        for (const Column& column : used) {
            text += " " + detail::short_text(outcome.value(column.name)) + " |";
        }
        text += "\n";
    }
    for (const Outcome& outcome : outcomes) {
        if (!outcome.error.empty()) {
            text += "\n`cells/" + outcome.edit->name + "` failed: " + markdown_field(outcome.error) + "\n";
        }
    }
    return text;
}

} // namespace study
