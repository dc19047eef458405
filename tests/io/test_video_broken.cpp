#include "io/temporary_folder.hpp"
#include "io/test_video_support.hpp"

#include <reel/io/pictures/png.hpp>
#include <reel/io/video/gif.hpp>
#include <reel/io/video/video_input.hpp>
#include <reel/io/video/video_reader.hpp>
#include <reel/io/video/video_writer.hpp>

#include <doctest/doctest.h>

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <string_view>

using reel::Frames;
using namespace reel_test;

namespace {

std::string reading(const std::filesystem::path& path, const reel::VideoSelection& chosen = {},
                    const reel::VideoLimits& limits = {}) {
    return message_of<reel::Error>([&] { (void)reel::read_video(path, chosen, limits); });
}

} // namespace

TEST_CASE("what is no video is refused by name and reason") {
    const TemporaryFolder folder;
    CHECK(contains(reading(folder / "none.mp4"), "none.mp4: there is no such file"));
    CHECK(contains(reading(folder.path()), "it is a folder"));
    put_text(folder / "empty.mp4", "");
    CHECK(contains(reading(folder / "empty.mp4"), "the file is empty"));
    put_text(folder / "text.mp4", "A man is swinging a tennis racket.\nThis is a text.\n");
    CHECK(contains(reading(folder / "text.mp4"), "not a video"));
    put_text(folder / "zeros.mp4", std::string(100'000, '\0'));
    CHECK(contains(reading(folder / "zeros.mp4"), "not a video"));
    put_text(folder / "pointer.mp4", "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12345\n");
    CHECK(contains(reading(folder / "pointer.mp4"), "Git LFS pointer"));
    REQUIRE(::mkfifo((folder / "pipe.mp4").c_str(), 0600) == 0);
    CHECK(contains(reading(folder / "pipe.mp4"), "a device or a pipe"));
    CHECK_FALSE(message_of<reel::Error>([&] { (void)reel::probe_video(folder / "text.mp4"); }).empty());
    // A container with a header and no pictures.
    put_text(folder / "header.gif", std::string_view("GIF89a\x08\0\x08\0\0\0\0\x3B", 14));
    CHECK_FALSE(reading(folder / "header.gif").empty());
}

TEST_CASE("an mp4 cut off anywhere is refused") {
    const TemporaryFolder folder;
    reel::write_mp4(folder / "a.mp4", moving_block(8, 32, 32), 8.0);
    const std::string whole = read_text(folder / "a.mp4");
    REQUIRE(whole.size() > 1000);
    for (const std::size_t length : {std::size_t{1}, std::size_t{7}, std::size_t{8}, std::size_t{40}, whole.size() / 4,
                                     whole.size() / 2, whole.size() * 3 / 4, whole.size() - 100, whole.size() - 1}) {
        CAPTURE(length);
        put_text(folder / "cut.mp4", std::string_view(whole).substr(0, length));
        CHECK(contains(reading(folder / "cut.mp4"), "cut.mp4: "));
        // Even when the frames wanted come before the cut.
        CHECK_FALSE(reading(folder / "cut.mp4", {.max_frames = 1}).empty());
    }
}

TEST_CASE("a GIF cut off anywhere is refused") {
    const TemporaryFolder folder;
    reel::write_gif(folder / "a.gif", moving_block(8, 32, 32), 8.0);
    const std::string whole = read_text(folder / "a.gif");
    REQUIRE(reading(folder / "a.gif").empty());
    for (std::size_t length = 1; length < whole.size();
         length += std::max<std::size_t>(1, (whole.size() - length) / 9)) {
        CAPTURE(length);
        put_text(folder / "cut.gif", std::string_view(whole).substr(0, length));
        CHECK(contains(reading(folder / "cut.gif"), "cut.gif: "));
    }
    put_text(folder / "more.gif", whole + "bytes that some programs leave behind the end");
    CHECK(reading(folder / "more.gif").empty());
}

TEST_CASE("changed bytes give an error or a clip, nothing worse") {
    const TemporaryFolder folder;
    const Frames clip = moving_block(6, 32, 32);
    reel::write_mp4(folder / "a.mp4", clip, 8.0);
    reel::write_gif(folder / "a.gif", clip, 8.0);
    const reel::VideoLimits small{.max_side = 256, .max_pixels = 1 << 16, .max_decoded = 200, .max_bytes = 1 << 24};
    std::mt19937 random(11);
    int refused = 0;
    for (const char* name : {"a.mp4", "a.gif", "golden"}) {
        const std::string whole =
            read_text(name == std::string_view("golden") ? "io/golden/video_golden.mp4" : folder / name);
        for (int i = 0; i < 60; ++i) {
            std::string changed = whole;
            for (int k = 0; k < 1 + i % 8; ++k) {
                changed[random() % changed.size()] = static_cast<char>(random());
            }
            put_text(folder / "changed", changed);
            try {
                const Frames read = reel::read_video(folder / "changed", {}, small);
                reel::require_frames(read, "changed");
                CHECK(read.rgb.size() <= small.max_bytes);
            } catch (const reel::Error&) {
                ++refused;
            }
        }
    }
    CHECK(refused > 20);
}

TEST_CASE("names that FFmpeg would take for protocols are names of files that do not exist") {
    const TemporaryFolder folder;
    reel::write_mp4(folder / "a.mp4", moving_block(2, 32, 32), 8.0);
    const std::string good = (folder / "a.mp4").string();
    REQUIRE(reading(good).empty());
    for (const std::string& name :
         {"concat:" + good + "|" + good, "subfile,,start,0,end,0,,:" + good, "file:" + good, "cache:" + good,
          "async:" + good, "concatf:" + good, std::string("http://127.0.0.1:9/a.mp4"), std::string("pipe:0"),
          std::string("data:video/mp4;base64,AAAA"), std::string("lavfi:testsrc2")}) {
        CAPTURE(name);
        CHECK(contains(reading(name), "no such file"));
    }
    // Such characters in a real file's name are only characters.
    const Frames clip = moving_block(2, 32, 32);
    reel::write_mp4(folder / "concat:b|c %d ä.mp4", clip, 8.0);
    CHECK(reel::read_video(folder / "concat:b|c %d ä.mp4").count == 2);
    reel::write_gif(folder / "pipe:1.gif", clip, 8.0);
    CHECK(reel::read_video(folder / "pipe:1.gif").count == 2);
}

TEST_CASE("playlists, scripts and pictures are refused") {
    const TemporaryFolder folder;
    reel::write_mp4(folder / "a.mp4", moving_block(2, 32, 32), 8.0);
    const std::string good = (folder / "a.mp4").string();
    put_text(folder / "list.m3u8",
             "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-VERSION:3\n#EXTINF:1,\n" + good + "\n#EXT-X-ENDLIST\n");
    put_text(folder / "list.ffconcat", "ffconcat version 1.0\nfile '" + good + "'\nfile '" + good + "'\n");
    put_text(folder / "list.mpd", "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" "
                                  "type=\"static\" mediaPresentationDuration=\"PT1S\"><Period><AdaptationSet>"
                                  "<Representation id=\"0\" mimeType=\"video/mp4\"><BaseURL>" +
                                      good + "</BaseURL></Representation></AdaptationSet></Period></MPD>");
    put_text(folder / "list.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n"
                                  "a=rtpmap:96 H264/90000\n");
    reel::write_png(folder / "picture.png", moving_block(1, 64, 64));
    put_text(folder / "list.cpl", "<?xml version=\"1.0\"?><CompositionPlaylist xmlns=\"http://www.smpte-ra.org/schemas/"
                                  "2067-3/2016\"><Id>urn:uuid:1</Id></CompositionPlaylist>"); // IMF: MXF files by name
    put_text(folder / "list.mpjpeg",
             "--part\r\nContent-type: text/plain\r\nContent-Location: " + good + "\r\n\r\n" + good);
    for (const char* name :
         {"list.m3u8", "list.ffconcat", "list.mpd", "list.sdp", "list.cpl", "list.mpjpeg", "picture.png"}) {
        CAPTURE(name);
        CHECK(contains(reading(folder / name), "not a video"));
        // Nor does another ending help.
        std::filesystem::copy_file(folder / name, folder / "list.mp4",
                                   std::filesystem::copy_options::overwrite_existing);
        CHECK(contains(reading(folder / "list.mp4"), "not a video"));
    }
}

TEST_CASE("containers that are read are files with pictures of their own") {
    std::set<std::string> wanted;
    for (const std::string& list :
         {std::string(reel::detail::video_containers), std::string(reel::detail::picture_containers)}) {
        std::istringstream names(list);
        for (std::string name; std::getline(names, name, ',');) {
            wanted.insert(name);
        }
    }
    // What opens other files, by name or number, or a connection, or makes pictures of a program.
    for (const char* name : {"concat",     "hls",         "dash",      "webm_dash_manifest",
                             "image2",     "imf",         "sdp",       "rtsp",
                             "rtp",        "sap",         "lavfi",     "tty",
                             "ffmetadata", "vobsub",      "mpegtsraw", "libopenmpt",
                             "wsd",        "vapoursynth", "avisynth",  "applehttp",
                             "x11grab",    "v4l2",        "rm",        "redir",
                             "asx"}) {
        CAPTURE(name);
        CHECK(!wanted.contains(name));
    }
    void* state = nullptr;
    int found = 0;
    while (const AVInputFormat* format = av_demuxer_iterate(&state)) {
        std::istringstream names(format->name);
        for (std::string name; std::getline(names, name, ',');) {
            if (wanted.contains(name)) {
                CAPTURE(name);
                CHECK((format->flags & AVFMT_NOFILE) == 0);
                ++found;
            }
        }
    }
    CHECK(found > 20);
}

TEST_CASE("limits hold") {
    const TemporaryFolder folder;
    reel::write_mp4(folder / "a.mp4", moving_block(6, 48, 64), 8.0);
    CHECK(contains(reading(folder / "a.mp4", {}, {.max_side = 63}), "above the limit of 63 pixels a side"));
    CHECK(contains(reading(folder / "a.mp4", {}, {.max_pixels = 3071}), "above the limit"));
    CHECK(contains(reading(folder / "a.mp4", {}, {.max_decoded = 5}), "more than 5 frames"));
    CHECK(contains(reading(folder / "a.mp4", {}, {.max_bytes = 5 * 48 * 64 * 3}), "above the limit of"));
    CHECK(reading(folder / "a.mp4", {},
                  {.max_side = 64, .max_pixels = 3072, .max_decoded = 6, .max_bytes = 6 * 48 * 64 * 3})
              .empty());
    // What was not asked for is not counted.
    CHECK(reading(folder / "a.mp4", {.max_frames = 3}, {.max_decoded = 3}).empty());
}

TEST_CASE("selections that make no sense are refused before the file is opened") {
    CHECK(contains(reading("none.mp4", {.start = -1}), "sample_start_idx"));
    CHECK(contains(reading("none.mp4", {.stride = 0}), "sample_frame_rate"));
    CHECK(contains(reading("none.mp4", {.max_frames = -1}), "n_sample_frames"));
    CHECK(contains(reading("none.mp4", {.width = 64}), "cannot resize to 64x0"));
    CHECK(contains(reading("none.mp4", {.width = -64, .height = -64}), "cannot resize"));
    CHECK(contains(reading("none.mp4", {.width = 20000, .height = 64}), "cannot resize"));
    CHECK(contains(reading("none.mp4", {.max_frames = 2'000'000'000, .width = 16384, .height = 16384}), "limit"));
}
