// doctor: can reel run on this machine, and what to do if not. Compiled for any processor and linked with none of the
// libraries it looks for, so that it runs where they are missing.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <reel/backend/cuda_driver.hpp>
#include <reel/core/available_memory.hpp>
#include <reel/core/build_info.hpp>
#include <reel/core/cpu_features.hpp>
#include <reel/core/system.hpp>
#include <reel/core/version.hpp>

#include "build_facts.hpp"
#include "checks.hpp"
#include "options.hpp"

namespace {

using doctor::Check;
using doctor::LoadedVersion;
using doctor::Mark;
using doctor::Need;
using Path = std::filesystem::path;

Check system_check() {
    return {"reel", Mark::ok,
            reel::concat_text(reel::version, ", built with ", reel::compiler_description(), " and Eigen ",
                              reel::eigen_version(), ", on ", reel::operating_system())};
}

Check processor_check() {
    const unsigned cores = std::thread::hardware_concurrency();
    return {
        "processor", Mark::ok,
        reel::concat_text(reel::processor_name(), ", ", cores, cores == 1 ? " core" : " cores", " for this program")};
}

Check memory_check() {
    std::optional<std::size_t> bytes = reel::total_memory();
    const auto limit = reel::detail::number_in_file("/sys/fs/cgroup/memory.max"); // a container's
    if (limit && (!bytes || *limit < *bytes)) {
        bytes = limit;
    }
    return doctor::check_memory(bytes, reel::available_memory());
}

/// FFmpeg's libraries say their version as one number.
LoadedVersion ffmpeg_version(const reel::SharedLibrary& library, const doctor::BuiltLibrary& built) {
    auto* const version = library.function<unsigned()>(built.version_function);
    if (version == nullptr) {
        return {};
    }
    const unsigned number = version();
    return {static_cast<int>(number >> 16), static_cast<int>(number >> 8 & 0xff), static_cast<int>(number & 0xff)};
}

Check ffmpeg_check() {
    std::vector<LoadedVersion> loaded;
    std::string encoder;
    if (doctor::build_facts.video) {
        for (const doctor::BuiltLibrary& built : doctor::build_facts.ffmpeg) {
            const reel::SharedLibrary library(built.loaded_name);
            loaded.push_back(ffmpeg_version(library, built));
            auto* const find = library.function<const void*(const char*)>("avcodec_find_encoder_by_name");
            for (const char* name : {"libx264", "libopenh264"}) { // in the order that reel looks for them
                if (find != nullptr && encoder.empty() && find(name) != nullptr) {
                    encoder = name;
                }
            }
        }
    }
    return doctor::check_ffmpeg(doctor::build_facts, loaded, encoder);
}

Check onednn_check(reel::CpuFeatures present) {
    LoadedVersion loaded;
    bool openmp = false;
    if (doctor::build_facts.onednn) {
        struct DnnlVersion { // dnnl_version_t
            int major;
            int minor;
            int patch;
            const char* hash;
            unsigned cpu_runtime;
            unsigned gpu_runtime;
        };
        openmp = static_cast<bool>(reel::SharedLibrary("libgomp.so.1"));
        const doctor::BuiltLibrary& built = doctor::build_facts.onednn_library;
        const reel::SharedLibrary library(built.loaded_name);
        if (*built.loaded_name == '\0') { // it is part of the programs
            loaded = {built.major, built.minor, built.patch};
        } else if (auto* const version = library.function<const DnnlVersion*()>(built.version_function)) {
            loaded = {version()->major, version()->minor, version()->patch};
        }
    }
    return doctor::check_onednn(doctor::build_facts, loaded, openmp, present);
}

Check cublas_check(Need need) {
    const reel::SharedLibrary library(reel::concat_text("libcublas.so.", doctor::build_facts.cublas_major));
    LoadedVersion loaded;
    if (auto* const property = library.function<int(int, int*)>("cublasGetProperty")) {
        for (auto [which, value] :
             {std::pair(0, &loaded.major), std::pair(1, &loaded.minor), std::pair(2, &loaded.patch)}) {
            if (property(which, value) != 0) {
                return doctor::check_cublas(doctor::build_facts, {}, need);
            }
        }
    }
    return doctor::check_cublas(doctor::build_facts, loaded, need);
}

/// The files without which the model is none, with the fewest bytes they can have: a pointer of Git LFS is smaller.
Check model_check() {
    std::error_code error;
    const Path installed = reel::program_path().parent_path().parent_path() / "share" / "reel" / "model";
    for (const Path& folder : {installed, Path(REEL_MODEL_FOLDER)}) {
        if (!std::filesystem::exists(folder / "model_index.json", error)) {
            continue;
        }
        for (const auto& [name, bytes] :
             {std::pair("unet/diffusion_pytorch_model.safetensors", 100'000),
              std::pair("vae/diffusion_pytorch_model.safetensors", 100'000),
              std::pair("text_encoder/model.safetensors", 100'000), std::pair("tokenizer/vocab.json", 2),
              std::pair("tokenizer/merges.txt", 2), std::pair("scheduler/scheduler_config.json", 2)}) {
            const auto size = std::filesystem::file_size(folder / name, error);
            if (error || size < static_cast<std::uintmax_t>(bytes)) {
                return doctor::check_model(folder.string(), "", name);
            }
        }
        return doctor::check_model(folder.string(), "", "");
    }
    return doctor::check_model("", std::string(REEL_MODEL_FOLDER) + " or " + installed.string(), "");
}

/// Text in lines of at most `width` characters, broken at blanks; all but the first begin with `indent` blanks.
std::string wrapped(const std::string& text, std::size_t indent, std::size_t width) {
    std::string lines;
    std::size_t column = indent;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find(' ', at), text.size());
        if (column > indent && column + 1 + end - at > width) {
            lines += "\n" + std::string(indent, ' ');
            column = indent;
        } else if (column > indent) {
            lines += ' ';
            ++column;
        }
        lines += text.substr(at, end - at);
        column += end - at;
        at = end + 1;
    }
    return lines;
}

void print(const std::vector<Check>& checks, const std::string& verdict) {
    constexpr std::size_t mark_width = 9;
    constexpr std::size_t indent = mark_width + 14;
    constexpr std::size_t width = 118;
    const auto padded = [](std::string text, std::size_t size) {
        text.resize(std::max(size, text.size()), ' ');
        return text;
    };
    for (const Check& check : checks) {
        std::cout << padded(doctor::name_of(check.mark), mark_width) << padded(check.name, indent - mark_width)
                  << wrapped(check.found, indent, width) << '\n';
        if (!check.advice.empty()) {
            std::cout << std::string(indent - 3, ' ') << "-> " << wrapped(check.advice, indent, width) << '\n';
        }
    }
    std::cout << verdict << '\n';
}

void print_json(const std::vector<Check>& checks, const std::string& verdict) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const Check& check : checks) {
        list.push_back({{"name", check.name},
                        {"mark", doctor::name_of(check.mark)},
                        {"found", check.found},
                        {"advice", check.advice}});
    }
    const nlohmann::ordered_json report{
        {"runs", !doctor::has_problem(checks)}, {"verdict", verdict}, {"checks", std::move(list)}};
    // Names come from the system and need not be UTF-8.
    std::cout << report.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
}

} // namespace

int main(int argc, char** argv) {
    return program::run("doctor", [&] {
        std::string backend = "cpu";
        bool json = false;
        CLI::App app{"Says whether this machine can run reel, and what to do if not. Exits with 0 when it can."};
        app.add_option("--backend", backend, "what is needed: cpu, or cuda, without which a GPU is only looked for")
            ->check(CLI::IsMember({"cpu", "cuda"}))
            ->capture_default_str();
        app.add_flag("--json", json,
                     "for programs: {\"runs\", \"verdict\", \"checks\": [{\"name\", \"mark\", \"found\", "
                     "\"advice\"}]}");
        if (const auto status = program::parse(app, argc, argv)) {
            return *status;
        }
        const Need need = backend == "cuda" ? Need::required : Need::wanted;
        const doctor::BuildFacts& built = doctor::build_facts;
        const reel::CpuFeatures present = reel::cpu_features();
        const reel::CudaBuild build{built.cuda, built.cuda_runtime, built.cuda_architectures};
        const reel::CudaDriver driver = reel::cuda_driver();
        bool gpu = reel::cuda_problem(build, driver).empty();
        const reel::CudaMemory memory = gpu ? reel::cuda_memory() : reel::CudaMemory{};
        gpu = gpu && memory.error == 0;

        std::vector<Check> checks{system_check(), processor_check(),
                                  doctor::check_instructions(built.cpu_features, present), memory_check()};
        for (Check& check : doctor::check_cuda(build, driver, memory, need)) {
            checks.push_back(std::move(check));
        }
        if (built.cublas_major > 0) {
            checks.push_back(cublas_check(need));
            gpu = gpu && checks.back().mark == Mark::ok;
        }
        checks.push_back(onednn_check(present));
        checks.push_back(ffmpeg_check());
        checks.push_back(model_check());
        const std::string verdict = doctor::verdict(checks, gpu);
        json ? print_json(checks, verdict) : print(checks, verdict);
        return doctor::has_problem(checks) ? program::failed : 0;
    });
}
