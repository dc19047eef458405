#pragma once
// The decisions of `doctor`: from what was found on a machine to what is said of it. Nothing here asks the machine.

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <reel/backend/cuda_driver.hpp>
#include <reel/core/cpu_features.hpp>
#include <reel/core/error.hpp>

#include "build_facts.hpp"

namespace doctor {

/// ok; note: reel runs, but less well than it could, or without something; problem: something that is needed is broken.
enum class Mark { ok, note, problem };

[[nodiscard]] inline const char* name_of(Mark mark) {
    return mark == Mark::ok ? "ok" : mark == Mark::note ? "note" : "problem";
}

/// One line of the report. `advice` says what to do, and is empty when all is well.
struct Check {
    std::string name;
    Mark mark = Mark::ok;
    std::string found;
    std::string advice{};
};

/// How much the GPU is needed: with --backend cuda nothing runs without it.
enum class Need { wanted, required };

[[nodiscard]] inline Mark mark_of(const std::string& problem, Need need) {
    return problem.empty() ? Mark::ok : need == Need::required ? Mark::problem : Mark::note;
}

/// "12.3 GB", in the decimal gigabytes that disks and reel's manifests count in.
[[nodiscard]] inline std::string gigabytes(std::size_t bytes) {
    const std::size_t tenths = (bytes + 50'000'000) / 100'000'000;
    return reel::concat_text(tenths / 10, ".", tenths % 10, " GB");
}

/// What the processor has of what matters for speed, by families.
[[nodiscard]] inline std::string families(reel::CpuFeatures features) {
    struct Family {
        const char* name;
        const char* feature;
    };
    std::string has;
    std::string lacks;
    for (const Family& family : {Family{"AVX2", "avx2"}, Family{"AVX-512", "avx512f"},
                                 Family{"AVX512-BF16", "avx512bf16"}, Family{"AMX", "amx-bf16"}}) {
        std::string& list = (features & reel::cpu_feature(family.feature)) != 0 ? has : lacks;
        list += (list.empty() ? "" : ", ") + std::string(family.name);
    }
    return has.empty() ? "no " + lacks : has + (lacks.empty() ? "" : "; no " + lacks);
}

/// What reel's programs were compiled for against what the processor has.
[[nodiscard]] inline Check check_instructions(reel::CpuFeatures compiled, reel::CpuFeatures present) {
    const std::string problem = reel::cpu_problem(compiled, present);
    const std::string waste = reel::cpu_waste(compiled, present);
    return {"instructions",
            !problem.empty() ? Mark::problem
            : !waste.empty() ? Mark::note
                             : Mark::ok,
            families(present) + "; reel's programs were compiled for " +
                (compiled == 0                             ? std::string("any processor")
                 : families(compiled) == families(present) ? std::string("these")
                                                           : families(compiled)),
            !problem.empty() ? problem : waste};
}

/// Memory of the machine, or what its container may use of it.
/// Nothing: the system does not say.
[[nodiscard]] inline Check check_memory(std::optional<std::size_t> bytes, std::optional<std::size_t> available) {
    const auto said = [](std::optional<std::size_t> number) { return number ? gigabytes(*number) : "unknown"; };
    constexpr std::size_t comfortable = 8'000'000'000; // docs/benchmarks.md: 7.1 GB at most, see below
    return {
        "memory", !available || *available < comfortable ? Mark::note : Mark::ok,
        said(bytes) + ", " + said(available) + " of it available",
        !available || *available < comfortable
            ? "the model that comes with reel needs little, but tuning one of Stable Diffusion's size on 8 frames of "
              "256 x 256 takes 7.1 GB; use fewer frames, a smaller size or --gradient_checkpointing, or end other "
              "programs"
            : ""};
}

/// A library that was asked for its version at run time; major 0: it could not be loaded.
struct LoadedVersion {
    int major = 0;
    int minor = 0;
    int patch = 0;
};

template <class Version>
[[nodiscard]] std::string version_text(const Version& version) {
    return reel::concat_text(version.major, ".", version.minor, ".", version.patch);
}

/// oneDNN and OpenMP, which belong together in reel. `has_openmp`: libgomp could be loaded.
[[nodiscard]] inline Check check_onednn(const BuildFacts& built, const LoadedVersion& loaded, bool has_openmp,
                                        reel::CpuFeatures present) {
    const bool bf16 = (present & (reel::cpu_feature("avx512bf16") | reel::cpu_feature("amx-bf16"))) != 0;
    if (!built.onednn) {
        return {
            "oneDNN", Mark::note, "built without it; all products go through Eigen, which is enough",
            reel::concat_text("large products and convolutions are up to twice as fast through oneDNN",
                              bf16 ? ", and this processor multiplies bfloat16, which nothing else makes use of" : "",
                              "; for that install oneDNN 2.6 to 3 (Debian: apt-get install libdnnl-dev), configure "
                              "with -DREEL_ONEDNN=ON and build again")};
    }
    if (loaded.major == 0 || !has_openmp) {
        return {
            "oneDNN", Mark::problem,
            reel::concat_text("built with oneDNN ", version_text(built.onednn_library), ", but ",
                              loaded.major == 0 ? built.onednn_library.loaded_name : "libgomp.so.1",
                              " cannot be loaded"),
            "install it (Debian: apt-get install libdnnl-dev libgomp1), or configure with -DREEL_ONEDNN=OFF and build "
            "again"};
    }
    return {"oneDNN", Mark::ok,
            reel::concat_text("built with ", version_text(built.onednn_library), ", loaded ", version_text(loaded),
                              ", with OpenMP; used for large "
                              "products and convolutions",
                              bf16 ? ", in bfloat16, too" : "; the processor multiplies no bfloat16")};
}

/// FFmpeg's libraries. `loaded` has an entry for each of built.ffmpeg; `encoder` is the H.264 encoder's name, "" for
/// none.
[[nodiscard]] inline Check check_ffmpeg(const BuildFacts& built, const std::vector<LoadedVersion>& loaded,
                                        const std::string& encoder) {
    if (!built.video) {
        return {"FFmpeg", Mark::note, "built without FFmpeg: no clip can be read or written",
                "install its libraries (Debian: apt-get install libavformat-dev libavcodec-dev libavfilter-dev "
                "libswscale-dev libavutil-dev pkg-config), configure and build again"};
    }
    std::string missing;
    std::string older;
    std::string versions;
    for (std::size_t i = 0; i < built.ffmpeg.size(); ++i) {
        const BuiltLibrary& library = built.ffmpeg[i];
        const LoadedVersion version = loaded.at(i);
        const auto add = [&](std::string& list, const std::string& text) { list += (list.empty() ? "" : ", ") + text; };
        if (version.major == 0) {
            add(missing, library.loaded_name);
            continue;
        }
        const bool same = version_text(version) == version_text(library);
        add(versions, reel::concat_text("lib", library.name, " ", version_text(version),
                                        same ? "" : " (built against " + version_text(library) + ")"));
        if (version.major != library.major || version.minor < library.minor) {
            add(older, reel::concat_text("lib", library.name));
        }
    }
    if (!missing.empty()) {
        return {"FFmpeg", Mark::problem, "cannot be loaded: " + missing,
                "reel's programs were built against these versions: install them, or the FFmpeg this system has "
                "(Debian: libavformat-dev and its sisters) and build again"};
    }
    if (!older.empty()) {
        return {"FFmpeg", Mark::note, versions,
                older + ": older than what the programs were built against; build again"};
    }
    if (encoder.empty()) {
        return {"FFmpeg", Mark::note, versions + "; no H.264 encoder",
                "no mp4 can be written (avi and gif can): install an FFmpeg with libx264 or libopenh264"};
    }
    return {"FFmpeg", Mark::ok, versions + "; H.264 by " + encoder};
}

/// The model that comes with reel. `folder` is where it is, "" for nowhere; `incomplete` names a file of it that is
/// missing or too small to be one.
[[nodiscard]] inline Check check_model(const std::string& folder, const std::string& looked_in,
                                       const std::string& incomplete) {
    if (folder.empty()) {
        return {"model", Mark::note, "the model that comes with reel is not in " + looked_in,
                "get the whole repository, or give a diffusers folder with --model"};
    }
    if (!incomplete.empty()) {
        return {"model", Mark::note, folder + ": " + incomplete + " is missing or cut short",
                "get the file anew (git checkout -- examples/model), or give a diffusers folder with --model"};
    }
    return {"model", Mark::ok, folder};
}

/// What is known of cuBLAS: the version of its headers is in `built`.
[[nodiscard]] inline Check check_cublas(const BuildFacts& built, const LoadedVersion& loaded, Need need) {
    const std::string version = reel::concat_text(built.cublas_major, ".", built.cublas_minor, ".", built.cublas_patch);
    if (loaded.major == 0) {
        return {"cuBLAS", mark_of("missing", need),
                "built against " + version + ", but libcublas.so." + std::to_string(built.cublas_major) +
                    " cannot be loaded",
                "install cuBLAS of that major version (it comes with the CUDA toolkit) or say where it is with "
                "LD_LIBRARY_PATH"};
    }
    return {"cuBLAS", Mark::ok, "built against " + version + ", loaded " + version_text(loaded)};
}

/// Runtime, driver and GPUs. `memory` is the first GPU's, and looked at only where cuda_problem() finds nothing.
[[nodiscard]] inline std::vector<Check> check_cuda(const reel::CudaBuild& build, const reel::CudaDriver& driver,
                                                   const reel::CudaMemory& memory, Need need) {
    const std::string problem = reel::cuda_driver_problem(build, driver);
    const std::string driver_found =
        !driver.library       ? std::string("none was found (no libcuda.so.1)")
        : driver.version == 0 ? std::string("a libcuda.so.1 that does not say its version")
                              : reel::cuda_driver_sentence(driver.version) + "; " + std::string(reel::cuda_rule);
    std::vector<Check> checks;
    if (!build.built) { // without a GPU nothing is missed
        const bool missed = need == Need::required || !driver.devices.empty();
        checks.push_back(
            {"CUDA runtime", missed ? mark_of(problem, need) : Mark::ok, "built without CUDA", missed ? problem : ""});
        checks.push_back({"CUDA driver", Mark::ok, driver_found});
    } else {
        checks.push_back({"CUDA runtime", Mark::ok,
                          reel::cuda_runtime_sentence(build.runtime) + "; for architectures " +
                              (build.architectures.empty() ? "unknown" : build.architectures)});
        const std::string note = problem.empty() ? reel::cuda_driver_note(build, driver.version) : "";
        checks.push_back({"CUDA driver", note.empty() ? mark_of(problem, need) : Mark::note, driver_found,
                          note.empty() ? problem : note});
    }
    for (std::size_t i = 0; i < driver.devices.size(); ++i) {
        const reel::CudaDevice& gpu = driver.devices[i];
        Check check{driver.devices.size() == 1 ? "GPU" : reel::concat_text("GPU ", i), Mark::ok,
                    reel::concat_text(gpu.name, ", compute capability ", reel::capability_text(gpu.capability), ", ",
                                      gigabytes(gpu.bytes))};
        if (problem.empty()) {
            const Need here = i == 0 ? need : Need::wanted; // of several, the first is the one that is used
            check.advice = reel::cuda_device_problem(build, driver.version, gpu);
            if (check.advice.empty() && i == 0 && memory.error != 0) {
                check.advice = reel::cuda_error_sentence(memory.error);
            }
            check.mark = mark_of(check.advice, here);
            if (check.advice.empty()) {
                check.found += i == 0 ? ", " + gigabytes(memory.free_bytes) + " free" : "";
                check.advice = reel::cuda_device_note(build, gpu);
                check.mark = check.advice.empty() ? Mark::ok : Mark::note;
            }
        }
        checks.push_back(std::move(check));
    }
    return checks;
}

/// Whether something that is needed is broken.
[[nodiscard]] inline bool has_problem(const std::vector<Check>& checks) {
    for (const Check& check : checks) {
        if (check.mark == Mark::problem) {
            return true;
        }
    }
    return false;
}

/// The last line. `gpu`: it can be used.
[[nodiscard]] inline std::string verdict(const std::vector<Check>& checks, bool gpu) {
    return has_problem(checks) ? "reel cannot run here as asked: see what is marked \"problem\"."
           : gpu               ? "reel can run here, on the CPU and on the GPU."
                               : "reel can run here, on the CPU.";
}

} // namespace doctor
