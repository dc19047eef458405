"""DDIM and DDPM of diffusers 0.11.1: curves, timesteps, trajectories, noising, DDIM inversion."""
import torch

from common import load_json, randn, save, save_json
from schedule_cases import COSINE, LINEAR, SD, SD_DDIM, SHAPE, curves, record, record_inversion, start, step_noise


def make():
    from diffusers import DDIMScheduler, DDPMScheduler
    tensors, cases = {"start": start(), "noise": step_noise()}, []

    for name, config in (("sd", SD), ("linear", LINEAR), ("cosine", COSINE)):
        for key, value in curves(DDIMScheduler(**config)).items():
            tensors[f"curve.{name}.{key}"] = value
    for key, value in curves(DDPMScheduler(**{**LINEAR, "beta_schedule": "sigmoid"})).items():
        tensors[f"curve.sigmoid.{key}"] = value
    for n in (1, 2, 3, 6, 7, 20, 50, 300, 999):
        scheduler = DDIMScheduler(**SD_DDIM)
        scheduler.set_timesteps(n)
        tensors[f"timesteps.ddim.offset1.{n}"] = scheduler.timesteps.to(torch.int64)

    clean, noise = randn((6, *SHAPE[1:]), "schedulers/clean"), randn((6, *SHAPE[1:]), "schedulers/added")
    levels = torch.tensor([0, 1, 250, 500, 998, 999])
    tensors.update({"add_noise.clean": clean, "add_noise.noise": noise, "add_noise.timesteps": levels})
    for name, config in (("sd", SD), ("linear", LINEAR), ("cosine", COSINE)):
        tensors[f"add_noise.{name}.noisy"] = DDPMScheduler(**config).add_noise(clean, noise, levels)
        tensors[f"add_noise.{name}.velocity"] = DDPMScheduler(**config).get_velocity(clean, noise, levels)

    def ddim(name, steps=20, call=None, **changes):
        config = {**SD_DDIM, **changes}
        record(tensors, cases, f"ddim.{name}", "DDIMScheduler", lambda: DDIMScheduler(**config), config, steps, call)

    for kind in ("epsilon", "v_prediction"):
        p = dict(prediction_type=kind)
        for n in (5, 20, 50, 300):
            ddim(f"{kind}.n{n}", n, **p)
        for eta in (0.5, 1.0):
            ddim(f"{kind}.eta{eta}", call=dict(eta=eta), **p)
        ddim(f"{kind}.clip", clip_sample=True, **p)
        ddim(f"{kind}.clip.eta0.5", clip_sample=True, call=dict(eta=0.5), **p)
        ddim(f"{kind}.clip.corrected", clip_sample=True, call=dict(use_clipped_model_output=True), **p)
        ddim(f"{kind}.alpha_one", set_alpha_to_one=True, steps_offset=0, **p)
        ddim(f"{kind}.alpha_one.eta1.0", set_alpha_to_one=True, steps_offset=0, call=dict(eta=1.0), **p)
        ddim(f"{kind}.offset0", steps_offset=0, **p)
        ddim(f"{kind}.linear", **LINEAR, **p)
        ddim(f"{kind}.cosine", **COSINE, **p)

    # 0.11.1's DDPM step always goes from t to t - 1, so it is a reference for all 1000 steps only.
    for kind in ("epsilon", "v_prediction", "sample"):
        for variance in ("fixed_small", "fixed_large"):
            config = dict(**SD, clip_sample=kind == "sample", variance_type=variance, prediction_type=kind)
            record(tensors, cases, f"ddpm.{kind}.{variance}.n1000", "DDPMScheduler",
                   lambda: DDPMScheduler(**config), config, 1000, noise_target="torch.randn")

    for kind in ("epsilon", "v_prediction", "sample"):
        config = {**SD_DDIM, "prediction_type": kind}
        for formula in ("exact", "epsilon_only", "current_level"):
            if formula == "epsilon_only" or kind == "v_prediction" or formula == "exact":
                for n in (6, 20, 50):
                    # 0.11.1 mistakes a predicted sample for epsilon when sampling: the way back is checked elsewhere
                    record_inversion(tensors, cases, f"inversion.{kind}.{formula}.n{n}",
                                     lambda: DDIMScheduler(**config), config, n, formula,
                                     returns=formula == "exact" and kind != "sample")
    save("schedulers.safetensors", tensors)
    save_json("schedulers.json", cases)
    worst = max(cases, key=lambda c: c["float32_floor"])
    print(f"{len(cases)} cases; float32 floor at worst {worst['float32_floor']:.1e} ({worst['name']})")
