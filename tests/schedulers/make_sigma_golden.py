"""Trajectories of diffusers' samplers in sigma, with given noise.

    python make_sigma_golden.py

With the environment of tests/golden/requirements-recent.txt it writes golden/sigma_recent.*, with that of
tests/golden/requirements.txt (and scipy) golden/sigma_0_11.*. Start, noise and model are those of tests/golden/schedulers.*:
the start is scaled by init_noise_sigma, call i uses noise[i % 50], and the model of the scaled input is
a x + b sin(c x + t / 1000). Every case of the .json file is run with 5, 20 and 50 steps; "states" has of each run the
states after 1, 2, half and all model calls, "timesteps" those of the runs with 5.

diffusers works in float32 within a step; here its step runs in float64, with the float32 sigmas and timesteps that
set_timesteps gives: what is left to compare is the method. "float32_floor" is how far diffusers' own float32 run is from
that: no float32 result may be expected to agree better.
"""
import json
import pathlib
import sys
import warnings

import diffusers
import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "golden"))
from common import gap  # noqa: E402
from schedule_cases import MODEL, start, step_noise  # noqa: E402

RECENT = int(diffusers.__version__.split(".")[1]) >= 35
SD = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
COSINE = dict(beta_schedule="squaredcos_cap_v2")
STEPS = (5, 20, 50)
CUSTOM = {  # runs of one's own, for step arguments that have "custom"
    "timesteps": lambda n: [999 * (1 - i / n) ** 1.5 for i in range(n)],
    "sigmas": lambda n: [12 * (1 - i / n) ** 3 for i in range(n + 1)],
}


class OtherTorch:
    """torch for a scheduler's module: float32 means `float32`, and noise is given."""

    def __init__(self, float32, noise):
        self.float32, self.noise = float32, noise

    def __getattr__(self, name):
        return getattr(torch, name)

    def randn(self, *args, **kwargs):
        return self.noise[0]


def model(x, t, prediction):
    a, b, c = MODEL[prediction]
    return a * x + b * torch.sin(c * x + float(t) / 1000)


def run(kind, config, steps, call, dtype):
    scheduler = getattr(diffusers, kind)(**config)
    module = sys.modules[type(scheduler).__module__]
    if "custom" in call:
        scheduler.set_timesteps(**{call["custom"]: CUSTOM[call["custom"]](steps)})
        call = {}
    else:
        scheduler.set_timesteps(steps)
    for name in ("sigmas", "sigmas_interpol", "sigmas_up", "sigmas_down"):
        if hasattr(scheduler, name):
            setattr(scheduler, name, getattr(scheduler, name).to(dtype))
    noise, given = step_noise().to(dtype), [None]
    original = module.torch, getattr(module, "randn_tensor", None)
    module.torch = OtherTorch(dtype, given)
    if original[1] is not None:
        module.randn_tensor = lambda *args, **kwargs: given[0]
    x = start().to(dtype) * float(scheduler.init_noise_sigma)
    states = [x]
    for i, t in enumerate(scheduler.timesteps):
        given[0] = noise[i % len(noise)]
        out = model(scheduler.scale_model_input(x, t), t, config.get("prediction_type", "epsilon"))
        x = scheduler.step(out, t, x, **call).prev_sample
        assert x.dtype == dtype
        states.append(x)
    module.torch = original[0]
    if original[1] is not None:
        module.randn_tensor = original[1]
    return [float(t) for t in scheduler.timesteps], states


def variants(kind):
    """Every option of a class: name, configuration, arguments of step, prediction types."""
    all_types = ("epsilon", "v_prediction", "sample")
    types = all_types if RECENT else all_types[:2]
    if kind == "EDMEulerScheduler":
        types = types[:2]
        yield "plain", {}, {}, types
        yield "exponential", dict(sigma_schedule="exponential"), {}, types
        yield "range", dict(sigma_min=0.01, sigma_max=50.0, sigma_data=0.8, rho=5.0), {}, types
        yield "final", dict(final_sigmas_type="sigma_min"), {}, types
        yield "churn", {}, dict(s_churn=3.0, s_noise=1.003, s_tmin=0.05, s_tmax=50.0), types
        return
    ancestral = "Ancestral" in kind
    if ancestral or "KDPM2" in kind:
        types = types[:2]
    yield "defaults", {}, {}, types
    yield "sd", SD, {}, types
    if kind == "LMSDiscreteScheduler":
        for order in (1, 2, 3):
            yield f"order{order}", SD, dict(order=order), types
    if kind == "EulerDiscreteScheduler":
        yield "churn", SD, dict(s_churn=4.0, s_noise=1.005), types
        yield "churn.window", SD, dict(s_churn=40.0, s_tmin=0.3, s_tmax=5.0), types
    if not RECENT:
        return
    if kind != "KDPM2AncestralDiscreteScheduler":  # whose float32 square root of a difference is NaN there
        yield "cosine", COSINE, {}, types
    yield "leading", dict(SD, timestep_spacing="leading", steps_offset=1), {}, types
    yield "trailing", dict(SD, timestep_spacing="trailing"), {}, types
    spread = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
    if kind != "EulerAncestralDiscreteScheduler":
        for flag in spread:
            yield flag[4:-7], {**SD, flag: True}, {}, types
        yield "karras.trailing", dict(SD, use_karras_sigmas=True, timestep_spacing="trailing"), {}, types[:1]
        yield "beta.leading", dict(SD, use_beta_sigmas=True, timestep_spacing="leading"), {}, types[:1]
    if kind == "HeunDiscreteScheduler":
        yield "exp", dict(beta_schedule="exp"), {}, types
        yield "clip", dict(SD, clip_sample=True, clip_sample_range=0.7), {}, types
    if kind.startswith("Euler"):
        zero = dict(SD, rescale_betas_zero_snr=True, timestep_spacing="trailing")
        yield "zero_snr", zero, {}, tuple(t for t in types if t != "epsilon")
    if kind in ("EulerDiscreteScheduler", "HeunDiscreteScheduler"):
        yield "custom.timesteps", SD, dict(custom="timesteps"), types
    if kind == "EulerDiscreteScheduler":
        yield "custom.sigmas", SD, dict(custom="sigmas"), types
        yield "log_linear", dict(SD, interpolation_type="log_linear"), {}, types
        yield "final", dict(SD, final_sigmas_type="sigma_min"), {}, types
        yield "continuous", dict(SD, timestep_type="continuous"), {}, ("epsilon", "v_prediction")
        for flag in spread:
            yield f"range.{flag[4:-7]}", {**SD, flag: True, "sigma_min": 0.05, "sigma_max": 10.0}, {}, types
        yield "video", dict(SD, timestep_type="continuous", use_karras_sigmas=True, sigma_min=0.002, sigma_max=700.0,
                            timestep_spacing="leading", steps_offset=1), {}, ("v_prediction",)


warnings.simplefilter("ignore")
torch.set_num_threads(1)
kinds = ["EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "LMSDiscreteScheduler"]
if RECENT:
    kinds += ["HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "EDMEulerScheduler"]
cases, kept_states, timesteps = [], [], []
for kind in kinds:
    for name, config, call, types in variants(kind):
        for prediction in types:
            full = {**config, "prediction_type": prediction}
            floor = 0
            for steps in STEPS:
                times, states = run(kind, full, steps, call, torch.float64)
                _, single = run(kind, full, steps, call, torch.float32)
                calls = len(times)
                # The first steps show what is wrong, the last that all is right.
                kept = sorted({1, 2, calls // 2, calls})
                assert all(torch.isfinite(s).all() for s in states), (kind, name, prediction, steps)
                kept_states += [states[k].flatten() for k in kept]
                floor = max(floor, *(gap(single[k], states[k]) for k in kept))
                if steps == 5:
                    timesteps += times
            cases.append({"class": kind, "name": name, "config": full, "step": call, "float32_floor": float(f"{floor:.1e}")})
folder = HERE / "golden"
name = "sigma_recent" if RECENT else "sigma_0_11"
save_file({"states": torch.stack(kept_states), "timesteps": torch.tensor(timesteps, dtype=torch.float64)},
          str(folder / f"{name}.safetensors"))
(folder / f"{name}.safetensors").chmod(0o644)
lines = ",\n".join(json.dumps(case) for case in cases)
(folder / f"{name}.json").write_text(f"[\n{lines}\n]\n")
print(f"{name}: {len(cases)} cases, {len(kept_states)} states")
