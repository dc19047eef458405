#include "build_facts.hpp"

#include <reel/core/cpu_features.hpp>

#ifdef REEL_ONEDNN
#include <oneapi/dnnl/dnnl_version.h>
#endif
#ifdef REEL_DOCTOR_FFMPEG
extern "C" {
#include <libavcodec/version.h>
#include <libavfilter/version.h>
#include <libavformat/version.h>
#include <libavutil/version.h>
#include <libswscale/version.h>
}
#endif
#ifdef REEL_CUDA
#if !defined(REEL_CUDA_RUNTIME_VERSION) && __has_include(<cuda_runtime_api.h>)
#include <cuda_runtime_api.h>
#define REEL_CUDA_RUNTIME_VERSION CUDART_VERSION
#endif
#if __has_include(<cublas_api.h>)
#include <cublas_api.h>
#endif
#endif

#define REEL_TEXT_OF(x) #x
#define REEL_TEXT(x) REEL_TEXT_OF(x)

namespace doctor {
namespace {

constexpr BuildFacts facts() {
    BuildFacts facts;
    facts.cpu_features = reel::compiled_cpu_features();
#ifdef REEL_CUDA
    facts.cuda = true;
#ifdef REEL_CUDA_RUNTIME_VERSION
    facts.cuda_runtime = REEL_CUDA_RUNTIME_VERSION;
#endif
#ifdef REEL_CUDA_ARCHITECTURES
    facts.cuda_architectures = REEL_CUDA_ARCHITECTURES;
#endif
#ifdef CUBLAS_VER_MAJOR
    facts.cublas_major = CUBLAS_VER_MAJOR;
    facts.cublas_minor = CUBLAS_VER_MINOR;
    facts.cublas_patch = CUBLAS_VER_PATCH;
#endif
#endif
#ifdef REEL_ONEDNN
    facts.onednn = true;
    facts.onednn_library = {
        "dnnl", REEL_ONEDNN_LOADED, "dnnl_version", DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR, DNNL_VERSION_PATCH};
#endif
#ifdef REEL_DOCTOR_FFMPEG
    facts.video = true;
    facts.ffmpeg = {
        BuiltLibrary{"avformat", "libavformat.so." REEL_TEXT(LIBAVFORMAT_VERSION_MAJOR), "avformat_version",
                     LIBAVFORMAT_VERSION_MAJOR, LIBAVFORMAT_VERSION_MINOR, LIBAVFORMAT_VERSION_MICRO},
        BuiltLibrary{"avcodec", "libavcodec.so." REEL_TEXT(LIBAVCODEC_VERSION_MAJOR), "avcodec_version",
                     LIBAVCODEC_VERSION_MAJOR, LIBAVCODEC_VERSION_MINOR, LIBAVCODEC_VERSION_MICRO},
        BuiltLibrary{"avfilter", "libavfilter.so." REEL_TEXT(LIBAVFILTER_VERSION_MAJOR), "avfilter_version",
                     LIBAVFILTER_VERSION_MAJOR, LIBAVFILTER_VERSION_MINOR, LIBAVFILTER_VERSION_MICRO},
        BuiltLibrary{"swscale", "libswscale.so." REEL_TEXT(LIBSWSCALE_VERSION_MAJOR), "swscale_version",
                     LIBSWSCALE_VERSION_MAJOR, LIBSWSCALE_VERSION_MINOR, LIBSWSCALE_VERSION_MICRO},
        BuiltLibrary{"avutil", "libavutil.so." REEL_TEXT(LIBAVUTIL_VERSION_MAJOR), "avutil_version",
                     LIBAVUTIL_VERSION_MAJOR, LIBAVUTIL_VERSION_MINOR, LIBAVUTIL_VERSION_MICRO},
    };
#endif
    return facts;
}

} // namespace

constinit const BuildFacts build_facts = facts();

} // namespace doctor
