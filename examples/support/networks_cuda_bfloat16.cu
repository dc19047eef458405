#include "networks_cuda.cuh"

namespace editing {

Model load_bfloat16_model(Cpu& cpu, reel::Cuda& cuda, const ModelSource& source) {
    return load_as<reel::bfloat16>(cpu, cuda, source);
}

} // namespace editing
