"""Makes tests/metrics/golden/metrics.json: what scikit-image, SciPy and Pillow compute from pictures of a simple rule.

    pip install scikit-image==0.26.0 pillow==13.0.0
    python3 tests/metrics/make_metrics_golden.py

The tests repeat the rule, so the file holds results only.
"""
import json
import pathlib

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.measure import regionprops
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from skimage.registration import optical_flow_ilk

GOLDEN = pathlib.Path(__file__).parent / "golden"
FRAMES, HEIGHT, WIDTH = 3, 24, 31
GAUSSIAN = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)


def clip(kind):
    """Levels of 0 to 255. Kind 0 is a picture, 1 the same with noise, a shift of brightness and a bright square."""
    f, y, x, c = np.meshgrid(*map(np.arange, (FRAMES, HEIGHT, WIDTH, 3)), indexing="ij")
    values = 40 + (7 * x + 5 * y + 11 * c + 3 * f) % 97 + (x * y + f) % 23
    if kind == 1:
        values = values + ((13 * x + 29 * y + 17 * c + 7 * f + x * y * c) % 15 - 7) + 3
        inside = (y >= 5 + f) & (y < 13 + f) & (x >= 9 + 2 * f) & (x < 18 + 2 * f)
        values = np.where(inside & (f < 2), 250 - 20 * c, values)
        lone = (f == 1) & (y == 20) & (x == 3)
        values = np.where(lone, 255, values)
    return values.astype(np.uint8)


def waves(height, width, dy=0.0, dx=0.0):
    """A picture in 0..1 with slopes everywhere, moved: what was at (y, x) is at (y + dy, x + dx)."""
    y, x = np.meshgrid(np.arange(height) - dy, np.arange(width) - dx, indexing="ij")
    return 0.5 + 0.2 * np.sin(0.7 * x + 0.3 * y) + 0.15 * np.cos(0.45 * y - 0.2 * x) + 0.1 * np.sin(0.9 * y + 1)


def ssim_maps(a, b, data_range, **options):
    """Per frame: the mean, and the map without the window's radius at the edges."""
    means, maps = [], []
    for x, y in zip(a, b):
        mean, full = structural_similarity(x, y, data_range=data_range, channel_axis=-1, full=True, **options)
        radius = 5 if options.get("gaussian_weights") else 3
        means.append(mean)
        maps.append(full[radius:-radius, radius:-radius])
    return np.array(means), np.array(maps), radius


def pixel_measures(result):
    a, b = clip(0), clip(1)
    excluded = np.abs(a.astype(int) - b.astype(int)).max(-1) > 0.1 * 255
    result["mse"] = mean_squared_error(a, b)
    result["psnr"] = peak_signal_noise_ratio(a, b, data_range=255)
    result["psnr_outside"] = peak_signal_noise_ratio(a[~excluded], b[~excluded], data_range=255)
    floats = [x.astype(np.float32) / np.float32(255) for x in (a, b)]
    result["psnr_float"] = peak_signal_noise_ratio(*[x.astype(np.float64) for x in floats], data_range=1)
    for name, options in (("gaussian", GAUSSIAN), ("uniform", {})):
        means, maps, radius = ssim_maps(a, b, 255, **options)
        result[f"ssim_{name}"] = means.mean()
        result[f"ssim_{name}_frames"] = means.tolist()
        inside = ~excluded[:, radius:-radius, radius:-radius]
        result[f"ssim_{name}_outside"] = maps[inside].mean()
    means, _, _ = ssim_maps(*[x.astype(np.float64) for x in floats], 1.0, **GAUSSIAN)
    result["ssim_float"] = means.mean()
    result["changed"] = excluded.reshape(FRAMES, -1).sum(1).tolist()
    voted = ndimage.median_filter(excluded.astype(np.uint8), size=(1, 3, 3), mode="constant")
    grown = ndimage.maximum_filter(excluded.astype(np.uint8), size=(1, 5, 5), mode="constant")
    result["grown"] = grown.reshape(FRAMES, -1).sum(1).tolist()
    result["regions"] = []
    for marks in voted:
        found = regionprops(marks.astype(int))
        assert len(found) <= 1
        result["regions"].append([] if not found else [int(found[0].area), *found[0].centroid, *found[0].bbox])


def flow_measures(result):
    # One level of the pyramid, so that the method alone is compared and not the making of levels.
    a, b = waves(24, 29), waves(24, 29, 0.6, -0.8)
    for name, options in (("radius7", dict(radius=7, num_warp=5)), ("radius3", dict(radius=3, num_warp=3))):
        flow = optical_flow_ilk(a, b, gaussian=False, prefilter=False, dtype=np.float64, **options)
        result[f"flow_{name}"] = np.round(flow, 9).ravel().tolist()


def resized_pictures(result):
    picture = Image.fromarray(clip(1)[0])
    sizes = {"smaller": (11, 10), "larger": (45, 40), "mixed": (12, 20), "same_width": (31, 10)}
    for name, size in sizes.items():
        result[f"bicubic_{name}"] = np.asarray(picture.resize(size, Image.Resampling.BICUBIC)).ravel().tolist()


def main():
    result = {}
    pixel_measures(result)
    flow_measures(result)
    resized_pictures(result)
    GOLDEN.mkdir(exist_ok=True)
    path = GOLDEN / "metrics.json"
    path.write_text("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in result.items()) + "\n}\n")
    print(path.stat().st_size, {k: v for k, v in result.items() if not isinstance(v, list) or len(v) < 8})


if __name__ == "__main__":
    main()
