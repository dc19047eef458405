"""What only a recent diffusers has: timestep spacings, zero terminal SNR, sample prediction, DDPM in few steps."""
import torch

from common import gap, load, load_json, save, save_json
from schedule_cases import (COSINE, LINEAR, SD, SD_DDIM, curves, invert, model, record, record_inversion, start,
                            step_noise)


def make():
    import diffusers
    from diffusers import DDIMInverseScheduler, DDIMScheduler, DDPMScheduler
    assert int(diffusers.__version__.split(".")[1]) >= 35, "needs requirements-recent.txt"
    tensors, cases = {"start": start(), "noise": step_noise()}, []

    for name, config in (("sd", SD), ("linear", LINEAR), ("cosine", COSINE)):
        for key, value in curves(DDIMScheduler(**config, rescale_betas_zero_snr=True)).items():
            tensors[f"curve.zero_snr.{name}.{key}"] = value
    for spacing in ("leading", "trailing", "linspace"):
        for offset in (0, 1):
            for n in (2, 3, 6, 7, 20, 50, 300):
                scheduler = DDIMScheduler(**{**SD_DDIM, "steps_offset": offset}, timestep_spacing=spacing)
                scheduler.set_timesteps(n)
                tensors[f"timesteps.{spacing}.offset{offset}.{n}"] = scheduler.timesteps.to(torch.int64)

    def ddim(name, steps=20, call=None, **changes):
        config = {**SD_DDIM, **changes}
        record(tensors, cases, f"ddim.{name}", "DDIMScheduler", lambda: DDIMScheduler(**config), config, steps, call)

    for n in (5, 20, 50, 300):
        ddim(f"sample.n{n}", n, prediction_type="sample")
    s = dict(prediction_type="sample")
    for eta in (0.5, 1.0):
        ddim(f"sample.eta{eta}", call=dict(eta=eta), **s)
    ddim("sample.clip", clip_sample=True, **s)
    ddim("sample.clip.corrected", clip_sample=True, call=dict(use_clipped_model_output=True), **s)
    ddim("sample.alpha_one", set_alpha_to_one=True, steps_offset=0, **s)
    ddim("sample.linear", **LINEAR, **s)
    ddim("sample.cosine", **COSINE, **s)
    ddim("epsilon.clip_range", clip_sample=True, clip_sample_range=0.4, prediction_type="epsilon")
    for kind in ("epsilon", "v_prediction", "sample"):
        p = dict(prediction_type=kind)
        for spacing in ("leading", "trailing", "linspace"):
            for n in (5, 20, 50):
                ddim(f"{kind}.{spacing}.n{n}", n, timestep_spacing=spacing, **p)
            ddim(f"{kind}.{spacing}.eta0.5", timestep_spacing=spacing, call=dict(eta=0.5), **p)
        ddim(f"{kind}.trailing.n300", 300, timestep_spacing="trailing", **p)
        if kind != "epsilon":  # epsilon says nothing where there is no signal
            for eta in (0.0, 1.0):
                ddim(f"{kind}.zero_snr.eta{eta}", timestep_spacing="trailing", rescale_betas_zero_snr=True,
                     call=dict(eta=eta), **p)

    target = "diffusers.schedulers.scheduling_ddpm.randn_tensor"

    def ddpm(name, steps=20, **changes):
        config = {**SD, "clip_sample": False, "variance_type": "fixed_small", **changes}
        record(tensors, cases, f"ddpm.{name}", "DDPMScheduler", lambda: DDPMScheduler(**config), config, steps,
               noise_target=target)

    for kind in ("epsilon", "v_prediction", "sample"):
        p = dict(prediction_type=kind)
        for n in (5, 20, 50, 300):
            ddpm(f"{kind}.n{n}", n, **p)
        for variance in ("fixed_small_log", "fixed_large"):
            ddpm(f"{kind}.{variance}", variance_type=variance, **p)
        ddpm(f"{kind}.clip", clip_sample=True, **p)
        ddpm(f"{kind}.offset1", steps_offset=1, **p)
        ddpm(f"{kind}.linear", **LINEAR, **p)
        ddpm(f"{kind}.cosine", **COSINE, clip_sample=True, **p)
        for spacing in ("trailing", "linspace"):
            ddpm(f"{kind}.{spacing}", timestep_spacing=spacing, **p)
        if kind != "epsilon":
            ddpm(f"{kind}.zero_snr", timestep_spacing="trailing", rescale_betas_zero_snr=True, **p)

    for kind in ("epsilon", "v_prediction", "sample"):
        for spacing in ("leading", "trailing", "linspace"):
            config = {**SD_DDIM, "prediction_type": kind, "timestep_spacing": spacing}
            record_inversion(tensors, cases, f"inversion.{kind}.exact.{spacing}.n20",
                             lambda: DDIMScheduler(**config), config, 20, "exact", returns=True)

    # The two generations of diffusers must agree where both are right, and so must the inversion formulas.
    old, done = load("schedulers.safetensors"), 0
    for case in load_json("schedulers.json"):
        if case["scheduler"] == "DDIM inversion":
            continue
        again, redone = {}, []
        kind = {"DDIMScheduler": DDIMScheduler, "DDPMScheduler": DDPMScheduler}[case["scheduler"]]
        record(again, redone, "x", case["scheduler"], lambda: kind(**case["config"]), None, case["steps"], case["step"],
               target if case["scheduler"] == "DDPMScheduler" else None)
        assert torch.equal(again["x.timesteps"], old[case["name"] + ".timesteps"]), case["name"]
        difference = gap(again["x.states"], old[case["name"] + ".states"])
        # DDPM: one minus a ratio of float32 table entries instead of the table's beta
        limit = 1e-12 if case["scheduler"] == "DDIMScheduler" else 1e-4
        assert difference < limit, (case["name"], difference)
        done += 1
    print(f"{done} cases of schedulers.json agree with diffusers {diffusers.__version__}")
    for kind, formula in (("epsilon", "exact"), ("v_prediction", "current_level"), ("sample", "exact")):
        config = {**SD_DDIM, "prediction_type": kind}
        scheduler = DDIMInverseScheduler(**config)
        scheduler.set_timesteps(20)
        scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
        scheduler.initial_alpha_cumprod = scheduler.initial_alpha_cumprod.double()
        x = start().double()
        for t in scheduler.timesteps.tolist():
            x = scheduler.step(model(x, t, kind), t, x).prev_sample
        ours = invert(DDIMScheduler(**config), 20, start().double(), lambda x, t: model(x, t, kind), formula)[-1]
        assert gap(ours, x) < 1e-12, (kind, gap(ours, x))
        print(f"inversion {kind} {formula} agrees with DDIMInverseScheduler")
    save("schedulers_recent.safetensors", tensors)
    save_json("schedulers_recent.json", cases)
    worst = max(cases, key=lambda c: c["float32_floor"])
    print(f"{len(cases)} cases; float32 floor at worst {worst['float32_floor']:.1e} ({worst['name']})")
