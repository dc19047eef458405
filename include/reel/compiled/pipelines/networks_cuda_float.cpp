#include <reel/backend/cuda/cuda.cuh>
#include <reel/pipelines/any/networks_of.hpp>

template std::unique_ptr<reel::Networks<reel::Cuda>> reel::load_networks<float>(reel::Cuda& backend,
                                                                                const PipelineSource& source);
