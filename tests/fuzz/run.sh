#!/bin/bash
# Fuzzes reel's readers with clang's libFuzzer, under AddressSanitizer and UndefinedBehaviorSanitizer.
#
#   tests/fuzz/run.sh MINUTES [TARGET...]
#
# Each target has its share of the minutes, one after the other at low priority. What was found goes on from the last
# time: working corpora, crashes and logs are in build/fuzz (or $REEL_FUZZ_FOLDER), and a run can be stopped at any
# moment. Afterwards the smallest set of inputs that reaches as much is in build/fuzz/TARGET/small, for
# tests/fuzz/corpus. The exit status is 1 when something was found.
set -u
cd "$(dirname "$0")/../.." || exit 2
minutes=${1:?usage: tests/fuzz/run.sh MINUTES [TARGET...]}
shift
all=(safetensors sharded_index torch_checkpoint ldm_names lora model_config scheduler_config tokenizer_files prompt yaml pictures records)
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=("${all[@]}")
work=${REEL_FUZZ_FOLDER:-build/fuzz}
seconds=$((minutes * 60 / ${#targets[@]}))
found=0

build() {
    local binary=$work/$1/fuzz
    # Built anew when a header is newer.
    if [ ! -x "$binary" ] || [ -n "$(find include tests/fuzz/"$1".cpp tests/fuzz/fuzz.hpp -newer "$binary" -print -quit)" ]; then
        ${CXX:-clang++} -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -DREEL_LIBFUZZER \
            -Iinclude -Itests -I/usr/include/eigen3 tests/fuzz/"$1".cpp -o "$binary" \
            -lz -lpng -lyaml-cpp -lutf8proc -lpthread
    fi
}

# Golden files, as this target wants them.
seed() {
    local into=$work/$1/seeds
    mkdir -p "$into"
    case $1 in
    safetensors) cp tests/io/golden/weights/*.safetensors "$into" ;;
    torch_checkpoint)
        for file in tests/io/golden/weights/*.{pt,bin}; do
            { printf '\0'; cat "$file"; } >"$into/$(basename "$file")"
            if pickle=$(unzip -Z1 "$file" 2>/dev/null | grep 'data.pkl$'); then
                { printf '\1'; unzip -p "$file" "$pickle"; } >"$into/$(basename "$file").pickle"
            fi
        done ;;
    prompt)
        printf 'a man is swinging a tennis racket' >"$into/plain"
        printf 'sch\303\203\302\266n &amp;eacute; \357\254\201 \342\200\231 <|endoftext|>!!' >"$into/repairs" ;;
    yaml) cp examples/*.yaml examples/*/*.yaml tests/io/golden/*.yaml "$into" 2>/dev/null ;;
    esac
}

for target in "${targets[@]}"; do
    mkdir -p "$work/$target"/{corpus,crashes}
    build "$target" || exit 2
    seed "$target"
    words=()
    [ -f "tests/fuzz/$target.dict" ] && words=("-dict=tests/fuzz/$target.dict")
    echo "$target: $seconds s"
    nice -n 19 "$work/$target/fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1536 -max_len=16384 \
        -print_final_stats=1 -artifact_prefix="$work/$target/crashes/" "${words[@]}" \
        "$work/$target/corpus" "tests/fuzz/corpus/$target" "$work/$target/seeds" >"$work/$target/last.log" 2>&1
    status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$target/last.log")
    echo "$(date -u +%F) ${runs:-0}" >>"$work/$target/runs"
    echo "$target: ${runs:-?} inputs, $(awk '{n += $2} END {print n}' "$work/$target/runs") in all"
    if [ $status -ne 0 ]; then
        echo "$target: FOUND something, see $work/$target/crashes and last.log"
        found=1
    fi
    rm -rf "$work/$target/small"
    mkdir -p "$work/$target/small"
    nice -n 19 "$work/$target/fuzz" -merge=1 -max_len=2048 "$work/$target/small" "tests/fuzz/corpus/$target" \
        "$work/$target/corpus" "$work/$target/seeds" >"$work/$target/merge.log" 2>&1
done
exit $found
