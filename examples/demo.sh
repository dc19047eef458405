#!/bin/bash
# Installs what a fresh Debian lacks, builds insert_object and runs it: a drawn clip of somebody who pretends is tuned
# on, inverted and edited with the model that comes with reel. Arguments go to insert_object. See README.md.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/packages.sh

install_packages "${reel_packages[@]}" -- "${reel_faster[@]}"
cmake -S . -B build/demo -DREEL_BUILD_TESTS=OFF
cmake --build build/demo --target insert_object --parallel "$(build_jobs)"
exec build/demo/examples/insert_object "$@"
