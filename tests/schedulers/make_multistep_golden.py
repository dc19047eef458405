"""Trajectories of PNDM, LCM, TCD, DPM-Solver (multistep and singlestep), UniPC and DEIS.

    python make_multistep_golden.py recent    # diffusers of tests/golden/requirements-recent.txt, and scipy
    python make_multistep_golden.py old       # diffusers 0.11.1, tests/golden/requirements.txt

Writes golden/multistep_<recent or old>.{json,safetensors}. Each line of the .json is one case: scheduler, config (beside
the file's base), arguments of set_timesteps and step. For n of 5, 20 and 50 steps, `<name>.<n>.timesteps` and
`<name>.<n>.states` [kept, ...] hold the run, states being kept as kept_states() says; state 0 is `start`. Step i uses
`noise[i % 50]`. The model is tests/golden/schedule_cases.py's, a x + b sin(c x + t / 1000).

The states come from diffusers' own code with its tables, once computed in float32, widened to float64. What diffusers
gives as it is, with coefficients and, for some, samples in float32, differs from that by `as_is`, relative to the largest
value of the run.
"""
import json
import pathlib
import sys
import types
import warnings
from unittest import mock

import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent / "golden"
SD = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
COSINE = dict(beta_schedule="squaredcos_cap_v2")
MODEL = {"epsilon": (0.8, 0.2, 2.0), "v_prediction": (0.1, 0.5, 1.5), "sample": (0.5, 0.4, 2.5)}
SHAPE = (2, 3, 1)
COUNTS = (5, 20, 50)
KINDS = ("epsilon", "v_prediction", "sample")
torch.set_num_threads(1)
warnings.simplefilter("ignore")


def randn(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


START, NOISE = randn(SHAPE, 1), randn((50, *SHAPE), 2)


def model(x, t, kind):
    a, b, c = MODEL[kind]
    return a * x + b * torch.sin(c * x + int(t) / 1000)


class Float64Torch(types.ModuleType):
    """torch, with float64 where a scheduler's step asks for float32."""

    def __getattr__(self, name):
        return torch.float64 if name == "float32" else getattr(torch, name)


def widen(scheduler):
    for name, value in vars(scheduler).items():
        if isinstance(value, torch.Tensor) and value.dtype == torch.float32:
            setattr(scheduler, name, value.double())


def run(make, count, plan, call, exact):
    """Timesteps and states; `exact` for a run that is float64 throughout."""
    scheduler = make()
    scheduler.set_timesteps(count, **plan)
    module = sys.modules[type(scheduler).__module__]
    if exact:
        widen(scheduler)
    step_torch = Float64Torch("torch") if exact else torch
    x, states, noise = START, [START], iter(())
    for i, t in enumerate(scheduler.timesteps):
        given = NOISE[i % 50]
        out = model(x, t, scheduler.config.prediction_type)
        with mock.patch.object(module, "torch", step_torch), \
                mock.patch.object(module, "randn_tensor", lambda *a, **k: given, create=True):
            x = scheduler.step(out, int(t), x, **call).prev_sample
        assert x.dtype == torch.float64
        states.append(x)
    return scheduler.timesteps.to(torch.int64), torch.stack(states)


def kept_states(steps):
    """All states of a short run; of a long one every fifth and the last."""
    return list(range(steps + 1)) if steps < 40 else [*range(0, steps, 5), steps]


class Recorder:
    def __init__(self, base):
        self.base, self.tensors, self.cases = base, {"start": START, "noise": NOISE}, []

    def add(self, name, scheduler, plan=None, call=None, counts=COUNTS, without=(), ours=None, **config):
        """`without`: keys of the base that this class lacks; `ours`: what reel's configuration has beside."""
        plan, call = plan or {}, call or {}
        given = {k: v for k, v in {**self.base, **config}.items() if k not in without}
        as_is = {}
        for count in counts:
            timesteps, exact = run(lambda: scheduler(**given), count, plan, call, True)
            _, shipped = run(lambda: scheduler(**given), count, plan, call, False)
            assert torch.isfinite(exact).all(), name
            as_is[str(count)] = ((exact - shipped).abs().max() / exact.abs().max()).item()
            self.tensors[f"{name}.{count}.timesteps"] = timesteps
            self.tensors[f"{name}.{count}.states"] = exact[kept_states(len(timesteps))]
        self.cases.append(dict(name=name, scheduler=scheduler.__name__, config={**config, **(ours or {})}, plan=plan,
                               call=call, as_is=as_is))

    def save(self, name):
        tensors = {k: v.contiguous().clone() for k, v in self.tensors.items()}
        save_file(tensors, str(HERE / f"{name}.safetensors"))
        lines = ",\n  ".join(json.dumps(case) for case in self.cases)
        (HERE / f"{name}.json").write_text(f'{{"base": {json.dumps(self.base)},\n "cases": [\n  {lines}\n]}}\n')
        worst = max(self.cases, key=lambda case: max(case["as_is"].values()))
        size = (HERE / f"{name}.safetensors").stat().st_size + (HERE / f"{name}.json").stat().st_size
        print(f"{name}: {len(self.cases)} cases, {size // 1024} KiB; as_is at worst "
              f"{max(worst['as_is'].values()):.1e} ({worst['name']})")


def pndm(add, scheduler, old):
    for kind in KINDS[:2]:
        for skip in (False, True):
            p = dict(skip_prk_steps=skip, prediction_type=kind)
            start = f"pndm.{kind}.{'plms' if skip else 'prk'}"
            add(f"{start}", scheduler, **p)
            add(f"{start}.sd", scheduler, steps_offset=1, set_alpha_to_one=False, **p)
            add(f"{start}.alpha_one", scheduler, set_alpha_to_one=True, **p)
            if not old:
                for spacing in ("trailing", "linspace"):
                    add(f"{start}.{spacing}", scheduler, timestep_spacing=spacing, **p)
        add(f"pndm.{kind}.cosine", scheduler, prediction_type=kind, **COSINE)


def lcm(add, scheduler):
    for kind in KINDS:
        p = dict(prediction_type=kind)
        add(f"lcm.{kind}", scheduler, **p)
        add(f"lcm.{kind}.clip", scheduler, clip_sample=True, clip_sample_range=0.7, **p)
        add(f"lcm.{kind}.threshold", scheduler, thresholding=True, dynamic_thresholding_ratio=0.6,
            sample_max_value=1.2, **p)
        if kind != "epsilon":
            add(f"lcm.{kind}.zero_snr", scheduler, rescale_betas_zero_snr=True, **p)
    add("lcm.original100", scheduler, original_inference_steps=100, timestep_scaling=0.01)
    add("lcm.strength", scheduler, plan=dict(strength=0.63), counts=(5, 20))


def tcd(add, scheduler):
    for kind in KINDS:
        for eta in (0.0, 0.3, 1.0):
            add(f"tcd.{kind}.eta{eta}", scheduler, call=dict(eta=eta), prediction_type=kind)
        if kind != "epsilon":
            add(f"tcd.{kind}.zero_snr", scheduler, call=dict(eta=0.3), prediction_type=kind,
                rescale_betas_zero_snr=True)
    add("tcd.original100", scheduler, original_inference_steps=100)
    add("tcd.strength", scheduler, plan=dict(strength=0.63), counts=(5, 20))


def make_recent():
    import diffusers
    record = Recorder(SD)
    pndm(record.add, diffusers.PNDMScheduler, old=False)
    lcm(record.add, diffusers.LCMScheduler)
    tcd(record.add, diffusers.TCDScheduler)
    record.save("multistep_recent")


def make_old():
    import diffusers
    record = Recorder(SD)
    pndm(record.add, diffusers.PNDMScheduler, old=True)
    record.save("multistep_old")


if __name__ == "__main__":
    {"recent": make_recent, "old": make_old}[sys.argv[1]]()
