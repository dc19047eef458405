#!/usr/bin/env bash
# A GIF's short delays mean another time to every reader. Five pictures, written by Pillow with 0, 10, 20 and 30 ms each:
#
#   delay   OpenCV 4.12.0.88   PyAV 18.1.0: average_rate, guessed_rate, times of the pictures    decord 0.6.0
#    0 ms   10 a second        12.5, 10, every 0.1 s                                             raises an error
#   10 ms   10 a second        100, 100, every 0.01 s                                            raises an error
#   20 ms   50 a second        50, 50, every 0.02 s                                              raises an error
#   30 ms   33.3 a second      33.3, 33, every 0.03 s                                            raises an error
#
# Why: FFmpeg's demuxer replaces delays below min_delay by default_delay (0.1 s). The FFmpeg in OpenCV's package has a min_delay
# of 2 hundredths; the one in PyAV's takes 1 hundredth as it is. PyAV's average_rate is the container's estimate
# and is not what the pictures' own times say where no delay is given; guessed_rate is, but is a whole number for 30 ms.
# decord finds no duration in a GIF and gives up ("broken metadata"), though Tune-A-Video and its followers read clips with it.
# Exits 0 while it is so, 1 when it has changed. Needs Python 3.11 and PyPI; installs into a temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --only-binary :all: \
    numpy==2.2.6 pillow==12.0.0 av==18.1.0 opencv-python-headless==4.12.0.88 decord==0.6.0
cat > "$folder/readers.py" <<'PYTHON'
import sys

import av
import cv2
import decord
from PIL import Image

expected = {0: (10.0, 12.5, 10.0, 0.1), 10: (10.0, 100.0, 100.0, 0.01), 20: (50.0, 50.0, 50.0, 0.02), 30: (33.33, 33.33, 33.0, 0.03)}
changed = False
for delay, right in expected.items():
    name = f"{delay}.gif"
    pictures = [Image.new("L", (16, 16), 50 * i) for i in range(5)]
    pictures[0].save(name, save_all=True, append_images=pictures[1:], duration=delay, loop=0)
    with av.open(name) as clip:
        stream = clip.streams.video[0]
        times = [float(picture.time) for picture in clip.decode(stream)]
        found = (cv2.VideoCapture(name).get(cv2.CAP_PROP_FPS), float(stream.average_rate), float(stream.guessed_rate), times[1] - times[0])
    try:
        by_decord = decord.VideoReader(name).get_avg_fps()
    except decord.DECORDError as error:
        by_decord = "raises: " + str(error).strip().split("] ")[-1]
    found = tuple(round(number, 2) for number in found)
    print(f"{delay} ms: OpenCV {found[0]}, PyAV {found[1]} {found[2]} every {found[3]} s, decord {by_decord}")
    changed |= found != right or not str(by_decord).startswith("raises")
sys.exit(changed)
PYTHON
cd "$folder" && venv/bin/python readers.py
