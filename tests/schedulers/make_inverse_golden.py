"""Trajectories of DPMSolverMultistepInverseScheduler, in the form of make_multistep_golden.py.

    python make_inverse_golden.py    # diffusers of tests/golden/requirements-recent.txt, and scipy

Writes golden/dpm_inverse.{json,safetensors}.
"""
import diffusers

from make_multistep_golden import COSINE, KINDS, LINEAR, SD, SPREADS, Recorder

record = Recorder(SD)
CLASS = diffusers.DPMSolverMultistepInverseScheduler


def add(name, **config):
    # With 50 spread sigmas several share a timestep, which diffusers then visits once, but with all the sigmas.
    counts = (5,) if any(key in config for spread in SPREADS.values() for key in spread) else (5, 20, 50)
    record.add(f"dpm_inverse.{name}", CLASS, counts=counts, **config)


for kind in KINDS:
    for algorithm in ("dpmsolver++", "dpmsolver"):
        for order in (1, 2, 3):
            for solver in ("midpoint", "heun") if order == 2 else ("midpoint",):
                add(f"{kind}.{algorithm}.{order}.{solver}", prediction_type=kind, algorithm_type=algorithm,
                    solver_order=order, solver_type=solver)
for name, spread in SPREADS.items():
    add(name, **spread)
for spacing in ("leading", "trailing"):
    add(spacing, timestep_spacing=spacing, prediction_type="v_prediction")
add("offset", timestep_spacing="leading", steps_offset=1)
add("high_final", solver_order=3, lower_order_final=False)
add("euler_final", solver_order=3, euler_at_final=True)
add("clipped", lambda_min_clipped=-1.3)
add("clipped.trailing", lambda_min_clipped=-1.3, timestep_spacing="trailing")
add("cosine", lambda_min_clipped=-5.1, **COSINE)
add("linear", **LINEAR)
record.save("dpm_inverse")
