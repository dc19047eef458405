#!/bin/sh
# Seconds to compile a minimal program with reel/models/unet.hpp, examples/insert_object.cpp, and what it shares with the
# other programs.
# CXX chooses the compiler; words given here are added to its flags: bench/compile_time.sh -O0
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cxx=${CXX:-c++}
packages=$(pkg-config --cflags eigen3 libutf8proc libavformat yaml-cpp)
flags="-std=c++20 -O2 -DNDEBUG -I$root/include -I$root/examples $packages"

cat > "$work/unet.cpp" <<'END'
#include <array>
#include <reel/models/unet.hpp>
#include <reel/nn/initialize.hpp>

int main() {
    reel::Cpu cpu;
    reel::UNet3DConditionModel<float> unet({});
    reel::initialize(unet, cpu, 0);
    const auto x = reel::Tensor<float>::zeros(cpu, {1, 64, 64, 4});
    const auto text = reel::Tensor<float>::zeros(cpu, {1, 77, 1280});
    return unet(x, std::array{1.0}, text, 1).size() == 0;
}
END

seconds() {
    start=$(date +%s.%N)
    # shellcheck disable=SC2086  # flags are words
    "$cxx" $flags "$@" -c -o "$work/out.o"
    end=$(date +%s.%N)
    echo "$start $end" | awk '{ printf "%.1f", $2 - $1 }'
}

unet=$(seconds "$@" "$work/unet.cpp")
program=$(seconds "$@" "$root/examples/insert_object.cpp")
shared=$(seconds "$@" "$root/examples/support/editing.cpp")
printf '| %s | seconds |\n|---|---|\n' "$("$cxx" --version | head -n 1)${*:+, $*}"
printf '| a program with reel/models/unet.hpp | %s |\n' "$unet"
printf '| examples/insert_object.cpp | %s |\n' "$program"
printf '| examples/support/editing.cpp | %s |\n' "$shared"
