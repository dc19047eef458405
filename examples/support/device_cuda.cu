#include "device_module.hpp"
#include "networks_cuda.cuh"

namespace editing {

namespace {

class CudaDevice final : public Device {
public:
    [[nodiscard]] Model load(Cpu& cpu, const ModelSource& source) override {
        if (source.mixed_precision == "bf16") {
            return load_bfloat16_model(cpu, cuda_, source);
        }
        if (source.mixed_precision == "fp16") {
            return load_half_model(cpu, cuda_, source);
        }
        return load_float_model(cpu, cuda_, source);
    }
    [[nodiscard]] reel::MemoryProbe probe() override { return reel::cuda::probe_of(cuda_.memory()); }

private:
    reel::Cuda cuda_;
};

} // namespace

} // namespace editing

extern "C" __attribute__((visibility("default"))) editing::Device* reel_open_device() {
    const std::string problem = reel::cuda::device_problem();
    reel::require(problem.empty(), "--backend cuda: ", problem);
    return new editing::CudaDevice;
}
