#!/usr/bin/env bash
# A DoRA whose strength is turned down to 0 is not the model without it, in LyCORIS 4.1.3 and in PEFT 0.21.2; each gives another
# weight. LyCORIS' merge_to(0) gives W + B A without its magnitudes, PEFT's scale of 0 gives W with its rows at DoRA's magnitudes.
#
# Why: LyCORIS applies the multiplier to the magnitudes alone, W' = (W + d) (s (m / |W + d| - 1) + 1); PEFT to the change alone,
# W' = m (W + s d) / |W + s d|. Between W and W' no one goes straight: W + s (W' - W) is what ComfyUI does, and reel.
#
# Seen with torch 2.15.0, Python 3.11, x86-64:
#   LyCORIS, merge_to(0): the weight is 11.015 of its length away from the model's
#   PEFT, set_scale(0): the weight is 0.500 of its length away from the model's
# Exits 0 while it is so, 1 when it has changed. Needs Python 3.11 and PyPI; installs into a temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.15.0 lycoris-lora==4.1.3 peft==0.21.2 transformers==5.24.0
cat > "$folder/dora.py" <<'PYTHON'
import logging
import sys

import torch
from peft import LoraConfig, inject_adapter_in_model

logging.disable(logging.CRITICAL)
from lycoris.modules.locon import LoConModule


def layer():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(16, 16, bias=False)).double()


def fill(adapter):
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in adapter.named_parameters():
            if "dora" in name or "magnitude" in name:
                parameter.mul_(1.5)
            elif parameter.requires_grad:
                parameter.copy_(torch.randn_like(parameter))


original = layer()[0].weight.detach()
far = {}
base = layer()
adapter = LoConModule("layer", base[0], lora_dim=2, alpha=2, weight_decompose=True).double()
fill(adapter)
adapter.merge_to(0.0)
far["LyCORIS, merge_to(0)"] = (base[0].weight - original).norm() / original.norm()
base = inject_adapter_in_model(LoraConfig(r=2, lora_alpha=2, target_modules=["0"], use_dora=True), layer()).double()
fill(base)
base[0].set_scale("default", 0)
base[0].merge()
far["PEFT, set_scale(0)"] = (base[0].base_layer.weight - original).norm() / original.norm()
for name, distance in far.items():
    print(f"{name}: the weight is {distance.item():.3f} of its length away from the model's")
sys.exit(min(far.values()).item() < 0.1)
PYTHON
"$folder/venv/bin/python" "$folder/dora.py"
