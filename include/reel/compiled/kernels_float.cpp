// The Cpu's products, convolutions, attention and norms, as reel/backend/cpu/kernels.hpp declares them.
#include <reel/backend/cpu/attention.hpp>
#include <reel/backend/cpu/convolution.hpp>
#include <reel/backend/cpu/elementwise.hpp>
#include <reel/backend/cpu/gemm.hpp>
#include <reel/backend/cpu/norm_backward.hpp>
#include <reel/backend/cpu/reduce.hpp>

namespace reel {

template void gemm(Cpu&, const GemmProblem<float>&);
template void convolution(Cpu&, const ConvGeometry&, const float*, const float*, const float*, float*);
template void convolution_input_gradient(Cpu&, const ConvGeometry&, const float*, const float*, float*);
template void convolution_kernel_gradient(Cpu&, const ConvGeometry&, const float*, const float*, float*);
#ifdef REEL_ONEDNN
template std::shared_ptr<const cpu::onednn::PackedKernel<float>> pack_kernel(Cpu&, const ConvGeometry&, const float*);
template void convolution(Cpu&, const ConvGeometry&, const float*, const cpu::onednn::PackedKernel<float>&,
                          const float*, float*);
template void convolution_input_gradient(Cpu&, const ConvGeometry&, const float*,
                                         const cpu::onednn::PackedKernel<float>&, float*);
#endif
template void attention_forward(Cpu&, const AttentionProblem<float>&);
template void attention_backward(Cpu&, const AttentionProblem<float>&);
template void norm_statistics(Cpu&, const NormProblem<float>&);
template void norm_apply(Cpu&, const NormProblem<float>&);
template void norm_forward(Cpu&, const NormProblem<float>&);
template void norm_backward(Cpu&, const NormProblem<float>&);
template void column_sums(Cpu&, const float*, float*, index_t, index_t);
template void map_unary(Cpu&, generic::Silu, const float*, float*, index_t);
template void map_unary_backward(Cpu&, generic::Silu, const float*, const float*, float*, index_t);
template void map_unary(Cpu&, generic::Gelu, const float*, float*, index_t);
template void map_unary_backward(Cpu&, generic::Gelu, const float*, const float*, float*, index_t);
template void map_unary(Cpu&, generic::QuickGelu, const float*, float*, index_t);
template void map_unary_backward(Cpu&, generic::QuickGelu, const float*, const float*, float*, index_t);
template void map_unary(Cpu&, generic::Relu, const float*, float*, index_t);
template void map_unary_backward(Cpu&, generic::Relu, const float*, const float*, float*, index_t);
template void geglu(Cpu&, const float*, float*, index_t, index_t);
template void geglu_backward(Cpu&, const float*, const float*, float*, index_t, index_t);

} // namespace reel
