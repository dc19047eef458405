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
#include <vector>

#include <reel/core/nearest_name.hpp>
#include <reel/io/files/atomic_file.hpp>

#include "world/insertion_metrics.hpp"
#include "world/words.hpp"

namespace evaluation {

/// Where an edit may change the clip: where the captions' noise predictions differ, or where a draft does.
enum class Place { everywhere, difference, delta };

/// Which stages a job has.
struct Variant {
    std::string name{};
    bool source_caption = false; ///< the clip's caption takes the empty one's place in inversion and guidance
    Place place = Place::everywhere;
    bool tuned = true;
    bool inverted = true;  ///< otherwise sampling starts from random noise
    bool overlaid = false; ///< laid over the clip, so that what has not changed is the clip's own

    [[nodiscard]] bool masked() const { return place != Place::everywhere; }
};

/// Every variant: reference or source, then -mask or -delta, -untuned, -no-inversion, -overlay as they apply;
/// no-inversion and neither (no tuning as well) for the reference's.
[[nodiscard]] inline std::vector<Variant> all_variants() {
    std::vector<Variant> all{{.name = "no-inversion", .inverted = false},
                             {.name = "neither", .tuned = false, .inverted = false}};
    constexpr std::array places{"", "-mask", "-delta"};
    for (std::size_t i = 0; i < 16 * places.size(); ++i) {
        Variant v{.source_caption = (i & 4) != 0,
                  .place = static_cast<Place>(i / 16),
                  .tuned = (i & 2) == 0,
                  .inverted = (i & 1) == 0,
                  .overlaid = (i & 8) != 0};
        v.name = std::string(v.source_caption ? "source" : "reference") + places[i / 16] + (v.tuned ? "" : "-untuned") +
                 (v.inverted ? "" : "-no-inversion") + (v.overlaid ? "-overlay" : "");
        all.push_back(v);
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
        const auto found = std::ranges::find(all, name, &Variant::name);
        reel::require(
            found != all.end(), "variant \"", name, "\" is unknown", reel::did_you_mean(name, known),
            "; expected reference or source, then -mask or -delta, -untuned, -no-inversion, -overlay as wanted");
        reel::require(std::ranges::find(variants, name, &Variant::name) == variants.end(), "variant \"", name,
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

[[nodiscard]] inline std::string colour_name(const std::optional<int>& colour) {
    return colour ? std::string(world::name_of(static_cast<world::Colour>(*colour))) : "none";
}

[[nodiscard]] inline bool right_colour(const Row& row) {
    return colour_name(row.measures.colour) == row.colour;
}

inline constexpr std::string_view row_header =
    "seed,act,colour,variant,iou,background_db,background_source_db,flicker,found_colour,objects,one_object,"
    "autoencoder_db,seconds";

/// clips.csv, complete or not at all.
inline void write_rows(const std::filesystem::path& path, const std::vector<Row>& rows) {
    std::ostringstream text;
    text.precision(6);
    text << row_header << '\n';
    for (const Row& row : rows) {
        const metrics::Insertion& m = row.measures;
        text << row.seed << ',' << row.act << ',' << row.colour << ',' << row.variant << ',' << m.iou << ','
             << m.background << ',' << m.background_source << ',' << m.flicker << ',' << colour_name(m.colour) << ','
             << m.objects << ',' << (m.one_object ? 1 : 0) << ',' << row.autoencoder << ',' << row.seconds << '\n';
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
        fields >> m.objects >> comma >> m.one_object >> comma >> row.autoencoder >> comma >> row.seconds;
        reel::require(!fields.fail() && !seed.empty() && seed.find_first_not_of("0123456789") == std::string::npos,
                      path.string(), ": cannot read \"", line.substr(0, 80), "\"; expected ", row_header);
        row.seed = std::stoull(seed);
        for (int i = 0; i < world::colour_count; ++i) {
            if (found == world::name_of(static_cast<world::Colour>(i))) {
                m.colour = i;
            }
        }
        rows.push_back(row);
    }
    return rows;
}

/// A row as a line of the screen.
[[nodiscard]] inline std::string line_of(const Row& row) {
    std::array<char, 200> text{};
    std::snprintf(text.data(), text.size(),
                  "%llu %-8s %-6s %-30s IoU %.2f  background %5.1f dB  flicker %5.2f  %-6s "
                  "%.1f objects  %.1f s",
                  static_cast<unsigned long long>(row.seed), row.act.c_str(), row.colour.c_str(), row.variant.c_str(),
                  row.measures.iou, row.measures.background, row.measures.flicker,
                  colour_name(row.measures.colour).c_str(), row.measures.objects, row.seconds);
    return text.data();
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
    double autoencoder = 0;
    double seconds = 0;
};

/// One Summary for every act and variant that occurs, in the order of their first rows; the acts, then "all".
[[nodiscard]] inline std::vector<Summary> summarise(const std::vector<Row>& rows) {
    std::vector<std::string> acts;
    std::vector<std::string> variants;
    for (const Row& row : rows) {
        for (auto& [list, name] : {std::pair{&acts, &row.act}, std::pair{&variants, &row.variant}}) {
            if (std::ranges::find(*list, *name) == list->end()) {
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
                    s.autoencoder += row.autoencoder;
                    s.seconds += row.seconds;
                }
            }
            for (double* sum : {&s.iou, &s.background, &s.background_source, &s.flicker, &s.right_colour, &s.one_object,
                                &s.autoencoder, &s.seconds}) {
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
        "one object | seconds |\n|---|---|---|---|---|---|---|---|---|---|\n";
    double autoencoder = 0;
    for (const Summary& s : summarise(rows)) {
        std::array<char, 300> line{};
        std::snprintf(line.data(), line.size(),
                      "| %s | %s | %d | %.2f | %.1f | %.1f | %.2f | %.0f %% | %.0f %% | %.1f |\n", s.variant.c_str(),
                      s.act.c_str(), s.clips, s.iou, s.background, s.background_source, s.flicker, 100 * s.right_colour,
                      100 * s.one_object, s.seconds);
        text += line.data();
        if (s.act == "all") {
            autoencoder = s.autoencoder;
        }
    }
    std::array<char, 80> line{};
    std::snprintf(line.data(), line.size(), "\nThe autoencoder draws these clips with %.1f dB.\n", autoencoder);
    return text + line.data();
}

inline void write_summary_csv(const std::filesystem::path& path, const std::vector<Row>& rows) {
    std::ostringstream text;
    text << "variant,act,clips,iou,background_db,background_source_db,flicker,right_colour,one_object,autoencoder_db,"
            "seconds\n";
    for (const Summary& s : summarise(rows)) {
        text << s.variant << ',' << s.act << ',' << s.clips << ',' << s.iou << ',' << s.background << ','
             << s.background_source << ',' << s.flicker << ',' << s.right_colour << ',' << s.one_object << ','
             << s.autoencoder << ',' << s.seconds << '\n';
    }
    reel::write_file(path, text.str());
}

} // namespace evaluation
