#include "training_cuda.hpp"

#ifdef REEL_TRAINING_MODULE
#include <reel/backend/cuda_module.hpp>
#else
#include <reel/backend/cuda_driver.hpp>
#endif

namespace training {

namespace {

void call_module(const TrainingSetup* setup) {
#ifdef REEL_TRAINING_MODULE
    reel::cuda_module_function<CudaTraining>(REEL_TRAINING_MODULE, cuda_training_name)(setup);
#else
    static_cast<void>(setup);
    reel::fail("--backend cuda: ", reel::cuda_driver_problem({.built = false}, {}));
#endif
}

} // namespace

void require_cuda() {
    call_module(nullptr);
}

void train_on_cuda(const TrainingSetup& setup) {
    call_module(&setup);
}

} // namespace training
