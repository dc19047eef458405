#include "networks_cuda.cuh"

namespace editing {

Model load_half_model(Cpu& cpu, reel::Cuda& cuda, const ModelSource& source) {
    return load_as<reel::half>(cpu, cuda, source);
}

} // namespace editing
