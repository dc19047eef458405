"""What tests/golden lacks for optimizers: the schedules cosine_with_restarts and polynomial, gradient clipping, and
AdamW with a parameter that gets a gradient only now and then, by torch and a recent diffusers
(tests/golden/requirements-recent.txt).

    python make_optim_golden.py
"""
import json
import pathlib

import torch
from diffusers.optimization import get_scheduler
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent / "golden"
LEARNING_RATE, STEPS = 0.03, 16
CASES = [("constant", 3, 12, {}), ("constant_with_warmup", 5, 12, {}), ("linear", 3, 12, {}), ("cosine", 3, 12, {}),
         ("cosine_with_restarts", 0, 12, {}), ("cosine_with_restarts", 3, 13, dict(num_cycles=3)),
         ("polynomial", 0, 12, {}), ("polynomial", 4, 12, dict(power=2.0)), ("linear", 9, 6, {}), ("cosine", 9, 6, {})]

torch.set_num_threads(1)
tensors, described = {}, []
for index, (name, warmup, total, extra) in enumerate(CASES):
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=LEARNING_RATE)
    schedule = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=total, **extra)
    rates = []
    for _ in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    tensors[f"rates.{index}"] = torch.tensor(rates, dtype=torch.float64)
    described.append(dict(name=name, warmup=warmup, total=total, learning_rate=LEARNING_RATE, **extra))

random = torch.Generator().manual_seed(7)
shapes = {"wide": (3, 5), "rare": (4,), "never": (2,)}
start = {k: torch.randn(s, generator=random, dtype=torch.float64) for k, s in shapes.items()}
parameters = {k: torch.nn.Parameter(v.clone()) for k, v in start.items()}
optimizer = torch.optim.AdamW(parameters.values(), lr=0.02, betas=(0.8, 0.97), eps=1e-6, weight_decay=0.1)
for k, v in start.items():
    tensors[f"adamw.start.{k}"] = v
for step in range(6):
    for name, parameter in parameters.items():
        parameter.grad = None
        if name == "wide" or (name == "rare" and step in (1, 4)):
            parameter.grad = torch.randn(parameter.shape, generator=random, dtype=torch.float64) * (0.1 if step == 3 else 2)
            tensors[f"adamw.gradient.{step}.{name}"] = parameter.grad.clone()
    norm = torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
    tensors[f"adamw.norm.{step}"] = norm.reshape(1)
    optimizer.step()
    for name, parameter in parameters.items():
        tensors[f"adamw.value.{step}.{name}"] = parameter.detach().clone()
save_file(tensors, str(HERE / "optim.safetensors"))
(HERE / "lr_schedules.json").write_text(json.dumps(described, indent=1) + "\n")
