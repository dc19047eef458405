"""Five AdamW steps on the tiny inflated UNets with fixed latents, noise and timesteps."""
import torch

from common import MODELS, gap, inflated, randn, save, save_json, unet_config
from inflated_unet import select_trainable
from training import loss_of, noise_scheduler, worst_gap

STEPS, FRAMES, HEIGHT, WIDTH, TOKENS = 5, 3, 6, 8, 77
SEED = {"sd1": 0, "sd2": 3}
OPTIONS = dict(learning_rate=1e-3, adam_beta1=0.9, adam_beta2=0.999, adam_epsilon=1e-8, adam_weight_decay=1e-2,
               max_grad_norm=1.0)


def run(model, data, dtype, checkpointing=None, learning_rate=OPTIONS["learning_rate"]):
    unet, scheduler = inflated(model, dtype=dtype).train(), noise_scheduler(model)
    names = select_trainable(unet)
    unet.checkpointing = checkpointing
    optimizer = torch.optim.AdamW(unet.parameters(), lr=learning_rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2)
    losses, norms = [], []
    for i in range(STEPS):
        loss = loss_of(unet, scheduler, data["latents"].to(dtype), data["noise"][i].to(dtype),
                       data["timesteps"][i:i + 1], data["encoder_hidden_states"].to(dtype))
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(unet.parameters(), OPTIONS["max_grad_norm"]))
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
    weights = dict(unet.named_parameters())
    return torch.stack(losses), torch.stack(norms), {n: weights[n].detach() for n in names}


def make():
    for model in MODELS:
        shape = (1, 4, FRAMES, HEIGHT, WIDTH)
        data = {"latents": randn(shape, model, "adamw/latents", SEED[model]), "noise": randn((STEPS, *shape), model, "adamw/noise", SEED[model]),
                "timesteps": torch.tensor([981, 7, 402, 650, 199]),
                "encoder_hidden_states": randn((1, TOKENS, unet_config(model)["cross_attention_dim"]),
                                               model, "adamw/text")}
        loss, norm, weights = run(model, data, torch.float64)
        loss32, norm32, weights32 = run(model, data, torch.float32)
        print(f"{model}: float32 floors: loss {gap(loss32, loss):.1e}, norm {gap(norm32, norm):.1e},",
              "weights %.1e (%s)" % worst_gap(weights32, weights), "losses", [round(x, 5) for x in loss.tolist()],
              "norms", [round(x, 3) for x in norm.tolist()])
        tensors = {**data, "loss": loss, "grad_norm": norm, **{f"trained.{k}": v.float() for k, v in weights.items()}}
        loss_cut, norm_cut, weights_cut = run(model, data, torch.float64, "reentrant")
        tensors.update({"reentrant.loss": loss_cut, "reentrant.grad_norm": norm_cut})
        start = dict(inflated(model).named_parameters())
        kept = [k for k, v in weights_cut.items() if torch.equal(v, start[k].double())]
        assert kept and all(k.startswith("down_blocks.") for k in kept)  # no weight decay either
        save(f"adamw_{model}.safetensors", tensors)
    save_json("adamw.json", OPTIONS)
