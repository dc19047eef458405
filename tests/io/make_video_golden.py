"""Makes the clips and pixel values that test_video_golden.cpp compares with.

    pip install "numpy<2" decord==0.6.0      # and the ffmpeg program, 5.1
    python tests/io/make_video_golden.py tests/io/golden

video_golden.mp4      5 frames of 96x64, MPEG-4 part 2, yuv420p, 30 fps
video_rotated.mp4     the same, marked to be shown turned by 90 degrees, with a sound track
video_golden.rgb      what decord makes of them, as 8-bit RGB, one block after the other (see BLOCKS)
"""

import pathlib
import subprocess
import sys

import decord

# clip, width, height (0: the clip's own size), frames
BLOCKS = [
    ("video_golden.mp4", 0, 0, [0]),
    ("video_golden.mp4", 96, 64, [2]),
    ("video_golden.mp4", 32, 32, [1, 3]),
    ("video_golden.mp4", 128, 80, [4]),
    ("video_rotated.mp4", 0, 0, [0]),
    ("video_rotated.mp4", 64, 48, [1]),
]


def ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-y", "-v", "error", *map(str, arguments)], check=True)


def main():
    folder = pathlib.Path(sys.argv[1])
    clip = folder / "video_golden.mp4"
    exact = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact", "-threads", "1"]
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=30", "-frames:v", 5, "-c:v", "mpeg4", "-q:v", 6,
           "-pix_fmt", "yuv420p", *exact, clip)
    ffmpeg("-i", clip, "-f", "lavfi", "-i", "sine=frequency=440:duration=0.16", "-map", "0:v", "-map", "1:a",
           "-c:v", "copy", "-c:a", "aac", "-b:a", "16k", "-metadata:s:v", "rotate=90", *exact,
           folder / "video_rotated.mp4")
    with open(folder / "video_golden.rgb", "wb") as out:
        for name, width, height, frames in BLOCKS:
            size = {"width": width, "height": height} if width else {}
            reader = decord.VideoReader(str(folder / name), **size)
            assert len(reader) == 5, len(reader)
            out.write(reader.get_batch(frames).asnumpy().tobytes())


if __name__ == "__main__":
    main()
