"""Training steps of a 2D UNet and its text encoder together: AdamW, clipping, min-SNR weights, diffusers' EMA.

Computed in float64. Everything that trains is compared, but only some tensors are stored whole; of the others the
norm of what the steps changed. Only a recent diffusers' EMAModel has the schedule without warm-up.
"""
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.training_utils import EMAModel
from transformers import CLIPTextModel

from common import HERE, load_json, randn, save, save_json

OPTIONS = {"learning_rate": 1e-3, "adam_beta1": 0.9, "adam_beta2": 0.999, "adam_weight_decay": 1e-2,
           "adam_epsilon": 1e-8, "max_grad_norm": 1.0, "ema_decay": 0.999, "snr_gamma": 5.0}
STEPS, COUNT, SIDE, TOKENS = 3, 3, 8, 77
STORED = ("unet.conv_in.weight", "unet.conv_out.bias", "unet.time_embedding.linear_1.weight",
          "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight",
          "unet.mid_block.resnets.0.norm1.weight", "unet.up_blocks.1.resnets.0.time_emb_proj.bias",
          "text_encoder.text_model.encoder.layers.0.self_attn.q_proj.weight",
          "text_encoder.text_model.encoder.layers.1.mlp.fc2.bias",
          "text_encoder.text_model.final_layer_norm.weight")


def make():
    folder = HERE / "sd1_tiny"
    unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet").double().train()
    text = CLIPTextModel.from_pretrained(folder, subfolder="text_encoder").double().train()
    keys = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "prediction_type", "clip_sample")
    config = load_json("sd1_tiny/scheduler/scheduler_config.json")
    scheduler = DDPMScheduler(**{k: config[k] for k in keys if k in config})
    # transformers 5 leaves out "text_model.", which the files have.
    named = {f"text_encoder.text_model.{n.removeprefix('text_model.')}": p for n, p in text.named_parameters()}
    named.update({f"unet.{n}": p for n, p in unet.named_parameters()})
    start = {n: p.detach().clone() for n, p in named.items()}
    o = OPTIONS
    optimizer = torch.optim.AdamW(named.values(), lr=o["learning_rate"], betas=(o["adam_beta1"], o["adam_beta2"]),
                                  weight_decay=o["adam_weight_decay"], eps=o["adam_epsilon"])
    ema = EMAModel(named.values(), decay=o["ema_decay"])
    tensors = {"latents": randn((STEPS, COUNT, 4, SIDE, SIDE), "training_2d", "latents"),
               "noise": randn((STEPS, COUNT, 4, SIDE, SIDE), "training_2d", "noise"),
               "timesteps": torch.tensor([[20, 400, 990], [1, 250, 700], [0, 555, 801]]),
               "ids": (randn((STEPS, COUNT, TOKENS), "training_2d", "ids").abs() * 150).long().clamp(max=550)}
    alphas = scheduler.alphas_cumprod.double()
    losses, norms = [], []
    for k in range(STEPS):
        timesteps = tensors["timesteps"][k]
        a = alphas[timesteps]
        signal, spread = (x.sqrt().reshape(-1, 1, 1, 1) for x in (a, 1 - a))
        noise = tensors["noise"][k].double()
        states = text(tensors["ids"][k]).last_hidden_state
        predicted = unet(signal * tensors["latents"][k].double() + spread * noise, timesteps, states).sample
        snr = a / (1 - a)
        weights = torch.minimum(snr, torch.full_like(snr, o["snr_gamma"])) / snr
        loss = (weights * (predicted - noise).square().mean((1, 2, 3))).mean()
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(named.values(), o["max_grad_norm"]).detach())
        optimizer.step()
        ema.step(named.values())
        losses.append(loss.detach())
    averages = dict(zip(named, ema.shadow_params))
    tensors.update({"loss": torch.stack(losses), "grad_norm": torch.stack(norms)})
    tensors.update({f"trained.{n}": named[n].detach().float() for n in STORED})
    tensors.update({f"average.{n}": averages[n].float() for n in STORED})
    save("training_2d.safetensors", tensors)
    changed = {"changed": named, "average_changed": averages}
    save_json("training_2d.json", {**OPTIONS, **{key: {n: float(f"{(now[n] - start[n]).norm():.7g}") for n in named}
                                                 for key, now in changed.items()}})
