# A CMake toolchain file: compiles for 64-bit ARM on a Debian of another processor, with Debian's cross compiler, and runs
# what it made under QEMU. REEL_AARCH64_ROOT is a folder with an arm64 Debian's libraries; tests/aarch64.sh makes one.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES REEL_AARCH64_ROOT)
if(NOT IS_DIRECTORY "${REEL_AARCH64_ROOT}")
    message(FATAL_ERROR "REEL_AARCH64_ROOT is \"${REEL_AARCH64_ROOT}\", which is no folder; tests/aarch64.sh makes it.")
endif()
set(CMAKE_SYSROOT ${REEL_AARCH64_ROOT})
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${REEL_AARCH64_ROOT})
set(ENV{PKG_CONFIG_LIBDIR} ${REEL_AARCH64_ROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:${REEL_AARCH64_ROOT}/usr/share/pkgconfig)

set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L ${REEL_AARCH64_ROOT})
