#!/usr/bin/env bash
# LMSDiscreteScheduler of diffusers 0.42.1, begun in the middle of a run as image-to-image begins it (set_begin_index), takes its
# first step with the first weight of the fourth-order formula and with one derivative: the other three weights are lost, so even
# where the network's answer never changes, which any first-order step follows exactly, the sample goes the wrong way far.
#
# Why: the order is min(step index + 1, 4), and the index counts from the run's first step, not from where it was begun; the
# weights and the derivatives that there are, are then paired as far as the shorter list goes.
#
# Seen with torch 2.15.0, scipy 1.13.1, Python 3.11, x86-64, 10 steps (way that the first step goes, as a share of the right one):
#   EulerDiscreteScheduler begun at step 0: 1.000, at step 5: 1.000
#   LMSDiscreteScheduler begun at step 0: 1.000, at step 5: 1.640
# Exits 0 while it is so, 1 when it has changed. Needs Python 3.11 and PyPI; installs into a temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.15.0 diffusers==0.42.1 transformers==5.24.0 scipy==1.13.1
cat > "$folder/lms.py" <<'PYTHON'
import sys

import torch
from diffusers import EulerDiscreteScheduler, LMSDiscreteScheduler

answer = torch.ones(1, dtype=torch.float64)


def share(kind, begin, steps=1):
    """How far the first steps go by an answer that is always 1, of the way between their noise levels."""
    scheduler = kind(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    scheduler.set_timesteps(10)
    scheduler.set_begin_index(begin)
    start = sample = torch.full((1,), 5.0, dtype=torch.float64)
    for timestep in scheduler.timesteps[begin:begin + steps]:
        scheduler.scale_model_input(sample, timestep)
        sample = scheduler.step(answer, timestep, sample).prev_sample
    way = scheduler.sigmas[begin + steps] - scheduler.sigmas[begin]
    return ((sample - start) / way).item()


found = {(kind.__name__, begin): share(kind, begin) for kind in (EulerDiscreteScheduler, LMSDiscreteScheduler) for begin in (0, 5)}
for (kind, begin), value in found.items():
    print(f"  {kind} begun at step {begin}: {value:.3f}")
right = all(abs(value - 1) < 1e-3 for key, value in found.items() if key != ("LMSDiscreteScheduler", 5))
sys.exit(0 if right and abs(found["LMSDiscreteScheduler", 5] - 1) > 0.2 else 1)
PYTHON
"$folder/venv/bin/python" "$folder/lms.py" || { echo "this has changed"; exit 1; }
