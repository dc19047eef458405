// doctor as it is built here, and one that was built with CUDA on machines that the environment describes.

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "doctor/checks.hpp"
#include "support/programs.hpp"

namespace {

using namespace reel_test;
using doctor::Check;
using doctor::Mark;
using doctor::Need;

const std::string program = REEL_DOCTOR;
const std::string with_cuda = REEL_DOCTOR_WITH_CUDA;
const std::string driver_folder = REEL_TEST_DRIVER_FOLDER;

/// The doctor that was built with CUDA, on a machine with a driver as `settings` say.
Ended on_machine(const Words& settings, const Words& options = {}) {
    return run(Words{"env", "LD_LIBRARY_PATH=" + driver_folder} + settings + Words{with_cuda} + options);
}

/// The checks of a --json report, by name.
nlohmann::json checks_of(const Ended& ended) {
    INFO(ended.out, ended.err);
    nlohmann::json checks = nlohmann::json::object();
    const nlohmann::json report = nlohmann::json::parse(ended.out);
    CHECK(report.at("runs") == (ended.status == 0));
    for (const nlohmann::json& check : report.at("checks")) {
        CHECK((check.at("mark") != "ok" || check.at("advice") == ""));
        CHECK((check.at("mark") == "ok" || check.at("advice") != ""));
        checks[check.at("name").get<std::string>()] = check;
    }
    checks["verdict"] = report.at("verdict");
    return checks;
}

/// With the driver's settings a line of the report has `mark` and `advice` in it; with --backend cuda it is a problem.
void says(const Words& settings, const std::string& line, const std::string& advice) {
    INFO(line, ": ", advice);
    const Ended wanted = on_machine(settings, {"--json"});
    CHECK(wanted.status == 0);
    const nlohmann::json note = checks_of(wanted);
    CHECK(note[line]["mark"] == "note");
    CHECK(note[line]["advice"] == advice);
    CHECK(note["verdict"] == "reel can run here, on the CPU.");
    const Ended required = on_machine(settings, {"--json", "--backend", "cuda"});
    CHECK(required.status == 1);
    CHECK(required.err.empty());
    const nlohmann::json problem = checks_of(required);
    CHECK(problem[line]["mark"] == "problem");
    CHECK(problem[line]["advice"] == advice);
}

} // namespace

TEST_CASE("on this machine, which builds and runs the tests, reel can run") {
    const Ended ended = run_well({program});
    INFO(ended.out);
    CHECK(ended.err.empty());
    CHECK(lines_of(ended.out).size() <= 40); // one screen
    CHECK(lines_of(ended.out).back().starts_with("reel can run here, on the CPU"));
    for (const std::string& line : lines_of(ended.out)) {
        CHECK(line.size() <= 118);
    }
    const nlohmann::json checks = checks_of(run_well({program, "--json"}));
    for (const char* name :
         {"reel", "processor", "instructions", "memory", "CUDA runtime", "CUDA driver", "oneDNN", "FFmpeg", "model"}) {
        CHECK(checks.contains(name));
    }
    CHECK(checks["reel"]["found"].get<std::string>().find("Eigen 3.") != std::string::npos);
    CHECK(checks["FFmpeg"]["found"].get<std::string>().find("libavcodec ") != std::string::npos);
    CHECK(checks["model"]["mark"] == "ok");
}

TEST_CASE("a wrong command line") {
    CHECK(run({program, "--backend", "tpu"}).status == 2);
    CHECK(run({program, "--jsn"}).err ==
          "doctor: error: --jsn: unknown option (did you mean \"--json\"?); see --help\n");
}

TEST_CASE("a GPU that fits") {
    const Ended ended = on_machine({}, {"--backend", "cuda"});
    INFO(ended.out);
    CHECK(ended.status == 0);
    CHECK(ended.out.find("reel can run here, on the CPU and on the GPU.\n") != std::string::npos);
    const nlohmann::json checks = checks_of(on_machine({}, {"--backend", "cuda", "--json"}));
    CHECK(checks["CUDA runtime"]["found"] == reel::cuda_runtime_sentence(12040) + "; for architectures 80;90-real");
    CHECK(checks["CUDA driver"]["found"] ==
          reel::cuda_driver_sentence(12080) + "; the driver's must be at least the runtime's");
    CHECK(checks["GPU"]["found"] == "Test GPU 0, compute capability 9.0, 80.0 GB, 71.0 GB free");
    CHECK(checks["GPU"]["mark"] == "ok");
}

TEST_CASE("every reason not to use a GPU is a note, and a problem where it is needed") {
    const reel::CudaBuild build{true, 12040, "80;90-real"};
    const std::vector<reel::CudaDevice> gpu{{"Test GPU 0", 90, 80'000'000'000}};
    says({"TEST_CUDA_VERSION=11080"}, "CUDA driver", reel::cuda_problem(build, {true, 11080, 0, gpu}));
    says({"TEST_CUDA_INIT=100"}, "CUDA driver", reel::cuda_error_sentence(100));
    says({"TEST_CUDA_DEVICES=0"}, "CUDA driver", reel::cuda_error_sentence(100));
    says({"TEST_CUDA_INIT=803"}, "CUDA driver", reel::cuda_error_sentence(803));
    says({"TEST_CUDA_VERSION=0", "TEST_CUDA_INIT=34"}, "CUDA driver", reel::cuda_error_sentence(34));
    says({"TEST_CUDA_CAPABILITY=75"}, "GPU",
         reel::cuda_problem(build, {true, 12080, 0, {{"Test GPU 0", 75, 80'000'000'000}}}));
    says({"TEST_BUILD_ARCHITECTURES=80-real"}, "GPU",
         reel::cuda_problem({true, 12040, "80-real"}, {true, 12080, 0, gpu}));
    says({"TEST_CUDA_CONTEXT=2"}, "GPU", reel::cuda_error_sentence(2));
    says({"TEST_BUILD_CUBLAS=4"}, "cuBLAS",
         "install cuBLAS of that major version (it comes with the CUDA toolkit) or say where it is with "
         "LD_LIBRARY_PATH");
}

TEST_CASE("a driver a little older, a GPU that is newer, and several GPUs") {
    const nlohmann::json older = checks_of(on_machine({"TEST_CUDA_VERSION=12020"}, {"--json", "--backend", "cuda"}));
    CHECK(older["CUDA driver"]["mark"] == "note");
    CHECK(older["GPU"]["mark"] == "ok");
    const nlohmann::json newer = checks_of(on_machine({"TEST_CUDA_CAPABILITY=120"}, {"--json", "--backend", "cuda"}));
    CHECK(newer["CUDA driver"]["mark"] == "ok");
    CHECK(newer["GPU"]["mark"] == "note"); // PTX of 80
    const nlohmann::json two = checks_of(on_machine({"TEST_CUDA_DEVICES=2"}, {"--json", "--backend", "cuda"}));
    CHECK(two["GPU 0"]["found"] == "Test GPU 0, compute capability 9.0, 80.0 GB, 71.0 GB free");
    CHECK(two["GPU 1"]["found"] == "Test GPU 1, compute capability 9.0, 80.0 GB");
}

TEST_CASE("programs that were compiled for another processor") {
    const reel::CpuFeatures present = reel::cpu_features();
    const reel::CpuFeatures other =
        (reel::CpuFeatures{1} << reel::cpu_feature_table.size()) - 1; // none has both AMX and XOP
    REQUIRE(reel::cpu_problem(other, present) != "");
    const Ended ended = on_machine({"TEST_BUILD_CPU_FEATURES=" + std::to_string(other)}, {"--json"});
    CHECK(ended.status == 1);
    const nlohmann::json checks = checks_of(ended);
    CHECK(checks["instructions"]["mark"] == "problem");
    CHECK(checks["instructions"]["advice"] == reel::cpu_problem(other, present));
    CHECK(checks["verdict"] == "reel cannot run here as asked: see what is marked \"problem\".");
}

TEST_CASE("FFmpeg of another version") {
    const nlohmann::json checks = checks_of(on_machine({"TEST_BUILD_AVCODEC=7"}, {"--json"}));
    CHECK(checks["FFmpeg"]["mark"] == "problem");
    CHECK(checks["FFmpeg"]["found"].get<std::string>().find("cannot be loaded: libavcodec.so.7") != std::string::npos);
}

TEST_CASE("what is said of memory, libraries and the model") {
    CHECK(doctor::gigabytes(23'249'000'000) == "23.2 GB");
    CHECK(doctor::check_memory(16'000'000'000, 12'000'000'000).mark == Mark::ok);
    CHECK(doctor::check_memory(16'000'000'000, 3'000'000'000).mark == Mark::note);
    CHECK(doctor::check_memory(16'000'000'000, {}).found == "16.0 GB, unknown of it available");

    const reel::CpuFeatures bf16 = reel::cpu_feature("avx512bf16");
    doctor::BuildFacts built;
    CHECK(doctor::check_onednn(built, {}, false, 0).mark == Mark::note);
    CHECK(doctor::check_onednn(built, {}, false, 0).advice.find("bfloat16") == std::string::npos);
    CHECK(doctor::check_onednn(built, {}, false, bf16).advice.find("bfloat16") != std::string::npos);
    built.onednn = true;
    built.onednn_library = {"dnnl", "libdnnl.so.2", "dnnl_version", 2, 6, 3};
    CHECK(doctor::check_onednn(built, {2, 7, 0}, true, bf16).found ==
          "built with 2.6.3, loaded 2.7.0, with OpenMP; used for large products and convolutions, in bfloat16, too");
    CHECK(doctor::check_onednn(built, {2, 7, 0}, true, 0).mark == Mark::ok);
    CHECK(doctor::check_onednn(built, {2, 7, 0}, true, 0).found.ends_with("the processor multiplies no bfloat16"));
    CHECK(doctor::check_onednn(built, {}, true, bf16).found ==
          "built with oneDNN 2.6.3, but libdnnl.so.2 cannot be loaded");
    CHECK(doctor::check_onednn(built, {2, 7, 0}, false, bf16).mark == Mark::problem);

    CHECK(doctor::check_ffmpeg(built, {}, "").mark == Mark::note); // built without it
    built.video = true;
    built.ffmpeg.fill({"avcodec", "libavcodec.so.59", "avcodec_version", 59, 37, 100});
    const auto loaded = [](int minor) { return std::vector<doctor::LoadedVersion>(5, {59, minor, 100}); };
    CHECK(doctor::check_ffmpeg(built, loaded(37), "libx264").mark == Mark::ok);
    CHECK(doctor::check_ffmpeg(built, loaded(38), "libx264").found.find("59.38.100 (built against 59.37.100)") !=
          std::string::npos);
    CHECK(doctor::check_ffmpeg(built, loaded(38), "libx264").mark == Mark::ok);
    CHECK(doctor::check_ffmpeg(built, loaded(18), "libx264").mark == Mark::note);
    CHECK(doctor::check_ffmpeg(built, loaded(37), "").mark == Mark::note);
    CHECK(doctor::check_ffmpeg(built, std::vector<doctor::LoadedVersion>(5), "").mark == Mark::problem);

    CHECK(doctor::check_model("model", "", "").mark == Mark::ok);
    CHECK(doctor::check_model("", "a or b", "").found == "the model that comes with reel is not in a or b");
    CHECK(doctor::check_model("model", "", "tokenizer/vocab.json").mark == Mark::note);

    built.cublas_major = 12;
    CHECK(doctor::check_cublas(built, {12, 4, 5}, Need::required).mark == Mark::ok);
    CHECK(doctor::check_cublas(built, {}, Need::wanted).mark == Mark::note);
    CHECK(doctor::check_cublas(built, {}, Need::required).mark == Mark::problem);
}

TEST_CASE("without CUDA in the program a GPU is missed only where there is one, or where it is needed") {
    const reel::CudaBuild none;
    const reel::CudaDriver driver{true, 12040, 0, {{"Test GPU", 90, 80'000'000'000}}};
    CHECK(doctor::check_cuda(none, {}, {}, Need::wanted).front().mark == Mark::ok);
    CHECK(doctor::check_cuda(none, {}, {}, Need::required).front().mark == Mark::problem);
    const std::vector<Check> missed = doctor::check_cuda(none, driver, {}, Need::wanted);
    REQUIRE(missed.size() == 3);
    CHECK(missed[0].mark == Mark::note);
    CHECK(missed[0].advice == reel::cuda_problem(none, driver));
    CHECK(missed[2].found == "Test GPU, compute capability 9.0, 80.0 GB");
}
