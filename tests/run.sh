#!/bin/bash
# Installs what a fresh Debian 12 lacks, builds the programs and the tests, and runs the tests. Arguments go to ctest.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/packages.sh

install_packages "${reel_packages[@]}" doctest-dev libdnnl-dev libthrust-dev doxygen
cmake -S . -B build/tests
cmake --build build/tests --parallel "$(build_jobs)"
ctest --test-dir build/tests --output-on-failure --parallel "$(nproc)" "$@"
