// insert_object without a clip, its masked edits, and evaluate_insertion, with a small model that has learned nothing.

#include <reel/io/config/json.hpp>
#include <reel/io/pictures/frame_grid.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/video/video_reader.hpp>

#include "support/programs.hpp"

using namespace reel_test;

namespace {

/// What both programs are given, so that they do the same.
const Words small{"--model",          sd1_model, "--n_sample_frames", "3", "--max_train_steps", "2",
                  "--mask_strengths", "0.4,0.8", "--mask_draws",      "1", "--threads",         "1",
                  "--learning_rate",  "1e-2",    "--delta_steps",     "3", "--delta_shrinkage", "0"};

Words demonstration(const Path& output) {
    return Words{insert_object} + small + Words{"--num_inv_steps",
                                                "3",
                                                "--num_inference_steps",
                                                "3",
                                                "--world_seed",
                                                "1",
                                                "--act",
                                                "sitting",
                                                "--colour",
                                                "blue",
                                                "--output",
                                                output};
}

Words evaluation(const Path& output, const std::string& first, const std::string& clips) {
    return Words{REEL_EVALUATE_INSERTION} + small +
           Words{"--steps",      "3",
                 "--first_seed", first,
                 "--clips",      clips,
                 "--acts",       "sitting",
                 "--colours",    "blue",
                 "--output",     output,
                 "--variants",   "source-mask,source-delta-overlay,reference-untuned,neither"};
}

/// clips.csv without its seconds.
Words rows_in(const Path& folder) {
    Words lines = lines_of(read_text(folder / "clips.csv"));
    for (std::string& line : lines) {
        line.erase(std::min(line.rfind(','), line.size()));
    }
    return lines;
}

} // namespace

TEST_CASE("the demonstration draws, tunes, inverts, edits and compares; evaluate_insertion does the same") {
    const TemporaryFolder work;
    const Ended ended = run_well(demonstration(work / "out"));
    const auto files = files_in(work / "out");
    for (const char* name : {"pretending.mp4", "source.mp4", "frames.png", "details.png", "side_by_side.gif",
                             "mask-1.gif", "metrics.json", "metrics.csv", "manifest.json", "losses.csv"}) {
        INFO(name);
        CHECK(files.contains(name));
    }
    const nlohmann::json metrics = reel::read_json(work / "out" / "metrics.json");
    CHECK(metrics.at("clip").at("act") == "sitting");
    CHECK(metrics.at("clip").at("edit").get<std::string>().ends_with("is sitting on a blue stool"));
    const std::string last = lines_of(ended.out).back();
    INFO(last);
    CHECK(last.find("inserted: a blue stool, IoU ") != std::string::npos);
    CHECK(last.ends_with((work / "out" / "frames.png").string()));
    const reel::Frames clip = reel::make_frames(3, 192, 192);
    const reel::Frames sheet = reel::contact_sheet({clip, clip, clip, clip});
    const reel::Frames picture = reel::read_png(work / "out" / "frames.png");
    CHECK(picture.width == sheet.width);
    CHECK(picture.height == sheet.height);

    run_well(evaluation(work / "two", "0", "2"));
    const Words two = rows_in(work / "two");
    REQUIRE(two.size() == 11);
    // The same edit; each program rounds its measures as it was compiled.
    std::istringstream row(two[10]);
    std::string field;
    for (const char* name : {"1", "sitting", "blue", "source-delta-overlay"}) {
        std::getline(row, field, ',');
        CHECK(field == name);
    }
    for (const char* name : {"iou", "background_db", "background_source_db", "flicker"}) {
        CAPTURE(name);
        std::getline(row, field, ',');
        CHECK(std::stod(field) == doctest::Approx(metrics.at("edit").at(name).get<double>()).epsilon(1e-5));
    }

    // A clip's numbers do not depend on those before it: the model is the original again.
    run_well(evaluation(work / "second", "1", "1"));
    CHECK(rows_in(work / "second") == Words{two[0], two[6], two[7], two[8], two[9], two[10]});
    CHECK(contains(read_text(work / "two" / "summary.md"), "| source-delta-overlay | sitting | 2 |"));
    CHECK(files_in(work / "two" / "sheets").size() == 2);

    // Stopped after one clip and continued.
    run_well(evaluation(work / "resumed", "0", "1"));
    const Ended more = run_well(evaluation(work / "resumed", "0", "2") + Words{"--resume"});
    CHECK(rows_in(work / "resumed") == two);
    CHECK(!contains(more.out, "0 sitting"));
    const Ended other = run(evaluation(work / "resumed", "0", "2") + Words{"--resume", "--guidance_scale", "5"});
    CHECK(other.status == 1);
    CHECK(contains(other.err, "guidance_scale"));
}

TEST_CASE("pixels changed outside: none where the user gives the place, nearly all where nobody does") {
    const TemporaryFolder work;
    run_well(
        with(evaluation(work / "out", "0", "1"), "--variants",
             "reference-untuned,source-untuned-overlay,reference-given-untuned,source-delta-given-untuned-overlay"));
    std::map<std::string, double> changed;
    const Words lines = lines_of(read_text(work / "out" / "clips.csv"));
    const auto fields_of = [](const std::string& line) {
        Words fields;
        std::istringstream stream(line);
        for (std::string field; std::getline(stream, field, ',');) {
            fields.push_back(field);
        }
        return fields;
    };
    const Words header = fields_of(lines.front());
    const auto column = static_cast<std::size_t>(std::ranges::find(header, "outside_changed") - header.begin());
    REQUIRE(column < header.size());
    for (std::size_t i = 1; i < lines.size(); ++i) {
        const Words fields = fields_of(lines[i]);
        changed[fields[3]] = std::stod(fields[column]);
    }
    REQUIRE(changed.size() == 5);
    CHECK(changed.at("reference-given-untuned") == 0);
    CHECK(changed.at("source-delta-given-untuned-overlay") == 0);
    CHECK(changed.at("reference-untuned") > 0.9);
    CHECK(changed.at("twin") > 0.5);
    CHECK(contains(read_text(work / "out" / "summary.md"), "| changed outside |"));
    CHECK(!std::filesystem::exists(work / "out" / "mask"));
}

TEST_CASE("where the captions are the same nothing may change: the clip as the autoencoder draws it") {
    const TemporaryFolder work;
    write_clip(work / "clip.mp4");
    const auto edit = [&](const std::string& steps, const std::string& prompt, const Words& more) {
        const Path out = work / ("out" + steps + std::to_string(prompt.size() + more.size()));
        run_well(Words{insert_object,
                       "--model",
                       sd1_model,
                       "--video",
                       work / "clip.mp4",
                       "--prompt",
                       "a man is skiing",
                       "--edit",
                       prompt,
                       "--output",
                       out,
                       "--n_sample_frames",
                       "2",
                       "--width",
                       "64",
                       "--height",
                       "48",
                       "--max_train_steps",
                       "1",
                       "--num_inv_steps",
                       steps,
                       "--num_inference_steps",
                       steps,
                       "--mask",
                       "difference",
                       "--mask_draws",
                       "1",
                       "--threads",
                       "1"} +
                 more);
        for (const auto& [name, bytes] : files_in(out)) {
            if (name.starts_with("edit-1") && name.ends_with(".gif")) {
                return bytes;
            }
        }
        return std::string("no edit");
    };
    const std::string same = edit("2", "a man is skiing", {});
    CHECK(edit("3", "a man is skiing", {"--inversion_prompt", "source", "--guidance_prompt", "source"}) == same);
    const std::string other = edit("2", "a man is driving a car", {});
    CHECK(other != same);
    CHECK(edit("2", "a man is driving a car", {"--mask_noise", "inversion"}) != same);
    CHECK(edit("2", "a man is driving a car", {"--guidance_prompt", "source"}) != other);
    CHECK(edit("2", "a man is driving a car", {"--inverted_latents", "mean", "--eta", "0"}) != other);
}

TEST_CASE("options of masks and of the demonstration that do not fit") {
    const TemporaryFolder work;
    write_clip(work / "clip.mp4");
    const Words own{insert_object, "--model", sd1_model, "--video",  work / "clip.mp4",
                    "--prompt",    "a",       "--edit",  "b",        "--output",
                    work / "out",  "--width", "32",      "--height", "32"};
    const auto refused = [](const Words& command, const std::string& text) {
        const Ended ended = run(command);
        INFO(ended.err);
        CHECK(ended.status != 0);
        CHECK(lines_of(ended.err).size() == 1);
        CHECK(contains(ended.err, text));
    };
    refused(own + Words{"--mask", "difference", "--num_inv_steps", "4", "--num_inference_steps", "5"}, "must be equal");
    refused(own + Words{"--mask", "delta", "--delta_strength", "0"}, "--delta_strength");
    refused(own + Words{"--mask", "delta", "--delta_weakest", "0.9"}, "weakest");
    refused(own + Words{"--world_seed", "1"}, "--world_seed");
    refused(own + Words{"--inversion_prompt", "none"}, "--inversion_prompt");
    refused({insert_object, "--model", work / "nothing", "--output", work / "out"}, "nothing");
    refused({REEL_EVALUATE_INSERTION, "--variants", "sauce", "--model", sd1_model, "--output", work / "out"}, "sauce");
    refused({REEL_EVALUATE_INSERTION, "--model", work / "nothing", "--output", work / "out"}, "nothing");
}
