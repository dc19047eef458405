// run_study: a small study of a tiny model completes, also when it is killed, shared, or has cells that fail.

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include <reel/io/config/json.hpp>
#include <reel/io/pictures/bicubic.hpp>
#include <reel/io/pictures/frame_folder.hpp>
#include <reel/io/pictures/frame_grid.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/video/sound_copy.hpp>
#include <reel/io/video/video_stream.hpp>
#include <reel/io/weights/safetensors.hpp>

#include "study/lock_folder.hpp"
#include "support/inpainting_model.hpp"
#include "support/programs.hpp"

using namespace reel_test;

namespace {

const std::string run_study = REEL_RUN_STUDY;

/// Two clips (or one that cannot be read), two samplers, two seeds: twelve pieces of work.
std::string manifest(const std::string& second_clip = "second.mp4") {
    return "title: Small <b>study</b> & \"more\"\n"
           "model: " +
           sd1_model.string() +
           "\n"
           "seeds: [1, 2]\n"
           "samplers:\n"
           "  - ddim\n"
           "  - {name: noisy, scheduler: ddim, options: {eta: 1}}\n"
           "options: {n_sample_frames: 2, width: 32, height: 32, max_train_steps: 6, learning_rate: 1e-2,\n"
           "          checkpointing_steps: 2, num_inv_steps: 2, num_inference_steps: 2}\n"
           "objects:\n"
           "  racket:\n"
           "    prompt: a man is skiing\n"
           "    captions: [\"<script>alert(1)</script> is, skiing\"]\n"
           "    clips:\n"
           "      first: first.mp4\n"
           "      second: " +
           second_clip + "\n";
}

void write_study(const TemporaryFolder& work, const std::string& text = manifest()) {
    write_clip(work / "first.mp4");
    write_clip(work / "second.mp4", 3);
    put_text(work / "study.yaml", text);
}

Words command(const TemporaryFolder& work, const Path& output) {
    return {run_study, work / "study.yaml", "--output", output, "--threads", "1"};
}

/// Every result: what is left out says when and where it was made, or has a clock in it.
std::map<std::string, std::string> results_in(const Path& output) {
    std::map<std::string, std::string> files;
    for (auto& [name, bytes] : files_in(output)) {
        const Path path(name);
        if (path.filename() != "record.json" && !contains(name, "tensorboard/") && name != "models/read.json") {
            files.emplace(name, std::move(bytes));
        }
    }
    return files;
}

void check_equal(const std::map<std::string, std::string>& found, const std::map<std::string, std::string>& expected) {
    for (const auto& [name, bytes] : expected) {
        INFO(name);
        REQUIRE(found.contains(name));
        CHECK(found.at(name) == bytes);
    }
    for (const auto& [name, bytes] : found) {
        INFO(name);
        CHECK(expected.contains(name));
    }
}

/// Start and end tags of a page, in order, without those that have no end. Fails on what is no HTML.
void check_page(const std::string& page) {
    const std::set<std::string> alone{"meta", "img", "br", "line", "polyline", "!DOCTYPE"};
    std::vector<std::string> open;
    for (std::size_t at = page.find('<'); at != std::string::npos; at = page.find('<', at + 1)) {
        const std::size_t end = page.find('>', at);
        REQUIRE(end != std::string::npos);
        const std::string tag = page.substr(at + 1, end - at - 1);
        CHECK(tag.find('<') == std::string::npos);
        CHECK(std::ranges::count(tag, '"') % 2 == 0);
        const std::string name = tag.substr(0, tag.find_first_of(" \n/", 1));
        if (name.starts_with('/') || tag.starts_with('/')) {
            REQUIRE(!open.empty());
            CHECK(open.back() == tag.substr(1));
            open.pop_back();
        } else if (!alone.contains(name) && !tag.ends_with('/')) {
            open.push_back(name);
        }
    }
    CHECK(open.empty());
}

} // namespace

TEST_CASE("a study completes, is found complete, and goes on where it was killed, in one process or in two") {
    const TemporaryFolder work;
    write_study(work);
    const Ended ended = run_well(command(work, work / "whole"));
    CHECK(contains(ended.out, "8 of 8 cells"));
    const auto whole = results_in(work / "whole");

    // What there is.
    Words cells;
    for (const auto& entry : std::filesystem::directory_iterator(work / "whole" / "cells")) {
        cells.push_back(entry.path().string());
        for (const char* name : {"edit.mp4", "edit.gif", "side_by_side.gif", "frames.png", "metrics.json",
                                 "options.json", "latents.safetensors", "record.json"}) {
            INFO(name);
            CHECK(std::filesystem::exists(entry.path() / name));
        }
        const nlohmann::json measures = reel::read_json(entry.path() / "metrics.json");
        for (const char* name : {"psnr_outside", "ssim_outside", "changed_share", "warped", "tuning_loss",
                                 "inversion_psnr", "autoencoder_psnr"}) {
            INFO(name);
            CHECK(measures.contains(name));
        }
        CHECK(reel::read_json(entry.path() / "options.json").at("max_train_steps") == 6);
        CHECK(reel::read_video(entry.path() / "edit.mp4").count == 2);
    }
    CHECK(cells.size() == 8);
    const Words rows = lines_of(whole.at("summary.csv"));
    REQUIRE(rows.size() == 9);
    CHECK(rows[1].starts_with("racket,first,a man is skiing,\"<script>alert(1)</script> is, skiing\",ddim,1,"));
    CHECK(contains(whole.at("summary.md"), "8 cells"));
    CHECK(files_in(work / "whole" / "locks").empty());
    CHECK(temporaries_in(work / "whole").empty());
    for (const auto& entry : std::filesystem::directory_iterator(work / "whole" / "tunings")) {
        CHECK(lines_of(read_text(entry.path() / "losses.csv")).size() == 7);
        CHECK(!std::filesystem::is_empty(entry.path() / "tensorboard"));
    }

    // A cell is what insert_object makes with the same options.
    run_well(small_edit(work, "alone",
                        {"--video", work / "first.mp4", "--edit", "<script>alert(1)</script> is, skiing",
                         "--max_train_steps", "6", "--learning_rate", "1e-2", "--seed", "33"}));
    std::string alone;
    for (const auto& [name, bytes] : files_in(work / "alone")) {
        alone = name.starts_with("edit-1") && name.ends_with(".gif") ? bytes : alone;
    }
    std::size_t same = 0;
    for (const auto& [name, bytes] : whole) {
        if (contains(name, "racket.first.") && contains(name, ".ddim.") && name.ends_with("/edit.gif")) {
            CHECK(bytes == alone);
            ++same;
        }
    }
    CHECK(same == 2);

    const std::string& page = whole.at("report.html");
    check_page(page);
    CHECK(!contains(page, "<script"));
    CHECK(contains(page, "&lt;script&gt;alert(1)&lt;/script&gt; is, skiing"));
    CHECK(contains(page, "<title>Small &lt;b&gt;study&lt;/b&gt; &amp; &quot;more&quot;</title>"));
    CHECK(contains(page, "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"));
    CHECK(contains(page, "<p>8 cells: 2 clips, 1 caption, 2 samplers, 2 seeds. 2 tunings, 2 inversions.</p>"));
    for (const char* outside : {"http:", "https:", "src=\"/", "href=", "url(", "@import", "<link", "file:"}) {
        INFO(outside);
        CHECK(!contains(page, outside));
    }
    CHECK(contains(page, "data:image/gif;base64,R0lGODlh"));
    CHECK(contains(page, "data:image/png;base64,iVBORw0KGgo"));
    CHECK(contains(page, "<polyline"));

    // Again: nothing is done.
    const Ended again = run_well(command(work, work / "whole"));
    CHECK(!contains(again.out, "sampled"));
    CHECK(!contains(again.out, "wrote"));
    check_equal(results_in(work / "whole"), whole);

    // Killed, at moments that come later and later, and continued.
    std::mt19937 random(std::random_device{}());
    std::size_t kills = 0;
    for (unsigned round = 0; round < 60; ++round) {
        Running running(command(work, work / "killed"));
        const auto patience = std::chrono::milliseconds(100 + 40 * round + random() % 400);
        const auto start = std::chrono::steady_clock::now();
        while (running.alive() && std::chrono::steady_clock::now() - start < patience) {
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
        if (!running.alive()) {
            const Ended last = running.wait();
            INFO(last.err);
            CHECK(last.status == 0);
            break;
        }
        const int signal = round % 3 == 2 ? SIGTERM : SIGKILL;
        running.signal(signal);
        const Ended ended_by = running.wait();
        if (ended_by.status == 0) { // it had done everything, or ended, before the signal was seen
            const Ended rest = run_well(command(work, work / "killed"));
            CHECK(!contains(rest.out, "sampled"));
            CHECK(!contains(rest.out, "wrote"));
            break;
        }
        ++kills;
        CHECK(ended_by.status == 128 + signal);
    }
    CHECK(kills >= 3);
    run_well(command(work, work / "killed"));
    CHECK(temporaries_in(work / "killed").empty());
    check_equal(results_in(work / "killed"), whole);

    // Two at once: each piece of work is done by one of them.
    Running one(command(work, work / "shared"));
    Running two(command(work, work / "shared"));
    const Ended first = one.wait();
    const Ended second = two.wait();
    const std::string said = first.out + first.err + second.out + second.err;
    INFO(said);
    CHECK(first.status == 0);
    CHECK(second.status == 0);
    std::multiset<std::string> done;
    for (const std::string& line : lines_of(first.out + second.out)) {
        if (line.starts_with("tuned ") || line.starts_with("inverted ") || line.starts_with("sampled ") ||
            line.starts_with("wrote ")) {
            done.insert(line.substr(0, line.find(" in ")));
        }
    }
    CHECK(done.size() == 2 + 2 + 8 + 1);
    CHECK(std::set<std::string>(done.begin(), done.end()).size() == done.size());
    check_equal(results_in(work / "shared"), whole);

    // Two at once, of which one dies: the other takes over what it had begun.
    Running dying(command(work, work / "taken"));
    Running living(command(work, work / "taken"));
    while (dying.alive() && !std::filesystem::exists(work / "taken" / "cells")) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    dying.signal(SIGKILL);
    const Ended survivor = living.wait();
    INFO(survivor.err);
    CHECK(survivor.status == 0);
    check_equal(results_in(work / "taken"), whole);
}

TEST_CASE("what fails is reported and the rest goes on; it is tried again when asked") {
    const TemporaryFolder work;
    write_study(work, manifest("broken.mp4") + "  toolbox:\n"
                                               "    prompt: a man\n"
                                               "    captions: [a dog]\n"
                                               "    options: {start: noise, mask: difference, mask_draws: 1}\n"
                                               "    clips: {first: first.mp4}\n");
    put_text(work / "broken.mp4", "no clip");
    const Path out = work / "out";
    const Ended ended = run(command(work, out));
    CHECK(ended.status == 1);
    CHECK(lines_of(ended.err).back() ==
          "run_study: error: 4 of 12 cells failed; summary.md says why, --retry_failed tries them again");
    CHECK(contains(ended.out, "FAILED racket.second."));
    std::size_t failed = 0;
    for (const std::string& row : lines_of(read_text(out / "summary.csv"))) {
        failed += contains(row, ",failed,") ? 1 : 0;
        CHECK(contains(row, ",failed,") == contains(row, "broken.mp4"));
    }
    CHECK(failed == 4);
    CHECK(contains(read_text(out / "summary.md"), "4 failed"));
    const std::string page = read_text(out / "report.html");
    check_page(page);
    CHECK(contains(page, "<h2>Failed</h2>"));
    CHECK(contains(page, "where it may change"));

    // It stays failed until it is asked for.
    write_clip(work / "broken.mp4", 2);
    // The file's bytes are part of its name, so a repaired clip is another piece of work.
    const Ended repaired = run_well(command(work, out));
    CHECK(contains(repaired.out, "12 of 12 cells"));
    CHECK(!contains(read_text(out / "summary.md"), "failed"));

    // A sampler without an inversion fails as a cell; from noise it does not.
    put_text(work / "study.yaml", manifest() + "vary: {start: [inversion, noise]}\n");
    std::string text = read_text(work / "study.yaml");
    text.replace(text.find("  - ddim\n"), 9, "  - euler\n");
    put_text(work / "study.yaml", text);
    const Ended some = run(command(work, work / "euler"));
    CHECK(some.status == 1);
    CHECK(contains(some.err, "4 of 16 cells failed"));
    CHECK(contains(read_text(work / "euler" / "summary.csv"), "cannot start from an inverted clip"));
    const Ended same = run(command(work, work / "euler"));
    CHECK(same.status == 1);
    CHECK(!contains(same.out, "FAILED"));
    const Ended more = run(command(work, work / "euler") + Words{"--retry_failed"});
    CHECK(more.status == 1);
    CHECK(contains(more.out, "FAILED"));
}

namespace {

/// One clip and one cell, tuned with a checkpoint after every step.
std::string small_manifest(int steps) {
    return "model: model\nseeds: [1]\n"
           "options: {n_sample_frames: 2, width: 32, height: 32, max_train_steps: " +
           std::to_string(steps) +
           ", checkpointing_steps: 1, num_inv_steps: 2, num_inference_steps: 2}\n"
           "objects:\n  racket:\n    prompt: a man is skiing\n    captions: [\"=1+1, a man\"]\n"
           "    clips: {first: first.mp4}\n";
}

/// The only entry of a folder.
Path only_in(const Path& folder) {
    return std::filesystem::directory_iterator(folder)->path();
}

} // namespace

TEST_CASE("results that were damaged are made again, and those of another model are not mixed with this one's") {
    const TemporaryFolder work;
    write_study(work, small_manifest(2));
    std::filesystem::copy(sd1_model, work / "model", std::filesystem::copy_options::recursive);
    const Path out = work / "out";
    run_well(command(work, out));
    const auto whole = results_in(out);
    CHECK(contains(whole.at("summary.csv"), ",\"'=1+1, a man\",")); // no formula for a spreadsheet
    const Path metrics = only_in(out / "cells") / "metrics.json";
    for (const char* broken : {"[]", "{", ""}) {
        put_text(metrics, broken);
        CHECK(contains(run_well(command(work, out)).out, "sampled "));
        check_equal(results_in(out), whole);
    }
    put_text(only_in(out / "tunings") / "tuning.json", "[1]");
    CHECK(contains(run_well(command(work, out)).out, "tuned "));
    check_equal(results_in(out), whole);
    put_text(only_in(out / "inversions") / "inversion.json", "{\"keeps_all\": false}");
    put_text(metrics, "[]");
    const Ended named = run(command(work, out));
    CHECK(named.status == 1);
    CHECK(contains(named.out + named.err, "inversion.json: \"timesteps\" is missing"));
    std::filesystem::remove(only_in(out / "inversions") / "inversion.json");
    run_well(command(work, out) + Words{"--retry_failed"});
    check_equal(results_in(out), whole);

    nlohmann::json vocab = reel::read_json(work / "model" / "tokenizer" / "vocab.json");
    std::swap(*vocab.begin(), *std::next(vocab.begin()));
    reel::write_json(work / "model" / "tokenizer" / "vocab.json", vocab);
    const Ended other = run(command(work, out));
    CHECK(other.status == 1);
    CHECK(contains(other.err, "were made with another model: its tokenizer/vocab.json"));
    run_well(command(work, work / "other"));
}

TEST_CASE("a process that was taken for dead counts no failure of work that is another's by now") {
    const TemporaryFolder work;
    write_study(work, small_manifest(150));
    std::filesystem::copy(sd1_model, work / "model", std::filesystem::copy_options::recursive);
    const Path out = work / "out";
    Running running(command(work, out));
    const auto begun = [&] {
        std::error_code ignored;
        return std::filesystem::exists(out / "tunings", ignored) && !std::filesystem::is_empty(out / "tunings") &&
               std::filesystem::exists(only_in(out / "tunings") / "checkpoint-2");
    };
    while (running.alive() && !begun()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    REQUIRE(running.alive());
    running.signal(SIGSTOP);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    // What another process does that takes over, is done with the tuning and tidies up.
    const Path tuning = only_in(out / "tunings");
    put_text(out / "locks" / ("tuning-" + tuning.filename().string() + ".2"), "released \n");
    std::filesystem::rename(tuning, work / "taken");
    running.signal(SIGCONT);
    const Ended ended = running.wait();
    INFO(ended.err);
    CHECK(ended.status == 0);
    CHECK(contains(ended.err, "another process took over"));
    CHECK(std::filesystem::is_empty(out / "failures"));
    CHECK(contains(ended.out, "1 of 1 cells"));
}

TEST_CASE("pictures that cannot be written cost no cell: they are warned of at the end") {
    const TemporaryFolder work;
    write_study(work);
    write_clip(work / "first.mp4", 6, 120); // faster than a GIF can be
    const Path out = work / "out";
    std::filesystem::create_directory(out);
    put_text(out / "previews", "in the way");
    const Ended ended = run(command(work, out) + Words{"--preview_every", "2"});
    CHECK(ended.status == 1);
    CHECK(contains(ended.out, "8 of 8 cells"));
    CHECK(contains(ended.err, "every 3rd picture"));
    CHECK(contains(lines_of(ended.err).back(), "run_study: warning: "));
    CHECK(contains(lines_of(ended.err).back(), "previews"));
    CHECK(!contains(read_text(out / "summary.csv"), ",failed,"));
    std::size_t edits = 0;
    for (const auto& [name, bytes] : files_in(out / "cells")) {
        edits += name.ends_with("edit.gif") ? 1 : 0;
    }
    CHECK(edits == 8);
}

TEST_CASE("a clip is a folder of pictures or a pattern, too, and fps says its rate") {
    const TemporaryFolder work;
    std::string text = manifest("{video: \"pictures/frame-%05d.png\", options: {fps: 4}}");
    const std::string from = "first: first.mp4";
    put_text(work / "study.yaml", text.replace(text.find(from), from.size(), "first: pictures/"));
    const auto draw = [&](const char* name, int count) {
        write_clip(work / "clip.mp4", count);
        const reel::Frames clip = reel::read_video(work / "clip.mp4");
        reel::FrameFolder pictures(work / name);
        for (int i = 0; i < count; ++i) {
            pictures.write(clip, count - 1 - i, i);
        }
        pictures.commit();
    };
    draw("pictures", 3);
    const Path out = work / "out";
    CHECK(contains(run_well(command(work, out)).out, "8 of 8 cells"));
    std::size_t edits = 0;
    for (const auto& entry : std::filesystem::directory_iterator(out / "cells")) {
        const double fps = reel::probe_video(entry.path() / "edit.mp4").fps;
        const bool second = contains(entry.path().filename().string(), ".second.");
        CHECK(fps == doctest::Approx(second ? 4 : 8));
        const nlohmann::json options = reel::read_json(entry.path() / "options.json");
        CHECK(options.at("video") == (second ? "frame-%05d.png" : "pictures"));
        CHECK(options.contains("fps") == second);
        ++edits;
    }
    CHECK(edits == 8);
    CHECK(!contains(run_well(command(work, out)).out, "tuned "));
    draw("pictures", 4); // other pictures are another clip
    CHECK(contains(run_well(command(work, out)).out, "tuned racket.first."));
    const std::size_t clips = text.find("first: pictures/");
    put_text(work / "study.yaml", text.replace(clips, 16, "first: {draw: {world_seed: 3}, options: {fps: 4}}"));
    const Ended drawn = run(command(work, out));
    CHECK(drawn.status == 1);
    CHECK(contains(drawn.err, "a drawn clip has its own rate"));
}

TEST_CASE("drawn clips, previews, and the plan") {
    const TemporaryFolder work;
    put_text(work / "study.yaml", "model: " + sd1_model.string() +
                                      "\noptions: {n_sample_frames: 2, width: 32, height: 32, max_train_steps: 2,\n"
                                      "          num_inv_steps: 2, num_inference_steps: 2, learning_rate: 1e-2}\n"
                                      "vary: {guidance_scale: [1, 7.5]}\n"
                                      "objects:\n  stool:\n    clips:\n"
                                      "      drawn: {draw: {world_seed: 3, act: sitting, colour: blue}}\n");
    const Ended plan = run_well(command(work, work / "out") + Words{"--plan"});
    CHECK(lines_of(plan.out).back().starts_with("1 tunings, 1 inversions, 2 cells in "));
    CHECK(contains(plan.out, "is sitting on a blue stool\""));
    CHECK(!std::filesystem::exists(work / "out"));

    Running running(command(work, work / "out") + Words{"--preview_every", "1"});
    bool seen = false;
    while (running.alive() && !seen) {
        std::error_code ignored;
        seen = std::filesystem::exists(work / "out" / "previews", ignored) &&
               !std::filesystem::is_empty(work / "out" / "previews", ignored);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    CHECK(seen);
    CHECK(running.wait().status == 0);
    const auto with_previews = results_in(work / "out");
    CHECK(contains(with_previews.at("summary.csv"), ",guidance_scale,"));
    run_well(command(work, work / "plain"));
    const auto before = results_in(work / "plain");
    CHECK(before.size() == with_previews.size());
    for (const auto& [name, bytes] : before) {
        INFO(name);
        CHECK(with_previews.at(name) == bytes);
    }

    // The events of a process that was killed before its first checkpoint are not those of the run.
    const auto tuning = *std::filesystem::directory_iterator(work / "plain" / "tunings");
    std::filesystem::remove(tuning.path() / "tuning.json");
    std::filesystem::remove(tuning.path() / "trained.safetensors");
    put_text(tuning.path() / "tensorboard" / "events.out.tfevents.1.dead.1.0", "");
    CHECK(contains(run_well(command(work, work / "plain")).out, "tuned stool."));
    CHECK(!std::filesystem::exists(tuning.path() / "tensorboard" / "events.out.tfevents.1.dead.1.0"));
    CHECK(results_in(work / "plain") == before);

    // CLIP's measures come later, and nothing else changes.
    std::filesystem::copy("metrics/golden/clip", work / "clip");
    for (const auto& entry : std::filesystem::directory_iterator(sd1_model / "tokenizer")) {
        std::filesystem::copy(entry.path(), work / "clip");
    }
    const Words scored = command(work, work / "plain") + Words{"--clip_model", work / "clip"};
    CHECK(contains(run_well(scored).out, "sampled stool."));
    CHECK(!contains(run_well(scored).out, "sampled stool."));
    std::size_t measured = 0;
    for (const auto& [name, bytes] : results_in(work / "plain")) {
        INFO(name);
        if (Path(name).filename() == "metrics.json") {
            const nlohmann::json measures = reel::read_json(work / "plain" / name);
            CHECK(measures.at("clip_model") == "clip");
            CHECK(measures.at("clip_text").is_number());
            CHECK(measures.at("clip_frames").is_number());
            ++measured;
        } else if (contains(name, "cells/")) {
            CHECK(with_previews.at(name) == bytes);
        }
    }
    CHECK(measured == 2);
    CHECK(contains(read_text(work / "plain" / "report.html"), "CLIP text"));
}

TEST_CASE("masks of one's own: nothing outside changes, and pasted edits are whole clips at their own size") {
    const TemporaryFolder work;
    reel::Frames clip = reel::make_frames(5, 240, 320, 10);
    for (std::size_t i = 0; i < clip.rgb.size(); ++i) {
        clip.rgb[i] = static_cast<std::uint8_t>(i / 7 % 251);
    }
    reel::VideoSink sink(work / "large.mp4", 10, {.sound = "video_tools/kinds/sound_first.mp4"});
    for (int f = 0; f < clip.count; ++f) {
        sink.write(clip, f);
    }
    sink.finish();
    reel::Frames half = reel::make_frames(1, 24, 32);
    for (int y = 0; y < 24; ++y) {
        std::fill_n(half.pixel(0, y, 0), 3 * 16, std::uint8_t{255});
    }
    std::filesystem::create_directory(work / "masks");
    reel::write_png(work / "masks" / "half.png", half);
    const std::string text =
        "model: " + sd1_model.string() +
        "\nseeds: [1]\n"
        "vary: {mask_feather: [0, 3]}\n"
        "options: {n_sample_frames: 2, sample_start_idx: 1, width: 32, height: 32, max_train_steps: 2,\n"
        "          num_inv_steps: 2, num_inference_steps: 2}\n"
        "objects:\n"
        "  racket:\n"
        "    prompt: a man is skiing\n"
        "    captions: [a man is driving]\n"
        "    clips:\n"
        "      half: {video: large.mp4, options: {mask_file: masks/half.png}}\n"
        "      part: {video: large.mp4, options: {mask_box: [\"200,120,60,50\"], paste: true}}\n";
    put_text(work / "study.yaml", text);
    const Words words = command(work, work / "out");
    CHECK(contains(run_well(words).out, "4 of 4 cells"));
    int parts = 0;
    for (const auto& entry : std::filesystem::directory_iterator(work / "out" / "cells")) {
        const bool part = contains(entry.path().filename().string(), "racket.part.");
        parts += part ? 1 : 0;
        CAPTURE(entry.path().string());
        const nlohmann::json measures = reel::read_json(entry.path() / "metrics.json");
        CHECK(measures.at("outside_mask_changed") == 0);
        CHECK(measures.at("outside_mask_pixels") == (part ? 5 * 240 * 320 - 2 * 60 * 50 : 2 * 16 * 32));
        CHECK(measures.contains("crop") == part);
        const reel::VideoInfo edit = reel::probe_video(entry.path() / "edit.mp4");
        CHECK((edit.frames == (part ? 5 : 2) && edit.width == (part ? 320 : 32)));
        CHECK((reel::detail::SoundCopy(entry.path() / "edit.mp4").stream() != nullptr) == part);
        CHECK(reel::probe_video(entry.path() / "edit.gif").width == 32);
        if (part) {
            CHECK(measures.at("crop").at("left") == 170);
            CHECK(measures.at("crop").at("width") == 120);
            CHECK(measures.at("crop").at("height") == 120);
        }
    }
    CHECK(parts == 2);
    // A feather moves no edge: what is cut out and tuned on is the same.
    const auto count_in = [](const Path& folder) {
        return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
    };
    CHECK(count_in(work / "out" / "tunings") == 2);
    CHECK(contains(read_text(work / "out" / "summary.csv"), "outside_mask_changed"));

    // Another mask under the same name is another edit; another context is another clip.
    CHECK(!contains(run_well(words).out, "sampled"));
    reel::write_png(work / "masks" / "half.png", reel::resize_bicubic(reel::side_by_side({half, half}), 24, 32));
    run_well(words);
    CHECK(count_in(work / "out" / "tunings") == 2);
    CHECK(count_in(work / "out" / "cells") == 6);
    const auto changed = [&](const std::string& from, const std::string& to) {
        std::string other = text;
        other.replace(other.find(from), from.size(), to);
        put_text(work / "study.yaml", other);
        return run(words);
    };
    CHECK(changed("paste: true", "paste: true, paste_context: 0.25").status == 0);
    CHECK(count_in(work / "out" / "tunings") == 3);
    const Ended alone = changed("mask_file: masks/half.png", "paste: true");
    CHECK(alone.status == 1);
    CHECK(lines_of(alone.err).size() == 1);
    CHECK(
        contains(alone.err, "racket, half, ddim, mask_feather 0: paste: there is no mask to cut out the surroundings"));
    const Ended drawn =
        changed("part: {video: large.mp4,", "part: {draw: {world_seed: 0, act: swinging, colour: red},");
    CHECK(drawn.status == 1);
    CHECK(contains(drawn.err, "paste: a drawn clip has the size it is edited at"));
}

TEST_CASE("LoRA files: of the manifest, beside it, or of the command line") {
    const TemporaryFolder work;
    const Path locon = std::filesystem::absolute("golden/lora/locon.safetensors");
    std::filesystem::copy(locon, work / "sketch.safetensors");
    write_study(work, "lora: [sketch.safetensors:0.5]\n" + manifest());
    const Ended planned = run_well(command(work, work / "out") + Words{"--plan"});
    CHECK(contains(planned.out, "sketch.safetensors: used 33 of 33 tensors, scale 0.5\n"));
    const Words other{"--plan", "--lora", locon.string()};
    CHECK(contains(run_well(command(work, work / "out") + other).out,
                   "lora " + locon.string() + ": used 33 of 33 tensors, scale 1\n"));
    // What is made with a LoRA is something else than what is made without; with none of it, the same.
    const auto plan = [&](const std::string& scale) {
        write_study(work, (scale.empty() ? "" : "lora: [sketch.safetensors:" + scale + "]\n") + manifest());
        const std::string out = run_well(command(work, work / "out") + Words{"--plan"}).out;
        return out.substr(out.find("tune "));
    };
    CHECK(plan("0.5") != plan(""));
    CHECK(plan("0.5") != plan("0.6"));
    CHECK(plan("0") == plan(""));
    write_study(work, "lora: [none.safetensors]\n" + manifest());
    const Ended refused = run(command(work, work / "out") + Words{"--plan"});
    CHECK(refused.status == 1);
    CHECK(contains(refused.err, "none.safetensors: no such LoRA file"));
}

TEST_CASE("what is inverted may be varied: the mean of the clip's latents, or a sample") {
    const TemporaryFolder work;
    write_clip(work / "first.mp4");
    put_text(work / "study.yaml", "model: " + sd1_model.string() +
                                      "\noptions: {n_sample_frames: 2, width: 32, height: 32, max_train_steps: 0,\n"
                                      "          num_inv_steps: 2, num_inference_steps: 2}\n"
                                      "vary: {inverted_latents: [sample, mean]}\n"
                                      "objects: {a: {prompt: a man, captions: [a dog], clips: {b: first.mp4}}}\n");
    run_well(command(work, work / "out"));
    std::set<std::string> inversions;
    for (const auto& [name, bytes] : files_in(work / "out" / "inversions")) {
        if (Path(name).filename() == "inverted.safetensors") {
            inversions.insert(bytes);
        }
    }
    CHECK(inversions.size() == 2);
}

TEST_CASE("edit-friendly inversion: one for every seed, kept with its noise, and the cell is insert_object's") {
    const TemporaryFolder work;
    write_clip(work / "first.mp4");
    const auto study = [&](const std::string& sampler) {
        put_text(work / "study.yaml",
                 "model: " + sd1_model.string() + "\nseed: 1\nseeds: [1, 2]\nsamplers: [" + sampler +
                     "]\noptions: {n_sample_frames: 2, width: 32, height: 32, max_train_steps: 0, num_inv_steps: 4,\n"
                     "          num_inference_steps: 4, inversion: edit_friendly, inverted_latents: mean}\n"
                     "objects: {a: {prompt: a man, captions: [a dog], clips: {b: first.mp4}}}\n");
        return command(work, work / sampler);
    };
    run_well(study("ddpm"));
    std::map<std::string, std::string> inversions, edits;
    for (const auto& [name, bytes] : files_in(work / "ddpm")) {
        if (Path(name).filename() == "inverted.safetensors") {
            inversions.emplace(name, bytes);
        } else if (Path(name).filename() == "latents.safetensors") {
            edits.emplace(name, bytes);
        }
    }
    CHECK(inversions.size() == 2);
    REQUIRE(edits.size() == 2);
    CHECK(edits.begin()->second != edits.rbegin()->second);
    const reel::StateDict kept = reel::read_safetensors(work / "ddpm" / inversions.begin()->first);
    CHECK(kept.size() == 9); // five levels, and four outputs
    const Path tensors = work / "tensors.safetensors";
    run_well(small_edit(work, "insert",
                        {"--video",
                         work / "first.mp4",
                         "--prompt",
                         "a man",
                         "--edit",
                         "a dog",
                         "--num_inv_steps",
                         "4",
                         "--num_inference_steps",
                         "4",
                         "--inversion",
                         "edit_friendly",
                         "--scheduler",
                         "ddpm",
                         "--inverted_latents",
                         "mean",
                         "--seed",
                         "1",
                         "--save_tensors",
                         tensors}));
    const std::vector<float> steps = reel::read_safetensors(tensors).at("sample.latents").to_vector<float>();
    std::size_t found = 0;
    for (const auto& [name, bytes] : edits) {
        std::vector<float> values;
        const reel::StateDict file = reel::read_safetensors(work / "ddpm" / name);
        const reel::HostTensor& latents = file.at("latents"); // [frames, h, w, channels]
        const std::vector<float> last = latents.to_vector<float>();
        const std::size_t frames = 2, pixels = 16, channels = 4;
        for (std::size_t c = 0; c < channels; ++c) {
            for (std::size_t f = 0; f < frames; ++f) {
                for (std::size_t p = 0; p < pixels; ++p) {
                    values.push_back(last.at((f * pixels + p) * channels + c));
                }
            }
        }
        found += std::equal(values.begin(), values.end(), steps.end() - static_cast<std::ptrdiff_t>(values.size()));
    }
    CHECK(found == 1);
    const Ended refused = run(study("ddim"));
    CHECK(refused.status == 1);
    CHECK(contains(read_text(work / "ddim" / "summary.csv"),
                   "inversion edit_friendly: edit-friendly inversion: DDIMScheduler draws no noise at timestep"));
}

TEST_CASE("an inpainting model is tuned for every mask, and refused for a cell without one") {
    const TemporaryFolder work;
    write_clip(work / "first.mp4");
    put_inpainting_model(work / "painter");
    const auto study = [&](const std::string& first, const std::string& second) {
        put_text(work / "study.yaml",
                 "model: " + (work / "painter").string() +
                     "\noptions: {n_sample_frames: 2, width: 32, height: 32, max_train_steps: 1,\n"
                     "          num_inv_steps: 2, num_inference_steps: 2}\n"
                     "objects:\n  a:\n    prompt: a man\n    captions: [a dog, a cat]\n    clips:\n"
                     "      b: {video: first.mp4, options: {" +
                     first + "}}\n      c: {video: first.mp4, options: {" + second + "}}\n");
        return command(work, work / "out");
    };
    const Ended refused = run(study("mask_box: [\"0,0,0.5,1\"]", "overlay: true"));
    CHECK(refused.status == 1);
    CHECK(contains(refused.err, "painter: this is an inpainting model, which paints inside a mask, and a, c has none; "
                                "give mask_box, mask_file or mask_polygon"));
    const Ended ended = run_well(study("mask_box: [\"0,0,0.5,1\"]", "mask_box: [\"0,0,1,0.5\"]"));
    CHECK(contains(ended.out, "4 of 4 cells"));
    std::set<std::string> tuned;
    for (const auto& [name, bytes] : files_in(work / "out" / "tunings")) {
        if (Path(name).filename() == "trained.safetensors") {
            tuned.insert(bytes);
        }
    }
    CHECK(tuned.size() == 2);
}

TEST_CASE("the manifests of the documentation and of examples/studies are what they say") {
    const TemporaryFolder work;
    const std::string page = read_text("../docs/study.md");
    const std::size_t begin = page.find("```yaml\n") + 8;
    put_text(work / "page.yaml", page.substr(begin, page.find("```", begin) - begin));
    const auto planned = [](const Path& path) {
        return lines_of(run_well({run_study, path, "--model", sd1_model, "--plan"}).out).back();
    };
    CHECK(planned(work / "page.yaml").starts_with("3 tunings, 6 inversions, 80 cells in "));
    CHECK(contains(page, "= 80 cells"));
    CHECK(planned("../examples/studies/demo.yaml") == "2 tunings, 2 inversions, 4 cells in out/demo");
    CHECK(planned("../examples/studies/lora.yaml") == "32 tunings, 32 inversions, 32 cells in out/lora");
    CHECK(planned("../examples/studies/seed_clips.yaml") == "4 tunings, 4 inversions, 16 cells in out/seed_clips");
}

TEST_CASE("manifests that are wrong are refused in one line, before anything is done") {
    const TemporaryFolder work;
    write_study(work);
    const auto refused = [&](const std::string& from, const std::string& to, const Words& texts) {
        std::string text = manifest();
        const std::size_t at = text.find(from);
        REQUIRE(at != std::string::npos);
        put_text(work / "study.yaml", text.replace(at, from.size(), to));
        const Ended ended = run(command(work, work / "out"));
        INFO(ended.err);
        CHECK(ended.status == 1);
        CHECK(lines_of(ended.err).size() == 1);
        for (const std::string& part : texts) {
            INFO(part);
            CHECK(contains(ended.err, part));
        }
        CHECK(!std::filesystem::exists(work / "out"));
    };
    refused("seeds: [1, 2]", "seed: [1, 2]", {"study.yaml:3: seed: expected an integer"});
    refused("seeds: [1, 2]", "sedes: [1, 2]", {"study.yaml:3: sedes: unknown key (did you mean \"seeds\"?)"});
    refused("seeds: [1, 2]", "seeds: [1, 2, 1]", {"study.yaml:3: seeds: 1 is there twice (items 1 and 3)"});
    refused("max_train_steps", "max_train_step", {"options.max_train_step: unknown key", "\"max_train_steps\"?"});
    refused("max_train_steps: 6", "max_train_steps: many",
            {"options.max_train_steps: expected an integer", "\"many\""});
    refused("width: 32", "width: 30", {"racket, first, ddim: width: expected a multiple of 8"});
    refused("    captions:", "    prompt:", {"prompt"});
    refused("    prompt: a man is skiing\n", "", {"first: \"prompt\" is missing"});
    refused("first: first.mp4", "first: {vidoe: first.mp4}", {"vidoe", "\"video\"?"});
    refused("first: first.mp4", "first: {draw: {act: siting}}",
            {"study.yaml:14: draw: ", "\"siting\"", "\"sitting\"?"});
    refused("  - ddim\n", "  - dimm\n", {"sampler \"dimm\"", "\"ddim\"?"});
    refused("  - ddim\n", "  - {scheduler: ddim, name: noisy}\n", {"\"noisy\" is there twice"});
    refused("  - ddim\n", "  - {scheduler: ddim, options: {eta: 1}}\n", {"two cells are the same"});
    refused("  - ddim\n", "  - {scheduler: ddim, config: {timestep_spcing: trailing}}\n",
            {"sampler \"ddim\"", "timestep_spcing", "\"timestep_spacing\"?"});
    refused("seeds: [1, 2]", "vary: {guidance_scale: [5, 5.0]}", {"vary.guidance_scale: 5.0 is there twice"});
    refused("seeds: [1, 2]", "vary: {eta: [0, 1]}", {"options.eta: this option is varied in \"vary\""});
    refused("seeds: [1, 2]", "vary: {mask: [none, diference]}", {"vary.mask", "\"difference\"?"});
    refused("eta: 1", "mask: difference, num_inv_steps: 3", {"must be equal"});
    const Ended missing = run({run_study, work / "nothing.yaml"});
    CHECK(missing.status == 1);
    CHECK(contains(missing.err, "nothing.yaml"));
    CHECK(run({run_study}).status == 2);
}

TEST_CASE("locks: one of many gets one, the dead lose theirs, and find out if they were not") {
    const TemporaryFolder work;
    study::LockFolder mine(work.path(), 0.02, 0.3);
    study::LockFolder other(work.path(), 1000, 0.3); // does not beat
    REQUIRE(mine.take("a"));
    CHECK(!other.take("a"));
    CHECK(other.take("a.b"));
    CHECK(!mine.take("a.b"));
    mine.check("a");
    mine.release("a");
    CHECK(other.take("a"));
    other.release("a");

    // A process that is gone.
    const pid_t child = ::fork();
    if (child == 0) {
        study::LockFolder locks(work.path(), 1000, 1000);
        ::_exit(locks.take("gone") ? 0 : 1);
    }
    int status = -1;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(std::filesystem::exists(work / "gone.1"));
    CHECK(mine.take("gone"));
    CHECK(!other.take("gone"));
    mine.release("gone");
    CHECK(other.take("gone"));

    // A holder on another machine: dead when its heartbeat has stood still for long enough.
    const auto elsewhere = [&](const std::string& beat) {
        put_text(work / "far.1", beat + " 1 1 some-boot pid:[1] elsewhere\n");
    };
    elsewhere("000000001");
    CHECK(!mine.take("far"));
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    elsewhere("000000002");
    CHECK(!mine.take("far"));
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    CHECK(!mine.take("far"));
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    CHECK(mine.take("far"));
    CHECK(read_text(work / "far.1").starts_with("000000002")); // nobody's file is touched
    mine.release("far");

    // One that only seemed dead: it finds out, also after the other is done.
    REQUIRE(other.take("slow"));
    put_text(work / "slow.2", "released \n");
    CHECK_THROWS_AS(other.check("slow"), study::LockLost);
    other.release("slow");
    CHECK(mine.take("slow"));

    // What a process leaves that is killed while it makes a lock, also before its parent has waited for it.
    const pid_t killed = ::fork();
    if (killed == 0) {
        ::_exit(0);
    }
    siginfo_t info{};
    REQUIRE(::waitid(P_PID, static_cast<id_t>(killed), &info, WEXITED | WNOWAIT) == 0);
    const std::string host = study::detail::this_process().host;
    const auto unfinished = [&](pid_t process) {
        const Path path = work / reel::concat_text("new-", host, "-", process, "-1");
        put_text(path, "");
        return path;
    };
    const Path left = unfinished(killed);
    const Path in_work = unfinished(::getpid());
    mine.remove({});
    CHECK(!std::filesystem::exists(left));
    CHECK(std::filesystem::exists(in_work));
    std::filesystem::remove(in_work);
    CHECK(::waitpid(killed, &status, 0) == killed);

    mine.remove({"a", "a.b", "gone", "far", "slow"});
    CHECK(std::filesystem::is_empty(work.path()));
}
