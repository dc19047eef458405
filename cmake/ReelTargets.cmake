# reel::reel   the core: tensors, operations, autograd, layers, models, samplers. Needs Eigen.
# reel::text   adds what reel/text needs: utf8proc, nlohmann-json.
# reel::io     adds what reel/io needs for weights, configs and pictures: nlohmann-json, yaml-cpp, zlib, libpng.
# reel::video  adds what reel/io/video*.hpp needs: FFmpeg's libraries.
# The last three exist where their libraries are found; a header that needs one names it in its first lines.
find_package(Eigen3 3.4 REQUIRED NO_MODULE)
find_package(Threads REQUIRED)

add_library(reel INTERFACE)
add_library(reel::reel ALIAS reel)
target_compile_features(reel INTERFACE cxx_std_20)
target_include_directories(reel INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
target_link_libraries(reel INTERFACE Eigen3::Eigen Threads::Threads)
set(REEL_EXPORTED_TARGETS reel)

find_package(PkgConfig QUIET)
find_package(nlohmann_json 3.9 QUIET)
find_package(yaml-cpp QUIET)
find_package(ZLIB QUIET)
find_package(PNG QUIET)
if(PkgConfig_FOUND)
    pkg_check_modules(UTF8PROC QUIET IMPORTED_TARGET libutf8proc)
    pkg_check_modules(FFMPEG QUIET IMPORTED_TARGET libavformat libavcodec libavfilter libswscale libavutil)
endif()

if(nlohmann_json_FOUND AND TARGET PkgConfig::UTF8PROC)
    add_library(reel_text INTERFACE)
    add_library(reel::text ALIAS reel_text)
    set_target_properties(reel_text PROPERTIES EXPORT_NAME text)
    target_link_libraries(reel_text INTERFACE reel nlohmann_json::nlohmann_json PkgConfig::UTF8PROC)
    list(APPEND REEL_EXPORTED_TARGETS reel_text)
endif()
if(nlohmann_json_FOUND AND yaml-cpp_FOUND AND ZLIB_FOUND AND PNG_FOUND)
    add_library(reel_io INTERFACE)
    add_library(reel::io ALIAS reel_io)
    set_target_properties(reel_io PROPERTIES EXPORT_NAME io)
    target_link_libraries(reel_io INTERFACE reel nlohmann_json::nlohmann_json yaml-cpp ZLIB::ZLIB PNG::PNG)
    list(APPEND REEL_EXPORTED_TARGETS reel_io)
endif()
if(TARGET reel_io AND TARGET PkgConfig::FFMPEG)
    add_library(reel_video INTERFACE)
    add_library(reel::video ALIAS reel_video)
    set_target_properties(reel_video PROPERTIES EXPORT_NAME video)
    target_link_libraries(reel_video INTERFACE reel_io PkgConfig::FFMPEG)
    list(APPEND REEL_EXPORTED_TARGETS reel_video)
endif()

# Flags for reel's own programs, tests and benchmarks; users of the library choose theirs.
add_library(reel_private_flags INTERFACE)
target_compile_options(reel_private_flags INTERFACE -Wall -Wextra -Wconversion -Wno-sign-conversion -Wshadow
    # g++ 12 warns inside its own AVX-512 header (GCC bug 105593)
    "$<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized;-Wno-uninitialized>"
    $<$<BOOL:${REEL_WARNINGS_AS_ERRORS}>:-Werror>
    $<$<BOOL:${REEL_NATIVE}>:-march=native>)

# A program or test says which of reel's libraries it needs; where one is missing the build stops and says so.
function(reel_link target)
    foreach(component IN LISTS ARGN)
        if(NOT TARGET reel::${component})
            message(FATAL_ERROR "reel: ${target} needs reel::${component}, whose libraries were not found. "
                "On Debian: apt-get install libeigen3-dev nlohmann-json3-dev libyaml-cpp-dev zlib1g-dev libpng-dev "
                "libutf8proc-dev libavformat-dev libavcodec-dev libavfilter-dev libswscale-dev libavutil-dev pkg-config. "
                "Or configure with -DREEL_BUILD_EXAMPLES=OFF -DREEL_BUILD_TESTS=OFF for the headers alone.")
        endif()
        target_link_libraries(${target} PRIVATE reel::${component})
    endforeach()
    target_link_libraries(${target} PRIVATE reel_private_flags)
endfunction()
