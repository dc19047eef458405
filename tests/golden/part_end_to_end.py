"""The whole job on the tiny models: what to replay and what must come out.

`<model>_replay.safetensors` holds the tensors of `insert_object --replay`, `<model>_expected.safetensors` those of
`--save_tensors`, computed in float32 as the reference computes them. sd2 predicts v, for which the reference's
inversion is wrong: `sd2_reference_inversion_expected` has what it makes, `sd2_expected` the right one.
"""
import torch

from common import MODELS, gap, generator, randn, save, save_json, unet_config
from inflated_unet import InflatedUNet, fresh_temporal
from job import Job

OPTIONS = dict(prompt="a man is skiing on the snow", edit="a man is driving a jeep car", negative_prompt="",
               n_sample_frames=4, width=64, height=48, max_train_steps=5, learning_rate=2e-3, adam_weight_decay=1e-2,
               max_grad_norm=1.0, lr_scheduler="constant", lr_warmup_steps=0, gradient_checkpointing=False,
               trainable_modules=["attn1.to_q", "attn2.to_q", "attn_temp"], num_inv_steps=6, num_inference_steps=6,
               guidance_scale=7.5, eta=0.0)
TIMESTEPS = [981, 301, 57, 620, 450]
SEED = {"sd1": 3, "sd2": 1}


def clip(frames, height, width):
    """A square moving over a slanted gradient, a little noise on top: uint8 [F, H, W, 3]."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    made = torch.empty(frames, height, width, 3)
    for f in range(frames):
        made[f, ..., 0] = 40 + 2.5 * x + y
        made[f, ..., 1] = 200 - 2.0 * y
        made[f, ..., 2] = 90 + 1.5 * (x - y).abs()
        inside = ((x - 12 - 9 * f).abs() < 8) & ((y - 22 - 3 * f).abs() < 8)
        made[f][inside] = torch.tensor([230.0, 60.0, 30.0])
    return (made + 6 * randn(made.shape, "end_to_end/clip")).clamp(0, 255).to(torch.uint8)


def replay(model):
    o = OPTIONS
    h, w, f, steps = o["height"] // 8, o["width"] // 8, o["n_sample_frames"], o["max_train_steps"]
    fresh = fresh_temporal(InflatedUNet(unet_config(model)), generator(model, "end_to_end/init"))
    return {"video.frames_u8": clip(f, o["height"], o["width"]),
            "train.posterior_noise": randn((steps, f, 4, h, w), model, "end_to_end/posterior", SEED[model]),
            "train.noise": randn((steps, 1, 4, f, h, w), model, "end_to_end/noise", SEED[model]),
            "train.timesteps": torch.tensor(TIMESTEPS), **{f"init.{k}": v for k, v in fresh.items()}}


def make():
    for model in MODELS:
        given = replay(model)
        save(f"end_to_end/{model}_replay.safetensors", given)
        for formula, suffix in (("exact", ""), ("epsilon_only", "_reference_inversion")):
            if model == "sd1" and suffix:
                continue  # one and the same for epsilon
            single = Job(model, OPTIONS, given, torch.float32).run(formula)
            exact = Job(model, OPTIONS, given, torch.float64).run(formula)
            stages = {}
            for k, v in exact.items():
                stage = "trained" if k.startswith("trained.") else k
                stages[stage] = max(stages.get(stage, 0.0), gap(single[k], v))
            print(f"{model}{suffix} float32 floors:", {k: f"{v:.1e}" for k, v in stages.items()})
            print("  losses", [round(x, 5) for x in exact["train.loss"].tolist()], "norms",
                  [round(x, 3) for x in exact["train.grad_norm"].tolist()],
                  f"inverted std {exact['inv.latents'][-1].std():.3f}, frames {exact['sample.frames'].mean():.3f}"
                  f" +- {exact['sample.frames'].std():.3f}")
            if suffix:
                single = {k: v for k, v in single.items() if k in ("inv.latents", "sample.latents")}
            save(f"end_to_end/{model}{suffix}_expected.safetensors", single)
    save_json("end_to_end/options.json", OPTIONS)
