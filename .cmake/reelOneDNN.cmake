# oneDNN for reel::reel, alike in reel's own build and in projects that find_package(reel). REEL_ONEDNN says whether:
# AUTO (the default) uses it where it is found, ON demands it, OFF leaves it out.
# reel_find_onednn(): sets reel_onednn_FOUND and, where that is false, reel_onednn_LACKS.
# reel_use_onednn(target): whoever links the target uses oneDNN, unless its property REEL_NO_ONEDNN is set.

if(NOT DEFINED REEL_ONEDNN)
    set(REEL_ONEDNN AUTO CACHE STRING "Matrix products in bfloat16 through oneDNN: AUTO, ON or OFF")
    set_property(CACHE REEL_ONEDNN PROPERTY STRINGS AUTO ON OFF)
endif()

# oneDNN's own package file asks for OpenCL too, which is not needed here. OpenMP's library is linked without -fopenmp,
# so that Eigen does not start threads.
set(REEL_ONEDNN_LIBRARIES dnnl gomp)

function(reel_find_onednn)
    set(found FALSE)
    if(REEL_ONEDNN)
        include(CheckCXXSourceCompiles)
        set(CMAKE_REQUIRED_LIBRARIES ${REEL_ONEDNN_LIBRARIES})
        set(CMAKE_REQUIRED_QUIET TRUE)
        check_cxx_source_compiles("
            #include <oneapi/dnnl/dnnl.hpp>
            #if DNNL_VERSION_MAJOR != 2 || DNNL_CPU_RUNTIME != DNNL_RUNTIME_OMP
            #error reel is written for oneDNN 2 on OpenMP
            #endif
            extern \"C\" void omp_set_num_threads(int);
            int main() {
                omp_set_num_threads(1);
                return dnnl::engine(dnnl::engine::kind::cpu, 0).get() == nullptr;
            }" REEL_ONEDNN_COMPILES)
        if(REEL_ONEDNN_COMPILES)
            set(found TRUE)
        else()
            unset(REEL_ONEDNN_COMPILES CACHE) # looked for again next time
        endif()
    endif()
    set(reel_onednn_FOUND ${found} PARENT_SCOPE)
    set(reel_onednn_LACKS "oneDNN 2 built on OpenMP (Debian: apt-get install libdnnl-dev); version 3 is not supported"
        PARENT_SCOPE)
endfunction()

function(reel_use_onednn target)
    set(wanted "$<NOT:$<BOOL:$<TARGET_PROPERTY:REEL_NO_ONEDNN>>>")
    set_property(TARGET ${target} APPEND PROPERTY INTERFACE_COMPILE_DEFINITIONS
        "$<BUILD_INTERFACE:$<${wanted}:REEL_ONEDNN>>")
    foreach(library IN LISTS REEL_ONEDNN_LIBRARIES)
        set_property(TARGET ${target} APPEND PROPERTY INTERFACE_LINK_LIBRARIES
            "$<BUILD_INTERFACE:$<${wanted}:${library}>>")
    endforeach()
endfunction()
