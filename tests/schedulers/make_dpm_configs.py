"""Writes golden/dpm_configs.json: scheduler_config.json of DPM-Solver, both kinds, as diffusers 0.42.1 writes it.

    python make_dpm_configs.py    # diffusers of tests/golden/requirements-recent.txt

A list of texts, for they are no JSON: Python writes -Infinity.
"""
import json
import pathlib
import tempfile

import diffusers
from diffusers import DPMSolverMultistepScheduler, DPMSolverSinglestepScheduler

assert diffusers.__version__ == "0.42.1"
SD = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
SIGMA_MIN = dict(final_sigmas_type="sigma_min")
FORMS = [{}, dict(solver_order=1), dict(solver_order=3), dict(algorithm_type="dpmsolver", **SIGMA_MIN),
         dict(algorithm_type="sde-dpmsolver++"), dict(solver_type="heun"), dict(use_karras_sigmas=True),
         dict(use_exponential_sigmas=True), dict(use_beta_sigmas=True), dict(lambda_min_clipped=-5.1),
         dict(prediction_type="v_prediction", variance_type="fixed_small")]


def main():
    texts = []
    for scheduler in (DPMSolverMultistepScheduler, DPMSolverSinglestepScheduler):
        for form in FORMS:
            with tempfile.TemporaryDirectory() as folder:
                scheduler(**SD, **form).save_pretrained(folder)
                texts.append((pathlib.Path(folder) / "scheduler_config.json").read_text())
    path = pathlib.Path(__file__).resolve().parent / "golden" / "dpm_configs.json"
    path.write_text(json.dumps(texts, indent=0) + "\n")
    print(len(texts), "forms,", path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
