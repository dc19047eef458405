#include "io/temporary_folder.hpp"

#include <reel/io/records/manifest.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>
#include <string>

using namespace reel_test;
using reel::Manifest;

TEST_CASE("a manifest says what ran, on what, with which files") {
    TemporaryFolder folder;
    std::filesystem::create_directories(folder / "model" / "unet");
    put_text(folder / "model" / "unet" / "config.json", "{}");
    put_text(folder / "model" / "model_index.json", "abc");
    put_text(folder / "clip.mp4", "");
    reel::MemoryPool pool;
    reel::StageTimer timer(reel::probe_of(pool));
    Manifest manifest("insert_object");
    manifest.set("options", {{"width", 64}, {"prompt", "caf\xc3\xa9"}});
    manifest.set_seed(18446744073709551615ULL);
    manifest.add_version("ffmpeg", "5.1");
    manifest.add_input(folder / "clip.mp4");
    manifest.add_input(folder / "model");
    {
        const auto stage = timer.start("tune");
        pool.deallocate(pool.allocate(1 << 20), 1 << 20);
    }
    put_text(folder / "edit.gif", "abc");
    manifest.add_output(folder / "edit.gif");
    manifest.set_stages(timer);
    manifest.write(folder / "manifest.json");

    const nlohmann::json read = reel::read_json(folder / "manifest.json");
    CHECK(read == manifest.json());
    CHECK(read["program"] == "insert_object");
    CHECK(read["seed"] == 18446744073709551615ULL);
    CHECK(read["options"]["prompt"] == "caf\xc3\xa9");
    CHECK(read["versions"]["reel"] == reel::version);
    CHECK(read["versions"]["ffmpeg"] == "5.1");
    CHECK_FALSE(read["versions"]["compiler"].get<std::string>().empty());
    CHECK(contains(read["versions"]["eigen"].get<std::string>(), "."));
    CHECK_FALSE(read["machine"]["operating_system"].get<std::string>().empty());
    CHECK(read["started"].get<std::string>().size() == 20);

    // sha256sum of nothing, of "abc" and of "{}"
    const std::string abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    REQUIRE(read["inputs"].size() == 3);
    CHECK(read["inputs"][0]["sha256"] == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(read["inputs"][0]["bytes"] == 0);
    CHECK(read["inputs"][1]["path"] == (folder / "model" / "model_index.json").string());
    CHECK(read["inputs"][1]["sha256"] == abc);
    CHECK(read["inputs"][2]["sha256"] == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    REQUIRE(read["outputs"].size() == 1);
    CHECK(read["outputs"][0]["sha256"] == abc);
    CHECK(read["outputs"][0]["bytes"] == 3);

    REQUIRE(read["stages"].size() == 1);
    CHECK(read["stages"][0]["name"] == "tune");
    CHECK(read["stages"][0]["seconds"].get<double>() >= 0);
    CHECK(read["stages"][0]["peak_backend_bytes"] == 1 << 20);
    CHECK(read["stages"][0]["peak_resident_bytes"].get<std::size_t>() > 0);
    CHECK(read["total"]["peak_backend_bytes"] == 1 << 20);
    CHECK(folder.count() == 4); // no temporary is left
}

TEST_CASE("a manifest's errors name the file") {
    TemporaryFolder folder;
    Manifest manifest("tune_video");
    const auto error = [](const auto& action) { return message_of<reel::Error>(action); };
    CHECK(contains(error([&] { manifest.add_input(folder / "none.mp4"); }), "none.mp4"));
    CHECK(manifest.json()["inputs"].empty());
    CHECK(contains(error([&] { manifest.write(folder / "no" / "manifest.json"); }), "does not exist"));
    CHECK(folder.count() == 0);
}

TEST_CASE("seeds may be absent") {
    Manifest manifest("tune_video");
    manifest.set_seed(std::nullopt);
    CHECK(manifest.json()["seed"].is_null());
}

TEST_CASE("names that are no UTF-8 do not cost a manifest") {
    const TemporaryFolder folder;
    const std::filesystem::path odd = folder / "caf\xe9\n.gif";
    put_text(odd, "abc");
    Manifest manifest("insert_object");
    manifest.set("options", {{"output", odd.string()}, {"prompt", "caf\xc3\xa9\n"}});
    manifest.add_output(odd);
    manifest.write(folder / "manifest.json");
    const nlohmann::json read = reel::read_json(folder / "manifest.json");
    CHECK(read["outputs"][0]["path"].get<std::string>().ends_with("caf\\xe9\\n.gif"));
    CHECK(read["options"]["output"].get<std::string>().ends_with("caf\\xe9\\n.gif"));
    CHECK(read["options"]["prompt"] == "caf\xc3\xa9\n");
}
