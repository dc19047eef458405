#include <reel/backend/cuda/cuda.cuh>

#include "networks_cuda.cuh"
#include "training_job.hpp"

namespace editing {

void train_on(reel::Cuda& cuda, const training::Work& work) {
    training::Job<reel::Cuda>(work, cuda).run();
}

} // namespace editing
