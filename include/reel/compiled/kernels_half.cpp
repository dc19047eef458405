// The Cpu's products, convolutions, attention and norms, as reel/backend/cpu/kernels.hpp declares them.
#include <reel/backend/cpu/attention.hpp>
#include <reel/backend/cpu/convolution.hpp>
#include <reel/backend/cpu/elementwise.hpp>
#include <reel/backend/cpu/gemm.hpp>
#include <reel/backend/cpu/norm_backward.hpp>
#include <reel/backend/cpu/reduce.hpp>

namespace reel {

template void gemm(Cpu&, const GemmProblem<half>&);
template void convolution(Cpu&, const ConvGeometry&, const half*, const half*, const half*, half*);
template void convolution_input_gradient(Cpu&, const ConvGeometry&, const half*, const half*, half*);
template void convolution_kernel_gradient(Cpu&, const ConvGeometry&, const half*, const half*, half*);
template void attention_forward(Cpu&, const AttentionProblem<half>&);
template void attention_backward(Cpu&, const AttentionProblem<half>&);
template void norm_statistics(Cpu&, const NormProblem<half>&);
template void norm_apply(Cpu&, const NormProblem<half>&);
template void norm_forward(Cpu&, const NormProblem<half>&);
template void norm_backward(Cpu&, const NormProblem<half>&);
template void column_sums(Cpu&, const half*, half*, index_t, index_t);
template void map_unary(Cpu&, generic::Silu, const half*, half*, index_t);
template void map_unary_backward(Cpu&, generic::Silu, const half*, const half*, half*, index_t);
template void map_unary(Cpu&, generic::Gelu, const half*, half*, index_t);
template void map_unary_backward(Cpu&, generic::Gelu, const half*, const half*, half*, index_t);
template void map_unary(Cpu&, generic::QuickGelu, const half*, half*, index_t);
template void map_unary_backward(Cpu&, generic::QuickGelu, const half*, const half*, half*, index_t);
template void map_unary(Cpu&, generic::Relu, const half*, half*, index_t);
template void map_unary_backward(Cpu&, generic::Relu, const half*, const half*, half*, index_t);
template void geglu(Cpu&, const half*, half*, index_t, index_t);
template void geglu_backward(Cpu&, const half*, const half*, half*, index_t, index_t);

} // namespace reel
