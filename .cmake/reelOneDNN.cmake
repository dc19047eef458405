# oneDNN for reel::reel, alike in reel's own build and in projects that find_package(reel). REEL_ONEDNN says whether:
# AUTO (the default) uses it where it is found, ON demands it, OFF leaves it out.
# reel_find_onednn(): sets reel_onednn_FOUND, reel_onednn_VERSION (2.6.3, or none) and, where there is none,
# reel_onednn_LACKS.
# reel_use_onednn(target): whoever links the target uses oneDNN, unless its property REEL_NO_ONEDNN is set.

if(NOT DEFINED REEL_ONEDNN)
    set(REEL_ONEDNN AUTO CACHE STRING "Matrix products in bfloat16 through oneDNN: AUTO, ON or OFF")
    set_property(CACHE REEL_ONEDNN PROPERTY STRINGS AUTO ON OFF)
endif()

# oneDNN's own package file asks for OpenCL too, which is not needed here. OpenMP's library is linked without -fopenmp,
# so that Eigen does not start threads.
set(REEL_ONEDNN_LIBRARIES dnnl gomp)

# Looked for anew each time: a build folder may be older than the library.
function(reel_find_onednn)
    set(version none)
    unset(REEL_ONEDNN_COMPILES CACHE)
    if(REEL_ONEDNN)
        set(folder ${CMAKE_CURRENT_BINARY_DIR}/CMakeFiles/reel_onednn)
        file(WRITE ${folder}/version.cpp "
            #include <oneapi/dnnl/dnnl.hpp>
            #if DNNL_VERSION_MAJOR < 2 || DNNL_VERSION_MAJOR > 3 || DNNL_CPU_RUNTIME != DNNL_RUNTIME_OMP
            #error reel is written for oneDNN 2.6 to 3 on OpenMP
            #endif
            #if DNNL_VERSION_MAJOR == 2 && DNNL_VERSION_MINOR < 6
            #error reel is written for oneDNN 2.6 to 3
            #endif
            #define TEXT_OF(x) #x
            #define TEXT(x) TEXT_OF(x)
            extern \"C\" void omp_set_num_threads(int);
            volatile const char version[] = \"oneDNN version \" TEXT(DNNL_VERSION_MAJOR) \".\"
                                            TEXT(DNNL_VERSION_MINOR) \".\" TEXT(DNNL_VERSION_PATCH) \"\\n\";
            int main(int argc, char**) {
                omp_set_num_threads(1);
                return dnnl::engine(dnnl::engine::kind::cpu, 0).get() == nullptr ? version[argc] : 0;
            }\n")
        try_compile(REEL_ONEDNN_COMPILES ${folder} SOURCES ${folder}/version.cpp
            LINK_LIBRARIES ${REEL_ONEDNN_LIBRARIES} COPY_FILE ${folder}/version)
        if(REEL_ONEDNN_COMPILES)
            file(STRINGS ${folder}/version version REGEX "oneDNN version [0-9.]+")
            string(REGEX REPLACE "^.*oneDNN version ([0-9.]+).*$" "\\1" version "${version}")
            # what the loader looks for, which is not always lib, name and major: Debian 13's 3.7 is libdnnl.so.3.6
            file(STRINGS ${folder}/version loaded REGEX "libdnnl[.](so|[0-9.]*dylib)[0-9.]*$" LIMIT_COUNT 1)
            string(REGEX MATCH "[^/]*$" loaded "${loaded}")
        endif()
    endif()
    if(version STREQUAL "none")
        set(reel_onednn_FOUND FALSE PARENT_SCOPE)
    else()
        set(reel_onednn_FOUND TRUE PARENT_SCOPE)
    endif()
    set(reel_onednn_VERSION ${version} PARENT_SCOPE)
    set(reel_onednn_LOADED "${loaded}" PARENT_SCOPE) # "" where it is linked statically
    string(REGEX MATCH "^[a-z0-9]+" major ${version}) # which what was compiled with it depends on
    set(reel_onednn_MAJOR ${major} PARENT_SCOPE)
    set(reel_onednn_LACKS "oneDNN 2.6 to 3 built on OpenMP (Debian: apt-get install libdnnl-dev)" PARENT_SCOPE)
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
