#pragma once
// Whether a program's CUDA fits a machine's driver and GPU: the decision alone, from numbers to one sentence.
// cuda_driver.hpp asks the machine.

#include <reel/core/error.hpp>

#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace reel {

/// What a program was built with. `runtime` is CUDART_VERSION, 1000 * major + 10 * minor, 0 where it is not known;
/// `architectures` is CMake's CMAKE_CUDA_ARCHITECTURES, such as "80;90-real;100-virtual" or "all-major".
struct CudaBuild {
    bool built = false;
    int runtime = 0;
    std::string architectures{};
};

/// One GPU as its driver tells it. `capability` is 10 * major + minor: 90 for 9.0.
struct CudaDevice {
    std::string name{};
    int capability = 0;
    std::size_t bytes = 0;
};

/// What is known of the driver without starting work on a GPU.
struct CudaDriver {
    bool library = false; ///< libcuda.so.1 could be opened
    int version = 0;      ///< the newest CUDA it supports, as CUDART_VERSION; 0 where it does not say
    int error = 0;        ///< what cuInit answered (a CUresult), 0 when all is well
    std::vector<CudaDevice> devices{};
};

/// "12.4" for 12040.
[[nodiscard]] inline std::string cuda_version_text(int number) {
    return number <= 0 ? "unknown" : concat_text(number / 1000, ".", number % 1000 / 10);
}

/// "9.0" for 90.
[[nodiscard]] inline std::string capability_text(int capability) {
    return concat_text(capability / 10, ".", capability % 10);
}

/// The oldest and newest compute capability that a toolkit compiles for; newest 0 where this header does not know it.
[[nodiscard]] constexpr int oldest_capability(int runtime) {
    return runtime >= 13000 ? 75 : runtime >= 12000 ? 50 : 35;
}

/// What one entry of a list of architectures holds.
struct CudaArchitecture {
    int capability = 0;
    char suffix = 0;       ///< 'a': this very capability; 'f': it and newer ones of its major number; 0: as usual
    bool code = false;     ///< machine code, for this major number and this minor one or newer
    bool portable = false; ///< PTX, which the driver compiles for any GPU that is as new
};

namespace detail {

[[nodiscard]] inline CudaArchitecture parse_cuda_architecture(std::string_view text) {
    const std::string whole(text);
    CudaArchitecture entry{.code = true, .portable = true};
    if (text.ends_with("-real")) {
        entry.portable = false;
        text.remove_suffix(5);
    } else if (text.ends_with("-virtual")) {
        entry.code = false;
        text.remove_suffix(8);
    }
    if (text.ends_with('a') || text.ends_with('f')) {
        entry.suffix = text.back();
        text.remove_suffix(1);
    }
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), entry.capability);
    require(error == std::errc() && end == text.data() + text.size() && entry.capability >= 10,
            "CUDA architectures: \"", whole,
            "\" is none; expected a list such as 80;90-real;100-virtual, or all, all-major "
            "or native");
    return entry;
}

} // namespace detail

/// The entries of a list of numbers, as CMake has it. Entries are parted by ';', ',' or blanks. Throws Error for
/// anything else; "all", "all-major" and "native" are no numbers and have no entries here.
[[nodiscard]] inline std::vector<CudaArchitecture> parse_cuda_architectures(std::string_view list) {
    std::vector<CudaArchitecture> entries;
    constexpr std::string_view between = ";, \t";
    for (std::size_t at = list.find_first_not_of(between); at != std::string_view::npos;
         at = list.find_first_not_of(between, at)) {
        const std::string_view word = list.substr(at, list.find_first_of(between, at) - at);
        at += word.size();
        if (word != "all" && word != "all-major" && word != "native") {
            entries.push_back(detail::parse_cuda_architecture(word));
        }
    }
    return entries;
}

/// How a program runs on a GPU: as machine code that is in it, as PTX that the driver compiles first, or not at all.
/// `unknown`: the list was "native", some machine's GPU.
enum class CudaFit { code, portable, too_old, too_new, unknown };

/// Whether what was built for `build.architectures` runs on a GPU of this capability (CUDA C++ Programming Guide,
/// "Application Compatibility"). Throws Error for a list that is none.
[[nodiscard]] inline CudaFit cuda_fit(const CudaBuild& build, int capability) {
    const std::vector<CudaArchitecture> entries = parse_cuda_architectures(build.architectures);
    if (entries.empty()) { // every major architecture of the toolkit, and PTX of the newest; or one we do not know
        const bool all = build.architectures.find("all") != std::string::npos;
        return !all                                             ? CudaFit::unknown
               : capability >= oldest_capability(build.runtime) ? CudaFit::code
                                                                : CudaFit::too_old;
    }
    bool portable = false;
    bool newer_than_any = false;
    for (const CudaArchitecture& entry : entries) {
        const bool same = capability == entry.capability;
        const bool follows = capability / 10 == entry.capability / 10 && capability >= entry.capability;
        const bool fits = entry.suffix == 'a' ? same : follows;
        if (entry.code && fits) {
            return CudaFit::code;
        }
        portable |= entry.portable && (entry.suffix == 0 ? capability >= entry.capability : fits);
        newer_than_any |= capability > entry.capability;
    }
    return portable ? CudaFit::portable : newer_than_any ? CudaFit::too_new : CudaFit::too_old;
}

/// The two numbers that people confuse, each in one sentence.
[[nodiscard]] inline std::string cuda_runtime_sentence(int runtime) {
    return concat_text(
        "CUDA runtime ", cuda_version_text(runtime),
        " is what this program was built with; `nvcc --version` says it of the toolkit that is installed");
}
/// The other of the two numbers.
[[nodiscard]] inline std::string cuda_driver_sentence(int number) {
    return concat_text(
        "CUDA ", cuda_version_text(number),
        " is the newest that the installed driver supports; `nvidia-smi` says it as \"CUDA Version\", with or "
        "without a toolkit");
}
inline constexpr std::string_view cuda_rule = "the driver's must be at least the runtime's";

namespace detail {

inline constexpr std::string_view or_cpu = ", or use --backend cpu";

/// What cuInit's and other driver calls' errors mean (CUresult in CUDA's driver API), with what to do.
[[nodiscard]] inline std::string cuda_error_meaning(int error) {
    switch (error) {
    case 2: // CUDA_ERROR_OUT_OF_MEMORY
        return "the GPU's memory is taken by other programs; end them (`nvidia-smi` lists them)";
    case 34: // CUDA_ERROR_STUB_LIBRARY
        return "the libcuda.so.1 that was found is the toolkit's stub, which is for linking alone; take the toolkit's "
               "\"stubs\" folder out of LD_LIBRARY_PATH";
    case 46: // CUDA_ERROR_DEVICE_UNAVAILABLE
        return "the GPU is in use by another program that shares it with nobody; end that (`nvidia-smi` lists it)";
    case 100: // CUDA_ERROR_NO_DEVICE
        return "the NVIDIA driver sees no GPU; see what `nvidia-smi` and the variable CUDA_VISIBLE_DEVICES say";
    case 802: // CUDA_ERROR_SYSTEM_NOT_READY
        return "the NVIDIA driver says that the system is not ready; start NVIDIA's fabric manager, which several GPUs "
               "with NVLink need";
    case 803: // CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
        return "the NVIDIA driver's library and its kernel module are of different versions, as after an update; "
               "restart "
               "the machine";
    case 804: // CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE
        return "CUDA's forward compatibility library was loaded, which this GPU does not support; take the \"compat\" "
               "folder out of LD_LIBRARY_PATH, or update the driver";
    default:
        return concat_text("the NVIDIA driver does not start (CUDA error ", error,
                           "); see what `nvidia-smi` says, and restart the machine");
    }
}

} // namespace detail

/// What an error of the driver means and what to do, in one sentence. `error` is a CUresult other than 0.
[[nodiscard]] inline std::string cuda_error_sentence(int error) {
    return detail::cuda_error_meaning(error) + std::string(detail::or_cpu);
}

namespace detail {

/// The oldest driver of a major release of CUDA on Linux (CUDA's release notes, "minor version compatibility").
[[nodiscard]] constexpr std::string_view oldest_driver(int runtime) {
    return runtime / 1000 == 13 ? " to 580 or newer" : runtime / 1000 == 12 ? " to 525 or newer" : "";
}

} // namespace detail

/// What is wrong with the program or the driver, whatever the GPU: one sentence; "" when nothing.
[[nodiscard]] inline std::string cuda_driver_problem(const CudaBuild& build, const CudaDriver& driver) {
    if (!build.built) {
        return concat_text("this program was built without CUDA; build reel where nvcc (CUDA 12.4 or newer) is found",
                           detail::or_cpu);
    }
    if (!driver.library) {
        return concat_text("no NVIDIA driver was found (no libcuda.so.1); install the driver for your GPU, start a "
                           "container with --gpus all",
                           detail::or_cpu);
    }
    // A driver may refuse for its age without saying so: its version comes before its error.
    if (driver.version > 0 && driver.version / 1000 < build.runtime / 1000) {
        return concat_text("the NVIDIA driver supports CUDA ", cuda_version_text(driver.version),
                           " at most, but this program was built with CUDA runtime ", cuda_version_text(build.runtime),
                           ", and ", cuda_rule, "; update the driver", detail::oldest_driver(build.runtime),
                           detail::or_cpu);
    }
    if (driver.error != 0 || driver.devices.empty()) {
        return cuda_error_sentence(driver.error != 0 ? driver.error : 100);
    }
    return {};
}

/// Why a program with CUDA cannot run on a GPU, by what it was built for: one sentence; "" when it can. Throws Error
/// for a list of architectures that is none.
[[nodiscard]] inline std::string cuda_device_problem(const CudaBuild& build, int driver_version,
                                                     const CudaDevice& gpu) {
    const CudaFit fit = cuda_fit(build, gpu.capability);
    const std::string who = concat_text(gpu.name, " (compute capability ", capability_text(gpu.capability), ")");
    const std::string again =
        concat_text("configure with -DCMAKE_CUDA_ARCHITECTURES=", gpu.capability, " and build again", detail::or_cpu);
    if (fit == CudaFit::too_old && gpu.capability < oldest_capability(build.runtime)) {
        return concat_text(who, " is older than the architectures this program was built for (", build.architectures,
                           ") and than what CUDA ", cuda_version_text(build.runtime), " compiles for (",
                           capability_text(oldest_capability(build.runtime)), " and newer); use a newer GPU",
                           detail::or_cpu);
    }
    if (fit == CudaFit::too_old) {
        return concat_text(who, " is older than the architectures this program was built for (", build.architectures,
                           "); ", again);
    }
    if (fit == CudaFit::too_new) {
        return concat_text(who, " is newer than the architectures this program was built for (", build.architectures,
                           "), none of which is PTX that its driver could compile; ", again);
    }
    if (fit == CudaFit::portable && driver_version < build.runtime) {
        return concat_text("for ", who, " the driver has to compile PTX, and one for CUDA ",
                           cuda_version_text(driver_version), " does not compile that of CUDA ",
                           cuda_version_text(build.runtime), ": ", cuda_rule, "; update the driver, or ", again);
    }
    return {};
}

/// Why a program that was built as `build` says cannot use GPU number `device` here: one sentence that says what to
/// do; "" when it can. Programs that fail for one of these reasons print this.
[[nodiscard]] inline std::string cuda_problem(const CudaBuild& build, const CudaDriver& driver,
                                              std::size_t device = 0) {
    std::string problem = cuda_driver_problem(build, driver);
    if (problem.empty() && device >= driver.devices.size()) {
        return concat_text("GPU ", device, " was asked for, but the NVIDIA driver sees ", driver.devices.size(),
                           ", numbered from 0; ask for one of these", detail::or_cpu);
    }
    return problem.empty() ? cuda_device_problem(build, driver.version, driver.devices[device]) : problem;
}

/// What is not as it should be with a driver that can be used: one sentence; "" when nothing.
[[nodiscard]] inline std::string cuda_driver_note(const CudaBuild& build, int driver_version) {
    return driver_version >= build.runtime
               ? std::string()
               : concat_text("the NVIDIA driver supports CUDA ", cuda_version_text(driver_version),
                             " at most, less than the runtime's ", cuda_version_text(build.runtime),
                             ": within one major version programs run all the same, as long as they hold code for this "
                             "very GPU; update the driver if one does not");
}

/// What is not as it should be with a GPU that can be used: one sentence; "" when nothing.
[[nodiscard]] inline std::string cuda_device_note(const CudaBuild& build, const CudaDevice& gpu) {
    const CudaFit fit = cuda_fit(build, gpu.capability);
    if (fit == CudaFit::portable) {
        return concat_text(
            "the driver compiles the program for this GPU when it first runs, which takes a while; to have "
            "it compiled before, configure with -DCMAKE_CUDA_ARCHITECTURES=",
            gpu.capability);
    }
    if (fit == CudaFit::unknown) {
        return concat_text("for which GPU the program was built is not known (\"", build.architectures,
                           "\"); if it fails with \"no kernel image\", configure with -DCMAKE_CUDA_ARCHITECTURES=",
                           gpu.capability, " and build again");
    }
    return {};
}

} // namespace reel
