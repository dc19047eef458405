#pragma once
// The backend Cuda with all its operations: what a .cu file includes, and a .cpp file that links reel::compiled_cuda.

#include <reel/backend/cuda/runtime.cuh>

#ifdef REEL_CUDA_BODIES
#include <reel/backend/cuda/attention.cuh>
#include <reel/backend/cuda/attention_backward.cuh>
#include <reel/backend/cuda/context.cuh>
#include <reel/backend/cuda/convolution.cuh>
#include <reel/backend/cuda/elementwise.cuh>
#include <reel/backend/cuda/gemm.cuh>
#include <reel/backend/cuda/norm.cuh>
#include <reel/backend/cuda/norm_backward.cuh>
#include <reel/backend/cuda/reduce.cuh>
#else
#include <reel/backend/cuda/declared.cuh>
#endif
