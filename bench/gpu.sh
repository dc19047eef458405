#!/bin/bash
# On a machine with a GPU: builds the backend Cuda's tests and bench/gpu.cu with nvcc, tests against the processor, looks
# for bad memory accesses and races, measures, and prints one table. Exits non-zero when a test failed.
#
#   bench/gpu.sh [--build FOLDER]     (build-gpu)
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
    sed -n '2,10s/^# \{0,1\}//p' "$0"
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

# ---- build, all files at once ----
sources=(tests/backend/device_cuda_main.cu tests/backend/device_cuda_operations.cu tests/backend/device_cuda_attention.cu
    tests/backend/device_cuda_unet.cu bench/gpu.cu)
pids=()
objects=()
for source in "${sources[@]}"; do
    object=$build/$(basename "$source" .cu).o
    objects+=("$object")
    nvcc "${flags[@]}" -c "$source" -o "$object" >"$object.log" 2>&1 &
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
nvcc -arch="sm_$capability" "${objects[@]:0:4}" -lcublasLt -lcublas -o "$build/test_cuda" || exit 1
nvcc -arch="sm_$capability" "${objects[4]}" -lcublasLt -lcublas -o "$build/gpu" || exit 1
build_time=$(elapsed)

status=0
rows=()
row() { rows+=("$(printf '| %-38s | %-28s | %s |' "$1" "$2" "$3")"); }

# ---- tests: every operation, the UNet and a tuning step against the processor ----
if (cd tests && "$build/test_cuda" >"$build/test.log" 2>&1) && grep -q 'Status: SUCCESS' "$build/test.log"; then
    row "tests against the processor" "float32, double" "$(grep -o '[0-9]* passed' "$build/test.log" | head -n 1)"
else
    row "tests against the processor" "float32, double" "FAILED, see $build/test.log"
    status=1
fi
while read -r line; do
    row "${line%%,*}, Cuda against Cpu" "largest relative difference" "${line#*: }"
done < <(grep -o 'whole UNet, Cuda against Cpu: .*\|tuning step, Cuda against Cpu: .*' "$build/test.log")

# ---- compute-sanitizer on the kernels' tests ----
sanitize() { # name, tests
    if ! command -v compute-sanitizer >/dev/null; then
        row "compute-sanitizer $1" "kernel tests" "not run: compute-sanitizer is not installed"
    elif (cd tests && timeout 150 compute-sanitizer --tool "$1" --error-exitcode 9 "$build/test_cuda" -tc="$2") \
        >"$build/$1.log" 2>&1; then
        row "compute-sanitizer $1" "kernel tests" "passed"
    elif [ $? -eq 124 ]; then
        row "compute-sanitizer $1" "kernel tests" "not finished in 150 s, nothing found so far: $build/$1.log"
    else
        row "compute-sanitizer $1" "kernel tests" "FAILED, see $build/$1.log"
        status=1
    fi
}
sanitize memcheck '*attention*,*norm*,*column sums*,*convolution and its*,*gemm: batches*'
sanitize racecheck '*attention: causal*,*attention: key lists*,*attention: along*,*layer norm*,*group norm*,*column sums*'

# ---- measurements ----
if ! timeout 240 "$build/gpu" >"$build/gpu.log" 2>"$build/gpu.err"; then
    row "measurements" "" "FAILED or not finished in 240 s: $(tail -n 1 "$build/gpu.err")"
    status=1
fi

echo
echo "$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | head -n 1);" \
    "$(nvcc --version | grep -o 'release [0-9.]*'); built in $build_time, done after $(elapsed)"
echo
printf '| %-38s | %-28s | %s |\n' what how result
echo "|---|---|---|"
printf '%s\n' "${rows[@]}"
cat "$build/gpu.log"
echo
echo "Not measured, because it does not exist yet: a whole edit on the GPU, weights and activations in 16 bits, PyTorch on"
echo "the same machine."
exit $status
