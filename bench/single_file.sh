#!/usr/bin/env bash
# Does a model in one file start as fast as its folder? bench/single_file.sh BUILD DIR [ROUNDS] makes a model of Stable
# Diffusion 1.4's size with random weights in DIR (4 GB; kept), the same in one file (.safetensors, .ckpt), and times
# bench/start on each in turn: from the shell to before the first denoising step. Says the median seconds, the ratio to the
# folder's, and the peak of memory. The build needs -DREEL_BUILD_BENCH=ON.
set -euo pipefail
build=$1
folder=$2
rounds=${3:-5}
mkdir -p "$folder"
[ -d "$folder/model" ] || "$build/examples/make_demo" "$folder" --full_size
for ending in safetensors ckpt; do
    [ -f "$folder/model.$ending" ] || "$build/examples/convert_checkpoint" "$folder/model" "$folder/model.$ending"
done
python3 - "$build/bench/start" "$folder" "$rounds" <<'PYTHON'
import json
import statistics
import subprocess
import sys
import time

start, folder, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
tokenizer = ["--tokenizer", f"{folder}/model/tokenizer"]
commands = {"folder": [start, f"{folder}/model"], ".safetensors": [start, f"{folder}/model.safetensors", *tokenizer],
            ".ckpt": [start, f"{folder}/model.ckpt", *tokenizer]}
seconds, said = {name: [] for name in commands}, {}
for turn in range(rounds + 1):  # the first reads the files into memory
    for name, command in commands.items():
        begin = time.monotonic()
        said[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        if turn > 0:
            seconds[name].append(time.monotonic() - begin)
assert len({s["result"] for s in said.values()}) == 1, said
usual = statistics.median(seconds["folder"])
for name, times in seconds.items():
    median = statistics.median(times)
    print(f"{name:13s} {median:6.2f} s ({min(times):.2f}..{max(times):.2f})  ratio {median / usual:.2f}  "
          f"{said[name]['peak_resident_bytes'] / 1e9:.2f} GB")
PYTHON
