// The kernels of Cuda for half, and between it and float.
#include <reel/backend/cuda/cuda.cuh>

#include <reel/core/philox.hpp>
#include <reel/nn/attention_probabilities.hpp>
#include <reel/nn/initialize.hpp>
#include <reel/ops/arithmetic.hpp>
#include <reel/ops/elementwise.hpp>
#include <reel/ops/rearrange.hpp>
#include <reel/ops/reduce.hpp>
#include <reel/ops/resample.hpp>
#include <reel/ops/softmax.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/pipelines/control/nearest_tokens.hpp>

namespace reel {
using T = half;
} // namespace reel
#include <reel/compiled/cuda/instances.cuh>

namespace reel {

template void cuda::for_each_index(cudaStream_t, index_t, const functors::Cast<float, half>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::Cast<half, float>&);

} // namespace reel
