// What a device does for tensors of T, which the file that includes this names: the operations of
// reel/backend/cuda/declared.cuh, and kernels of the functors that all types have. One that is missing here is an
// undefined reference to cuda::for_each_index of it where it is used in a .cpp file.

namespace reel {

template void gemm(Cuda&, const GemmProblem<T>&);
template void convolution(Cuda&, const ConvGeometry&, const T*, const T*, const T*, T*);
template void convolution_input_gradient(Cuda&, const ConvGeometry&, const T*, const T*, T*);
template void convolution_kernel_gradient(Cuda&, const ConvGeometry&, const T*, const T*, T*);
template void attention_forward(Cuda&, const AttentionProblem<T>&);
template void attention_backward(Cuda&, const AttentionProblem<T>&);
template void norm_statistics(Cuda&, const NormProblem<T>&);
template void norm_apply(Cuda&, const NormProblem<T>&);
template void norm_forward(Cuda&, const NormProblem<T>&);
template void norm_backward(Cuda&, const NormProblem<T>&);
template double total(Cuda&, const T*, index_t, std::false_type);
template double total(Cuda&, const T*, index_t, std::true_type);
template void column_sums(Cuda&, const T*, T*, index_t, index_t);
template void map_unary(Cuda&, generic::Silu, const T*, T*, index_t);
template void map_unary_backward(Cuda&, generic::Silu, const T*, const T*, T*, index_t);
template void map_unary(Cuda&, generic::Gelu, const T*, T*, index_t);
template void map_unary_backward(Cuda&, generic::Gelu, const T*, const T*, T*, index_t);
template void map_unary(Cuda&, generic::QuickGelu, const T*, T*, index_t);
template void map_unary_backward(Cuda&, generic::QuickGelu, const T*, const T*, T*, index_t);
template void map_unary(Cuda&, generic::Relu, const T*, T*, index_t);
template void map_unary_backward(Cuda&, generic::Relu, const T*, const T*, T*, index_t);
template void map_unary(Cuda&, functors::SoftClamp, const T*, T*, index_t);
template void map_unary(Cuda&, functors::ToUnitRange, const T*, T*, index_t);
template void map_unary(Cuda&, functors::FromUnitRange, const T*, T*, index_t);
template void geglu(Cuda&, const T*, T*, index_t, index_t);
template void geglu_backward(Cuda&, const T*, const T*, T*, index_t, index_t);

template void cuda::for_each_index(cudaStream_t, index_t, const functors::Accumulate<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::AddToColumns<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::AddVectors<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::Affine<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::Axpby<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::Clamp<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::ColumnSum<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::CopyColumns<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::Divide<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::ExpandMiddle<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::Fill<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::FillNormal<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::FillUniform<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::GatherRows<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::HideKeys<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::Masked<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::MiddleSum<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::MixRows<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::Multiply<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::NormalAround<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::Permute<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::PixelsFromBytes<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::Scale<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::ScatterAddColumn<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::Softmax<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::SoftmaxGradient<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::UniformAround<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::UnitRange<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::UpsampleNearest<T>&);
template void cuda::for_each_index(cudaStream_t, index_t, const functors::UpsampleNearestBackward<T>&);

} // namespace reel
