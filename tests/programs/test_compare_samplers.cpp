// compare_samplers on a small model: what it writes, and what it refuses before the work.

#include <reel/io/pictures/png.hpp>

#include "support/programs.hpp"

using namespace reel_test;

namespace {

Words command(const Path& output) {
    return {REEL_COMPARE_SAMPLERS,
            "--model",
            "golden/sd1_tiny",
            "--prompt",
            "a man",
            "--output",
            output.string(),
            "--samplers",
            "ddim,dpm++_2m,EulerAncestralDiscreteScheduler",
            "--steps",
            "4,20",
            "--reference_steps",
            "60",
            "--guidance_scale",
            "2",
            "--threads",
            "1"};
}

std::vector<std::string> fields_of(const std::string& line) {
    std::vector<std::string> fields;
    std::istringstream stream(line);
    for (std::string field; std::getline(stream, field, ',');) {
        fields.push_back(field);
    }
    return fields;
}

} // namespace

TEST_CASE("compare_samplers writes a sheet, tables and a plot") {
    const TemporaryFolder folder;
    run_well(command(folder / "out"));
    CHECK(temporaries_in(folder / "out").empty());
    const Words lines = lines_of(read_text(folder / "out" / "samplers.csv"));
    REQUIRE(lines.size() == 7);
    CHECK(lines[0] == "sampler,steps,model_calls,seconds,distance,draws_noise");
    std::map<std::string, double> distance;
    for (std::size_t i = 1; i < lines.size(); ++i) {
        const auto fields = fields_of(lines[i]);
        REQUIRE(fields.size() == 6);
        CHECK(fields[1] == fields[2]); // one call per step
        CHECK(fields[5] == (fields[0] == "EulerAncestralDiscreteScheduler" ? "true" : "false"));
        distance[fields[0] + " " + fields[1]] = std::stod(fields[4]);
    }
    CHECK(distance["ddim 20"] < distance["ddim 4"]); // nearer with more steps
    CHECK(distance["ddim 20"] > 0);
    CHECK(lines_of(read_text(folder / "out" / "samplers.md")).size() == 10);
    CHECK(read_text(folder / "out" / "distance.svg").ends_with("</svg>\n"));
    const reel::Frames sheet = reel::read_png(folder / "out" / "samplers.png");
    CHECK(sheet.height > 4 * 64);
    CHECK(sheet.width > 2 * 64);

    // The model's own scheduler/, named as a folder.
    run_well(with(command(folder / "again"), "--scheduler_config", (sd1_model / "scheduler").string()));
    CHECK(read_text(folder / "again" / "samplers.png") == read_text(folder / "out" / "samplers.png"));
}

TEST_CASE("compare_samplers refuses unknown names and steps without room before the work") {
    const TemporaryFolder folder;
    const auto unknown = run(with(command(folder / "out"), "--samplers", "ddim,dpm++_2n"));
    CHECK(unknown.status == 1);
    CHECK(unknown.err.find("--samplers: \"dpm++_2n\" is no scheduler that reel has (did you mean \"dpm++_2") !=
          std::string::npos);
    const auto steps = run(with(command(folder / "out"), "--steps", "1000"));
    CHECK(steps.status == 1);
    CHECK(steps.err.find("--samplers dpm++_2m --steps 1000: ") != std::string::npos);
}
