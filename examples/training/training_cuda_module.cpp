// The module that train_text_to_image opens for --backend cuda.

#include <reel/backend/cuda/cuda.cuh>

#include "trainer.hpp"
#include "training_cuda.hpp"

extern "C" __attribute__((visibility("default"))) void reel_train_on_cuda(const training::TrainingSetup* setup) {
    const std::string problem = reel::cuda::device_problem();
    reel::require(problem.empty(), "--backend cuda: ", problem);
    if (setup != nullptr) {
        reel::Cuda cuda;
        training::Trainer<reel::Cuda>(*setup, cuda).run();
    }
}
