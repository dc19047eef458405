"""What tests/optim/test_adamw_8bit.cpp compares with: 8-bit AdamW after Dettmers et al. 2022 (arXiv:2110.02861), in
numpy and float64, and the scales that torch's GradScaler goes through.

    python make_8bit_golden.py

The dynamic map is made from the bits of its bytes, as the paper describes it: a sign bit (or none), zeros that count
the decade, a one, and the rest as a fraction between 0.1 and 1. Two patterns have no such reading and stand for 0 and 1.
"""
import json
import pathlib

import numpy as np
import torch
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).parent / "golden"
BLOCK, SIZE, STEPS = 2048, 5000, 12
RATE, BETA1, BETA2, EPSILON, DECAY = 0.01, 0.9, 0.999, 1e-8, 0.01


def dynamic_map(signed):
    bits = 7 if signed else 8
    values = []
    for pattern in range(2 ** bits):
        text = format(pattern, f"0{bits}b")
        zeros = len(text) - len(text.lstrip("0"))
        if zeros > 6:  # 0...0, and unsigned 00000001
            continue
        fraction = text[zeros + 1:]
        place = (int(fraction, 2) if fraction else 0) + 0.5
        value = 10.0 ** -zeros * (0.1 + 0.9 * place / 2 ** len(fraction))
        values += [value, -value] if signed else [value]
    values += [0.0, 1.0]
    assert len(values) == 256
    return np.sort(np.array(values))


def quantize(x, table):
    codes, scales = np.empty(x.size, np.uint8), []
    for begin in range(0, x.size, BLOCK):
        block = x[begin:begin + BLOCK]
        scales.append(np.abs(block).max())
        normal = block / scales[-1] if scales[-1] > 0 else block
        codes[begin:begin + BLOCK] = np.abs(normal[:, None] - table[None, :]).argmin(axis=1)
    return codes, np.array(scales)


def dequantize(codes, scales, table):
    return table[codes] * np.repeat(scales, BLOCK)[:codes.size]


def gradient(step):
    i = np.arange(SIZE)
    return np.sin(0.1 * (i + 1) * (step + 1)) * 10.0 ** -(i % 5)


signed, unsigned = dynamic_map(True), dynamic_map(False)
p = np.cos(0.3 * np.arange(SIZE))
m, v = quantize(np.zeros(SIZE), signed), quantize(np.zeros(SIZE), unsigned)
for step in range(1, STEPS + 1):
    g = gradient(step)
    first = BETA1 * dequantize(*m, signed) + (1 - BETA1) * g
    second = BETA2 * dequantize(*v, unsigned) + (1 - BETA2) * g * g
    p = p * (1 - RATE * DECAY)
    p = p - RATE * (first / (1 - BETA1 ** step)) / (np.sqrt(second / (1 - BETA2 ** step)) + EPSILON)
    m, v = quantize(first, signed), quantize(second, unsigned)
save_file({"map.signed": signed, "map.unsigned": unsigned, "value": p, "m.codes": m[0], "m.absmax": m[1],
           "v.codes": v[0], "v.absmax": v[1]}, str(HERE / "adamw_8bit.safetensors"))

# Loss scaling: which of the steps hold inf, and the scale and the count after each.
torch.set_num_threads(1)
bad = {2, 3, 11, 20}
parameter = torch.nn.Parameter(torch.zeros(2))
optimizer = torch.optim.SGD([parameter], lr=1.0)
scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_factor=2.0, backoff_factor=0.5, growth_interval=4)
steps = []
for step in range(30):
    parameter.grad = torch.tensor([float("inf") if step in bad else 8.0 * (step + 1), 4.0])
    scaler.scale(torch.zeros(1))
    before = parameter.detach().clone()
    scaler.unscale_(optimizer)
    unscaled = parameter.grad[1].item()
    scaler.step(optimizer)
    scaler.update()
    steps.append(dict(bad=step in bad, unscaled=unscaled, moved=not torch.equal(before, parameter.detach()),
                      scale=scaler.get_scale(), growth_tracker=scaler.state_dict()["_growth_tracker"]))
(HERE / "grad_scaler.json").write_text(json.dumps(steps, indent=1) + "\n")
