#!/usr/bin/env python3
"""Makes small clips, one of each kind that people have, with ffmpeg, and a table of what is in them by PyAV and ffmpeg.

    pip install av==18.1.0 numpy==2.4.6 pillow==13.0.0
    python tests/video_tools/make_kinds.py tests/video_tools/kinds   # clips and kinds.json, with FFmpeg 5.1

test_kinds.cpp compares reel with the table. Frame i shows a white square at a place that i gives, on a gradient, so
that any mistake of order, time or place is seen in the table's small pictures.
"""

import json
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageOps

WIDTH, HEIGHT = 64, 48


def frame(i, width=WIDTH, height=HEIGHT):
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([40 + 100 * x // width, 40 + 100 * y // height, np.full_like(x, 110)], -1).astype(np.uint8)
    left, top = (8 * i) % (width - 8), 8 * (i % 4)
    picture[top : top + 12, left : left + 12] = (235, 225, 215)
    return picture


def raw(count, width=WIDTH, height=HEIGHT):
    return b"".join(frame(i, width, height).tobytes() for i in range(count))


class Kinds:
    def __init__(self, folder):
        self.folder = folder
        self.rows = []

    def ffmpeg(self, name, options, count=6, rate="10", size=(WIDTH, HEIGHT), before=(), more_inputs=(), **row):
        """A clip of drawn frames; `options` are the output's."""
        path = self.folder / name
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *before, "-f", "rawvideo", "-pix_fmt", "rgb24",
                   "-s", f"{size[0]}x{size[1]}", "-r", rate, "-i", "-", *more_inputs, *options, "-bitexact", str(path)]
        subprocess.run(command, input=raw(count, *size), check=True)
        return self.add(name, **row)

    def from_file(self, source, name, options, before=(), **row):
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *before, "-i", str(self.folder / source), *options,
                        "-bitexact", str(self.folder / name)], check=True)
        return self.add(name, **row)

    def add(self, name, **row):
        self.rows.append({"file": name, **row})
        return self.folder / name


H264 = ["-c:v", "libx264", "-crf", "12", "-pix_fmt", "yuv420p"]
VP9 = ["-c:v", "libvpx-vp9", "-crf", "20", "-b:v", "0", "-pix_fmt", "yuv420p"]
# Frames 0 to 5 begin at these thousandths of a second.
UNEVEN = "setpts='(eq(N,0)*0+eq(N,1)*40+eq(N,2)*400+eq(N,3)*433+eq(N,4)*1000+eq(N,5)*1100)/1000/TB'"


def rates(k):
    for rate in ["1", "5", "25/2", "24000/1001", "24", "25", "30000/1001", "30", "50", "60", "120", "240"]:
        k.ffmpeg(f"rate_{rate.replace('/', '_')}.mp4", H264, rate=rate)
    for rate, name in [("30000/1001", "29_97"), ("60", "60"), ("15", "15")]:
        k.ffmpeg(f"rate_{name}.mkv", H264, rate=rate)
        k.ffmpeg(f"rate_{name}.webm", VP9, rate=rate)
    k.ffmpeg("rate_29_97.avi", ["-c:v", "mpeg4", "-q:v", "3"], rate="30000/1001")
    k.ffmpeg("rate_25.ts", ["-c:v", "mpeg2video", "-q:v", "3"], rate="25")
    k.ffmpeg("rate_25.mpg", ["-c:v", "mpeg1video", "-q:v", "3"], rate="25")
    k.ffmpeg("rate_30.flv", ["-c:v", "flv1", "-q:v", "3"], rate="30")
    k.ffmpeg("rate_30.h264", H264, rate="30")
    k.ffmpeg("timescale_600.mov", H264 + ["-video_track_timescale", "600"], rate="30000/1001")
    k.ffmpeg("motion_jpeg.avi", ["-c:v", "mjpeg", "-q:v", "3"], rate="15")


def uneven(k):
    vfr = ["-vf", "settb=1/1000," + UNEVEN, "-fps_mode", "passthrough", "-enc_time_base", "1/1000"]
    k.ffmpeg("vfr.mp4", vfr + H264)
    k.ffmpeg("vfr_no_b.mov", vfr + H264 + ["-bf", "0"])
    k.ffmpeg("vfr.mkv", vfr + H264)
    k.ffmpeg("vfr.webm", vfr + VP9)
    k.ffmpeg("vfr.ts", vfr + H264)
    k.ffmpeg("vfr_sound.mp4", vfr + H264 + ["-c:a", "aac", "-b:a", "32k"], sound=True,
             more_inputs=["-f", "lavfi", "-i", "sine=frequency=440:duration=1.2"])
    # A browser's recording: no rate, no duration.
    live = ["-vf", "settb=1/1000,setpts='N*62.5'", "-fps_mode", "passthrough", "-enc_time_base", "1/1000", "-live", "1"]
    k.ffmpeg("browser.webm", live + VP9, count=40, rate="1000")
    k.ffmpeg("gap.webm", ["-vf", "settb=1/1000,setpts='N*125+gt(N,3)*375'", "-fps_mode", "passthrough",
                          "-enc_time_base", "1/1000"] + VP9, count=8, rate="8")
    last_long(k)


def last_long(k):
    """A last picture with a duration of its own: the one way to have it in an mp4 is to write it so."""
    path = k.folder / "last_long.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.options = {"crf": "12", "bf": "0"}
        packets = []
        for i in range(6):
            picture = av.VideoFrame.from_ndarray(frame(i), format="rgb24")
            picture.pts = 100 * i
            picture.time_base = Fraction(1, 1000)
            packets += stream.encode(picture)
        packets += stream.encode()
        for i, packet in enumerate(packets):
            packet.duration = 2000 if i == 5 else 100
            output.mux(packet)
    k.add("last_long.mp4")
    # PyAV does not tell how long Matroska's last picture is shown.
    true = {"last_duration": 2.0, "at_ten_a_second": 25}
    for name, options in [("last_long.mkv", H264), ("last_long.webm", VP9)]:
        source = k.ffmpeg(name, options + (["-bf", "0"] if options is H264 else []))
        with av.open(str(source)) as container:
            packets = list(container.demux(video=0))
            made = k.folder / ("made_" + name)
            with av.open(str(made), "w", options={"fflags": "+bitexact"}) as output:
                stream = output.add_stream_from_template(container.streams.video[0])
                for packet in packets:
                    if packet.pts is not None:
                        packet.stream = stream
                        packet.duration = int((2 if packet.pts * packet.time_base > 0.45 else Fraction(1, 10))
                                              / packet.time_base)
                        output.mux(packet)
        made.replace(source)
        k.rows[-1].update(true)
    # Said in the last block alone, as mkvmerge does; by a tag alone, as FFmpeg 5.1 does; by the file's head alone.
    data = (k.folder / "last_long.mkv").read_bytes().replace(b"DURATION", b"NOTHING_")
    at = data.index(b"\x44\x89\x88") + 3
    (k.folder / "last_long_block.mkv").write_bytes(data[:at] + struct.pack(">d", 600) + data[at + 8 :])
    k.add("last_long_block.mkv", **true)
    k.from_file("last_long.mkv", "last_long_tag.mkv", ["-c", "copy"], **true)
    data = (k.folder / "last_long_tag.mkv").read_bytes().replace(b"DURATION", b"NOTHING_")
    (k.folder / "last_long_head.mkv").write_bytes(data)
    k.add("last_long_head.mkv", **true)


def gifs(k):
    def gif(name, delays):
        pictures = [Image.fromarray(frame(i)).quantize(64) for i in range(len(delays))]
        pictures[0].save(k.folder / name, save_all=True, append_images=pictures[1:], loop=0, disposal=1,
                         duration=[10 * d for d in delays])
        k.add(name, players_delay=0.1 if delays[0] < 2 else None)

    for delay in [0, 1, 2, 3, 7, 10, 100]:
        gif(f"delay_{delay}.gif", [delay] * 5)
    gif("delays_uneven.gif", [10, 3, 50, 7, 100, 20])
    gif("two.gif", [12, 12])
    gif("one.gif", [50])
    k.ffmpeg("apng_uneven.apng", ["-vf", "settb=1/1000,setpts='N*120+gt(N,1)*10'", "-fps_mode", "passthrough",
                                  "-enc_time_base", "1/1000", "-c:v", "apng", "-plays", "0"], count=3)


def starts(k):
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=1.2"]
    sound = ["-c:a", "aac", "-b:a", "32k"]
    k.ffmpeg("late.mp4", H264 + ["-output_ts_offset", "1.5"])
    k.ffmpeg("late.mkv", H264 + ["-output_ts_offset", "1.5"])
    k.ffmpeg("late.ts", H264 + ["-output_ts_offset", "3"])
    k.ffmpeg("negative.mov", H264 + ["-output_ts_offset", "-0.25"])
    k.ffmpeg("sound_first.mp4", H264 + sound, before=["-itsoffset", "0.33"], more_inputs=tone, sound=True)
    k.ffmpeg("sound_first.mkv", H264 + sound, before=["-itsoffset", "0.33"], more_inputs=tone, sound=True)
    k.ffmpeg("pictures_first.mp4", H264 + sound, more_inputs=["-itsoffset", "0.33", *tone], sound=True)
    k.ffmpeg("sound.webm", VP9 + ["-c:a", "libopus", "-b:a", "32k"], more_inputs=tone, sound=True)
    for codec in ["flac", "truehd"]:
        k.ffmpeg(f"sound_{codec}.mkv", H264 + ["-c:a", codec, "-strict", "-2"],
                 more_inputs=[*tone, "-ac", "2", "-ar", "48000"], sound=True)
    k.ffmpeg("whole.mp4", H264 + ["-g", "10"], count=30)
    k.from_file("whole.mp4", "cut_without_encoding.mp4", ["-c", "copy", "-t", "1.6"], before=["-ss", "0.35"])
    k.from_file("whole.mp4", "cut_without_encoding.mkv", ["-c", "copy", "-t", "1.6"], before=["-ss", "1.05"])
    picture = k.folder / "cover.png"
    Image.fromarray(frame(3, 100, 100)).save(picture)
    k.ffmpeg("cover.mp4", ["-map", "0", "-map", "1", "-c:v:0", "libx264", "-pix_fmt:v:0", "yuv420p", "-c:v:1", "png",
                           "-disposition:v:1", "attached_pic"], more_inputs=["-i", str(picture)])
    picture.unlink()


def songs(k):
    """Sound with a cover picture: no clips, so not in the table."""
    picture = k.folder / "cover.png"
    Image.fromarray(frame(3, 100, 100)).save(picture)
    sound = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", "sine=frequency=440:duration=0.3"]
    shown = ["-i", str(picture), "-map", "0", "-map", "1", "-c:v", "png", "-disposition:v", "attached_pic"]
    attached = ["-attach", str(picture), "-metadata:s:t", "mimetype=image/png"]
    for name, cover in [("song.m4a", shown), ("song.mp3", shown), ("song.flac", shown), ("song.mka", attached)]:
        subprocess.run([*sound, *cover, "-bitexact", str(k.folder / name)], check=True)
    picture.unlink()


def display(k):
    """The eight ways to turn and mirror, as an mp4's track header has them."""
    source = k.ffmpeg("upright.mp4", H264, count=4)
    data = source.read_bytes()
    at = data.index(b"tkhd") + 4 + 40
    for name, (a, b, c, d) in {"turn_90": (0, 1, -1, 0), "turn_180": (-1, 0, 0, -1), "turn_270": (0, -1, 1, 0),
                               "mirror": (-1, 0, 0, 1), "mirror_180": (1, 0, 0, -1), "mirror_90": (0, 1, 1, 0),
                               "mirror_270": (0, -1, -1, 0)}.items():
        numbers = [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30]
        matrix = b"".join(n.to_bytes(4, "big", signed=True) for n in numbers)
        (k.folder / f"{name}.mp4").write_bytes(data[:at] + matrix + data[at + 36 :])
        k.add(f"{name}.mp4", matrix=[a, b, c, d])
    for suffix, codec in [("mp4", H264), ("mkv", H264), ("avi", ["-c:v", "mpeg4", "-q:v", "3"])]:
        k.ffmpeg(f"wide_pixels.{suffix}", ["-vf", "setsar=64/45", *codec], count=3)
    k.ffmpeg("narrow_pixels.mp4", ["-vf", "setsar=8/9", *H264], count=3)
    wide = (k.folder / "wide_pixels.mp4").read_bytes()
    at = wide.index(b"tkhd") + 4 + 40
    numbers = [0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30]
    (k.folder / "wide_turned.mp4").write_bytes(
        wide[:at] + b"".join(n.to_bytes(4, "big", signed=True) for n in numbers) + wide[at + 36 :])
    k.add("wide_turned.mp4", matrix=[0, 1, -1, 0])


def in_bt709(picture, transfer, matrix):
    """By the light that a screen makes of the numbers: sRGB's, or a power of 2.4 (BT.1886)."""
    v = picture / 255
    srgb = "iec" in transfer
    light = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4) if srgb else v**2.4
    light = np.clip(light @ np.array(matrix).T, 0, 1)
    v = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) if srgb else light ** (1 / 2.4)
    return np.round(255 * v).astype(np.uint8)


def pictures(k):
    for name, codec in [("odd.mp4", ["-c:v", "libx264", "-pix_fmt", "yuv444p", "-crf", "12"]), ("odd.webm", VP9),
                        ("odd.mkv", ["-c:v", "ffv1"]), ("odd.mov", ["-c:v", "qtrle"])]:
        k.ffmpeg(name, codec, count=3, size=(47, 33))
    k.ffmpeg("one_frame.mp4", H264, count=1)
    k.ffmpeg("interlaced.mpg", ["-vf", "tinterlace=interleave_top", "-c:v", "mpeg2video", "-q:v", "3", "-flags",
                                "+ildct+ilme"], count=12, rate="50", interlaced=True)
    k.ffmpeg("ten_bits.mp4", ["-c:v", "libx264", "-pix_fmt", "yuv420p10le", "-crf", "12"], count=3)
    k.ffmpeg("ten_bits_422.mov", ["-c:v", "prores_ks", "-pix_fmt", "yuv422p10le"], count=3)
    for name, transfer in [("pq", "smpte2084"), ("hlg", "arib-std-b67")]:
        k.ffmpeg(f"hdr_{name}.mp4", ["-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-crf", "12", "-x265-params",
                                     "log-level=none:colorprim=bt2020:colormatrix=bt2020nc:range=limited:transfer="
                                     + transfer, "-color_primaries", "bt2020", "-color_trc", transfer, "-colorspace",
                                     "bt2020nc", "-tag:v", "hvc1"], count=3, hdr=True)
    # Numbers as BT.2020 or P3 have them, and what BT.709 has for the same colours (ITU-R BT.2087).
    for name, primaries, transfer, space, matrix in [
            ("wide_2020.mp4", "bt2020", "bt2020-10", "bt2020nc",
             [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]]),
            ("wide_2020_untold.mkv", "bt2020", "bt709", "bt2020nc",
             [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]]),
            ("wide_p3.mov", "smpte432", "iec61966-2-1", "bt709",
             [[1.224940, -0.224940, 0], [-0.042057, 1.042057, 0], [-0.019638, -0.078636, 1.098274]])]:
        untold = "untold" in name  # nothing but the primaries
        told = [] if untold else ["-color_trc", transfer]
        vui = f"colorprim={primaries}:colormatrix={space}" + ("" if untold else f":transfer={transfer}")
        path = k.ffmpeg(name, ["-vf", f"scale=out_color_matrix={space.replace('nc', '')}", "-c:v", "libx264", "-crf", "8",
                               "-pix_fmt", "yuv444p10le", "-color_primaries", primaries, *told, "-colorspace", space,
                               "-x264-params", vui], count=3)
        mapped = [in_bt709(frame(i), transfer, matrix) for i in range(3)]
        k.rows[-1]["pictures"] = [small(picture) for picture in mapped]
        # ffmpeg's filter colorspace finds nearly the same, with the light of a scene in the place of a screen's.
        if primaries == "bt2020":
            by_filter = subprocess.run(
                ["ffmpeg", "-nostdin", "-v", "error", "-i", str(path), "-vf",
                 "colorspace=ispace=bt2020ncl:iprimaries=bt2020:itrc=bt709:irange=tv:space=bt709:primaries=bt709:"
                 "trc=bt709:range=tv,scale=in_color_matrix=bt709,format=rgb24", "-f", "rawvideo", "-"],
                stdout=subprocess.PIPE, check=True).stdout
            filtered = np.frombuffer(by_filter, np.uint8).reshape(3, HEIGHT, WIDTH, 3)
            assert np.abs(np.array([small(p) for p in filtered]) - np.array(k.rows[-1]["pictures"])).max() < 16, name
    k.ffmpeg("full_range.mp4", ["-vf", "scale=out_range=full", "-color_range", "pc", *H264], count=3)
    k.ffmpeg("alpha.webm", ["-vf", "format=yuva420p", "-c:v", "libvpx-vp9", "-crf", "20", "-b:v", "0", "-pix_fmt",
                            "yuva420p"], count=3)
    k.ffmpeg("alpha.mov", ["-vf", "format=argb", "-c:v", "qtrle"], count=3)
    k.ffmpeg("grey.mkv", ["-c:v", "ffv1", "-pix_fmt", "gray"], count=3)


def containers(k):
    k.ffmpeg("mpeg2.mxf", ["-c:v", "mpeg2video", "-q:v", "3"], rate="25")
    k.ffmpeg("vfr.nut", ["-vf", "settb=1/1000," + UNEVEN, "-fps_mode", "passthrough", "-enc_time_base", "1/1000",
                         *H264])
    k.ffmpeg("parts.mpjpeg", ["-c:v", "mjpeg", "-q:v", "3", "-f", "mpjpeg"], rate="25")
    k.ffmpeg("raw.y4m", ["-pix_fmt", "yuv420p"], rate="12", count=3)


def truncated(k):
    for name, options in [("cut.mp4", H264), ("cut.mkv", H264), ("cut.webm", VP9), ("cut.avi", ["-c:v", "mpeg4"]),
                          ("cut.gif", []), ("cut.ts", H264)]:
        k.ffmpeg(name, options, count=10)


def joined(k):
    """Transport streams that `cat` joined: their clocks jump back, forward by much or little, or do neither."""
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=0.6"]
    sound = ["-c:a", "aac", "-b:a", "32k"]
    mpeg2 = ["-c:v", "mpeg2video", "-q:v", "3", "-bf", "2"]
    h265 = ["-c:v", "libx265", "-crf", "12", "-pix_fmt", "yuv420p", "-x265-params", "log-level=none"]
    kinds = {"back": [(H264, 30), (H264, 0)], "far": [(H264, 0), (H264, 3000)], "near": [(H264, 0), (H264, 5)],
             "again": [(mpeg2, 0), (mpeg2, 0), (mpeg2, 7)], "on": [(H264, 0), (H264, 0.6)], "h265": [(h265, 9), (h265, 0)],
             "sound": [(H264 + sound, 8), (H264 + sound, 0), (H264 + sound, 0)]}
    for kind, parts in kinds.items():
        paths = []
        for i, (options, start) in enumerate(parts):
            path = k.ffmpeg(f"part_{i}.ts", options + ["-output_ts_offset", str(start)],
                            more_inputs=tone if kind == "sound" else ())
            k.rows.pop()
            paths.append(path)
        # What each part shows, one after the other.
        times, pictures = [], []
        for i, path in enumerate(paths):
            with av.open(str(path)) as container:
                decoded = list(container.decode(video=0))
            times += [round(0.6 * i + float((d.pts - decoded[0].pts) * d.time_base), 6) for d in decoded]
            pictures += [small(d.to_ndarray(format="rgb24")) for d in decoded]
        (k.folder / f"joined_{kind}.ts").write_bytes(b"".join(path.read_bytes() for path in paths))
        k.add(f"joined_{kind}.ts", parts=len(paths), frames=len(times), width=WIDTH, height=HEIGHT, times=times,
              last_duration=0.1, aspect=[1, 1], pictures=pictures, at_ten_a_second=6 * len(paths))
        for path in paths:
            path.unlink()


def turned_pictures(k):
    """Folders of pictures that Exif turns, each shown as 64x48: 1.jpg to 8.jpg by their orientation; other formats."""
    def save(folder, name, number, orientation, **options):
        exif = Image.Exif()
        exif[0x0112] = orientation
        upright = Image.fromarray(frame(number))
        undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # PIL's names of what exif_transpose() undoes
        stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
        (k.folder / folder).mkdir(exist_ok=True)
        stored.save(k.folder / folder / name, exif=exif, **options)

    for orientation in range(1, 9):
        save("exif_jpg", f"{orientation}.jpg", orientation, orientation, quality=92)
    for i, (orientation, kind) in enumerate([(1, "png"), (6, "webp"), (8, "png"), (5, "tif"), (7, "webp"), (3, "tif")]):
        save("exif_others", f"{i}.{kind}", i, orientation)
    rows = []
    for folder in ["exif_jpg", "exif_others"]:
        shown_ones = [np.array(ImageOps.exif_transpose(Image.open(path)))
                      for path in sorted((k.folder / folder).iterdir())]
        rows.append({"folder": folder, "pictures": [small(picture) for picture in shown_ones],
                     "width": shown_ones[0].shape[1], "height": shown_ones[0].shape[0]})
    return rows


def small(picture):
    """Means of 4x3 cells."""
    height, width = picture.shape[:2]
    rows = np.array_split(np.arange(height), 3)
    columns = np.array_split(np.arange(width), 4)
    return [[int(round(v)) for v in picture[np.ix_(r, c)].reshape(-1, 3).mean(0)] for r in rows for c in columns]


def shown(picture, matrix):
    """What a player makes of a decoded picture: a point (x, y) goes to (a x + c y, b x + d y)."""
    a, b, c, d = matrix
    if a == 0:
        picture = picture.transpose(1, 0, 2)
        return picture[:: b, :: c]
    return picture[:: d, :: a]


def frames_of(container, stream):
    try:
        yield from container.decode(stream)
    except av.error.InvalidDataError:
        if container.format.name != "mpjpeg":  # FFmpeg calls the end of the file so
            raise


def describe(folder, row):
    if "parts" in row:
        return
    path = str(folder / row["file"])
    container = av.open(path)
    stream = next(s for s in container.streams.video if not s.disposition & 0x400)
    times, durations, grids = [], [], []
    size = None
    first = None
    for decoded in frames_of(container, stream):
        rgb = decoded.to_ndarray(format="rgb24")
        rgb = shown(rgb, row.get("matrix", [1, 0, 0, 1]))
        size = size or [rgb.shape[1], rgb.shape[0]]
        if decoded.pts is not None:
            first = decoded.pts if first is None else first
            times.append(float((decoded.pts - first) * decoded.time_base))
        duration = getattr(decoded, "duration", 0) or 0
        durations.append(float(duration * (decoded.time_base or 0)))
        grids.append(small(rgb))
    # Browsers and FFmpeg 5.1 to 7 show a delay below 2 hundredths as 10.
    if delay := row.pop("players_delay", None):
        times = [delay * i for i in range(len(times))]
        durations = [delay] * len(times)
    aspect = stream.sample_aspect_ratio or Fraction(1, 1)
    if row.get("matrix", [1])[0] == 0:
        aspect = 1 / aspect
    # The same by ffmpeg: how many pictures of ten a second its filter makes.
    at_ten = subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-noautorotate", "-i", path,
                             "-map", f"0:{stream.index}", "-vf", "fps=10,scale=8:6:flags=area,format=rgb24", "-f", "rawvideo", "-"],
                            stdout=subprocess.PIPE, check=True).stdout
    known = {key: row[key] for key in ["last_duration", "at_ten_a_second", "pictures"] if key in row}
    row.update(frames=len(grids), width=size[0], height=size[1], times=[round(t, 6) for t in times],
               last_duration=round(durations[-1], 6), aspect=[aspect.numerator, aspect.denominator], pictures=grids,
               at_ten_a_second=len(at_ten) // (8 * 6 * 3))
    row.update(known)
    container.close()


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    k = Kinds(folder)
    for make in [rates, uneven, gifs, starts, songs, display, pictures, containers, truncated, joined]:
        make(k)
    for row in k.rows:
        describe(folder, row)
    folders = ",\n".join(json.dumps(row) for row in turned_pictures(k))
    versions = {"pyav": av.__version__, "libraries": {n: list(v) for n, v in av.library_versions.items()}}
    lines = ",\n".join(json.dumps(row) for row in k.rows)
    (folder / "kinds.json").write_text('{"made with": ' + json.dumps(versions) + ',\n"clips": [\n' + lines + '\n],\n"folders": [\n'
                                       + folders + "\n]}\n")
    print(len(k.rows), "clips")


if __name__ == "__main__":
    main()
