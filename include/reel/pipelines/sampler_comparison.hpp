#pragma once
// What several samplers make of the same noise, as a sheet, tables and a plot. Needs libpng and nlohmann-json (target
// reel::io).

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/core/format_text.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/io/pictures/frames.hpp>
#include <reel/io/pictures/labelled_grid.hpp>
#include <reel/io/pictures/log_plot.hpp>
#include <reel/io/pictures/png.hpp>

namespace reel {

/// One sampler with one number of steps.
struct SamplerRun {
    std::string sampler; ///< as tables show it
    int steps = 0;
    std::size_t calls = 0; ///< of the model
    double seconds = 0;
    double distance = 0; ///< to a reference; see relative_distance()
    bool draws = false;  ///< noise: another sample of the distribution, not nearer and nearer to the reference
    Frames picture{};    ///< what came out; of a clip, sheets show the middle frame
};

/// Root of the mean square of the difference, relative to that of `goal`. Throws Error unless both have as many values.
[[nodiscard]] inline double relative_distance(const std::vector<float>& x, const std::vector<float>& goal) {
    require(x.size() == goal.size(), "relative_distance: ", x.size(), " values and ", goal.size());
    double difference = 0;
    double size = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        difference += std::pow(static_cast<double>(x[i]) - static_cast<double>(goal[i]), 2);
        size += std::pow(static_cast<double>(goal[i]), 2);
    }
    return std::sqrt(difference / size);
}

/// Samplers down, step counts across; first the reference alone. Each sampler's runs follow each other, with one number
/// of steps in each column.
[[nodiscard]] inline Frames sampler_sheet(const SamplerRun& reference, const std::vector<SamplerRun>& runs) {
    LabelledGrid grid{{reference.sampler}, {}, {{reference.picture}}};
    for (const SamplerRun& run : runs) {
        if (grid.rows.back() != run.sampler || grid.rows.size() == 1) {
            grid.rows.push_back(run.sampler);
            grid.cells.emplace_back();
        }
        grid.cells.back().push_back(run.picture);
        if (grid.rows.size() == 2) {
            grid.columns.push_back(std::to_string(run.steps));
        }
    }
    grid.cells.front().resize(std::max<std::size_t>(grid.columns.size(), 1));
    return labelled_grid(grid);
}

/// One line a run.
[[nodiscard]] inline std::string sampler_csv(const std::vector<SamplerRun>& runs) {
    std::string text = "sampler,steps,model_calls,seconds,distance,draws_noise\n";
    for (const SamplerRun& run : runs) {
        text += format_text("%s,%d,%zu,%.4f,%.6g,%s\n", csv_cell(run.sampler).c_str(), run.steps, run.calls,
                            run.seconds, run.distance, run.draws ? "true" : "false");
    }
    return text;
}

/// The same as a table in Markdown.
[[nodiscard]] inline std::string sampler_markdown(const SamplerRun& reference, const std::vector<SamplerRun>& runs) {
    std::string text = "| sampler | steps | model calls | seconds | distance to " + reference.sampler +
                       " |\n|---|---:|---:|---:|---:|\n";
    for (const SamplerRun& run : runs) {
        text += format_text("| %s%s | %d | %zu | %.2f | %.4f |\n", run.sampler.c_str(), run.draws ? " *" : "",
                            run.steps, run.calls, run.seconds, run.distance);
    }
    return text +
           "\n\\* draws noise: its results come from the same distribution, and do not approach the reference.\n";
}

/// Distance over model calls, a curve for each sampler; those that draw noise are dashed.
[[nodiscard]] inline LogPlot sampler_plot(const std::vector<SamplerRun>& runs) {
    LogPlot plot{"model calls", "distance to the reference", {}};
    for (const SamplerRun& run : runs) {
        if (plot.series.empty() || plot.series.back().label != run.sampler) {
            plot.series.push_back({run.sampler, {}});
        }
        plot.series.back().points.emplace_back(static_cast<double>(run.calls), std::max(run.distance, 1e-6));
        plot.series.back().dashed |= run.draws;
    }
    return plot;
}

/// Writes samplers.png, samplers.csv, samplers.md and distance.svg into a folder; returns their paths.
inline std::vector<std::filesystem::path> write_comparison(const std::filesystem::path& folder,
                                                           const SamplerRun& reference,
                                                           const std::vector<SamplerRun>& runs) {
    write_png(folder / "samplers.png", sampler_sheet(reference, runs));
    write_file(folder / "samplers.csv", sampler_csv(runs));
    write_file(folder / "samplers.md", sampler_markdown(reference, runs));
    write_file(folder / "distance.svg", log_plot_svg(sampler_plot(runs)));
    return {folder / "samplers.png", folder / "samplers.csv", folder / "samplers.md", folder / "distance.svg"};
}

} // namespace reel
