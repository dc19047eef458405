"""A LoRA by PEFT in the tiny inflated UNets: gradients of its factors, and five AdamW steps as part_adamw.py takes them, on its inputs.

Factors stand beside every projection of attn1, attn2 and attn_temp. `grad.*` belong to `start.*`, in which B is not zero, or A would
have no gradient; the steps begin with A of `start.*` and B zero, as LoRA does. Needs requirements-lora.txt.
"""
import torch
from peft import LoraConfig, inject_adapter_in_model

from common import MODELS, gap, inflated, load, randn, save
from part_adamw import OPTIONS, STEPS
from training import loss_of, noise_scheduler, worst_gap

RANK = 2
SEED = {"sd1": 11, "sd2": 0}  # with which float32 keeps its digits: AdamW divides by small gradients


def with_lora(model, dtype, zero):
    unet = inflated(model, dtype=dtype).train()
    layers = [name for name, module in unet.named_modules() if isinstance(module, torch.nn.Linear)
              and any(f".{part}." in f"{name}." for part in ("attn1", "attn2", "attn_temp"))]
    unet.requires_grad_(False)
    unet = inject_adapter_in_model(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=layers), unet)
    factors = {name.replace(".default.", "."): p for name, p in unet.named_parameters() if p.requires_grad}
    assert len(factors) == 2 * len(layers)
    with torch.no_grad():
        for name, p in factors.items():
            made = randn(p.shape, model, "lora_tuning", name, SEED[model]) * 0.3
            p.copy_(torch.zeros_like(made) if zero and ".lora_B." in name else made)
            p.data = p.data.to(dtype)
    return unet, factors


def loss_at(unet, model, data, i, dtype):
    return loss_of(unet, noise_scheduler(model), data["latents"].to(dtype), data["noise"][i].to(dtype), data["timesteps"][i:i + 1],
                   data["encoder_hidden_states"].to(dtype))


def gradients(model, data, dtype):
    unet, factors = with_lora(model, dtype, zero=False)
    loss_at(unet, model, data, 0, dtype).backward()
    return {k: p.detach() for k, p in factors.items()}, {k: p.grad for k, p in factors.items()}


def run(model, data, dtype):
    unet, factors = with_lora(model, dtype, zero=True)
    optimizer = torch.optim.AdamW(factors.values(), lr=OPTIONS["learning_rate"], betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2)
    losses, norms = [], []
    for i in range(STEPS):
        loss = loss_at(unet, model, data, i, dtype)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(factors.values(), OPTIONS["max_grad_norm"]))
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
    return torch.stack(losses), torch.stack(norms), {k: p.detach() for k, p in factors.items()}


def make():
    for model in MODELS:
        data = load(f"adamw_{model}.safetensors")
        start, exact = gradients(model, data, torch.float64)
        _, single = gradients(model, data, torch.float32)
        loss, norm, trained = run(model, data, torch.float64)
        loss32, norm32, trained32 = run(model, data, torch.float32)
        print(f"{model}: float32 floors: gradients %.1e (%s)," % worst_gap(single, exact), f"loss {gap(loss32, loss):.1e}, norm",
              f"{gap(norm32, norm):.1e}, factors %.1e (%s)" % worst_gap(trained32, trained), "losses", [round(x, 5) for x in loss.tolist()])
        tensors = {"loss": loss, "grad_norm": norm, **{f"start.{k}": v.float() for k, v in start.items()}}
        if model == "sd1":  # of the other the losses say enough
            tensors |= {f"grad.{k}": v.float() for k, v in exact.items()}
            tensors |= {f"trained.{k}": v.float() for k, v in trained.items()}
        save(f"lora_tuning_{model}.safetensors", tensors)
