#include "networks_cuda.cuh"

namespace editing {

Model load_float_model(Cpu& cpu, reel::Cuda& cuda, const ModelSource& source) {
    return load_as<float>(cpu, cuda, source);
}

} // namespace editing
