#pragma once
// What the Cpu does itself. With reel::compiled these are declarations, for every Scalar T, and neither Eigen nor the
// bodies need be read; the headers in the other branch have them.

#ifdef REEL_COMPILED

#include <reel/backend/cpu/cpu.hpp>
#include <reel/backend/cpu/strip_functions.hpp>
#include <reel/backend/problems.hpp>
#ifdef REEL_ONEDNN
#include <reel/backend/cpu/onednn/packed_kernel.hpp>
#endif

namespace reel {

template <class T>
void gemm(Cpu& backend, const GemmProblem<T>& problem);

template <class T>
void convolution(Cpu& backend, const ConvGeometry& g, const T* x, const T* kernel, const T* bias, T* y);
template <class T>
void convolution_input_gradient(Cpu& backend, const ConvGeometry& g, const T* y_gradient, const T* kernel,
                                T* x_gradient);
template <class T>
void convolution_kernel_gradient(Cpu& backend, const ConvGeometry& g, const T* x, const T* y_gradient,
                                 T* kernel_gradient);
#ifdef REEL_ONEDNN
template <class T>
requires cpu::onednn::is_served<T>
[[nodiscard]] std::shared_ptr<const cpu::onednn::PackedKernel<T>> pack_kernel(Cpu& backend, const ConvGeometry& g,
                                                                              const T* kernel);
template <class T>
void convolution(Cpu& backend, const ConvGeometry& g, const T* x, const cpu::onednn::PackedKernel<T>& kernel,
                 const T* bias, T* y);
template <class T>
void convolution_input_gradient(Cpu& backend, const ConvGeometry& g, const T* y_gradient,
                                const cpu::onednn::PackedKernel<T>& kernel, T* x_gradient);
#endif

template <class T>
void attention_forward(Cpu& backend, const AttentionProblem<T>& p);
template <class T>
void attention_backward(Cpu& backend, const AttentionProblem<T>& p);

template <class T>
void norm_statistics(Cpu& backend, const NormProblem<T>& p);
template <class T>
void norm_apply(Cpu& backend, const NormProblem<T>& p);
template <class T>
void norm_forward(Cpu& backend, const NormProblem<T>& p);
template <class T>
void norm_backward(Cpu& backend, const NormProblem<T>& p);

template <class T>
void column_sums(Cpu& backend, const T* x, T* y, index_t rows, index_t columns);

template <cpu::StripFunction F, class T>
void map_unary(Cpu& backend, F f, const T* x, T* y, index_t count);
template <cpu::StripFunction F, class T>
void map_unary_backward(Cpu& backend, F f, const T* x, const T* y_gradient, T* x_gradient, index_t count);
template <class T>
void geglu(Cpu& backend, const T* x, T* y, index_t rows, index_t width);
template <class T>
void geglu_backward(Cpu& backend, const T* x, const T* y_gradient, T* x_gradient, index_t rows, index_t width);

} // namespace reel

#else

#include <reel/backend/cpu/attention.hpp>
#include <reel/backend/cpu/convolution.hpp>
#include <reel/backend/cpu/elementwise.hpp>
#include <reel/backend/cpu/gemm.hpp>
#include <reel/backend/cpu/norm_backward.hpp>
#include <reel/backend/cpu/reduce.hpp>

#endif
