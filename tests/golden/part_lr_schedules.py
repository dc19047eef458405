"""AdamW with learning-rate schedules on a few numbers."""
import torch

from common import gap, randn, save, save_json

CASES = [dict(name=n, warmup=w, total=t) for n, w, t in (
    ("constant", 0, 12), ("constant_with_warmup", 4, 12), ("linear", 0, 12), ("linear", 3, 12), ("cosine", 0, 12),
    ("cosine", 5, 12), ("linear", 3, 6), ("cosine", 3, 6))]
STEPS = 12


def run(case, dtype, gradients):
    from diffusers.optimization import get_scheduler
    p = torch.nn.Parameter(randn((6,), "adamw/start").to(dtype))
    optimizer = torch.optim.AdamW([p], lr=0.05, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    schedule = get_scheduler(case["name"], optimizer=optimizer, num_warmup_steps=case["warmup"],
                             num_training_steps=case["total"])
    rates, values = [], []
    for g in gradients:
        rates.append(optimizer.param_groups[0]["lr"])
        p.grad = g.to(dtype)
        optimizer.step()
        schedule.step()
        values.append(p.detach().clone())
    return torch.tensor(rates, dtype=torch.float64), torch.stack(values)


def make():
    gradients = randn((STEPS, 6), "adamw/gradients")
    gradients[:, 5] = 0  # only weight decay moves this one
    gradients[:, 4] *= 1e-8  # as small as epsilon
    tensors, described = {"start": randn((6,), "adamw/start"), "gradients": gradients}, []
    for case in CASES:
        name = f"{case['name']}.warmup{case['warmup']}.total{case['total']}"
        tensors[f"{name}.lr"], tensors[f"{name}.values"] = run(case, torch.float64, gradients)
        floor = gap(run(case, torch.float32, gradients)[1], tensors[f"{name}.values"])
        described.append(dict(key=name, lr_scheduler=case["name"], lr_warmup_steps=case["warmup"],
                              max_train_steps=case["total"], learning_rate=0.05, adam_beta1=0.9, adam_beta2=0.999,
                              adam_epsilon=1e-8, adam_weight_decay=0.01, float32_floor=floor))
    save("lr_schedules.safetensors", tensors)
    save_json("lr_schedules.json", described)
    print(f"float32 floor at worst {max(d['float32_floor'] for d in described):.1e}")
