#pragma once
// What Cuda does itself, declared: for .cpp files, which link the instances in reel::compiled_cuda. The headers named
// after the operations have the bodies.

#include <type_traits>

#include <reel/backend/cuda/context.cuh>
#include <reel/backend/problems.hpp>

namespace reel {

template <Scalar T>
void gemm(Cuda& backend, const GemmProblem<T>& p);

template <class T>
void convolution(Cuda& backend, const ConvGeometry& g, const T* x, const T* kernel, const T* bias, T* y);
template <class T>
void convolution_input_gradient(Cuda& backend, const ConvGeometry& g, const T* y_gradient, const T* kernel,
                                T* x_gradient);
template <class T>
void convolution_kernel_gradient(Cuda& backend, const ConvGeometry& g, const T* x, const T* y_gradient,
                                 T* kernel_gradient);

template <Scalar T>
void attention_forward(Cuda& backend, const AttentionProblem<T>& p);
template <Scalar T>
void attention_backward(Cuda& backend, const AttentionProblem<T>& p);

template <class T>
void norm_statistics(Cuda& backend, const NormProblem<T>& p);
template <class T>
void norm_apply(Cuda& backend, const NormProblem<T>& p);
template <class T>
void norm_forward(Cuda& backend, const NormProblem<T>& problem);
template <class T>
void norm_backward(Cuda& backend, const NormProblem<T>& p);

template <class T, bool squared>
[[nodiscard]] double total(Cuda& backend, const T* x, index_t count, std::bool_constant<squared> of_squares);
template <class T>
void column_sums(Cuda& backend, const T* x, T* y, index_t rows, index_t columns);

template <class F, class T>
void map_unary(Cuda& backend, F f, const T* x, T* y, index_t count);
template <class F, class T>
void map_unary_backward(Cuda& backend, F f, const T* x, const T* y_gradient, T* x_gradient, index_t count);
template <class T>
void geglu(Cuda& backend, const T* x, T* y, index_t rows, index_t row_width);
template <class T>
void geglu_backward(Cuda& backend, const T* x, const T* y_gradient, T* x_gradient, index_t rows, index_t row_width);

} // namespace reel
