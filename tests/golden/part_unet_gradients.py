"""Gradients of mean((pred - target)^2) through the inflated UNet, computed in float64, stored as float32.

The checkpointed runs are checked against the plain one here; for "reentrant" the names it leaves without a gradient
are listed, because which parameters train depends on it.
"""
import torch
import torch.nn.functional as F

from common import MODELS, inflated, randn, save, save_json, unet_config
from inflated_unet import select_trainable
from training import worst_gap

BATCH, FRAMES, HEIGHT, WIDTH, TOKENS, TIMESTEP, SEED = 1, 3, 6, 8, 77, 401, 2
STORED = ("input.", "conv_in.", "time_embedding.", "down_blocks.0.", "down_blocks.3.", "mid_block.", "up_blocks.0.",
          "conv_norm_out.", "conv_out.")


def gradients(model, dtype, everything, checkpointing=None):
    unet = inflated(model, dtype=dtype).train()
    names = [n for n, _ in unet.named_parameters()] if everything else select_trainable(unet)
    unet.checkpointing = checkpointing
    x = randn((BATCH, 4, FRAMES, HEIGHT, WIDTH), model, "gradients/sample", SEED).to(dtype).requires_grad_(everything)
    target = randn((BATCH, 4, FRAMES, HEIGHT, WIDTH), model, "gradients/target", SEED).to(dtype)
    context_dim = unet_config(model)["cross_attention_dim"]
    context = randn((BATCH, TOKENS, context_dim), model, "gradients/context", SEED).to(dtype)
    context.requires_grad_(everything)
    loss = F.mse_loss(unet(x, TIMESTEP, context), target)
    loss.backward()
    found = {n: p.grad for n, p in unet.named_parameters() if n in names and p.grad is not None}
    inputs = {"sample": x, "target": target, "encoder_hidden_states": context}
    return loss.detach(), found, inputs, [n for n in names if n not in found]


def make():
    without = {}
    for model in MODELS:
        for everything in (False, True):
            label = "all" if everything else "trainable"
            loss, exact, inputs, missing = gradients(model, torch.float64, everything)
            assert not missing, missing
            if everything:
                exact.update({"input.sample": inputs["sample"].grad,
                              "input.encoder_hidden_states": inputs["encoder_hidden_states"].grad})
            loss32, single, inputs32, _ = gradients(model, torch.float32, everything)
            if everything:
                single.update({"input.sample": inputs32["sample"].grad,
                               "input.encoder_hidden_states": inputs32["encoder_hidden_states"].grad})
            floor, where = worst_gap(single, exact)
            print(f"{model} {label}: {len(exact)} gradients, float32 floor {floor:.1e} ({where}),",
                  f"loss {abs(loss32 - loss) / loss:.1e}")
            if everything:
                if model == "sd1":  # both are checked; enough of one is stored to have every kind of parameter
                    all_parameters = {k: v for k, v in exact.items() if k.startswith(STORED)}
                continue
            _, again, _, missing = gradients(model, torch.float64, False, "nonreentrant")
            difference, _ = worst_gap(again, exact)
            assert not missing and difference < 1e-12, difference
            _, partly, _, missing = gradients(model, torch.float64, False, "reentrant")
            difference, _ = worst_gap(partly, {k: exact[k] for k in partly})
            assert difference < 1e-12, difference
            assert missing and all(n.startswith("down_blocks.") for n in missing)
            without[model] = missing
            print(f"{model}: reentrant checkpointing leaves {len(missing)} of {len(exact)} without a gradient")
            tensors = {k: v.detach().float() for k, v in inputs.items()}
            tensors.update({"timestep": torch.tensor(TIMESTEP), "loss": loss})
            tensors.update({f"grad.{k}": v.float() for k, v in exact.items()})
            save(f"unet_gradients_{model}.safetensors", tensors)
    save("unet_gradients_sd1_others.safetensors", {f"grad.{k}": v.float() for k, v in all_parameters.items()})
    save_json("unet_gradients.json", {"without_gradient_when_reentrant": without})
