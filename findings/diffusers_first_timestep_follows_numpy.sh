#!/usr/bin/env bash
# diffusers 0.42.1: with exponential or beta sigmas the first timestep of DPM-Solver, DEIS and UniPC is 998 under NumPy 2 and 999
# under NumPy 1, for the same configuration; the model is asked at another noise level than the sample has. With Karras' sigmas,
# which are rounded to the nearest, both give 999.
#
# Why: _sigma_to_t subtracts an array of float32 logarithms from np.log(sigma), a float64 scalar. NumPy 1 does that in float32
# (the difference of the highest sigma to its own logarithm is 0), NumPy 2 in float64 (it is below 0, for the float32 logarithm was
# rounded up), so the highest sigma falls between 998 and 999, and astype(int64) cuts 998.9999 to 998.
#
# Seen with torch 2.15.0, Python 3.11, x86-64:
#   numpy 2.4.6:  exponential [998, 680, 233, 20, 0]   karras [999, 786, 427, 59, 0]
#   numpy 1.26.4: exponential [999, 680, 233, 20, 0]   karras [999, 786, 427, 59, 0]
# Exits 0 while it is so, 1 when it has changed. Needs Python 3.11 and PyPI; installs into a temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip="$folder/venv/bin/pip"
"$pip" install -q torch==2.15.0 diffusers==0.42.1 numpy==2.4.6
cat > "$folder/first.py" <<'PYTHON'
import sys
import numpy
from diffusers import DPMSolverMultistepScheduler
found = {}
for kind in ("exponential", "karras"):
    scheduler = DPMSolverMultistepScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
                                            **{f"use_{kind}_sigmas": True})
    scheduler.set_timesteps(5)
    found[kind] = scheduler.timesteps.tolist()
print("numpy", numpy.__version__, found)
sys.exit(found["exponential"][0] != int(sys.argv[1]) or found["karras"][0] != 999)
PYTHON
"$folder/venv/bin/python" "$folder/first.py" 998
"$pip" install -q numpy==1.26.4
"$folder/venv/bin/python" "$folder/first.py" 999
