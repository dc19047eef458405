// The kernels of Cuda for float, and of what is computed in float whatever a model's type is.
#include <reel/backend/cuda/cuda.cuh>

#include <reel/autograd/losses.hpp>
#include <reel/core/philox.hpp>
#include <reel/models/latent_distribution.hpp>
#include <reel/nn/attention_probabilities.hpp>
#include <reel/nn/initialize.hpp>
#include <reel/ops/arithmetic.hpp>
#include <reel/ops/elementwise.hpp>
#include <reel/ops/rearrange.hpp>
#include <reel/ops/reduce.hpp>
#include <reel/ops/resample.hpp>
#include <reel/ops/softmax.hpp>
#include <reel/optim/adamw.hpp>
#include <reel/optim/adamw_8bit.hpp>
#include <reel/optim/ema.hpp>
#include <reel/pipelines/blend.hpp>
#include <reel/pipelines/clips.hpp>
#include <reel/pipelines/control/nearest_tokens.hpp>
#include <reel/pipelines/delta_denoising.hpp>
#include <reel/pipelines/difference.hpp>
#include <reel/pipelines/fill_frames.hpp>
#include <reel/schedulers/detail/linear_combination.hpp>
#include <reel/schedulers/detail/step_functors.hpp>
#include <reel/schedulers/detail/thresholding.hpp>
#include <reel/schedulers/detail/two_stage_flow.hpp>

namespace reel {
using T = float;
} // namespace reel
#include <reel/compiled/cuda/instances.cuh>

namespace reel {

template std::string cuda::device_problem<void>(int);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::AdamW8bitUpdate<float>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::AdamWUpdate<float>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::AddAbsoluteDifference<float>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::BlendByMask<float>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::BlendStep<float>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::Cast<float, float>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::ClampRows<float>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::ClampedBlendStep<float>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::CrossEntropyGradient<float>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::ExpOfClamped<float>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::FinishFlow<float>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::GaussianDivergence<float>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::GaussianDivergenceGradient<float>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::GaussianSample<float>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::LargestOfRow<float>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::LinearCombination<float>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::MoveTowards<float>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::Reparameterized<float>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::ReparameterizedGradient<float>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::ScaleRuns<float>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::ShrinkTowards<float>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::SoftmaxCrossEntropy<float>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::StartFlow<float>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::TakeChange<float>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::UnitRow<float>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::Fill<std::uint8_t>&);

} // namespace reel
