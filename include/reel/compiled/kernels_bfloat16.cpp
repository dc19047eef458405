// The Cpu's products, convolutions, attention and norms, as reel/backend/cpu/kernels.hpp declares them.
#include <reel/backend/cpu/attention.hpp>
#include <reel/backend/cpu/convolution.hpp>
#include <reel/backend/cpu/elementwise.hpp>
#include <reel/backend/cpu/gemm.hpp>
#include <reel/backend/cpu/norm_backward.hpp>
#include <reel/backend/cpu/reduce.hpp>

namespace reel {

template void gemm(Cpu&, const GemmProblem<bfloat16>&);
template void convolution(Cpu&, const ConvGeometry&, const bfloat16*, const bfloat16*, const bfloat16*, bfloat16*);
template void convolution_input_gradient(Cpu&, const ConvGeometry&, const bfloat16*, const bfloat16*, bfloat16*);
template void convolution_kernel_gradient(Cpu&, const ConvGeometry&, const bfloat16*, const bfloat16*, bfloat16*);
#ifdef REEL_ONEDNN
template std::shared_ptr<const cpu::onednn::PackedKernel<bfloat16>> pack_kernel(Cpu&, const ConvGeometry&,
                                                                                const bfloat16*);
template void convolution(Cpu&, const ConvGeometry&, const bfloat16*, const cpu::onednn::PackedKernel<bfloat16>&,
                          const bfloat16*, bfloat16*);
template void convolution_input_gradient(Cpu&, const ConvGeometry&, const bfloat16*,
                                         const cpu::onednn::PackedKernel<bfloat16>&, bfloat16*);
#endif
template void attention_forward(Cpu&, const AttentionProblem<bfloat16>&);
template void attention_backward(Cpu&, const AttentionProblem<bfloat16>&);
template void norm_statistics(Cpu&, const NormProblem<bfloat16>&);
template void norm_apply(Cpu&, const NormProblem<bfloat16>&);
template void norm_forward(Cpu&, const NormProblem<bfloat16>&);
template void norm_backward(Cpu&, const NormProblem<bfloat16>&);
template void column_sums(Cpu&, const bfloat16*, bfloat16*, index_t, index_t);
template void map_unary(Cpu&, generic::Silu, const bfloat16*, bfloat16*, index_t);
template void map_unary_backward(Cpu&, generic::Silu, const bfloat16*, const bfloat16*, bfloat16*, index_t);
template void map_unary(Cpu&, generic::Gelu, const bfloat16*, bfloat16*, index_t);
template void map_unary_backward(Cpu&, generic::Gelu, const bfloat16*, const bfloat16*, bfloat16*, index_t);
template void map_unary(Cpu&, generic::QuickGelu, const bfloat16*, bfloat16*, index_t);
template void map_unary_backward(Cpu&, generic::QuickGelu, const bfloat16*, const bfloat16*, bfloat16*, index_t);
template void map_unary(Cpu&, generic::Relu, const bfloat16*, bfloat16*, index_t);
template void map_unary_backward(Cpu&, generic::Relu, const bfloat16*, const bfloat16*, bfloat16*, index_t);
template void geglu(Cpu&, const bfloat16*, bfloat16*, index_t, index_t);
template void geglu_backward(Cpu&, const bfloat16*, const bfloat16*, bfloat16*, index_t, index_t);

} // namespace reel
