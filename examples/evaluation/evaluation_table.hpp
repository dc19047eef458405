#pragma once
// Variants of the editing job by name, and tables of how well they did.

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <reel/core/format_text.hpp>
#include <reel/core/nearest_name.hpp>
#include <reel/core/ranges.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/pipelines/edit_options.hpp>

#include "world/insertion_metrics.hpp"
#include "world/words.hpp"

namespace evaluation {

/// What a user says of the place: nothing; the true object and what is around it; or in each frame a box around it,
/// half as large again.
enum class GivenPlace { none, object, box };

/// How a clip is edited in one of the compared ways.
struct Variant {
    std::string name{};
    bool tuned = true;
    GivenPlace given = GivenPlace::none; ///< as a mask of the user's own
    reel::EditOptions edit{}; ///< which prompts, start, mask and control; the rest is the same for all variants

    /// The clip's caption takes the empty one's place in inversion and guidance.
    [[nodiscard]] bool source_caption() const { return edit.guidance_prompt == reel::GuidancePrompt::source; }
};

/// Every variant: reference or source, then -mask or -delta, -given or -box, -edit_friendly or a control (-masactrl),
/// -untuned, -no-inversion, -overlay as they apply; a control only where the clip is inverted under its caption, but
/// for -ledits, which goes with edit-friendly inversion. no-inversion and neither (no tuning as well) for the
/// reference's.
[[nodiscard]] inline std::vector<Variant> all_variants() {
    using reel::EditStart;
    std::vector<Variant> all{{.name = "no-inversion", .edit = {.start = EditStart::noise}},
                             {.name = "neither", .tuned = false, .edit = {.start = EditStart::noise}}};
    constexpr std::array masks{std::pair{"", reel::MaskKind::none}, std::pair{"-mask", reel::MaskKind::difference},
                               std::pair{"-delta", reel::MaskKind::delta}};
    constexpr std::array places{std::pair{"", GivenPlace::none}, std::pair{"-given", GivenPlace::object},
                                std::pair{"-box", GivenPlace::box}};
    const auto add = [&](const auto& mask, const auto& place, const auto& control, reel::InversionKind inversion) {
        for (int i = 0; i < 16; ++i) {
            Variant v{.tuned = (i & 2) == 0,
                      .given = place.second,
                      .edit = {.start = (i & 1) == 0 ? EditStart::inversion : EditStart::noise,
                               .mask = mask.second,
                               .overlay = (i & 8) != 0}};
            if ((i & 4) != 0) {
                v.edit.inversion_prompt = reel::InversionPrompt::source;
                v.edit.guidance_prompt = reel::GuidancePrompt::source;
            }
            v.edit.control.control = control.value;
            v.edit.inversion = inversion;
            const bool friendly = inversion == reel::InversionKind::edit_friendly;
            const bool captioned = v.source_caption() || control.value == reel::ControlKind::ledits;
            if ((friendly || v.edit.control.given()) && !v.edit.inverted()) {
                continue;
            }
            if (v.edit.control.given() && !captioned) {
                continue;
            }
            const std::string how = v.edit.control.given() ? "-" + std::string(control.name)
                                    : friendly             ? "-edit_friendly"
                                                           : "";
            v.name = std::string(v.source_caption() ? "source" : "reference") + mask.first + place.first + how +
                     (v.tuned ? "" : "-untuned") + (v.edit.inverted() ? "" : "-no-inversion") +
                     (v.edit.overlay ? "-overlay" : "");
            all.push_back(v);
        }
    };
    for (const auto& mask : masks) {
        for (const auto& place : places) {
            for (const auto& control : reel::control_kind_names) {
                if (control.value != reel::ControlKind::ledits) {
                    add(mask, place, control, reel::InversionKind::own);
                } else if (mask.second == reel::MaskKind::none) {
                    add(mask, place, control, reel::InversionKind::edit_friendly);
                }
            }
            if (mask.second == reel::MaskKind::none) {
                add(mask, place, reel::control_kind_names[0], reel::InversionKind::edit_friendly);
            }
        }
    }
    return all;
}

/// The variants in a list of names with commas between. Throws Error for an unknown or repeated one.
[[nodiscard]] inline std::vector<Variant> variants_of(const std::string& list) {
    const std::vector<Variant> all = all_variants();
    std::vector<std::string> known;
    for (const Variant& variant : all) {
        known.push_back(variant.name);
    }
    std::vector<Variant> variants;
    std::istringstream stream(list);
    for (std::string name; std::getline(stream, name, ',');) {
        const auto found = reel::ranges::find(all, name, &Variant::name);
        reel::require(found != all.end(), "variant \"", name, "\" is unknown", reel::did_you_mean(name, known),
                      "; expected reference or source, then -mask or -delta, -given or -box, -prompt_to_prompt or "
                      "another control or -edit_friendly, -untuned, -no-inversion, -overlay as wanted");
        reel::require(reel::ranges::find(variants, name, &Variant::name) == variants.end(), "variant \"", name,
                      "\" is given twice");
        variants.push_back(*found);
    }
    reel::require(!variants.empty(), "no variants are given");
    return variants;
}

/// One clip in one variant. The variant "twin" is the true twin through the autoencoder: the most that can be reached.
struct Row {
    std::uint64_t seed = 0;
    std::string act;
    std::string colour; ///< asked for
    std::string variant;
    metrics::Insertion measures;
    double autoencoder = 0; ///< dB
    double seconds = 0;
};

[[nodiscard]] inline bool right_colour(const Row& row) {
    return world::colour_name(row.measures.colour) == row.colour;
}

inline constexpr std::string_view row_header =
    "seed,act,colour,variant,iou,background_db,background_source_db,flicker,found_colour,objects,one_object,"
    "outside_changed,autoencoder_db,seconds";

/// clips.csv, complete or not at all.
inline void write_rows(const std::filesystem::path& path, const std::vector<Row>& rows) {
    std::ostringstream text;
    text.precision(6);
    text << row_header << '\n';
    for (const Row& row : rows) {
        const metrics::Insertion& m = row.measures;
        text << row.seed << ',' << row.act << ',' << row.colour << ',' << row.variant << ',' << m.iou << ','
             << m.background << ',' << m.background_source << ',' << m.flicker << ',' << world::colour_name(m.colour)
             << ',' << m.objects << ',' << (m.one_object ? 1 : 0) << ',' << m.outside_changed << ',' << row.autoencoder
             << ',' << row.seconds << '\n';
    }
    reel::write_file(path, text.str());
}

/// Reads what write_rows() wrote; a missing file has no rows. Throws Error naming a line that is something else.
[[nodiscard]] inline std::vector<Row> read_rows(const std::filesystem::path& path) {
    std::vector<Row> rows;
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    while (std::getline(file, line)) {
        std::istringstream fields(line);
        std::string seed;
        std::string found;
        std::string one;
        Row row;
        metrics::Insertion& m = row.measures;
        char comma = 0;
        std::getline(fields, seed, ',');
        std::getline(fields, row.act, ',');
        std::getline(fields, row.colour, ',');
        std::getline(fields, row.variant, ',');
        fields >> m.iou >> comma >> m.background >> comma >> m.background_source >> comma >> m.flicker >> comma;
        std::getline(fields, found, ',');
        fields >> m.objects >> comma >> m.one_object >> comma >> m.outside_changed >> comma >> row.autoencoder >>
            comma >> row.seconds;
        reel::require(!fields.fail() && !seed.empty() && seed.find_first_not_of("0123456789") == std::string::npos,
                      path.string(), ": cannot read \"", line.substr(0, 80), "\"; expected ", row_header);
        row.seed = std::stoull(seed);
        if (const auto colour = world::word_named<world::Colour>(found)) {
            m.colour = static_cast<int>(*colour);
        }
        rows.push_back(row);
    }
    return rows;
}

/// A row as a line of the screen.
[[nodiscard]] inline std::string line_of(const Row& row) {
    return reel::format_text("%llu %-8s %-6s %-30s IoU %.2f  background %5.1f dB  flicker %5.2f  %-6s "
                             "%.1f objects  %.1f s",
                             static_cast<unsigned long long>(row.seed), row.act.c_str(), row.colour.c_str(),
                             row.variant.c_str(), row.measures.iou, row.measures.background, row.measures.flicker,
                             std::string(world::colour_name(row.measures.colour)).c_str(), row.measures.objects,
                             row.seconds);
}

/// Means over the clips of one act ("all": of every act) and variant.
struct Summary {
    std::string act{};
    std::string variant{};
    int clips = 0;
    double iou = 0;
    double background = 0;
    double background_source = 0;
    double flicker = 0;
    double right_colour = 0; ///< share of clips
    double one_object = 0;   ///< share of clips
    double outside_changed = 0;
    double autoencoder = 0;
    double seconds = 0;
};

/// One Summary for every act and variant that occurs, in the order of their first rows; the acts, then "all".
[[nodiscard]] inline std::vector<Summary> summarise(const std::vector<Row>& rows) {
    std::vector<std::string> acts;
    std::vector<std::string> variants;
    for (const Row& row : rows) {
        for (auto& [list, name] : {std::pair{&acts, &row.act}, std::pair{&variants, &row.variant}}) {
            if (reel::ranges::find(*list, *name) == list->end()) {
                list->push_back(*name);
            }
        }
    }
    acts.emplace_back("all");
    std::vector<Summary> result;
    for (const std::string& variant : variants) {
        for (const std::string& act : acts) {
            Summary s{.act = act, .variant = variant};
            for (const Row& row : rows) {
                if (row.variant == variant && (act == "all" || row.act == act)) {
                    ++s.clips;
                    s.iou += row.measures.iou;
                    s.background += row.measures.background;
                    s.background_source += row.measures.background_source;
                    s.flicker += row.measures.flicker;
                    s.right_colour += right_colour(row) ? 1 : 0;
                    s.one_object += row.measures.one_object ? 1 : 0;
                    s.outside_changed += row.measures.outside_changed;
                    s.autoencoder += row.autoencoder;
                    s.seconds += row.seconds;
                }
            }
            for (double* sum : {&s.iou, &s.background, &s.background_source, &s.flicker, &s.right_colour, &s.one_object,
                                &s.outside_changed, &s.autoencoder, &s.seconds}) {
                *sum /= std::max(s.clips, 1);
            }
            if (s.clips > 0) {
                result.push_back(s);
            }
        }
    }
    return result;
}

/// The summary as a table in Markdown.
[[nodiscard]] inline std::string summary(const std::vector<Row>& rows) {
    std::string text =
        "| variant | act | clips | IoU | background dB | against the source dB | flicker | right colour | "
        "one object | changed outside | seconds |\n|---|---|---|---|---|---|---|---|---|---|---|\n";
    double autoencoder = 0;
    for (const Summary& s : summarise(rows)) {
        text +=
            reel::format_text("| %s | %s | %d | %.2f | %.1f | %.1f | %.2f | %.0f %% | %.0f %% | %.2f %% | %.1f |\n",
                              s.variant.c_str(), s.act.c_str(), s.clips, s.iou, s.background, s.background_source,
                              s.flicker, 100 * s.right_colour, 100 * s.one_object, 100 * s.outside_changed, s.seconds);
        if (s.act == "all") {
            autoencoder = s.autoencoder;
        }
    }
    return text + reel::format_text("\nThe autoencoder draws these clips with %.1f dB.\n", autoencoder);
}

inline void write_summary_csv(const std::filesystem::path& path, const std::vector<Row>& rows) {
    std::ostringstream text;
    text << "variant,act,clips,iou,background_db,background_source_db,flicker,right_colour,one_object,outside_changed,"
            "autoencoder_db,seconds\n";
    for (const Summary& s : summarise(rows)) {
        text << s.variant << ',' << s.act << ',' << s.clips << ',' << s.iou << ',' << s.background << ','
             << s.background_source << ',' << s.flicker << ',' << s.right_colour << ',' << s.one_object << ','
             << s.outside_changed << ',' << s.autoencoder << ',' << s.seconds << '\n';
    }
    reel::write_file(path, text.str());
}

} // namespace evaluation
