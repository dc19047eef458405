// Every reason for which a program cannot use a GPU, and its sentence.

#include <doctest/doctest.h>

#include <reel/backend/cuda_driver.hpp>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

using reel::CudaBuild;
using reel::CudaDriver;
using reel::CudaFit;

const CudaBuild build{true, 12040, "80;90-real"};

CudaDriver driver_of(int version, int capability = 90) {
    return {true, version, 0, {{"Test GPU", capability, 80'000'000'000}}};
}

CudaDriver failing(int error) {
    return {true, 12040, error, {}};
}

CudaFit fit(const std::string& architectures, int capability, int runtime = 12040) {
    return reel::cuda_fit({true, runtime, architectures}, capability);
}

} // namespace

TEST_CASE("versions and capabilities as people write them") {
    CHECK(reel::cuda_version_text(12040) == "12.4");
    CHECK(reel::cuda_version_text(13000) == "13.0");
    CHECK(reel::cuda_version_text(0) == "unknown");
    CHECK(reel::capability_text(75) == "7.5");
    CHECK(reel::capability_text(120) == "12.0");
}

TEST_CASE("lists of architectures as CMake has them") {
    const auto list = reel::parse_cuda_architectures("75-real;80-virtual, 90a 100f;120");
    REQUIRE(list.size() == 5);
    CHECK((list[0].capability == 75 && list[0].code && !list[0].portable && list[0].suffix == 0));
    CHECK((list[1].capability == 80 && !list[1].code && list[1].portable));
    CHECK((list[2].capability == 90 && list[2].code && list[2].portable && list[2].suffix == 'a'));
    CHECK((list[3].capability == 100 && list[3].suffix == 'f'));
    CHECK((list[4].capability == 120 && list[4].code && list[4].portable && list[4].suffix == 0));
    CHECK(reel::parse_cuda_architectures("").empty());
    CHECK(reel::parse_cuda_architectures("all-major").empty());
    CHECK(reel::parse_cuda_architectures("native").empty());
    for (const char* wrong : {"sm_80", "8.0", "80;x", "-real", "80-Real", "7", "99999999999999999999"}) {
        INFO(std::string(wrong));
        CHECK_THROWS_WITH_AS((void)reel::parse_cuda_architectures(wrong), doctest::Contains("CUDA architectures: \""),
                             reel::Error);
    }
}

TEST_CASE("code runs on its major version's later GPUs, PTX on all later ones") {
    CHECK(fit("80;90", 80) == CudaFit::code);
    CHECK(fit("80;90", 86) == CudaFit::code);
    CHECK(fit("80;90", 90) == CudaFit::code);
    CHECK(fit("86", 80) == CudaFit::too_old); // an older minor version of the same major one
    CHECK(fit("80;90", 75) == CudaFit::too_old);
    CHECK(fit("80;90", 120) == CudaFit::portable);
    CHECK(fit("80-real;90-real", 120) == CudaFit::too_new);
    CHECK(fit("80-virtual", 80) == CudaFit::portable);
    CHECK(fit("80-virtual", 90) == CudaFit::portable);
    CHECK(fit("80-virtual", 75) == CudaFit::too_old);
    CHECK(fit("90a", 90) == CudaFit::code);
    CHECK(fit("90a", 100) == CudaFit::too_new); // "a": for that one alone
    CHECK(fit("100f", 103) == CudaFit::code);
    CHECK(fit("100f", 120) == CudaFit::too_new); // "f": for its family alone
    CHECK(fit("all-major", 75) == CudaFit::code);
    CHECK(fit("all", 37) == CudaFit::too_old);
    CHECK(fit("all-major", 70) == CudaFit::code);
    CHECK(fit("all-major", 70, 13000) == CudaFit::too_old);
    CHECK(fit("native", 90) == CudaFit::unknown);
    CHECK(fit("", 90) == CudaFit::unknown);
}

TEST_CASE("all well") {
    CHECK(reel::cuda_problem(build, driver_of(12040)).empty());
    CHECK(reel::cuda_problem(build, driver_of(13000)).empty()); // a newer driver is always right
    CHECK(reel::cuda_driver_note(build, 12040).empty());
    CHECK(reel::cuda_driver_note(build, 13000).empty());
    CHECK(reel::cuda_device_note(build, driver_of(12040).devices[0]).empty());
}

TEST_CASE("built without CUDA") {
    CHECK(reel::cuda_problem(CudaBuild{}, driver_of(12040)) ==
          "this program was built without CUDA; build reel where nvcc (CUDA 12.4 or newer) is found, or use --backend "
          "cpu");
}

TEST_CASE("no driver") {
    CHECK(
        reel::cuda_problem(build, CudaDriver{}) ==
        "no NVIDIA driver was found (no libcuda.so.1); install the driver for your GPU, start a container with --gpus "
        "all, or use --backend cpu");
}

TEST_CASE("a driver older than the runtime") {
    const std::string sentence =
        "the NVIDIA driver supports CUDA 11.8 at most, but this program was built with CUDA runtime 12.4, and the "
        "driver's must be at least the runtime's; update the driver to 525 or newer, or use --backend cpu";
    CHECK(reel::cuda_problem(build, driver_of(11080)) == sentence);
    CudaDriver refusing{true, 11080, 100, {}}; // what it says besides matters less
    CHECK(reel::cuda_problem(build, refusing) == sentence);
    CHECK(reel::cuda_problem({true, 13000, "90"}, driver_of(12080)) ==
          "the NVIDIA driver supports CUDA 12.8 at most, but this program was built with CUDA runtime 13.0, and the "
          "driver's must be at least the runtime's; update the driver to 580 or newer, or use --backend cpu");
}

TEST_CASE("a driver a little older than the runtime runs code, and compiles no PTX") {
    CHECK(reel::cuda_problem(build, driver_of(12020)).empty());
    CHECK(
        reel::cuda_driver_note(build, 12020) ==
        "the NVIDIA driver supports CUDA 12.2 at most, less than the runtime's 12.4: within one major version programs "
        "run all the same, as long as they hold code for this very GPU; update the driver if one does not");
    CHECK(
        reel::cuda_problem(build, driver_of(12020, 100)) ==
        "for Test GPU (compute capability 10.0) the driver has to compile PTX, and one for CUDA 12.2 does not compile "
        "that of CUDA 12.4: the driver's must be at least the runtime's; update the driver, or configure with "
        "-DCMAKE_CUDA_ARCHITECTURES=100 and build again, or use --backend cpu");
}

TEST_CASE("errors of the driver") {
    CHECK(reel::cuda_problem(build, failing(100)) ==
          "the NVIDIA driver sees no GPU; see what `nvidia-smi` and the variable CUDA_VISIBLE_DEVICES say, or use "
          "--backend cpu");
    CHECK(reel::cuda_problem(build, failing(0)) == reel::cuda_problem(build, failing(100))); // no error, and no GPU
    CHECK(reel::cuda_problem(build, {true, 0, 34, {}}) ==
          "the libcuda.so.1 that was found is the toolkit's stub, which is for linking alone; take the toolkit's "
          "\"stubs\" folder out of LD_LIBRARY_PATH, or use --backend cpu");
    CHECK(
        reel::cuda_problem(build, failing(803)) ==
        "the NVIDIA driver's library and its kernel module are of different versions, as after an update; restart the "
        "machine, or use --backend cpu");
    CHECK(reel::cuda_problem(build, failing(999)) == "the NVIDIA driver does not start (CUDA error 999); see what "
                                                     "`nvidia-smi` says, and restart the machine, or use "
                                                     "--backend cpu");
    std::vector<std::string> sentences;
    for (const int error : {2, 34, 46, 100, 802, 803, 804, 999}) {
        sentences.push_back(reel::cuda_error_sentence(error));
        CHECK(sentences.back().ends_with(", or use --backend cpu"));
        CHECK(std::count(sentences.begin(), sentences.end(), sentences.back()) == 1);
    }
}

TEST_CASE("a GPU that the program was not built for") {
    CHECK(reel::cuda_problem(build, driver_of(12040, 75)) ==
          "Test GPU (compute capability 7.5) is older than the architectures this program was built for (80;90-real); "
          "configure with -DCMAKE_CUDA_ARCHITECTURES=75 and build again, or use --backend cpu");
    CHECK(reel::cuda_problem({true, 13000, "80"}, driver_of(13000, 61)) ==
          "Test GPU (compute capability 6.1) is older than the architectures this program was built for (80) and than "
          "what CUDA 13.0 compiles for (7.5 and newer); use a newer GPU, or use --backend cpu");
    CHECK(
        reel::cuda_problem({true, 12040, "80-real"}, driver_of(12040, 90)) ==
        "Test GPU (compute capability 9.0) is newer than the architectures this program was built for (80-real), none "
        "of which is PTX that its driver could compile; configure with -DCMAKE_CUDA_ARCHITECTURES=90 and build again, "
        "or use --backend cpu");
    CHECK(reel::cuda_problem(build, driver_of(12040), 3) ==
          "GPU 3 was asked for, but the NVIDIA driver sees 1, numbered from 0; ask for one of these, or use --backend "
          "cpu");
}

TEST_CASE("a GPU for which the driver compiles, or for which nobody knows") {
    CHECK(reel::cuda_problem(build, driver_of(12080, 120)).empty());
    CHECK(reel::cuda_device_note(build, driver_of(12080, 120).devices[0]) ==
          "the driver compiles the program for this GPU when it first runs, which takes a while; to have it compiled "
          "before, configure with -DCMAKE_CUDA_ARCHITECTURES=120");
    CHECK(reel::cuda_device_note({true, 12040, "native"}, driver_of(12040).devices[0]) ==
          "for which GPU the program was built is not known (\"native\"); if it fails with \"no kernel image\", "
          "configure "
          "with -DCMAKE_CUDA_ARCHITECTURES=90 and build again");
}

TEST_CASE("the two numbers in a sentence each") {
    CHECK(reel::cuda_runtime_sentence(12040) ==
          "CUDA runtime 12.4 is what this program was built with; `nvcc --version` says it of the toolkit that is "
          "installed");
    CHECK(
        reel::cuda_driver_sentence(12020) ==
        "CUDA 12.2 is the newest that the installed driver supports; `nvidia-smi` says it as \"CUDA Version\", with or "
        "without a toolkit");
}

TEST_CASE("docs/cuda_versions.md has these very sentences") {
    std::ifstream file("../docs/cuda_versions.md");
    const std::string page{std::istreambuf_iterator<char>(file), {}};
    std::vector<std::string> sentences{
        reel::cuda_runtime_sentence(12040),
        reel::cuda_driver_sentence(12020),
        reel::cuda_problem(CudaBuild{}, driver_of(12040)),
        reel::cuda_problem(build, CudaDriver{}),
        reel::cuda_problem(build, driver_of(11080)),
        reel::cuda_driver_note(build, 12020),
        reel::cuda_problem(build, driver_of(12020, 100)),
        reel::cuda_problem(build, driver_of(12040, 75)),
        reel::cuda_problem({true, 13000, "80"}, driver_of(13000, 61)),
        reel::cuda_problem({true, 12040, "80-real"}, driver_of(12040, 90)),
        reel::cuda_device_note(build, driver_of(12080, 120).devices[0]),
        reel::cuda_device_note({true, 12040, "native"}, driver_of(12040).devices[0]),
    };
    for (const int error : {2, 34, 46, 100, 802, 803, 804, 999}) {
        sentences.push_back(reel::cuda_error_sentence(error));
    }
    for (const std::string& sentence : sentences) {
        INFO(sentence);
        CHECK(page.find("> " + sentence + "\n") != std::string::npos);
    }
}

TEST_CASE("asking this machine never fails, whatever it has") {
    const CudaDriver driver = reel::cuda_driver();
    if (!driver.library) {
        CHECK(driver.version == 0);
        CHECK(driver.devices.empty());
        CHECK(reel::cuda_memory().error != 0);
    }
    for (const reel::CudaDevice& gpu : driver.devices) {
        CHECK(!gpu.name.empty());
        CHECK(gpu.capability >= 30);
        CHECK(gpu.bytes > 0);
    }
    CHECK_FALSE(reel::SharedLibrary("libreel-has-no-such-library.so"));
}
