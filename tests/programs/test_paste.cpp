// insert_object --paste: an edit in a part of a large clip, all else untouched to the bit.

#include <functional>

#include <reel/io/config/json.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/video/sound_copy.hpp>
#include <reel/io/video/video_stream.hpp>
#include <reel/io/weights/safetensors.hpp>

#include "support/programs.hpp"

using namespace reel_test;

namespace {

constexpr int width = 1920;
constexpr int height = 1080;
constexpr int count = 7;

/// A clip of 1920x1080 with sound, 10 frames a second: checks of 16 pixels on a gradient, and a square that moves.
void write_large(const Path& path) {
    reel::VideoSink sink(path, 10, {.mp4 = {.preset = "ultrafast"}, .sound = "video_tools/kinds/sound_first.mp4"});
    reel::Frames frame = reel::make_frames(1, height, width, 10);
    for (int f = 0; f < count; ++f) {
        for (int y = 0; y < height; ++y) {
            for (int x = 0; x < width; ++x) {
                const bool inside = std::abs(x - 700 - 24 * f) < 90 && std::abs(y - 500) < 90;
                std::uint8_t* pixel = frame.pixel(0, y, x);
                pixel[0] = static_cast<std::uint8_t>(inside ? 230 - (x + y) % 37 : x / 10);
                pixel[1] = static_cast<std::uint8_t>(inside ? 60 + (x - 24 * f) % 53 : y / 6);
                pixel[2] = static_cast<std::uint8_t>((x / 16 + y / 16) % 2 == 0 ? 40 : 90);
            }
        }
        sink.write(frame);
    }
    sink.finish();
}

class LargeClip : public TemporaryFolder {
public:
    LargeClip() { write_large(*this / "clip.mp4"); }

    [[nodiscard]] Words command(const Words& more) const {
        return small_edit(*this, "out",
                          Words{"--paste", "--n_sample_frames", "3", "--sample_start_idx", "2", "--width", "64",
                                "--height", "48", "--max_train_steps", "2", "--learning_rate", "1e-3",
                                "--num_inv_steps", "3", "--num_inference_steps", "3"} +
                              more);
    }
};

std::vector<std::vector<std::uint8_t>> sound_of(const Path& path) {
    std::vector<std::vector<std::uint8_t>> packets;
    reel::detail::SoundCopy sound(path);
    const auto packet = reel::detail::owned(av_packet_alloc());
    while (sound.next(*packet)) {
        packets.emplace_back(packet->data, packet->data + packet->size);
    }
    return packets;
}

const std::string edit_stem = "edit-1-a_man_is_driving";

/// Where a mask lets a frame of the clip change.
using Allowed = std::function<bool(int frame, int y, int x)>;

/// Runs the job and looks at every pixel of its result; returns how many inside of the mask have changed.
std::int64_t check_pasted(const LargeClip& work, const Words& command, const Allowed& allowed, Ended* ended = nullptr) {
    std::filesystem::remove_all(work / "out");
    const Ended run = run_well(command + Words{"--lossless"});
    if (ended != nullptr) {
        *ended = run;
    }
    reel::VideoSource before(work / "clip.mp4");
    reel::VideoSource after(work / "out" / (edit_stem + ".mp4"));
    std::int64_t outside = 0;
    std::int64_t changed = 0;
    int frames = 0;
    reel::Frames result;
    for (reel::Frames own; before.next(own); ++frames) {
        REQUIRE(after.next(result));
        REQUIRE((result.width == width && result.height == height));
        CHECK(after.time().start == doctest::Approx(before.time().start));
        bool kept = true;
        for (int y = 0; y < height; ++y) {
            for (int x = 0; x < width; ++x) {
                const bool same = std::equal(own.pixel(0, y, x), own.pixel(0, y, x) + 3, result.pixel(0, y, x));
                const bool may = allowed(frames, y, x);
                outside += may ? 0 : 1;
                changed += may && !same ? 1 : 0;
                kept = kept && (may || same);
            }
        }
        CAPTURE(frames);
        CHECK(kept);
    }
    CHECK(frames == count);
    CHECK(!after.next(result));
    CHECK(contains(run.out, "outside the mask: 0 of " + std::to_string(outside) + " pixels changed"));
    CHECK(reel::read_json(work / "out" / "manifest.json").at("outside_mask") ==
          nlohmann::json{{"changed", 0}, {"pixels", outside}});
    return changed;
}

/// Frames that are edited: 2, 3 and 4.
bool is_edited(int frame) {
    return frame >= 2 && frame <= 4;
}

bool in_box(int frame, int y, int x) {
    return is_edited(frame) && x >= 1500 && x < 1740 && y >= 700 && y < 880;
}

} // namespace

TEST_CASE("--paste: a clip of 1920x1080 with an edit in it, all else untouched, in mp4 and as pictures") {
    const LargeClip work;
    Ended ended;
    CHECK(check_pasted(work, work.command({"--mask_box", "1500,700,240,180", "--mask_feather", "5", "--frames"}),
                       in_box, &ended) > 100000);
    const std::string clip = work / "clip.mp4";
    CHECK(ended.out.starts_with(clip + ": 3 of 7 pictures, 0.2 to 0.4 s, 1920x1080\n"));
    CHECK(contains(ended.out,
                   "cut out around the mask: 480x360 pixels at 1380,610, edited at 64x48; results have all 7 "
                   "pictures of the clip, 3 of them edited (2 to 4), the others as they are\n"));
    CHECK(sound_of(work / "out" / (edit_stem + ".mp4")) == sound_of(clip));
    CHECK(sound_of(clip).size() > 10);
    CHECK(files_in(work / "out" / edit_stem).size() == count);
    const reel::Frames mp4 = reel::read_video(work / "out" / (edit_stem + ".mp4"));
    for (int f = 0; f < count; ++f) {
        const auto name = "frame-0000" + std::to_string(f) + ".png";
        CHECK(std::ranges::equal(reel::read_png(work / "out" / edit_stem / name).rgb, mp4.frame(f)));
    }
    // What shows the edit alone is of the size that it is made at.
    for (const std::string& name : Words{"source.mp4", "source.gif", edit_stem + ".gif", "mask-1.gif"}) {
        CAPTURE(name);
        const reel::VideoInfo info = reel::probe_video(work / "out" / name);
        CHECK((info.frames == 3 && info.width == 64 && info.height == 48));
    }
    const nlohmann::json manifest = reel::read_json(work / "out" / "manifest.json");
    CHECK(manifest.at("crop") == nlohmann::json{{"left", 1380},
                                                {"top", 610},
                                                {"width", 480},
                                                {"height", 360},
                                                {"clip", {{"width", width}, {"height", height}}}});
    CHECK(manifest.at("options").at("paste") == true);
    CHECK(manifest.at("options").at("paste_context") == 0.5);

    // The same again gives the same, without sound when so wished; an mp4 for players is of the same size.
    const std::string bytes = read_text(work / "out" / (edit_stem + ".mp4"));
    run_well(work.command({"--mask_box", "1500,700,240,180", "--mask_feather", "5", "--lossless"}));
    CHECK(read_text(work / "out" / (edit_stem + ".mp4")) == bytes);
    run_well(work.command({"--mask_box", "1500,700,240,180", "--no_audio"}));
    CHECK(sound_of(work / "out" / (edit_stem + ".mp4")).empty());
    const reel::VideoInfo info = reel::probe_video(work / "out" / (edit_stem + ".mp4"));
    CHECK((info.frames == count && info.width == width && info.height == height));
}

TEST_CASE("--lossless: the mp4s are the pictures, to the byte, without --paste too") {
    const LargeClip work;
    Words command = work.command({"--lossless", "--frames"});
    std::erase(command, "--paste");
    run_well(command);
    for (const std::string& stem : Words{"source", edit_stem}) {
        const reel::Frames mp4 = reel::read_video(work / "out" / (stem + ".mp4"));
        CHECK((mp4.count == 3 && mp4.width == 64));
        CHECK(mp4.rgb == reel::read_video(work / "out" / stem).rgb);
    }
}

TEST_CASE("--paste with masks that move, drafts and overlays, a LoRA, and frames between that stay") {
    const LargeClip work;
    const auto moving = [](int frame, int y, int x) {
        const int left = 300 + 50 * (frame - 2);
        return is_edited(frame) && x >= left && x < left + 200 && y >= 820 && y < 1040;
    };
    CHECK(check_pasted(
              work,
              work.command({"--mask_box", "300,820,200,220@0", "--mask_box", "400,820,200,220@2", "--tune", "lora"}),
              moving) > 100000);
    // At the border the crop is shifted: 600x450 around the 300x220 at 300,820 would end at 1155.
    const nlohmann::json crop = reel::read_json(work / "out" / "manifest.json").at("crop");
    CHECK(crop.at("top").get<int>() + crop.at("height").get<int>() == height);
    CHECK(std::filesystem::exists(work / "out" / "tuned_lora.safetensors"));

    // Every second frame: those between stay, and so does the sound.
    const auto strided = [](int frame, int y, int x) {
        return (frame == 0 || frame == 2 || frame == 4) && x >= 1500 && x < 1740 && y >= 700 && y < 880;
    };
    Ended ended;
    check_pasted(work,
                 with(work.command({"--mask_box", "1500,700,240,180", "--sample_frame_rate", "2", "--mask",
                                    "difference", "--mask_draws", "1"}),
                      "--sample_start_idx", "0"),
                 strided, &ended);
    CHECK(contains(ended.out, "3 of them edited (0 to 4, every 2nd picture), the others as they are"));
    CHECK(sound_of(work / "out" / (edit_stem + ".mp4")) == sound_of(work / "clip.mp4"));

    // The square of 179 pixels goes 24 to the right a frame, and its mask with it; a draft, and an overlay.
    const auto around = [](int frame, int y, int x) {
        return is_edited(frame) && std::abs(x - 700 - 24 * frame) < 90 + 12 && std::abs(y - 500) < 90 + 12;
    };
    std::filesystem::remove_all(work / "out");
    run_well(work.command({"--mask_box", "659,411,178,178", "--mask_follow", "--mask", "delta", "--delta_steps", "2",
                           "--delta_shrinkage", "0", "--overlay", "--mask_smooth", "0", "--lossless"}));
    reel::VideoSource before(work / "clip.mp4");
    reel::VideoSource after(work / "out" / (edit_stem + ".mp4"));
    reel::Frames result;
    int frame = 0;
    std::int64_t changed = 0;
    for (reel::Frames own; before.next(own); ++frame) {
        REQUIRE(after.next(result));
        bool kept = true;
        for (int y = 0; y < height; ++y) {
            for (int x = 0; x < width; ++x) {
                const bool same = std::equal(own.pixel(0, y, x), own.pixel(0, y, x) + 3, result.pixel(0, y, x));
                kept = kept && (same || around(frame, y, x));
                changed += same ? 0 : 1;
            }
        }
        CAPTURE(frame);
        CHECK(kept);
    }
    CHECK(changed > 30000); // of three times 178x178
    CHECK(reel::read_json(work / "out" / "manifest.json").at("outside_mask").at("changed") == 0);
}

TEST_CASE("--paste: plans say what is cut out, replays work, and wrong uses are refused in a sentence") {
    const LargeClip work;
    const Words box{"--mask_box", "1500,700,240,180"};
    const Ended plan = run(work.command(box + Words{"--plan"}));
    CHECK(plan.status == 0);
    const std::string told = "cut out around the mask: 480x360 pixels at 1380,610, edited at 64x48";
    const std::size_t at = plan.out.find(told);
    REQUIRE(at != std::string::npos);
    CHECK(plan.out.find(told, at + 1) == std::string::npos);
    CHECK(contains(plan.out, "cut out  "));
    CHECK(!std::filesystem::exists(work / "out" / "manifest.json"));

    const auto refused = [&](const Words& command, const std::string& text) {
        const Ended ended = run(command);
        CAPTURE(ended.err);
        CHECK(ended.status != 0);
        CHECK(lines_of(ended.err).size() == 1);
        CHECK(contains(ended.err, text));
        CHECK(!std::filesystem::exists(work / "out" / "manifest.json"));
    };
    refused(work.command({}), "--paste: there is no mask to cut out the surroundings of; give --mask_file, --mask_box");
    refused(work.command(box + Words{"--paste_context", "-0.5"}), "--paste_context: expected a number from 0 to 100");
    refused(work.command(box + Words{"--paste_context", "much"}), "--paste_context");
    Words whole = work.command(box + Words{"--paste_context", "1"});
    std::erase(whole, "--paste");
    refused(whole, "--paste_context: nothing is cut out; give --paste, too");
    refused(work.command({"--mask_box", "0,0,1,1"}), "--paste: the mask fills all frames");
    refused(
        work.command({"--mask_box", "10,500,1900,100"}),
        "--paste: the mask spans 1900x100 pixels of the clip's 1920x1080, but for an edit at 64x48 at most 1440x1080");
    refused(work.command({"--mask_box", "100,100,2,2"}), "--paste: only 6x4 pixels are cut out around the mask");
    refused(with(work.command(box), "--n_sample_frames", "30"), "it has 7 frames");
    refused({insert_object, "--paste", "--mask_box", "0.2,0.2,0.2,0.2", "--output", work / "out"},
            "--paste: the drawn clip has the size it is edited at");
}

TEST_CASE("--paste: all that is random from a file, but for its clip") {
    const LargeClip work;
    const Path golden = std::filesystem::absolute("golden/end_to_end/sd1_replay.safetensors");
    reel::StateDict random = reel::read_safetensors(golden);
    const std::vector<std::int64_t> video = random.at("video.frames_u8").shape;
    random.erase("video.frames_u8");
    reel::write_safetensors(work / "random.safetensors", random);
    const auto replayed = [&](const Path& file) {
        Words command = work.command(
            {"--mask_box", "1500,700,240,180", "--replay", file, "--save_tensors", work / "tensors.safetensors"});
        command = with(command, "--n_sample_frames", std::to_string(video[0]));
        command = with(with(command, "--height", std::to_string(video[1])), "--width", std::to_string(video[2]));
        return with(command, "--sample_start_idx", "0");
    };
    run_well(replayed(work / "random.safetensors"));
    const reel::StateDict first = reel::read_safetensors(work / "tensors.safetensors");
    run_well(with(replayed(work / "random.safetensors"), "--seed", "5")); // of which nothing is left
    const reel::StateDict second = reel::read_safetensors(work / "tensors.safetensors");
    for (const char* name : {"train.loss", "inv.latents", "sample.frames"}) {
        CAPTURE(name);
        CHECK(first.at(name).to_vector<float>() == second.at(name).to_vector<float>());
    }
    CHECK(reel::read_json(work / "out" / "manifest.json").at("outside_mask").at("changed") == 0);
    std::filesystem::remove_all(work / "out");
    const Ended refused = run(replayed(golden));
    CHECK(refused.status != 0);
    CHECK(contains(refused.err, "--paste: the clip in " + golden.string() + " has the size it is edited at"));
}
