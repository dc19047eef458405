#!/bin/sh
# How long a compiler takes.
#
# bench/compile_time.sh [DIR]          for five programs, each compiled and linked at -O2: processor seconds, the least of
#                                      three times, and the compiler's peak memory. DIR (build-bench) is where
#                                      reel::compiled is built. CXX chooses the compiler. Needs GNU time.
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

build=${1:-$root/build-bench}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cxx=${CXX:-c++}
cmake -S "$root" -B "$build" -DREEL_BUILD_BENCH=ON > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
cmake --build "$build" --target reel_compiled reel_compiled_video >&2

# The program of a page: its first block of C++.
program_of() {
    awk '/^```cpp/ { inside = 1; next } /^```/ { if (inside) exit } inside' "$root/$1"
}
program_of docs/use.md > "$work/hello.cpp"
program_of README.md > "$work/readme.cpp"

packages="eigen3 libutf8proc yaml-cpp zlib libpng libavformat libavcodec libavfilter libswscale libavutil"
flags="-std=c++20 -O2 -DNDEBUG -march=native -pthread -I$root/include -I$root/examples $(pkg-config --cflags $packages)"
libraries=$(pkg-config --libs $packages)
if grep -q '^REEL_ONEDNN_COMPILES:INTERNAL=TRUE' "$build/CMakeCache.txt"; then
    flags="$flags -DREEL_ONEDNN"
    libraries="$libraries -ldnnl -lgomp"
fi
compiled="$(find "$build" -name libreel_compiled.a) $(find "$build" -name libreel_compiled_video.a)"

# program NAME SOURCE [FLAGS AND LIBRARIES]: a row of the table.
program() {
    name=$1
    source=$2
    shift 2
    for _ in 1 2 3; do
        # shellcheck disable=SC2086  # flags are words
        env time -f '%U %S %M' -a -o "$work/times" "$cxx" $flags "$source" "$@" $libraries -o "$work/out"
    done
    awk -v name="$name" '{ seconds = $1 + $2; if (NR == 1 || seconds < least) least = seconds; if ($3 > most) most = $3 }
        END { printf "| %s | %.1f | %.0f |\n", name, least, most / 1024 }' "$work/times"
    rm "$work/times"
}

printf '%s, %s\n\n' "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$("$cxx" --version | head -n 1)"
printf '| program | processor seconds | peak MB |\n|---|---|---|\n'
program "a tensor: the program of docs/use.md" "$work/hello.cpp"
program "README's" "$work/readme.cpp"
program "an edit loop: bench/compile_time/edit_loop.cpp" "$root/bench/compile_time/edit_loop.cpp"
# shellcheck disable=SC2086  # two libraries
program "the same with reel::compiled" "$root/bench/compile_time/edit_loop.cpp" -DREEL_COMPILED -DREEL_VIDEO_COMPILED $compiled
libraries=-c # its other half is a library of its own
program "examples/insert_object.cpp, not linked" "$root/examples/insert_object.cpp"
