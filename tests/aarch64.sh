#!/bin/bash
# The library on 64-bit ARM, on a Debian 12 of any processor: cross-compiles tests and runs them under QEMU, which takes an
# hour on two cores. Arguments are tests, as ctest -R takes them; without, those of core, backend, ops, nn, schedulers,
# text and io. In build/aarch64 are the libraries of an arm64 Debian (root/, 400 MB) and the build (tests/).
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/packages.sh
tests=${1:-'^(core|backend|ops|nn|schedulers|io)_|^(fix_text|clip_tokenizer|tokenizer|bpe_learning|open_clip|weighted|text_)'}
work=$PWD/build/aarch64
root=$work/root

install_packages cmake ninja-build pkg-config g++-aarch64-linux-gnu qemu-user

# The libraries, unpacked into a folder: this system stays as it is.
if [ ! -e "$root/complete" ]; then
    rm -rf "$root"
    mkdir -p "$root/usr/lib" "$work"/apt/{lists,archives}/partial
    ln -s usr/lib "$root/lib"
    apt=(apt-get -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Install-Recommends=false
        -o APT::Sandbox::User="$(id -un)" -o Debug::NoLocking=true -o Dir::State="$work/apt" -o Dir::State::status=/dev/null
        -o Dir::Cache="$work/apt")
    libraries=(libc6-dev libstdc++-12-dev doctest-dev)
    for package in "${reel_packages[@]}"; do
        [[ $package == lib* || $package == *-dev ]] && libraries+=("$package")
    done
    "${apt[@]}" update
    "${apt[@]}" -y --download-only install "${libraries[@]}"
    for package in "$work"/apt/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -x -C "$root" --keep-directory-symlink
    done
    find "$root" -type l -lname '/*' | while read -r link; do # which mean a file of the folder
        ln -sfn "$(realpath -m --relative-to="$(dirname "$link")" "$root$(readlink "$link")")" "$link"
    done
    rm -r "$work/apt"
    touch "$root/complete"
fi

cmake -S . -B "$work/tests" -G Ninja -DCMAKE_TOOLCHAIN_FILE="$PWD/.cmake/aarch64-linux-gnu.cmake" \
    -DREEL_AARCH64_ROOT="$root" -DREEL_NATIVE=OFF -DREEL_CUDA=OFF -DREEL_ONEDNN=OFF -DREEL_BUILD_EXAMPLES=OFF
mapfile -t names < <(ctest --test-dir "$work/tests" -N -R "$tests" | sed -n 's/.*Test *#[0-9]*: //p')
mapfile -t targets < <(ninja -C "$work/tests" -t targets all | sed -n 's/^\(test_[a-z0-9_]*\): phony$/\1/p' |
    grep -xF "$(printf 'test_%s\n' "${names[@]}")")
if [ ${#targets[@]} -eq 0 ]; then
    echo "tests/aarch64.sh: no test program has a name that matches $tests" >&2
    exit 1
fi
cmake --build "$work/tests" --parallel "$(build_jobs)" --target "${targets[@]}"
ctest --test-dir "$work/tests" --output-on-failure --parallel "$(nproc)" -R "$tests"
