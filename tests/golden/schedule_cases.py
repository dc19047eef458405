"""What the scheduler parts share: an analytic "model", trajectories with given noise, DDIM inversion by formula."""
from unittest import mock

import torch

from common import gap, randn

SHAPE = (1, 2, 2, 1, 3)
SD = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
SD_DDIM = dict(**SD, clip_sample=False, set_alpha_to_one=False, steps_offset=1)
LINEAR = dict(num_train_timesteps=1000, beta_start=0.0001, beta_end=0.02, beta_schedule="linear")
COSINE = dict(num_train_timesteps=1000, beta_start=0.0001, beta_end=0.02, beta_schedule="squaredcos_cap_v2")
# model(x, t) = a * x + b * sin(c * x + t / 1000)
MODEL = {"epsilon": (0.8, 0.2, 2.0), "v_prediction": (0.1, 0.5, 1.5), "sample": (0.5, 0.4, 2.5)}


def start():
    return randn(SHAPE, "schedulers/start")


def step_noise(steps=50):
    """The noise of step i is `noise[i % 50]`."""
    return randn((steps, *SHAPE), "schedulers/noise")


def model(x, t, prediction):
    a, b, c = MODEL[prediction]
    return a * x + b * torch.sin(c * x + int(t) / 1000)


def widen(scheduler):
    """Lets a scheduler compute in float64 from its float32 table."""
    for name in ("betas", "alphas", "alphas_cumprod", "one", "final_alpha_cumprod"):
        if hasattr(scheduler, name):
            setattr(scheduler, name, getattr(scheduler, name).double())
    return scheduler


def kept_steps(n):
    """Which states of an n-step trajectory are stored: all of a short one; state 0 is the start."""
    stride = 1 if n <= 50 else n // 10
    return [*range(0, n, stride), n]


def run(make, steps, dtype, call, noise_target=None):
    """All states of a trajectory. `call` holds the step's keyword arguments, `noise_target` what draws DDPM's noise."""
    scheduler = make()
    scheduler.set_timesteps(steps)
    if dtype == torch.float64:
        widen(scheduler)
    prediction = scheduler.config.prediction_type
    x, noise = start().to(dtype), step_noise().to(dtype)
    states = [x]
    for i, t in enumerate(scheduler.timesteps):
        given = noise[i % len(noise)]
        out = model(x, t, prediction)
        if noise_target is None:
            extra = {"variance_noise": given} if call.get("eta", 0) > 0 else {}
            x = scheduler.step(out, int(t), x, **call, **extra).prev_sample
        else:
            with mock.patch(noise_target, lambda *a, **k: given):
                x = scheduler.step(out, int(t), x, **call).prev_sample
        assert x.dtype == dtype
        states.append(x)
    return scheduler, states


def record(tensors, cases, name, kind, make, config, steps, call=None, noise_target=None):
    """Runs one case in both precisions and adds its tensors and its description."""
    call = call or {}
    scheduler, exact = run(make, steps, torch.float64, call, noise_target)
    _, single = run(make, steps, torch.float32, call, noise_target)
    kept = [k for k in kept_steps(len(scheduler.timesteps))]
    states = torch.stack([exact[k] for k in kept])
    floor = gap(torch.stack([single[k] for k in kept]), states)
    assert torch.isfinite(states).all(), name
    tensors[f"{name}.timesteps"] = scheduler.timesteps.to(torch.int64)
    tensors[f"{name}.kept"] = torch.tensor(kept)
    tensors[f"{name}.states"] = states
    cases.append(dict(name=name, scheduler=kind, config=config, steps=steps, step=call, float32_floor=floor))
    return floor


def inversion_step(x, out, a_now, a_next, prediction, formula):
    """One step from noise level `a_now` (alpha-bar) up to `a_next`, `out` being the model's output.

    exact: the algebraic inverse of the DDIM step that goes from a_next down to a_now with the same output.
    epsilon_only: what Tune-A-Video does: the output is taken for epsilon whatever it is.
    current_level: diffusers' DDIMInverseScheduler: v is converted with the level of x instead of the level asked for.
    """
    s_now, n_now, s_next, n_next = a_now ** 0.5, (1 - a_now) ** 0.5, a_next ** 0.5, (1 - a_next) ** 0.5
    if prediction == "epsilon" or formula == "epsilon_only":
        clean, eps = (x - n_now * out) / s_now, out
    elif prediction == "sample":
        clean, eps = out, (x - s_now * out) / n_now
    elif formula == "current_level":
        clean, eps = s_now * x - n_now * out, n_now * x + s_now * out
    else:  # a rotation by the angle between the two levels, solved for the noisier end
        cosine = s_now * s_next + n_now * n_next
        sine = s_now * n_next - n_now * s_next
        return (x + sine * out) / cosine
    return s_next * clean + n_next * eps


def invert(scheduler, steps, x, network, formula):
    """All latents of an inversion; `network(x, t)` is evaluated at the level a step leads to."""
    scheduler.set_timesteps(steps)
    alphas = scheduler.alphas_cumprod.to(x.dtype)
    final = scheduler.final_alpha_cumprod.to(x.dtype)
    ratio = scheduler.config.num_train_timesteps // steps
    latents = [x]
    for t in reversed(scheduler.timesteps.tolist()):
        before = min(t - ratio, scheduler.config.num_train_timesteps - 1)
        now = alphas[before] if before >= 0 else final
        x = inversion_step(x, network(x, t), now, alphas[t], scheduler.config.prediction_type, formula)
        latents.append(x)
    return latents


def record_inversion(tensors, cases, name, make, config, steps, formula, returns=False):
    prediction = make().config.prediction_type

    def network(x, t):
        return model(x, t, prediction)

    exact = torch.stack(invert(make(), steps, start().double(), network, formula))
    single = torch.stack(invert(make(), steps, start(), network, formula))
    assert single.dtype == torch.float32
    kept = kept_steps(steps)
    tensors[f"{name}.kept"] = torch.tensor(kept)
    tensors[f"{name}.states"] = exact[kept]
    cases.append(dict(name=name, scheduler="DDIM inversion", formula=formula, config=config, steps=steps,
                      float32_floor=gap(single[kept], exact[kept])))
    if returns:  # with an output that depends on nothing, sampling must undo the inversion
        constant = 0.5 * randn(SHAPE, "schedulers/constant").double()
        top = invert(make(), steps, start().double(), lambda x, t: constant, formula)[-1]
        scheduler = widen(make())
        scheduler.set_timesteps(steps)
        x = top
        for t in scheduler.timesteps.tolist():
            x = scheduler.step(constant, t, x).prev_sample
        back = gap(x, start())
        assert back < 1e-9, (name, back)
        tensors[f"{name}.constant_output"] = constant
        tensors[f"{name}.constant_inverted"] = top
    return exact


def curves(scheduler):
    return {"betas": scheduler.betas.float(), "alphas_cumprod": scheduler.alphas_cumprod.float()}
