#include <cmath>

#include <reel/io/config/json.hpp>
#include <reel/io/files/sha256.hpp>
#include <reel/io/pictures/frame_grid.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/video/lost_sound.hpp>
#include <reel/io/video/sound_copy.hpp>
#include <reel/io/video/video_reader.hpp>
#include <reel/io/video/video_source.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/io/weights/torch_checkpoint.hpp>

#include "support/golden.hpp"
#include "support/programs.hpp"
#include "support/todays_folder.hpp"

using namespace reel_test;

namespace {

/// A folder with a clip, and the command that edits it.
class Workplace : public TemporaryFolder {
public:
    Workplace() { write_clip(*this / "clip.mp4"); }

    [[nodiscard]] Words command(const std::string& output, const Words& more = {}) const {
        const Words options{"--n_sample_frames",     "4", "--width",         "64",   "--height",        "48",
                            "--max_train_steps",     "3", "--learning_rate", "1e-3", "--num_inv_steps", "4",
                            "--num_inference_steps", "3"};
        return without(small_edit(*this, output, options), "--edit") + more; // tests give one or several
    }
};

const Words edit{"--edit", "a man is driving"};
const std::string edit_gif = "edit-1-a_man_is_driving.gif";

/// A run's files but the manifest, which holds times.
std::map<std::string, std::string> results(const Path& folder) {
    auto files = files_in(folder);
    REQUIRE(files.erase("manifest.json") == 1);
    REQUIRE(files.contains("losses.csv"));
    std::string losses;
    for (const std::string& line : losses_in(folder)) {
        losses += line + "\n";
    }
    files["losses.csv"] = losses;
    return files;
}

void check_clip(const Path& path, int frames, int width, int height) {
    INFO(path.string());
    const reel::VideoInfo info = reel::probe_video(path);
    CHECK(info.frames == frames);
    CHECK(info.width == width);
    CHECK(info.height == height);
    CHECK(info.fps == doctest::Approx(8).epsilon(0.05));
}

void check_files(const nlohmann::json& list) {
    for (const auto& file : list) {
        const std::string path = file.at("path");
        INFO(path);
        CHECK(file.at("sha256") == reel::sha256_file(path));
        CHECK(file.at("bytes") == std::filesystem::file_size(path));
    }
}

/// Names of files that differ between two results, or "".
std::string differing(const std::map<std::string, std::string>& a, const std::map<std::string, std::string>& b) {
    std::string found;
    for (const auto& [name, bytes] : a) {
        if (!b.contains(name) || b.at(name) != bytes) {
            found += name + " ";
        }
    }
    for (const auto& entry : b) {
        if (!a.contains(entry.first)) {
            found += entry.first + " ";
        }
    }
    return found;
}

bool names(const nlohmann::json& list, const std::string& path) {
    return std::any_of(list.begin(), list.end(), [&](const auto& file) { return file.at("path") == path; });
}

} // namespace

TEST_CASE("a clip faster than a GIF can be: GIFs show every n-th picture, as long, and nothing is lost") {
    const Workplace work;
    const Path fast = work / "fast.mp4";
    for (const double fps : {60.0, 120.0, 240.0}) {
        CAPTURE(fps);
        write_clip(fast, 6, fps);
        const Words command = with(with(work.command("out", edit), "--video", fast), "--n_sample_frames", "6");
        CHECK(run(command + Words{"--plan"}).status == 0);
        const Ended ended = run_well(command);
        const int stride = static_cast<int>(std::ceil(fps / 50));
        CHECK(lines_of(ended.err).size() == 1);
        CHECK(ended.err.find(std::to_string(stride)) != std::string::npos);
        for (const std::string name : {"source", "edit-1-a_man_is_driving"}) {
            const reel::VideoInfo gif = reel::probe_video(work / "out" / (name + ".gif"));
            CHECK(gif.frames == (6 + stride - 1) / stride);
            const reel::VideoInfo mp4 = reel::probe_video(work / "out" / (name + ".mp4"));
            CHECK(mp4.frames == 6);
            CHECK(mp4.fps == doctest::Approx(fps));
        }
        CHECK(std::filesystem::exists(work / "out" / "manifest.json"));
        std::filesystem::remove_all(work / "out");
    }
}

TEST_CASE("what is taken of a clip is said, folders of pictures are clips, and pictures are written as they are") {
    const Workplace work;
    const std::string clip = work / "clip.mp4";
    const Words strided = with(with(work.command("out", edit), "--sample_frame_rate", "2"), "--n_sample_frames", "3");
    CHECK(run_well(strided).out.starts_with(clip + ": 3 of 6 pictures, 0.0 to 0.5 s, 64x48 to 64x48\non the CPU, "));
    CHECK(reel::probe_video(work / "out" / "source.mp4").fps == doctest::Approx(4));

    const Path pictures = work / "pictures";
    std::filesystem::create_directory(pictures);
    const reel::Frames frames = reel::read_video(clip);
    for (int i = 0; i < frames.count; ++i) {
        reel::write_png(pictures / (std::to_string(i + 8) + ".png"), frames, i); // 8, 9, 10
    }
    const Words of_pictures = with(work.command("pictures_out", edit + Words{"--frames"}), "--video", pictures);
    const Ended ended = run_well(of_pictures + Words{"--fps", "12"});
    CHECK(ended.out.starts_with(pictures.string() + ": 4 of 6 pictures, 0.0 to 0.2 s, 64x48 to 64x48\n"));
    CHECK(reel::probe_video(work / "pictures_out" / "source.mp4").fps == doctest::Approx(12));
    for (int i = 0; i < 4; ++i) {
        const std::string name = "frame-0000" + std::to_string(i) + ".png";
        const reel::Frames source = reel::read_png(work / "pictures_out" / "source" / name);
        CHECK(std::ranges::equal(source.frame(0), frames.frame(i)));
        CHECK(std::filesystem::exists(work / "pictures_out" / "edit-1-a_man_is_driving" / name));
    }
    CHECK(run_well(of_pictures).out.starts_with(pictures.string() + ": 4 of 6 pictures, 64x48"));
    CHECK(reel::probe_video(work / "pictures_out" / "source.mp4").fps == doctest::Approx(8));
    run_well(with(of_pictures, "--video", pictures / "%d.png"));
}

TEST_CASE("--frames: the pictures of this run and no others, checked before the work") {
    const Workplace work;
    const Words command = work.command("out", edit + Words{"--frames"});
    run_well(command);
    const Path edited = work / "out" / "edit-1-a_man_is_driving";
    CHECK(files_in(edited).size() == 4);
    run_well(with(command, "--n_sample_frames", "2"));
    for (const Path& folder : {work / "out" / "source", edited}) {
        const auto pictures = files_in(folder);
        CHECK(pictures.size() == 2);
        CHECK(pictures.contains("frame-00001.png"));
    }
    const nlohmann::json outputs = reel::read_json(work / "out" / "manifest.json").at("outputs");
    CHECK(names(outputs, edited / "frame-00001.png"));
    CHECK(!names(outputs, edited / "frame-00002.png"));

    put_text(edited / "notes.txt", "mine");
    const auto before = files_in(work / "out");
    const auto refused = [&](const std::string& text) {
        const Ended ended = run(command);
        CHECK(ended.status == 1);
        CHECK(lines_of(ended.err).size() == 1);
        CHECK(ended.err.find(text) != std::string::npos);
        CHECK(ended.out.empty());
    };
    refused("notes.txt");
    CHECK(files_in(work / "out") == before);
    std::filesystem::remove_all(edited);
    put_text(edited, "a file");
    refused(edited.string() + ": a file of that name is in the way");
    std::filesystem::remove(edited);
    run_well(command);
    CHECK(files_in(edited).size() == 4);
}

TEST_CASE("outside of the user's mask every pixel is the clip's own, and it is counted") {
    const Workplace work;
    const auto counted = [&](const Words& options, bool allowed(int frame, int y, int x)) {
        const Words command = with(work.command("out", edit + Words{"--frames"}), "--num_inv_steps", "3") + options;
        const Ended ended = run_well(command);
        std::int64_t outside = 0;
        std::int64_t changed = 0;
        for (int f = 0; f < 4; ++f) {
            const std::string name = "frame-0000" + std::to_string(f) + ".png";
            const reel::Frames source = reel::read_png(work / "out" / "source" / name);
            const reel::Frames result = reel::read_png(work / "out" / "edit-1-a_man_is_driving" / name);
            for (int y = 0; y < 48; ++y) {
                for (int x = 0; x < 64; ++x) {
                    const bool own =
                        std::equal(source.pixel(0, y, x), source.pixel(0, y, x) + 3, result.pixel(0, y, x));
                    outside += allowed(f, y, x) ? 0 : 1;
                    changed += allowed(f, y, x) && !own ? 1 : 0;
                    REQUIRE((own || allowed(f, y, x)));
                }
            }
        }
        CHECK(changed > 100);
        CHECK(ended.out.find("outside the mask: 0 of " + std::to_string(outside) + " pixels changed") !=
              std::string::npos);
        CHECK(reel::read_json(work / "out" / "manifest.json").at("outside_mask") ==
              nlohmann::json{{"changed", 0}, {"pixels", outside}});
        CHECK(std::filesystem::exists(work / "out" / "mask-1.gif"));
    };
    const auto box = [](int /*frame*/, int y, int x) { return x >= 10 && x < 34 && y >= 8 && y < 28; };
    counted({"--mask_box", "10,8,24,20"}, box);
    counted({"--mask_box", "10,8,24,20", "--start", "noise", "--overlay"}, box);
    counted({"--mask_box", "10,8,24,20", "--mask_feather", "3", "--mask", "delta", "--delta_steps", "2"}, box);
    counted({"--mask_box", "0,0,16,48@0", "--mask_box", "48,0,16,48@3"},
            [](int frame, int /*y*/, int x) { return x >= 16 * frame && x < 16 * frame + 16; });
    reel::Frames half = reel::make_frames(1, 30, 40);
    for (int y = 0; y < 30; ++y) {
        std::fill_n(half.pixel(0, y, 0), 3 * 20, std::uint8_t{255});
    }
    reel::write_png(work / "half.png", half);
    counted({"--mask_file", work / "half.png"}, [](int, int, int x) { return x < 32; });

    const auto refused = [&](const Words& options, const std::string& text) {
        const Ended ended = run(with(work.command("no", edit), "--num_inv_steps", "3") + options);
        CAPTURE(ended.err);
        CHECK(ended.status != 0);
        CHECK(lines_of(ended.err).size() == 1);
        CHECK(ended.err.find(text) != std::string::npos);
    };
    refused({"--mask_box", "10,8,24"}, "--mask_box \"10,8,24\": expected x,y,width,height");
    refused({"--mask_box", "100,100,5,5"}, "no pixel may change");
    refused({"--mask_grow", "3"}, "--mask_grow: there is no mask to work on");
    refused({"--mask_file", work / "none.png"}, "none.png");
    write_clip(work / "two.mp4", 2);
    refused({"--mask_file", work / "two.mp4"}, "two.mp4: a mask of 2 pictures for 4 frames; expected 1, 4");
    const Ended uneven = run(work.command("no", edit) + Words{"--mask_box", "10,8,24,20"}); // 4 inversion steps, 3
    CHECK(uneven.status == 1);
    CHECK(uneven.err.find("--mask_box: --num_inv_steps is 4 and --num_inference_steps 3") != std::string::npos);
}

TEST_CASE("the sound of frames that are neighbours goes along") {
    const Workplace work;
    const Words command =
        with(work.command("out", edit), "--video", std::filesystem::absolute("video_tools/kinds/sound_first.mp4"));
    const auto packets = [&](const Words& words, const std::string& name) {
        run_well(words);
        reel::detail::SoundCopy sound(work / "out" / name);
        const auto packet = reel::detail::owned(av_packet_alloc());
        int count = 0;
        for (; sound.next(*packet); ++count) {
            CHECK(sound.start_of(*packet) < 0.4); // 4 frames of 10 a second
        }
        return count;
    };
    CHECK(packets(command, "edit-1-a_man_is_driving.mp4") > 15);
    CHECK(packets(command, "source.mp4") > 15);
    CHECK(packets(command + Words{"--no_audio"}, "source.mp4") == 0);
    CHECK(packets(with(with(command, "--sample_frame_rate", "2"), "--n_sample_frames", "3"), "source.mp4") == 0);
}

TEST_CASE("sound that an mp4 cannot hold is named once, before the work, and left out") {
    const Workplace work;
    const Path clip = std::filesystem::absolute("video_tools/kinds/sound_flac.mkv");
    const Ended ended = run_well(with(work.command("out", edit), "--video", clip));
    const std::string lost = reel::lost_sound(clip, "mp4");
    CHECK(ended.err == (lost.empty() ? "" : "note: " + clip.string() + ": " + lost + "\n"));
    for (const char* name : {"source.mp4", "edit-1-a_man_is_driving.mp4"}) {
        CHECK(reel::probe_video(work / "out" / name).frames == 4);
        CHECK((reel::detail::SoundCopy(work / "out" / name).stream() != nullptr) == lost.empty());
    }
    CHECK(run(with(work.command("planned", edit), "--video", clip) + Words{"--plan"}).status == 0);
}

TEST_CASE("clips of a variable rate keep their times, and so their sound") {
    const Workplace work;
    // Frames begin at 0, 0.04, 0.4, 0.433 and 1 s; four are taken.
    const Words command =
        with(work.command("out", edit), "--video", std::filesystem::absolute("video_tools/kinds/vfr_sound.mp4"));
    const std::vector<double> starts{0, 0.04, 0.4, 0.433};
    run_well(command);
    for (const std::string name :
         {"source.mp4", "source.gif", "edit-1-a_man_is_driving.mp4", edit_gif.c_str(), "side_by_side.gif"}) {
        CAPTURE(name);
        const double slack = name.ends_with("gif") ? 0.0051 : 0.0002;
        reel::VideoSource clip(work / "out" / name);
        for (std::size_t i = 0; i < starts.size(); ++i) {
            REQUIRE(clip.skip());
            CHECK(std::abs(clip.time().start - starts[i]) < slack);
        }
        CHECK(std::abs(clip.time().end() - 1) < slack);
        CHECK(!clip.skip());
    }
    reel::detail::SoundCopy sound(work / "out" / "source.mp4");
    const auto packet = reel::detail::owned(av_packet_alloc());
    double last = 0;
    while (sound.next(*packet)) {
        last = sound.start_of(*packet);
    }
    CHECK(last == doctest::Approx(0.99).epsilon(0.03));
    // A rate that is given is the rate.
    run_well(with(command, "--fps", "10"));
    CHECK(reel::VideoSource(work / "out" / "source.mp4").scan().fps == doctest::Approx(10));
    CHECK(reel::probe_video(work / "out" / edit_gif).seconds == doctest::Approx(0.4));
}

TEST_CASE("what options say need not be in the configuration; fp32 is no") {
    const Workplace work;
    put_text(work / "config.yaml", "max_train_steps: 1\ntrain_data:\n  n_sample_frames: 2\n");
    const Words command =
        with(work.command("out", edit), "--n_sample_frames", "2") + Words{"--config", work / "config.yaml"};
    run_well(command);
    const Ended precise = run(command + Words{"--mixed_precision", "fp32"});
    CHECK(precise.status == 2);
    CHECK(precise.err.find("did you mean \"no\"?") != std::string::npos);
    Words without = command;
    const auto video = std::ranges::find(without, "--video");
    without.erase(video, video + 2);
    const Ended missing = run(without);
    CHECK(missing.status == 1);
    CHECK(missing.err.find("train_data.video_path: the key is missing") != std::string::npos);
}

TEST_CASE("insert_object writes source, edits, side by side, grid, losses, inverted latent and manifest") {
    const Workplace work;
    const Path out = work / "out";
    const Ended ended = run_well(work.command("out", edit + Words{"--edit", "a dog/cat"}));
    CHECK(ended.err == "");
    const auto files = files_in(out);
    for (const std::string name : {"source", "edit-1-a_man_is_driving", "edit-2-a_dog_cat"}) {
        check_clip(out / (name + ".gif"), 4, 64, 48);
        check_clip(out / (name + ".mp4"), 4, 64, 48);
    }
    const reel::Frames three = reel::side_by_side(std::vector<reel::Frames>(3, reel::make_frames(4, 48, 64)));
    check_clip(out / "side_by_side.gif", 4, three.width, three.height);
    const reel::Frames sheet = reel::contact_sheet(std::vector<reel::Frames>(3, reel::make_frames(4, 48, 64)));
    const reel::Frames picture = reel::read_png(out / "frames.png");
    CHECK(picture.width == sheet.width);
    CHECK(picture.height == sheet.height);

    const auto losses = lines_of(files.at("losses.csv"));
    REQUIRE(losses.size() == 4);
    CHECK(losses[0] == "step,loss,grad_norm,learning_rate,seconds");
    CHECK(losses[3].starts_with("3,"));
    const auto latent = reel::read_torch_checkpoint(out / "inv_latents" / "ddim_latent-4.pt").bare_tensor("latent");
    CHECK(latent.shape == std::vector<std::int64_t>{1, 4, 4, 6, 8});
    CHECK(latent.dtype == reel::DType::f32);

    // The manifest names every other file, and every one that was read.
    const nlohmann::json manifest = reel::read_json(out / "manifest.json");
    CHECK(manifest.at("program") == "insert_object");
    CHECK(manifest.at("seed") == 33);
    check_files(manifest.at("inputs"));
    check_files(manifest.at("outputs"));
    CHECK(manifest.at("outputs").size() == files.size() - 1);
    CHECK(names(manifest.at("inputs"), work / "clip.mp4"));
    for (const auto& entry : files_in(sd1_model)) {
        CHECK(names(manifest.at("inputs"), sd1_model / entry.first));
    }
    const nlohmann::json& options = manifest.at("options");
    CHECK(options.at("edit") == nlohmann::json{"a man is driving", "a dog/cat"});
    CHECK(options.at("prompt") == "a man is skiing");
    CHECK(options.at("max_train_steps") == 3);
    CHECK(options.at("learning_rate") == 1e-3);
    CHECK(options.at("guidance_scale") == 7.5);
    CHECK(options.at("threads") == 1);
    std::vector<std::string> stages;
    for (const auto& stage : manifest.at("stages")) {
        stages.push_back(stage.at("name"));
        CHECK(stage.at("seconds") >= 0);
        CHECK(stage.at("peak_resident_bytes") > 1000000);
    }
    CHECK(stages == Words{"read clip", "load model", "encode clip", "tune", "invert", "sample 1", "decode 1",
                          "sample 2", "decode 2", "write"});
    CHECK(manifest.at("total").at("peak_resident_bytes") > 1000000);
    for (const char* library : {"reel", "compiler", "eigen", "ffmpeg"}) {
        CHECK(manifest.at("versions").contains(library));
    }
    CHECK(temporaries_in(out).empty());
}

TEST_CASE("a seed decides every byte; the number of threads only the rounding") {
    const Workplace work;
    run_well(work.command("first", edit));
    const auto first = results(work / "first");
    run_well(work.command("again", edit));
    CHECK(differing(results(work / "again"), first) == "");
    const Words two = with(work.command("two", edit), "--threads", "2");
    run_well(two);
    const auto both = results(work / "two");
    run_well(with(two, "--output", work / "two again"));
    CHECK(differing(results(work / "two again"), both) == "");
    const auto latents = [&](const char* output) {
        return numbers(
            reel::read_torch_checkpoint(work / output / "inv_latents" / "ddim_latent-4.pt").bare_tensor("latent"));
    };
    CHECK(relative_error(latents("two"), latents("first")) < 1e-4);
    CHECK(both.at("source.gif") == first.at("source.gif"));
    run_well(work.command("other", edit + Words{"--seed", "34"}));
    const auto other = results(work / "other");
    CHECK(other.at("losses.csv") != first.at("losses.csv"));
    CHECK(other.at(edit_gif) != first.at(edit_gif));
    CHECK(other.at("source.gif") == first.at("source.gif"));
}

TEST_CASE("eta draws noise, from the seed") {
    const Workplace work;
    run_well(work.command("none", edit));
    run_well(work.command("eta", edit + Words{"--eta", "1"}));
    run_well(work.command("again", edit + Words{"--eta", "1"}));
    CHECK(results(work / "eta").at(edit_gif) == results(work / "again").at(edit_gif));
    CHECK(results(work / "eta").at(edit_gif) != results(work / "none").at(edit_gif));
}

TEST_CASE("with --tuned, a folder of --save_tuned gives the edit of the whole job") {
    const Workplace work;
    run_well(work.command("whole", edit + Words{"--save_tuned", work / "tuned"}));
    run_well(work.command("half", edit + Words{"--tuned", work / "tuned"}));
    auto whole = results(work / "whole");
    CHECK(whole.erase("losses.csv") == 1);
    auto half = files_in(work / "half");
    CHECK(half.erase("manifest.json") == 1);
    CHECK(differing(half, whole) == "");
    CHECK(temporaries_in(work / "tuned").empty());

    // And not because tuning does nothing.
    run_well(with(work.command("untuned", edit), "--max_train_steps", "0"));
    CHECK(results(work / "untuned").at(edit_gif) != whole.at(edit_gif));
    CHECK(results(work / "untuned").at("losses.csv") == "step,loss,grad_norm,learning_rate\n");
}

TEST_CASE("--save_tuned from a folder of today's Python: what diffusers 0.11.1 loads, and the same edits") {
    const Workplace work;
    const Path today = work / "today";
    std::filesystem::copy(sd1_model, today, std::filesystem::copy_options::recursive);
    shard_autoencoder(today / "vae");
    shorten_text_names(today / "text_encoder");
    run_well(with(work.command("of_old", edit + Words{"--save_tuned", work / "old"}), "--model", sd1_model));
    run_well(with(work.command("of_today", edit + Words{"--save_tuned", work / "tuned"}), "--model", today));
    CHECK(differing(results(work / "of_today"), results(work / "of_old")) == "");
    for (const char* part : {"vae", "text_encoder"}) {
        auto files = files_in(work / "tuned" / part);
        CHECK(files.size() == 2); // config.json and the weights, by their old name
        CHECK(files.contains("config.json"));
    }
    const auto weights = [](const Path& file) { return reel::read_torch_checkpoint(file).tensors; };
    for (const char* file : {"vae/diffusion_pytorch_model.bin", "text_encoder/pytorch_model.bin"}) {
        const auto made = weights(work / "tuned" / file);
        const auto expected = weights(sd1_model / file);
        REQUIRE(made.size() == expected.size());
        for (const auto& [name, tensor] : expected) {
            INFO(name);
            REQUIRE(made.contains(name));
            CHECK(std::ranges::equal(made.at(name).bytes(), tensor.bytes()));
        }
    }
    run_well(with(work.command("half", edit + Words{"--tuned", work / "tuned"}), "--model", today));
    CHECK(files_in(work / "half").at(edit_gif) == results(work / "of_today").at(edit_gif));
}

TEST_CASE("--mixed_precision: the model that comes with reel makes nearly the same edit") {
    const TemporaryFolder work;
    const auto tensors = [&](const std::string& precision) {
        const Path file = work / (precision + ".safetensors");
        run_well({insert_object, "--output", work / precision, "--save_tensors", file, "--mixed_precision", precision,
                  "--n_sample_frames", "4", "--max_train_steps", "6", "--num_inv_steps", "6", "--num_inference_steps",
                  "6", "--delta_steps", "6", "--threads", "1"});
        CHECK(reel::read_json(work / precision / "manifest.json").at("options").at("mixed_precision") == precision);
        return reel::read_safetensors(file);
    };
    const reel::StateDict exact = tensors("no");
    for (const std::string precision : {"bf16", "fp16"}) {
        const reel::StateDict rounded = tensors(precision);
        // What the networks give once, and what steps and guidance make of that.
        for (const auto& [name, limit] : {std::pair{"vae.moments", 1e-2},
                                          {"text.edit", 1e-2},
                                          {"train.loss", 2e-2},
                                          {"train.grad_norm", 2e-2},
                                          {"inv.latents", 4e-2},
                                          {"sample.latents", 6e-2},
                                          {"sample.frames", 1e-2}}) {
            const std::vector<float> expected = exact.at(name).to_vector<float>();
            const std::vector<float> found = rounded.at(name).to_vector<float>();
            REQUIRE(found.size() == expected.size());
            double difference = 0;
            double whole = 0;
            for (std::size_t i = 0; i < found.size(); ++i) {
                difference += std::pow(static_cast<double>(found[i]) - static_cast<double>(expected[i]), 2);
                whole += std::pow(static_cast<double>(expected[i]), 2);
            }
            CAPTURE(precision);
            CAPTURE(name);
            CHECK(difference > 0);
            CHECK(std::sqrt(difference / whole) < limit);
        }
    }
}

TEST_CASE("--mixed_precision: what --save_tuned saved gives the edit of the whole job") {
    const Workplace work;
    for (const std::string precision : {"bf16", "fp16"}) {
        const Words chosen = edit + Words{"--mixed_precision", precision};
        run_well(work.command(precision, chosen + Words{"--save_tuned", work / "tuned"}));
        run_well(work.command("again", chosen + Words{"--tuned", work / "tuned"}));
        CHECK(results(work / precision).at(edit_gif) == files_in(work / "again").at(edit_gif));
    }
    const Ended ended = run(work.command("bad", edit + Words{"--mixed_precision", "fp8"}));
    CHECK(ended.status == 2);
    CHECK(contains(ended.err, "--mixed_precision: expected one of no, fp16, bf16, found \"fp8\""));
}

TEST_CASE("options override the configuration, which gives the rest") {
    const Workplace work;
    run_well(work.command("options", edit + Words{"--edit", "a dog", "--guidance_scale", "5", "--seed", "7"}));
    put_text(work / "config.yaml", "pretrained_model_path: " + sd1_model.string() +
                                       "\n"
                                       "output_dir: elsewhere\n"
                                       "train_data:\n"
                                       "  video_path: " +
                                       (work / "clip.mp4").string() +
                                       "\n"
                                       "  prompt: a man is skiing\n"
                                       "  n_sample_frames: 3\n"
                                       "  width: 64\n"
                                       "  height: 48\n"
                                       "validation_data:\n"
                                       "  prompts: [a man is driving, a dog]\n"
                                       "  guidance_scale: 5\n"
                                       "  num_inference_steps: 3\n"
                                       "  num_inv_steps: 40\n"
                                       "learning_rate: 1e-3\n"
                                       "max_train_steps: 3\n"
                                       "seed: 8\n");
    run_well({insert_object, "--n_sample_frames=4", "--config", work / "config.yaml", "--output", work / "config",
              "--num_inv_steps", "4", "--seed", "7", "--threads", "1"});
    CHECK(differing(results(work / "config"), results(work / "options")) == "");
}
