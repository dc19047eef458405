#!/bin/sh
# How long a compiler takes.
#
# bench/compile_time.sh [FLAGS]        for a minimal program with reel/models/unet.hpp, examples/insert_object.cpp, and
#                                      what it shares with the other programs. CXX chooses the compiler.
# bench/compile_time.sh --swap [DIR]   for insert_object with another sampler, from the changed line to the program, where
#                                      the rest is built: in DIR (build-bench), with its flags. Exits with 1 where it is
#                                      more than 15 s of processor time.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)

# measure COMMAND...: sets wall and processor to the seconds that it took, for the latter those of all its processes.
measure() {
    start=$(date +%s.%N)
    processor=$({ "$@" >&2 && times; } | awk 'NR == 2 { # of children: user and system, as 0m1.23s
        for (i = 1; i <= 2; ++i) { split($i, part, "[ms]"); sum += 60 * part[1] + part[2] }
        printf "%.1f", sum
    }')
    wall=$(echo "$start $(date +%s.%N)" | awk '{ printf "%.1f", $2 - $1 }')
    test -n "$processor" # empty where the command failed
}

# row NAME COMMAND...: a row of the table.
row() {
    name=$1
    shift
    measure "$@"
    printf '| %s | %s | %s |\n' "$name" "$wall" "$processor"
}

# heading TEXT
heading() {
    printf '| %s | seconds | of a processor |\n|---|---|---|\n' "$1"
}

if [ "${1:-}" = --swap ]; then
    build=${2:-$root/build-bench}
    cmake -S "$root" -B "$build" -DREEL_BUILD_BENCH=ON > "$build.log" 2>&1 || { cat "$build.log" >&2; exit 1; }
    rm -f "$build.log"
    cmake --build "$build" --target swapped_custom swapped_euler >&2 # and the library that they share
    heading "another sampler in insert_object"
    slow=0
    for sampler in custom euler; do
        touch "$build/bench/swapped_$sampler.cpp"
        what="EulerDiscreteScheduler"
        [ $sampler = euler ] || what="the sampler of examples/custom_sampler.cpp"
        row "$what" cmake --build "$build" --target swapped_$sampler
        slow=$(echo "$slow $processor" | awk '{ print ($1 || $2 > 15) }')
    done
    [ "$slow" = 0 ] || { echo "more than 15 s" >&2; exit 1; }
    exit 0
fi

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

heading "$("$cxx" --version | head -n 1)${*:+, $*}"
# shellcheck disable=SC2086  # flags are words
{
    row "a program with reel/models/unet.hpp" "$cxx" $flags "$@" -c -o "$work/out.o" "$work/unet.cpp"
    row "examples/insert_object.cpp" "$cxx" $flags "$@" -c -o "$work/out.o" "$root/examples/insert_object.cpp"
    row "src/pipelines/backends.cpp" "$cxx" $flags "$@" -c -o "$work/out.o" "$root/src/pipelines/backends.cpp"
    row "src/pipelines/networks_float.cpp" "$cxx" $flags "$@" -c -o "$work/out.o" "$root/src/pipelines/networks_float.cpp"
}
