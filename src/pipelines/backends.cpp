// Backends by their names. What runs on a GPU is a module of its own, opened when it is asked for: cuBLAS would cost
// every other run 200 MB and half a second.

#include <dlfcn.h>

#include <filesystem>

#include <reel/backend/cuda_driver.hpp>
#include <reel/pipelines/any/load_pipeline.hpp>
#include <reel/pipelines/named_sampler.hpp>

namespace reel {

namespace {

class CpuBackend final : public PipelineBackend {
public:
    explicit CpuBackend(Cpu& cpu) : host_{cpu, &sampler_json} {}
    [[nodiscard]] std::unique_ptr<AnyPipeline> load(const PipelineSource& source) override {
        return load_pipeline(host_.cpu, host_, source);
    }
    [[nodiscard]] MemoryProbe probe() override { return probe_of(host_.cpu.memory()); }

private:
    PipelineHost host_;
};

#ifdef REEL_CUDA_MODULE

/// Beside the program, or else where it was built.
[[nodiscard]] std::filesystem::path module_path() {
    const std::filesystem::path built = REEL_CUDA_MODULE;
    std::error_code none;
    const auto beside = std::filesystem::read_symlink("/proc/self/exe", none).parent_path() / built.filename();
    return std::filesystem::exists(beside, none) ? beside : built;
}

[[nodiscard]] std::unique_ptr<PipelineBackend> open_cuda(Cpu& cpu) {
    const std::string path = module_path().string();
    const SharedLibrary module(path);
    if (!module) {
        const char* const why = ::dlerror();
        fail("--backend cuda: ", path, " cannot be loaded: ", why == nullptr ? "no reason given" : why,
             "; it needs the CUDA toolkit's cuBLAS, of the version that doctor names");
    }
    auto* const open = module.function<OpenModule>(open_module_name);
    require(open != nullptr, "--backend cuda: ", path, " has no ", open_module_name,
            "; it is not of this build of reel");
    return std::unique_ptr<PipelineBackend>(open({cpu, &sampler_json}));
}

#else

[[nodiscard]] std::unique_ptr<PipelineBackend> open_cuda(Cpu&) {
    fail("--backend cuda: ", cuda_driver_problem({.built = false}, {}));
}

#endif

} // namespace

std::unique_ptr<PipelineBackend> open_backend(BackendKind kind, Cpu& cpu) {
    return kind == BackendKind::cuda ? open_cuda(cpu) : std::make_unique<CpuBackend>(cpu);
}

} // namespace reel
