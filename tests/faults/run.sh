#!/bin/bash
# Ends programs at the worst moments, goes on, and compares with a run that nothing happened to, byte for byte.
#
#   tests/faults/run.sh [N] [PROGRAM...]
#
# For each of tune_video, train_text_to_image, run_study, insert_object and convert_checkpoint, on a tiny model: N times
# (default 10) killed at a random moment; N times with one call of the system that fails (write, fsync, rename, open for
# writing, mmap; once with EIO, or with ENOSPC from then on); with a full disk, with one that cannot be written, and two
# at once. A run that failed must say so in one line and end with a status that is no signal's; what comes after must
# give the same bytes as ever, and leave no temporary. The programs are those of $REEL_BUILD (default build). Counts are
# added up in $REEL_FAULTS_FOLDER (default build/faults), so that it may be stopped and run again; what went wrong stays
# there. The exit status is 1 when something did.
set -u
cd "$(dirname "$0")/../.." || exit 2
rounds=${1:-10}
shift
all=(tune_video train_text_to_image run_study insert_object convert_checkpoint)
programs=("$@")
[ ${#programs[@]} -gt 0 ] || programs=("${all[@]}")
bin=$(realpath "${REEL_BUILD:-build}")/examples
folder=${REEL_FAULTS_FOLDER:-build/faults}
mkdir -p "$folder" || exit 2
folder=$(realpath "$folder")
model=$(realpath tests/golden/sd1_tiny)
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
shim=$work/failing_calls.so
${CC:-cc} -O1 -shared -fPIC tests/faults/failing_calls.c -o "$shim" -ldl || exit 2
"$bin/make_demo" "$work/demo" >/dev/null || exit 2
clip=$work/demo/clip.mp4
bad=0

find_program() { find "$bin" -maxdepth 2 -type f -name "$1" -perm -u+x -print -quit; }

launch= # exec, to be the process itself
# run PROGRAM OUT: what is run, into a folder; goes on where it can.
run() {
    local program=$1 out=$2 binary
    binary=$(find_program "$program")
    case $program in
    tune_video)
        sed "s#OUT#$out#" >"$out.yaml" <<YAML
pretrained_model_path: $model
output_dir: OUT
train_data: {video_path: $clip, prompt: a man, n_sample_frames: 3, width: 32, height: 32}
validation_data: {prompts: [a dog], num_inference_steps: 3, num_inv_steps: 3, use_inv_latent: true}
max_train_steps: 8
checkpointing_steps: 2
validation_steps: 4
resume_from_checkpoint: latest
mixed_precision: no
seed: 1
YAML
        $launch "$binary" --config "$out.yaml" --threads 1 ;;
    train_text_to_image)
        $launch "$binary" --output "$out" --resolution 16 --vae_channels 8,8,8 --vae_groups 4 --vae_batch_size 4 --vae_steps 12 \
            --vae_decay_steps 4 --text_width 8 --text_layers 1 --text_heads 2 --vocab_size 600 --unet_channels 8,8 \
            --unet_attention 0,1 --unet_groups 4 --unet_heads 2 --train_batch_size 4 --max_train_steps 12 \
            --lr_warmup_steps 4 --lr_decay_steps 4 --checkpointing_steps 4 --validation_steps 3 --sample_steps 6 \
            --seed 5 --threads 1 --resume ;;
    run_study)
        cat >"$out.yaml" <<YAML
model: $model
samplers: [ddim]
options: {n_sample_frames: 2, width: 32, height: 32, max_train_steps: 6, checkpointing_steps: 2, num_inv_steps: 2,
          num_inference_steps: 2}
objects: {racket: {prompt: a man, captions: [a dog, a cat], clips: {first: $clip}}}
YAML
        $launch "$binary" "$out.yaml" --output "$out" --threads 1 --retry_failed ;;
    insert_object)
        $launch "$binary" --model "$model" --video "$clip" --prompt "a man" --edit "a dog" --output "$out" --save_tuned \
            "$out/tuned" --n_sample_frames 3 --width 32 --height 32 --max_train_steps 4 --num_inv_steps 3 \
            --num_inference_steps 3 --threads 1 ;;
    convert_checkpoint)
        # A new folder is asked for: one that is there is whole.
        [ -d "$out" ] || $launch "$binary" "$model" "$out" --dtype fp16 ;;
    esac
}

# What counts of a folder: all files but those that hold times and the machine, and without columns of seconds.
digest() {
    (cd "$1" 2>/dev/null && find . -type f ! -name record.json ! -name manifest.json ! -path '*/tensorboard/*' \
        ! -name model_files.json ! -path ./models/read.json ! -name config.yaml -print0 | sort -z |
        while IFS= read -r -d '' file; do
            case $file in
            */losses.csv | */log.csv) echo "$(sed 's/,[^,]*$//' "$file" | sha256sum) $file" ;;
            *) sha256sum "$file" ;;
            esac
        done)
}

count() { # count PROGRAM KIND RESULT
    echo "$(date -u +%F) $1 $2 $3" >>"$folder/counts"
}
wrong() { # wrong PROGRAM KIND OUT WHAT
    bad=1
    count "$1" "$2" wrong
    local kept
    kept=$(mktemp -d "$folder/wrong-$1-$2-XXXXXX")
    cp -r "$3" "$3".log "$kept" 2>/dev/null
    echo "$1, $2: $4; kept in $kept" | tee -a "$folder/wrong"
}

# finish PROGRAM KIND OUT: goes on to the end, and compares.
finish() {
    local program=$1 kind=$2 out=$3
    if ! run "$program" "$out" >>"$out.log" 2>&1; then
        wrong "$program" "$kind" "$out" "does not go on: $(tail -1 "$out.log")"
    elif [ "$(digest "$out")" != "$expected" ]; then
        diff <(echo "$expected") <(digest "$out") | head -4
        wrong "$program" "$kind" "$out" "other bytes than a run that nothing happened to"
    elif [ -n "$(find "$out" -name '.*' -print -quit)" ]; then
        wrong "$program" "$kind" "$out" "left $(find "$out" -name '.*' -print -quit)"
    else
        count "$program" "$kind" well
    fi
    rm -rf "$out" "$out".*
}

# failed PROGRAM KIND OUT STATUS: a run that something was done to must have said so, or not have minded.
failed() {
    if [ "$4" -ge 124 ]; then
        wrong "$1" "$2" "$3" "ended by a signal, status $4: $(tail -1 "$3.log")"
        return 1
    elif [ "$4" -ne 0 ] && ! grep -qE '(error|warning): ' "$3.log"; then
        wrong "$1" "$2" "$3" "failed without a word"
        return 1
    elif grep -qE 'all else is done and written|run_study: warning: ' "$3.log"; then
        rm -rf "$3" # what was done and said to lack a picture is not done again by itself
    fi
}

for program in "${programs[@]}"; do
    [ -n "$(find_program "$program")" ] || { echo "$program: not built in $bin" >&2; exit 2; }
    out=$work/$program
    begin=$(date +%s%N)
    REEL_COUNT=$work/calls LD_PRELOAD=$shim run "$program" "$out" >"$out.log" 2>&1 || { cat "$out.log"; exit 2; }
    took=$((($(date +%s%N) - begin) / 1000000))
    expected=$(digest "$out")
    rm -rf "$out" "$out".*

    for ((i = 0; i < rounds; ++i)); do # killed, some twice
        for ((k = 0; k <= i % 2; ++k)); do
            (launch=exec; run "$program" "$out") >>"$out.log" 2>&1 &
            process=$!
            sleep "$(printf '%d.%03d' $((RANDOM % (took + 1) / 1000)) $((RANDOM % (took + 1) % 1000)))"
            kill -KILL $process 2>/dev/null
            wait $process 2>/dev/null
        done
        finish "$program" killed "$out"
    done

    calls=(write fsync rename open mmap)
    for ((i = 0; i < rounds; ++i)); do
        call=${calls[$((i % 5))]}
        most=$(awk -v call="$call" '$1 == call {print $2; exit}' "$work/calls")
        number=$((RANDOM % (${most:-0} + 1) + 1))
        fault="$call $number EIO"
        [ $((RANDOM % 2)) = 0 ] || fault="$call $number+ ENOSPC"
        echo "REEL_FAIL=$fault" >"$out.log"
        REEL_FAIL=$fault LD_PRELOAD=$shim run "$program" "$out" >>"$out.log" 2>&1
        failed "$program" "$call" "$out" $? && finish "$program" "$call" "$out"
    done
    rm -f "$work/calls"

    for kilobytes in 4 64 400; do # files that may not grow: as a full disk
        (ulimit -f $kilobytes; run "$program" "$out") >"$out.log" 2>&1
        failed "$program" full "$out" $? && finish "$program" full "$out"
    done

    REEL_FAIL="open 1+ EROFS" LD_PRELOAD=$shim run "$program" "$out" >"$out.log" 2>&1 # a disk that cannot be written
    status=$?
    if [ $status = 0 ]; then
        wrong "$program" read-only "$out" "ended well where nothing could be written"
    else
        failed "$program" read-only "$out" $status && finish "$program" read-only "$out"
    fi

    run "$program" "$out" >"$out.log" 2>&1 & # two at once: one, or both of a study, do it
    first=$!
    (sleep 0.05; run "$program" "$out") >"$out.second.log" 2>&1
    second=$?
    wait $first
    first=$?
    if [ $first -ge 124 ] || [ $second -ge 124 ] || { [ $first -ne 0 ] && [ $second -ne 0 ]; }; then
        wrong "$program" two "$out" "two at once ended with $first and $second"
    else
        finish "$program" two "$out"
    fi
    awk -v program="$program" '$2 == program {++n[$3]; bad[$3] += $4 == "wrong"}
        END {line = program ":"; for (kind in n) line = line " " kind " " n[kind] (bad[kind] ? " (" bad[kind] " wrong)" : "");
             print line}' "$folder/counts"
done
awk '{++n; bad += $4 == "wrong"} END {print n " ends in all, " bad + 0 " wrong"}' "$folder/counts"
exit $bad
