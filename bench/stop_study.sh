#!/bin/sh
# Whether a study that is killed, or shared between processes, comes to the same bytes as one that is left alone.
#
# bench/stop_study.sh RUN_STUDY MANIFEST [KEY=VALUE...] [OPTION...]
#     runs the manifest (with these values of its options, and those options of run_study) without a stop; then killed at
#     three random moments and continued; as two processes at once; and where there is mpirun, as mpirun -n 2. Compares
#     all that they wrote but record.json and tensorboard/, which hold times, and counts how often each piece of work was
#     done. Exits with 1 where something differs or was done twice. KEEP=DIR keeps what was written in a new folder DIR.
#
#     bench/stop_study.sh build/examples/run_study examples/studies/seed_clips.yaml \
#         max_train_steps=12 num_inv_steps=6 num_inference_steps=6 width=64 height=64 --model demo/model --threads 1
set -eu
[ $# -ge 2 ] || { sed -n 2,12p "$0" >&2; exit 2; }
program=$(realpath "$1")
manifest=$(realpath "$2")
shift 2
if [ -n "${KEEP:-}" ]; then
    mkdir "$KEEP"
    work=$(realpath "$KEEP")
else
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi

# The manifest with its relative paths made absolute, and with the values asked for.
sed -E "s#^( *[a-z_A-Z]+: )(\.\.?/)#\1$(dirname "$manifest")/\2#" "$manifest" > "$work/study.yaml"
while [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; do
    grep -qE "^ +${1%%=*}: " "$work/study.yaml" || { echo "${1%%=*}: no option of $manifest" >&2; exit 2; }
    sed -E -i "s#^( +${1%%=*}: ).*#\1${1#*=}#" "$work/study.yaml"
    shift
done

study() { # study NAME OPTION...: a process that works in folder NAME
    name=$1
    shift
    "$program" "$work/study.yaml" --output "$work/$name" "$@" >> "$work/$name.log" 2>> "$work/$name.err"
}
work_done() { # NAME...: a line for every piece of work that was finished
    for name; do
        grep -hE '^(tuned|inverted|sampled|wrote) ' "$work/$name".log* | sed 's/ in .*//; s#^wrote .*#wrote the report#'
    done
}
bad=0
check() { # check NAME TEXT: what NAME has against the run without a stop
    if ! diff -r -x record.json -x tensorboard "$work/whole" "$work/$1" > "$work/$1.diff"; then
        head -5 "$work/$1.diff"
        echo "$2: DIFFERS"
        bad=1
    elif [ -n "$(work_done "$1" | sort | uniq -d)" ]; then
        work_done "$1" | sort | uniq -d | sed 's/$/: more than once/'
        bad=1
    elif [ "$(work_done "$1" | sort)" != "$(work_done whole | sort)" ]; then
        # A process killed between finishing a piece of work and saying so.
        echo "$2: equal; $(work_done "$1" | wc -l) pieces of work reported, each once"
    else
        echo "$2: equal, and each piece of work done once"
    fi
}

start=$(date +%s.%N)
study whole "$@"
seconds=$(echo "$start $(date +%s.%N)" | awk '{ printf "%.2f", $2 - $1 }')
files=$(find "$work/whole" -type f ! -name record.json ! -path '*/tensorboard/*' -exec cat {} + | wc -c)
count=$(find "$work/whole" -type f ! -name record.json ! -path '*/tensorboard/*' | wc -l)
echo "without a stop: $seconds s, $(work_done whole | wc -l) pieces of work, $count files of $files bytes to compare"

# Three moments, each uniform over a third of the time that the whole took; the run after them is left alone. A machine
# that is quicker than before may be done too early: then all over again, with less patience.
kills=0
while [ $kills -lt 3 ]; do
    moment=$(od -An -N4 -tu4 /dev/urandom | awk -v all="$seconds" '{ printf "%.2f", $1 / 4294967296 * all / 3 }')
    "$program" "$work/study.yaml" --output "$work/killed" "$@" >> "$work/killed.log" 2>> "$work/killed.err" &
    process=$!
    sleep "$moment"
    if kill -KILL $process 2> "$work/kill.err"; then
        kills=$((kills + 1))
        echo "killed after $moment s more: $(find "$work/killed" -path '*/cells/[!.]*/metrics.json' | wc -l) cells," \
            "unfinished: $(find "$work/killed" -mindepth 1 \( -name '.*' -o -name 'checkpoint-*' \) -prune -print | wc -l)"
    else
        echo "done before it could be killed; from the beginning"
        kills=0
        seconds=$(echo "$seconds" | awk '{ print $1 * 0.7 }')
        rm -rf "$work/killed" "$work/killed.log"
    fi
    wait $process 2> "$work/wait.err" || true
done
study killed "$@"
check killed "killed $kills times"

study shared "$@" &
first=$!
"$program" "$work/study.yaml" --output "$work/shared" "$@" > "$work/shared.log2" 2> "$work/shared.err2"
wait $first
echo "two processes: $(grep -c '^sampled' "$work/shared.log" || true) and $(grep -c '^sampled' "$work/shared.log2" || true) cells"
check shared "two processes"

if command -v mpirun > "$work/mpirun.path"; then
    mpirun -n 2 "$program" "$work/study.yaml" --output "$work/mpi" "$@" > "$work/mpi.log" 2> "$work/mpi.err"
    check mpi "mpirun -n 2"
else
    echo "mpirun is not there, and was not tried"
fi
exit $bad
