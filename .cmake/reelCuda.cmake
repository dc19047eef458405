# CUDA for reel::cuda, what .cu files that use the backend Cuda link. REEL_CUDA says whether: AUTO (the default) uses it
# where nvcc 12.4 or newer and cuBLAS are found, ON demands them, OFF leaves it out.
# reel_enable_cuda(): sets reel_cuda_FOUND and, where that is false, reel_cuda_LACKS. A macro, because a language is
# enabled for a directory. Inside another project, AUTO goes by whether that project has CUDA enabled.

if(NOT DEFINED REEL_CUDA)
    set(REEL_CUDA AUTO CACHE STRING "The backend for NVIDIA GPUs: AUTO, ON or OFF")
    set_property(CACHE REEL_CUDA PROPERTY STRINGS AUTO ON OFF)
endif()

macro(reel_enable_cuda)
    set(reel_cuda_FOUND FALSE)
    set(reel_cuda_LACKS "")
    if(REEL_CUDA)
        if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX} AND (PROJECT_IS_TOP_LEVEL OR NOT REEL_CUDA STREQUAL "AUTO"))
            # The toolkit's usual place is often not on the PATH.
            find_program(REEL_NVCC nvcc HINTS ENV CUDA_PATH ENV CUDA_HOME PATHS /usr/local/cuda PATH_SUFFIXES bin)
            mark_as_advanced(REEL_NVCC)
            if(REEL_NVCC)
                set(CMAKE_CUDA_COMPILER ${REEL_NVCC})
            endif()
        endif()
        if(NOT CMAKE_CUDA_COMPILER AND DEFINED ENV{CUDACXX})
            set(CMAKE_CUDA_COMPILER $ENV{CUDACXX})
        endif()
        if(CMAKE_CUDA_COMPILER)
            # For this machine's GPU where there is one.
            if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES AND NOT CMAKE_VERSION VERSION_LESS 3.24)
                execute_process(COMMAND nvidia-smi -L RESULT_VARIABLE reel_no_gpu OUTPUT_VARIABLE reel_gpus ERROR_QUIET)
                if(NOT reel_no_gpu AND reel_gpus MATCHES "GPU 0")
                    set(CMAKE_CUDA_ARCHITECTURES native CACHE STRING "GPUs to compile for")
                else()
                    set(CMAKE_CUDA_ARCHITECTURES all-major CACHE STRING "GPUs to compile for")
                endif()
            endif()
            enable_language(CUDA)
            find_package(CUDAToolkit QUIET)
            if(NOT TARGET CUDA::cublas)
                list(APPEND reel_cuda_LACKS "cuBLAS")
            elseif(CUDAToolkit_VERSION VERSION_LESS 12.4)
                list(APPEND reel_cuda_LACKS "CUDA 12.4 or newer (found ${CUDAToolkit_VERSION})")
            else()
                set(reel_cuda_FOUND TRUE)
            endif()
        else()
            list(APPEND reel_cuda_LACKS "nvcc (the CUDA Toolkit's compiler)")
        endif()
    else()
        list(APPEND reel_cuda_LACKS "the wish: REEL_CUDA is OFF")
    endif()
endmacro()

# What .cu files need: the functors of reel are constexpr and run on both sides; Eigen is for the host alone.
function(reel_use_cuda target)
    target_compile_options(${target} INTERFACE
        "$<$<COMPILE_LANGUAGE:CUDA>:-std=c++20>" "$<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr>" "$<$<COMPILE_LANGUAGE:CUDA>:-DEIGEN_NO_CUDA>")
    target_compile_definitions(${target} INTERFACE REEL_CUDA)
    target_link_libraries(${target} INTERFACE CUDA::cudart_static CUDA::cublas CUDA::cublasLt)
endfunction()
