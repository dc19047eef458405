"""A checksum of the timesteps of every step count, by a recent diffusers (tests/golden/requirements-recent.txt).

    python make_timesteps.py
"""
import pathlib
import warnings

import numpy as np
from diffusers import DDIMScheduler
from safetensors.numpy import save_file

TRAINED = 1000


def checksum(values):
    """FNV-1a over the low 32 bits of each value."""
    state = 0xCBF29CE484222325
    for value in values:
        state = (state ^ (int(value) & 0xFFFFFFFF)) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return state - (1 << 64) if state >= 1 << 63 else state


def timesteps(spacing, offset, count):
    scheduler = DDIMScheduler(num_train_timesteps=TRAINED, timestep_spacing=spacing, steps_offset=offset)
    scheduler.set_timesteps(count)
    values = scheduler.timesteps.tolist()
    if len(values) == count + 1 and values[-1] == -1:  # numpy.arange rounds its length up for 62 of the counts
        values.pop()
    assert len(values) == count, (spacing, count, len(values))
    return values


warnings.simplefilter("ignore")
tensors = {}
for spacing, offset, last in (("leading", 0, 1000), ("leading", 1, 999), ("trailing", 0, 1000), ("linspace", 0, 1000)):
    sums = [checksum(timesteps(spacing, offset, n)) for n in range(1, last + 1)]
    tensors[f"{spacing}.offset{offset}"] = np.array(sums, dtype=np.int64)
save_file(tensors, str(pathlib.Path(__file__).parent / "golden" / "timesteps.safetensors"))
