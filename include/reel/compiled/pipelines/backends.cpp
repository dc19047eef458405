// Backends by their names. What runs on a GPU is a module of its own, opened when it is asked for: cuBLAS would cost
// every other run 200 MB and half a second.

#include <reel/backend/cuda_driver.hpp>
#include <reel/backend/cuda_module.hpp>
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

[[nodiscard]] std::unique_ptr<PipelineBackend> open_cuda(Cpu& cpu) {
    auto* const open = cuda_module_function<OpenModule>(REEL_CUDA_MODULE, open_module_name);
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
