#!/bin/bash
# On a machine with a GPU: builds the backend Cuda's tests and bench/gpu.cu with nvcc, tests against the processor, looks
# for bad memory accesses and races, measures, measures PyTorch at the same shapes where it is installed, and prints one
# table. Exits non-zero when a test failed. Ends within 8 minutes: every part has a limit, and none begins after that.
#
#   bench/gpu.sh [--build FOLDER]     (build-gpu)     PYTHON=... names the Python that has PyTorch (python3)
#
# Needs the CUDA Toolkit 12.4 or newer and no network. Eigen and doctest are looked for in third_party/include, a folder
# that git ignores, and then where Debian puts them. To fill it on a machine that has them:
#   mkdir -p third_party/include && cp -r /usr/include/eigen3/{Eigen,unsupported} /usr/include/doctest third_party/include
set -uo pipefail
cd "$(dirname "$0")/.."

build=build-gpu
if [ "${1:-}" = --build ] && [ $# -eq 2 ]; then
    build=$2
elif [ $# -ne 0 ]; then
    sed -n '2,11s/^# \{0,1\}//p' "$0"
    exit 2
fi
for folder in "${CUDA_HOME:-/usr/local/cuda}/bin" "${CUDA_HOME:-/usr/local/cuda}/extras/compute-sanitizer"; do
    PATH=$PATH:$folder
done
export PATH
command -v nvcc >/dev/null || { echo "gpu.sh: nvcc is not there; install the CUDA Toolkit 12.4 or newer" >&2; exit 1; }

includes=(-Iinclude -Itests)
for folder in third_party/include /usr/include/eigen3; do
    if [ -d "$folder" ]; then
        includes+=(-isystem "$folder")
    fi
done
# One architecture: that of the first GPU.
capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d '. ')
if [ -z "$capability" ]; then
    echo "gpu.sh: nvidia-smi shows no GPU; there is nothing to measure" >&2
    exit 1
fi
flags=(-std=c++20 -O3 --expt-relaxed-constexpr -DEIGEN_NO_CUDA -DNDEBUG -lineinfo -arch="sm_$capability" "${includes[@]}")

mkdir -p "$build" && build=$(cd "$build" && pwd) || exit 1
started=$(date +%s)
elapsed() { echo "$(($(date +%s) - started)) s"; }
deadline=$((started + 470))
# within SECONDS COMMAND...: the command, stopped (124) after so many seconds or at the deadline; 125 where that is past.
within() {
    local left=$((deadline - $(date +%s))) limit=$1
    shift
    [ "$left" -ge 5 ] || return 125
    timeout $((limit < left ? limit : left)) "$@"
}

# ---- build, all files at once ----
sources=(tests/backend/device_cuda_main.cu tests/backend/device_cuda_operations.cu tests/backend/device_cuda_attention.cu
    tests/backend/device_cuda_unet.cu tests/backend/device_cuda_narrow.cu bench/gpu.cu)
pids=()
objects=()
for source in "${sources[@]}"; do
    object=$build/$(basename "$source" .cu).o
    objects+=("$object")
    within 240 nvcc "${flags[@]}" -c "$source" -o "$object" >"$object.log" 2>&1 &
    pids+=($!)
done
built=1
for i in "${!pids[@]}"; do
    if ! wait "${pids[$i]}"; then
        echo "gpu.sh: ${sources[$i]} does not compile:" >&2
        tail -n 40 "${objects[$i]}.log" >&2
        built=0
    fi
done
[ "$built" = 1 ] || exit 1
nvcc -arch="sm_$capability" "${objects[@]:0:5}" -lcublasLt -lcublas -o "$build/test_cuda" || exit 1
nvcc -arch="sm_$capability" "${objects[5]}" -lcublasLt -lcublas -o "$build/gpu" || exit 1
build_time=$(elapsed)

status=0
rows=()
row() { rows+=("$(printf '| %-38s | %-28s | %s |' "$1" "$2" "$3")"); }

# Why a part that ended with status $1, after $2 seconds at most, has no result; what went wrong is in file $3.
reason() {
    case $1 in
    124) echo "not finished in $2 s or before the deadline" ;;
    125) echo "not run: no time left" ;;
    *) echo "FAILED (status $1): $(tail -n 1 "$3")" ;;
    esac
}

# ---- tests: every operation, the UNet and a tuning step against the processor ----
(cd tests && within 120 "$build/test_cuda" >"$build/test.log" 2>&1)
code=$?
if [ $code -eq 0 ] && grep -q 'Status: SUCCESS' "$build/test.log"; then
    row "tests against the processor" "all types" "$(grep -o '[0-9]* passed' "$build/test.log" | head -n 1)"
else
    row "tests against the processor" "all types" "$(reason $code 120 "$build/test.log"), see $build/test.log"
    status=1
fi
while read -r line; do
    row "${line%%:*}" "as the tests say" "${line#*: }"
done < <(sed -n "s/.*MESSAGE: \(whole UNet.*\|tuning step.*\|a tuner's step.*\)/\1/p" "$build/test.log")

# ---- compute-sanitizer on the kernels' tests ----
sanitize() { # name, tests
    if ! command -v compute-sanitizer >/dev/null; then
        row "compute-sanitizer $1" "kernel tests" "not run: compute-sanitizer is not installed"
        return
    fi
    (cd tests && within 75 compute-sanitizer --tool "$1" --error-exitcode 9 "$build/test_cuda" -tc="$2") \
        >"$build/$1.log" 2>&1
    local code=$?
    if [ $code -eq 0 ]; then
        row "compute-sanitizer $1" "kernel tests" "passed"
    elif [ $code -ge 124 ] && [ $code -le 125 ]; then
        row "compute-sanitizer $1" "kernel tests" "$(reason $code 75 -), nothing found so far: $build/$1.log"
    else
        row "compute-sanitizer $1" "kernel tests" "FAILED, see $build/$1.log"
        status=1
    fi
}
sanitize memcheck '*attention*,*norm*,*column sums*,*convolution and its*,*gemm: batches*,*activations*'
sanitize racecheck '*attention: causal*,*attention: key lists*,*attention of 16*,*layer norm*,*group norm*,*column sums*'

# ---- measurements: a process, and a limit, for each ----
: >"$build/gpu.log"
rate=0
measure() { # case, seconds
    within "$2" "$build/gpu" "rate=$rate" "$1" >"$build/$1.log" 2>"$build/$1.err"
    local code=$?
    cat "$build/$1.log" >>"$build/gpu.log"
    if [ $code -eq 124 ] || [ $code -eq 125 ] || [ ! -s "$build/$1.log" ]; then
        printf '| %-38s | %-28s | %s |\n' "$1" "" "$(reason $code "$2" "$build/$1.err")" >>"$build/gpu.log"
    fi
    [ $code -eq 0 ] || status=1
}
measure gemm 20
rate=$(sed -n 's/^| product .* | bfloat16 .* | \([0-9.]*\) TFLOP.*/\1/p' "$build/gemm.log" | head -n 1)
rate=${rate:-0}
measure parity 40
measure forward-8 25
measure forward-12 25
measure forward-24 40
measure tune-12 40
measure tune-24 60
measure edit-24 75

# ---- PyTorch: fused attention, channels last, the same shapes ----
python=${PYTHON:-python3}
peer() { # what, case, frames, clips, how, seconds, further options
    local what=$1 case=$2 frames=$3 clips=$4 how=$5 limit=$6 name=$2-$3-${5//[^a-z]/}
    shift 6
    within "$limit" "$python" bench/peer.py --device cuda --case "$case" --frames "$frames" --clips "$clips" --size 512 \
        --dtype bfloat16 --channels_last --warmup 2 --repeats 2 "$@" >"$build/$name.log" 2>"$build/$name.err"
    local code=$? result
    result=$(sed -n 's/.*"peak_device_bytes": \([0-9]*\), "seconds": \([0-9.e-]*\),.*/\2 \1/p' "$build/$name.log" |
        sort -g | awk 'NR == 1 { printf "%.1f ms; %.2f GB at most", $1 * 1e3, $2 * 1e-9 }')
    row "$what" "$how" "${result:-$(reason $code "$limit" "$build/$name.err")}"
}
measured=${#rows[@]}
if ! command -v "$python" >/dev/null || ! "$python" -c 'import torch' 2>/dev/null; then
    row "PyTorch" "" "PyTorch not installed"
elif ! "$python" -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    row "PyTorch" "" "not run: this PyTorch sees no CUDA device"
else
    for frames in 24 12 8; do
        peer "UNet forward, guidance, $frames frames" unet_forward $frames 2 "PyTorch eager, bfloat16" 45
    done
    peer "tuning step, checkpointing, 24 frames" tune_step_checkpoint 24 1 "PyTorch eager, bfloat16" 45
    peer "tuning step, checkpointing, 12 frames" tune_step_checkpoint 12 1 "PyTorch eager, bfloat16" 45
    peer "UNet forward, guidance, 24 frames" unet_forward 24 2 "PyTorch compiled, bfloat16" 150 --compile
fi
measure float32-8 30 # last, since it matters least

echo
echo "$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | head -n 1);" \
    "$(nvcc --version | grep -o 'release [0-9.]*'); built in $build_time, done after $(elapsed)"
echo
printf '| %-38s | %-28s | %s |\n' what how result
echo "|---|---|---|"
printf '%s\n' "${rows[@]:0:$measured}"
cat "$build/gpu.log"
printf '%s\n' "${rows[@]:$measured}"
exit $status
