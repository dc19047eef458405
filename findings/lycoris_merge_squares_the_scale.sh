#!/usr/bin/env bash
# LyCORIS 4.1.3: merging a LoHa or LoKr into its layer (merge_to(), onfly_merge(), and the merging of whole networks) multiplies
# the change by alpha / rank twice, its forward pass once. With alpha 0.5 and rank 2, a quarter of what was trained arrives in the
# weight. LoCon is merged right, and so is whatever has alpha = rank.
#
# Why: get_weight() of modules/loha.py and modules/lokr.py has self.scale in it already, and get_diff_weight() multiplies by it
# again; LoCon's make_weight() has not.
#
# Seen with torch 2.15.0, Python 3.11, x86-64:
#   LoConModule: what is merged over what was trained: 1.000000
#   LohaModule: what is merged over what was trained: 0.250000
#   LokrModule: what is merged over what was trained: 0.250000
# Exits 0 while it is so, 1 when it has changed. Needs Python 3.11 and PyPI; installs into a temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.15.0 lycoris-lora==4.1.3
cat > "$folder/merged.py" <<'PYTHON'
import logging
import sys

import torch

logging.disable(logging.CRITICAL)
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule

changed = False
for kind, right in ((LoConModule, 1.0), (LohaModule, 0.25), (LokrModule, 0.25)):
    torch.manual_seed(0)
    layer = torch.nn.Linear(64, 64, bias=False).double()
    original = layer.weight.detach().clone()
    adapter = kind("layer", layer, lora_dim=2, alpha=0.5)  # alpha / rank is 1/4
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.copy_(torch.randn_like(parameter))
    adapter = adapter.double()
    x = torch.eye(64).double()
    with torch.no_grad():
        adapter.bypass_mode = False
        trained = adapter(x).T - original  # what the forward pass adds
        adapter.merge_to(1.0)
        merged = layer.weight - original
    ratio = ((merged * trained).sum() / (trained * trained).sum()).item()
    print(f"{kind.__name__}: what is merged over what was trained: {ratio:.6f}")
    changed |= abs(ratio - right) > 1e-4
sys.exit(changed)
PYTHON
"$folder/venv/bin/python" "$folder/merged.py"
