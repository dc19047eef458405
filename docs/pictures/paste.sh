#!/bin/sh
# Makes paste.png again: eight drawn clips side by side, as one of 1920x1080 with a tone, and a suitcase for one of them.
#
# docs/pictures/paste.sh BUILD DIR   BUILD: where reel is built; DIR: what is made on the way. Needs the program ffmpeg.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
programs=$(cd "$1/examples" && pwd)
mkdir -p "$2"
cd "$2"

"$programs/draw_world" crowd --clips 11 --frames 24 --size 540 --seed 1000
# shellcheck disable=SC2046  # words
ffmpeg -v error -y $(printf -- '-i crowd/%s/source.mp4 ' 0000 0007 0008 0002 0004 0010 0001 0009) \
    -f lavfi -i sine=frequency=330:duration=1 -filter_complex \
    "$(printf '[%s:v]crop=480:540[c%s];' 0 0 1 1 2 2 3 3 4 4 5 5 6 6 7 7)
    [c0][c1][c2][c3]hstack=4[a];[c4][c5][c6][c7]hstack=4[b];[a][b]vstack,format=yuv444p[v]" \
    -map '[v]' -map 8:a -frames:v 8 -c:v libx264 -crf 12 -c:a aac crowd.mp4

"$programs/insert_object" --model "$root/examples/model" --video crowd.mp4 \
    --prompt "a man is pulling" --edit "a man is pulling a blue suitcase" --preset insert \
    --n_sample_frames 8 --width 64 --height 64 --max_train_steps 60 --learning_rate 2e-4 \
    --num_inv_steps 20 --num_inference_steps 20 --guidance_scale 3 --gradient_checkpointing false \
    --mask_box 560,60,330,420 --paste --paste_context 0.13 --lossless true --output out

picture='select=eq(n\,5),scale=720:-1:flags=area'
ffmpeg -v error -y -i crowd.mp4 -i out/edit-1-a_man_is_pulling_a_blue_suitcase.mp4 -filter_complex \
    "[0]$picture,pad=iw+8:ih:0:0:white[a];[1]$picture[b];[a][b]hstack,split[x][y];[x]palettegen=max_colors=200[p];
    [y][p]paletteuse=dither=none" -frames:v 1 paste.png
