#!/bin/bash
# Runs the tests under sanitizers: memory (AddressSanitizer and UndefinedBehaviorSanitizer), threads (ThreadSanitizer), valgrind.
#
#   tests/sanitizers.sh [KIND] [REGEX]     # all three, each with its usual tests; a kind alone; those that REGEX matches
#
# Each kind has a build folder of its own in build/sanitizers (or $REEL_SANITIZERS_FOLDER), where a test is built when its
# turn comes. What has passed is noted with a digest of the tree: a run that was stopped goes on, and after a change all is
# run again. Logs are beside it; the exit status is 1 when something failed. $REEL_SANITIZERS_OPTIONS goes to cmake.
# oneDNN and CUDA are left out: they are not instrumented.
set -u
cd "$(dirname "$0")/.." || exit 2
root=${REEL_SANITIZERS_FOLDER:-build/sanitizers}
mkdir -p "$root" || exit 2
root=$(realpath "$root")
kinds=("${1:-}")
[ -n "${kinds[0]}" ] || kinds=(memory threads valgrind)
regex=${2:-}
tree=$({ git rev-parse HEAD && git diff HEAD && git ls-files -o --exclude-standard -z | xargs -0 -r sha256sum; } | sha256sum | cut -c1-16)
failed=0

flags_of() {
    case $1 in
    memory) echo "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer" ;;
    threads) echo "-fsanitize=thread" ;;
    valgrind) echo "" ;;
    *) return 1 ;;
    esac
}

# What a kind runs unless it is told: everything; what has threads; what reads files and texts.
usual_tests() {
    case $1 in
    memory) echo . ;;
    threads) echo '^(core_threads|core_progress|core_random|io_atomic_file|io_video|ops_|backend_|autograd_|nn_|models_|pipelines_|optim_)' ;;
    valgrind) echo '^(core_|io_|fix_text|text_|clip_tokenizer|tokenizer_|fuzz_|schedulers_)' ;;
    esac
}

# run_test KIND BUILD NAME: by ctest, or under valgrind as ctest would.
run_test() {
    if [ "$1" != valgrind ]; then
        ctest --test-dir "$2" -R "^$3\$" --output-on-failure --timeout 7200
        return
    fi
    ctest --test-dir "$2" -R "^$3\$" --show-only=json-v1 | python3 -c '
import json, os, sys
test = json.load(sys.stdin)["tests"][0]
properties = {p["name"]: p["value"] for p in test.get("properties", [])}
os.chdir(properties.get("WORKING_DIRECTORY", "."))
checked = ["valgrind", "-q", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite", "--num-callers=30"]
sys.stdout.flush()
os.execvp(checked[0], checked + test["command"])'
}

export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:check_initialization_order=1:allocator_may_return_null=1
export UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=second_deadlock_stack=1
for kind in "${kinds[@]}"; do
    flags=$(flags_of "$kind") || { echo "no kind $kind: memory, threads or valgrind" >&2; exit 2; }
    build=$root/$kind
    passed=$root/$kind.passed.$tree
    touch "$passed"
    generator=()
    [ -e "$build/CMakeCache.txt" ] || ! command -v ninja >/dev/null || generator=(-G Ninja)
    # shellcheck disable=SC2086
    cmake -S . -B "$build" "${generator[@]}" -DCMAKE_BUILD_TYPE=None "-DCMAKE_CXX_FLAGS=-O1 -g $flags" -DREEL_NATIVE=OFF \
        -DREEL_WARNINGS_AS_ERRORS=OFF -DREEL_ONEDNN=OFF -DREEL_CUDA=OFF ${REEL_SANITIZERS_OPTIONS:-} >"$root/$kind.log" 2>&1 ||
        { cat "$root/$kind.log"; exit 2; }
    targets=$(cmake --build "$build" --target help)
    mapfile -t tests < <(ctest --test-dir "$build" -N -R "${regex:-$(usual_tests "$kind")}" | sed -n 's/^ *Test *#[0-9]*: //p')
    mkdir -p "$root/$kind.logs"
    count=0
    for name in "${tests[@]}"; do
        grep -qxF "$name" "$passed" && { count=$((count + 1)); continue; }
        log=$root/$kind.logs/$name
        target=$(grep -oxE "(\.\.\. )?(test_)?$name(: phony.*)?" <<<"$targets" | head -1 | sed 's/^\.\.\. //; s/:.*//')
        if [ -n "$target" ] && ! cmake --build "$build" --target "$target" --parallel "${REEL_JOBS:-$(nproc)}" >"$log" 2>&1; then
            echo "$kind: $name: NOT BUILT, see $log"
            failed=1
        elif run_test "$kind" "$build" "$name" >"$log" 2>&1; then
            if grep -q '\*\*\*Skipped' "$log"; then
                echo "$kind: $name: skipped, see $log"
                continue
            fi
            echo "$name" >>"$passed"
            count=$((count + 1))
            echo "$kind: $name: passed"
        else
            echo "$kind: $name: FAILED, see $log"
            failed=1
        fi
    done
    echo "$kind: $count of ${#tests[@]} tests passed for this tree"
done
exit $failed
