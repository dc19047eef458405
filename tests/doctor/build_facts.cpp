// What `doctor` believes the programs were built with, in its tests: CUDA 12.4 for two architectures, FFmpeg's
// libraries as this test was built with, and the rest as the environment says.

#include <cstdlib>
#include <string>

#include "doctor/build_facts.hpp"

extern "C" {
#include <libavcodec/version.h>
}

namespace doctor {
namespace {

std::string setting(const char* name, const char* otherwise) {
    const char* const text = std::getenv(name);
    return text == nullptr ? otherwise : text;
}

BuildFacts facts() {
    static const std::string architectures = setting("TEST_BUILD_ARCHITECTURES", "80;90-real");
    static const std::string codec =
        "libavcodec.so." + setting("TEST_BUILD_AVCODEC", std::to_string(LIBAVCODEC_VERSION_MAJOR).c_str());
    BuildFacts facts;
    facts.cpu_features = std::stoull(setting("TEST_BUILD_CPU_FEATURES", "0"));
    facts.cuda = true;
    facts.cuda_runtime = 12040;
    facts.cuda_architectures = architectures.c_str();
    facts.cublas_major = std::stoi(setting("TEST_BUILD_CUBLAS", "0"));
    facts.video = true;
    for (BuiltLibrary& library : facts.ffmpeg) { // one is enough
        library = {"avcodec",
                   codec.c_str(),
                   "avcodec_version",
                   LIBAVCODEC_VERSION_MAJOR,
                   LIBAVCODEC_VERSION_MINOR,
                   LIBAVCODEC_VERSION_MICRO};
    }
    return facts;
}

} // namespace

const BuildFacts build_facts = facts();

} // namespace doctor
