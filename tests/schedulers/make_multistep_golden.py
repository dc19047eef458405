"""Trajectories of PNDM, LCM, TCD, DPM-Solver (multistep and singlestep), UniPC and DEIS.

    python make_multistep_golden.py recent    # diffusers of tests/golden/requirements-recent.txt, and scipy
    python make_multistep_golden.py spread    # the same diffusers with numpy 2: only the cases with spread sigmas
    python make_multistep_golden.py flow      # the same: only the cases with flow sigmas
    python make_multistep_golden.py old       # diffusers 0.11.1, tests/golden/requirements.txt

`recent` wants numpy 1.26.4: with numpy 2 a float64 and an array of float32 are compared in float64, and spread sigmas get other
timesteps (998 where it was 999). Writes golden/multistep_<recent, spread, flow or old>.{json,safetensors}. Each line of the .json is one case: scheduler, config (beside
the file's base), arguments of set_timesteps and step, and `as_is`, a list of [number of steps, see below]. `<name>.timesteps`
and `<name>.states` hold the runs one after the other, states being kept as kept_states() says; a run's first is `start`.
Step i uses `noise[i % 50]`. The model is tests/golden/schedule_cases.py's, a x + b sin(c x + t / 1000).

The states come from diffusers' own code with its float32 tables, whose square roots are rounded as IEEE 754 says (here
PyTorch's can be off in the last digit), then widened to float64. What diffusers gives as it is, with coefficients and, for
some, samples in float32, differs from that by `as_is`, relative to the largest value of the run.
"""
import contextlib
import itertools
import json
import pathlib
import sys
import types
import warnings
from unittest import mock

import numpy as np
import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent / "golden"
SD = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
LINEAR = dict(beta_start=0.0001, beta_end=0.02, beta_schedule="linear")
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


def rounded_root(x, exponent=0.5):
    """x ** 0.5, in float32 correctly rounded."""
    if exponent == 0.5 and x.dtype == torch.float32:
        return torch.from_numpy(np.sqrt(np.atleast_1d(x.numpy()))).reshape(x.shape)
    return torch.pow(x, exponent)


def widen(scheduler):
    for name, value in vars(scheduler).items():
        if isinstance(value, torch.Tensor) and value.dtype == torch.float32:
            setattr(scheduler, name, value.double())


def run(make, count, plan, call, exact):
    """Timesteps and states; `exact` for a run that is float64 throughout."""
    with contextlib.ExitStack() as stack:
        for name in ("__pow__", "sqrt") if exact else ():
            stack.enter_context(mock.patch.object(torch.Tensor, name, rounded_root))
        scheduler = make()
        scheduler.set_timesteps(count, **plan)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)  # or it begins with the second step where the first two have one timestep
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
    """All states of a short run; of a long one every tenth and the last."""
    return list(range(steps + 1)) if steps < 40 else [*range(0, steps, 10), steps]


class Recorder:
    def __init__(self, base, only_spread=False):
        self.only_spread = only_spread
        self.base, self.tensors, self.cases = base, {"start": START, "noise": NOISE}, []

    def add(self, name, scheduler, plan=None, call=None, counts=COUNTS, without=(), ours=None, **config):
        """`without`: keys of the base that this class lacks; `ours`: what reel's configuration has beside."""
        plan, call = plan or {}, call or {}
        if self.only_spread and not any(config.get(f"use_{kind}_sigmas") for kind in ("karras", "exponential", "beta")):
            return
        given = {k: v for k, v in {**self.base, **config}.items() if k not in without}
        as_is, all_timesteps, all_states = [], [], []
        for count in counts:
            timesteps, exact = run(lambda: scheduler(**given), count, plan, call, True)
            _, shipped = run(lambda: scheduler(**given), count, plan, call, False)
            assert torch.isfinite(exact).all(), name
            as_is.append([count, ((exact - shipped).abs().max() / exact.abs().max()).item()])
            all_timesteps.append(timesteps.to(torch.int32))
            all_states.append(exact[kept_states(len(timesteps))])
        self.tensors[f"{name}.timesteps"] = torch.cat(all_timesteps)
        self.tensors[f"{name}.states"] = torch.cat(all_states)
        self.cases.append(dict(name=name, scheduler=scheduler.__name__, config={**config, **(ours or {})}, plan=plan,
                               call=call, as_is=as_is))

    def save(self, name):
        tensors = {k: v.contiguous().clone() for k, v in self.tensors.items()}
        save_file(tensors, str(HERE / f"{name}.safetensors"))
        (HERE / f"{name}.safetensors").chmod(0o644)
        lines = ",\n  ".join(json.dumps(case) for case in self.cases)
        (HERE / f"{name}.json").write_text(f'{{"base": {json.dumps(self.base)},\n "cases": [\n  {lines}\n]}}\n')
        worst, its_name = max((gap, case["name"]) for case in self.cases for _, gap in case["as_is"])
        size = (HERE / f"{name}.safetensors").stat().st_size + (HERE / f"{name}.json").stat().st_size
        print(f"{name}: {len(self.cases)} cases, {size // 1024} KiB; as_is at worst {worst:.1e} ({its_name})")


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


SPREADS = {name: {f"use_{name}_sigmas": True} for name in ("karras", "exponential", "beta")}
SIGMA_MIN = dict(final_sigmas_type="sigma_min")


def sigma_choices(add, start, scheduler, spacings=True, finals=("zero", "sigma_min"), **config):
    """Every choice of a run's levels; one prediction type each, as they do not meet."""
    kinds = itertools.cycle(KINDS)
    for name, spread in SPREADS.items():
        for final in finals:
            add(f"{start}.{name}.{final or 'last'}", scheduler, prediction_type=next(kinds), **spread, **config,
                **(dict(final_sigmas_type=final) if final else {}))
    for spacing in ("leading", "trailing") if spacings else ():
        add(f"{start}.{spacing}", scheduler, prediction_type=next(kinds), timestep_spacing=spacing, **config)
    if spacings:
        add(f"{start}.offset", scheduler, timestep_spacing="leading", steps_offset=1, **config)
    add(f"{start}.cosine", scheduler, **COSINE, **config)
    add(f"{start}.cosine.karras", scheduler, **COSINE, **SPREADS["karras"], **config)
    add(f"{start}.linear", scheduler, **LINEAR, **config)


def dpm_multistep(add, scheduler):
    for kind in KINDS:
        for algorithm in ("dpmsolver++", "dpmsolver", "sde-dpmsolver++", "sde-dpmsolver"):
            final = SIGMA_MIN if algorithm in ("dpmsolver", "sde-dpmsolver") else {}
            for order in (1, 2, 3):
                for solver in ("midpoint", "heun") if order == 2 else ("midpoint",):
                    if algorithm != "sde-dpmsolver" or order < 3:
                        add(f"dpm_multi.{kind}.{algorithm}.{order}.{solver}", scheduler, prediction_type=kind,
                            algorithm_type=algorithm, solver_order=order, solver_type=solver, **final)
        add(f"dpm_multi.{kind}.threshold", scheduler, prediction_type=kind, thresholding=True,
            dynamic_thresholding_ratio=0.6, sample_max_value=1.2)
        add(f"dpm_multi.{kind}.threshold.noise", scheduler, prediction_type=kind, thresholding=True,
            dynamic_thresholding_ratio=0.6, sample_max_value=1.2, algorithm_type="dpmsolver", **SIGMA_MIN)
        if kind != "epsilon":
            add(f"dpm_multi.{kind}.zero_snr", scheduler, prediction_type=kind, rescale_betas_zero_snr=True,
                timestep_spacing="trailing")
    add("dpm_multi.high_final", scheduler, solver_order=3, lower_order_final=False, **SIGMA_MIN)
    add("dpm_multi.euler_final", scheduler, solver_order=3, euler_at_final=True, **SIGMA_MIN)
    add("dpm_multi.clipped", scheduler, lambda_min_clipped=-1.3)
    add("dpm_multi.clipped.trailing", scheduler, lambda_min_clipped=-1.3, timestep_spacing="trailing")
    add("dpm_multi.lu", scheduler, use_lu_lambdas=True)
    add("dpm_multi.lu.cosine", scheduler, use_lu_lambdas=True, **COSINE)
    sigma_choices(add, "dpm_multi", scheduler)


def dpm_multistep_old(add, scheduler):
    for kind in KINDS:
        for algorithm in ("dpmsolver++", "dpmsolver"):
            for order in (1, 2, 3):
                for solver in ("midpoint", "heun") if order == 2 else ("midpoint",):
                    add(f"dpm_multi.{kind}.{algorithm}.{order}.{solver}", scheduler, prediction_type=kind,
                        algorithm_type=algorithm, solver_order=order, solver_type=solver, ours=SIGMA_MIN)
    add("dpm_multi.threshold", scheduler, thresholding=True, dynamic_thresholding_ratio=0.6,
        ours=dict(sample_max_value=1e30, **SIGMA_MIN))  # 0.11.1 has no upper bound
    add("dpm_multi.high_final", scheduler, solver_order=3, lower_order_final=False, ours=SIGMA_MIN)
    add("dpm_multi.cosine", scheduler, **COSINE, ours=SIGMA_MIN)


def dpm_singlestep(add, scheduler):
    for kind in KINDS:
        for algorithm in ("dpmsolver++", "dpmsolver", "sde-dpmsolver++"):
            final = SIGMA_MIN if algorithm == "dpmsolver" else {}
            for order in (1, 2, 3):
                for solver in ("midpoint", "heun") if order > 1 else ("midpoint",):
                    add(f"dpm_single.{kind}.{algorithm}.{order}.{solver}", scheduler, prediction_type=kind,
                        algorithm_type=algorithm, solver_order=order, solver_type=solver, **final)
        add(f"dpm_single.{kind}.threshold", scheduler, prediction_type=kind, thresholding=True,
            dynamic_thresholding_ratio=0.6, sample_max_value=1.2)
    for order in (2, 3):
        add(f"dpm_single.lower.{order}", scheduler, solver_order=order, lower_order_final=True, **SIGMA_MIN)
        add(f"dpm_single.full.{order}", scheduler, solver_order=order, counts=(6, 24), **SIGMA_MIN)
    add("dpm_single.clipped", scheduler, lambda_min_clipped=-1.3)
    sigma_choices(add, "dpm_single", scheduler, spacings=False)


def deis(add, scheduler):
    for kind in KINDS:
        for order in (1, 2, 3):
            add(f"deis.{kind}.{order}", scheduler, prediction_type=kind, solver_order=order)
        add(f"deis.{kind}.threshold", scheduler, prediction_type=kind, thresholding=True,
            dynamic_thresholding_ratio=0.6, sample_max_value=1.2)
    add("deis.high_final", scheduler, solver_order=3, lower_order_final=False)
    sigma_choices(add, "deis", scheduler, finals=(None,))


def unipc(add, scheduler):
    for kind in KINDS:
        for clean in (True, False):
            for solver in ("bh1", "bh2"):
                # bh1 without noise at the end is not a number in diffusers
                final = {} if clean and solver == "bh2" else SIGMA_MIN
                for order in (1, 2, 3):
                    add(f"unipc.{kind}.{'clean' if clean else 'noise'}.{solver}.{order}", scheduler,
                        prediction_type=kind, predict_x0=clean, solver_type=solver, solver_order=order, **final)
        add(f"unipc.{kind}.threshold", scheduler, prediction_type=kind, thresholding=True,
            dynamic_thresholding_ratio=0.6, sample_max_value=1.2)
        if kind != "epsilon":
            add(f"unipc.{kind}.zero_snr", scheduler, prediction_type=kind, rescale_betas_zero_snr=True,
                timestep_spacing="trailing")
    add("unipc.order4", scheduler, solver_order=4)
    add("unipc.order6", scheduler, solver_order=6)
    add("unipc.uncorrected", scheduler, disable_corrector=[0, 1, 3, 17])
    add("unipc.high_final", scheduler, solver_order=3, lower_order_final=False, **SIGMA_MIN)
    add("unipc.range", scheduler, sigma_min=0.1, sigma_max=9.0, **SPREADS["karras"])
    add("unipc.range.sigma_min", scheduler, sigma_min=0.1, sigma_max=9.0, **SPREADS["exponential"], **SIGMA_MIN)
    sigma_choices(add, "unipc", scheduler)


FLOW_COUNTS = (1, 2, 3, 5, 10, 20, 27, 50, 111)
SHIFTS = (1.0, 3.0, 0.4)


def flow(add, diffusers):
    """Every algorithm and order that is stable: where the noise is integrated from next to no signal, as by UniPC without
    predict_x0, diffusers in float32 is not near itself in float64."""
    turns = itertools.cycle(KINDS)
    for shift in SHIFTS[:2]:
        def case(name, scheduler, kind=None, counts=FLOW_COUNTS, **config):
            add(f"flow.{name}.{shift}", scheduler, counts=counts, prediction_type=kind or next(turns), use_flow_sigmas=True,
                flow_shift=shift, **config)
        multi, single = diffusers.DPMSolverMultistepScheduler, diffusers.DPMSolverSinglestepScheduler
        for algorithm in ("dpmsolver++", "dpmsolver", "sde-dpmsolver++"):
            final = SIGMA_MIN if algorithm == "dpmsolver" else {}
            for order in (1, 2, 3):
                case(f"multi.{algorithm}.{order}", multi, algorithm_type=algorithm, solver_order=order, **final)
                if order < 3:
                    case(f"single.{algorithm}.{order}", single, algorithm_type=algorithm, solver_order=order,
                         lower_order_final=True, **final)
        case("single.dpmsolver++.3", single, solver_order=3, lower_order_final=True)
        case("multi.sde-dpmsolver", multi, counts=(1, 5, 10), solver_order=2, algorithm_type="sde-dpmsolver",
             **SIGMA_MIN)  # in more steps it would lead up to sigma_min: not a number
        case("multi.sigma_min", multi, solver_type="heun", **SIGMA_MIN)
        case("multi.threshold", multi, thresholding=True, dynamic_thresholding_ratio=0.6, sample_max_value=1.2)
        case("unipc.bh1", diffusers.UniPCMultistepScheduler, solver_type="bh1", **SIGMA_MIN)
        for kind in KINDS:
            for order in (1, 2, 3):
                case(f"deis.{kind}.{order}", diffusers.DEISMultistepScheduler, kind, solver_order=order)
                case(f"unipc.{kind}.{order}", diffusers.UniPCMultistepScheduler, kind, solver_order=order)


def flow_timesteps(record, diffusers):
    """Of every count of steps, as the sum of timesteps times their positions."""
    for name, scheduler in (("dpm", diffusers.DPMSolverMultistepScheduler), ("unipc", diffusers.UniPCMultistepScheduler)):
        for shift in SHIFTS:
            sums = []
            for count in range(1, 1000):
                made = scheduler(**SD, use_flow_sigmas=True, flow_shift=shift)
                made.set_timesteps(count)
                sums.append((made.timesteps * torch.arange(1, count + 1)).sum())
            record.tensors[f"timesteps.{name}.{shift}"] = torch.stack(sums)


def make_flow():
    import diffusers
    record = Recorder(SD)
    flow(record.add, diffusers)
    flow_timesteps(record, diffusers)
    record.save("multistep_flow")


def make_recent(spread=False):
    import diffusers
    assert np.__version__.startswith("2." if spread else "1.26."), np.__version__
    record = Recorder(SD, spread)
    pndm(record.add, diffusers.PNDMScheduler, old=False)
    lcm(record.add, diffusers.LCMScheduler)
    tcd(record.add, diffusers.TCDScheduler)
    dpm_multistep(record.add, diffusers.DPMSolverMultistepScheduler)
    dpm_singlestep(record.add, diffusers.DPMSolverSinglestepScheduler)
    deis(record.add, diffusers.DEISMultistepScheduler)
    unipc(record.add, diffusers.UniPCMultistepScheduler)
    record.save("multistep_spread" if spread else "multistep_recent")


def make_old():
    import diffusers
    record = Recorder(SD)
    pndm(record.add, diffusers.PNDMScheduler, old=True)
    dpm_multistep_old(record.add, diffusers.DPMSolverMultistepScheduler)
    record.save("multistep_old")


if __name__ == "__main__":
    {"recent": make_recent, "spread": lambda: make_recent(spread=True), "flow": make_flow, "old": make_old}[sys.argv[1]]()
