// The module that open_backend(BackendKind::cuda) opens.

#include <reel/backend/cuda/cuda.cuh>
#include <reel/pipelines/any/load_pipeline.hpp>

namespace reel {

// In networks_cuda_*.cpp.
extern template std::unique_ptr<Networks<Cuda>> load_networks<float>(Cuda&, const PipelineSource&);
extern template std::unique_ptr<Networks<Cuda>> load_networks<bfloat16>(Cuda&, const PipelineSource&);
extern template std::unique_ptr<Networks<Cuda>> load_networks<half>(Cuda&, const PipelineSource&);

namespace {

class CudaBackend final : public PipelineBackend {
public:
    explicit CudaBackend(const PipelineHost& host) : host_(host) {}
    [[nodiscard]] std::unique_ptr<AnyPipeline> load(const PipelineSource& source) override {
        return load_pipeline(cuda_, host_, source);
    }
    [[nodiscard]] MemoryProbe probe() override { return cuda::probe_of(cuda_.memory()); }

private:
    PipelineHost host_;
    Cuda cuda_;
};

} // namespace

} // namespace reel

extern "C" __attribute__((visibility("default"))) reel::PipelineBackend*
reel_open_pipelines(const reel::PipelineHost& host) {
    const std::string problem = reel::cuda::device_problem();
    reel::require(problem.empty(), "--backend cuda: ", problem);
    return new reel::CudaBackend(host);
}
