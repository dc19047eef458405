#!/bin/bash
# Installs what a fresh Debian 12 lacks, builds the programs and runs the whole job: a drawn clip is tuned on, inverted
# and edited. Pictures go to out/demo. See README.md.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/packages.sh

install_packages "${reel_packages[@]}"
cmake -S . -B build/demo -DREEL_BUILD_TESTS=OFF
cmake --build build/demo --parallel "$(build_jobs)"
build/demo/examples/make_demo out/demo_input
build/demo/examples/insert_object --model out/demo_input/model --video out/demo_input/clip.mp4 \
    --prompt "a man is swinging" --edit "a man is swinging a red tennis racket" \
    --n_sample_frames 8 --width 64 --height 64 \
    --max_train_steps 20 --num_inv_steps 10 --num_inference_steps 10 --output out/demo

cat <<END

The whole job ran: tuning on the clip, inversion, and an edit by another prompt.
The model's weights are random numbers, which have learned nothing: the edited clip is noise, and should be.
With the folder of a trained Stable Diffusion as --model the same command edits a clip.
The pictures and everything else it wrote are in $PWD/out/demo:
END
ls out/demo
