#!/bin/bash
# Installs what a fresh Debian lacks, builds the programs and the tests, and runs the tests. Arguments go to ctest.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/packages.sh

install_packages "${reel_packages[@]}" doctest-dev doxygen ninja-build -- "${reel_faster[@]}" libthrust-dev libopenmpi-dev
# Programs in a test run short: their compiler may, too, but for multiply-adds, which it must make where the library has
# them, or sums differ in their last bits. Without a GPU, CUDA's code needs only to compile, and not to be fast.
options=("-DREEL_PROGRAM_OPTIONS=-O1;-fexpensive-optimizations")
if [ ! -e build/tests/CMakeCache.txt ] && command -v ninja >/dev/null; then
    options+=(-G Ninja) # which keeps all processors at work
fi
nvidia-smi -L >/dev/null 2>&1 ||
    options+=(-DCMAKE_CUDA_ARCHITECTURES=80-virtual "-DCMAKE_CUDA_FLAGS_RELEASE=-O0 -DNDEBUG -Xcicc=-O0")
cmake -S . -B build/tests "${options[@]}"
cmake --build build/tests --parallel "$(build_jobs)"
ctest --test-dir build/tests --output-on-failure --parallel "$(nproc)" "$@"
