#!/usr/bin/env bash
# One LoRA file, two readings: an alpha of 0 beside lora_down and lora_up is "the rank", so a scale of 1, to LyCORIS 4.1.3 (and to
# sd-scripts, whose form it is: networks/lora.py), and 0 to diffusers 0.42.1 with PEFT 0.21.2, which merges nothing and says nothing.
#
# Why: LyCORIS' and sd-scripts' modules take the rank for an alpha that is None or 0; diffusers hands the number to PEFT as
# lora_alpha, which divides it by the rank.
#
# Seen with torch 2.15.0, Python 3.11, x86-64:
#   alpha 0: LyCORIS merges 1.0 times up @ down, diffusers 0.0 times
# Exits 0 while it is so, 1 when it has changed. Needs Python 3.11 and PyPI; installs into a temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.15.0 lycoris-lora==4.1.3 diffusers==0.42.1 peft==0.21.2 transformers==5.24.0
cat > "$folder/zero.py" <<'PYTHON'
import logging
import sys
import tempfile

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import save_file

logging.disable(logging.CRITICAL)
from lycoris.kohya import create_network_from_weights
from lycoris.modules.locon import LoConModule


def model():
    torch.manual_seed(0)
    return UNet2DConditionModel(block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=2, cross_attention_dim=8,
                                attention_head_dim=4, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
                                up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))


path = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
key = "lora_unet_" + path.replace(".", "_")
torch.manual_seed(1)
down, up = torch.randn(2, 8), torch.randn(8, 2)
file = {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.alpha": torch.tensor(0.0)}


def times(unet, original):
    return round(((unet.get_submodule(path).weight - original) / (up @ down)).mean().item(), 4)


unet = model()
original = unet.get_submodule(path).weight.detach().clone()
LoConModule.make_module_from_state_dict(key, unet.get_submodule(path), up, down, None, file[f"{key}.alpha"], None).merge_to(1.0)
by_lycoris = times(unet, original)

unet = model()
state, alphas = StableDiffusionPipeline.lora_state_dict(dict(file), unet_config=None)
StableDiffusionPipeline.load_lora_into_unet(state, alphas, unet)
unet.fuse_lora()
layer = unet.get_submodule(path)
by_diffusers = round(((layer.base_layer.weight - original) / (up @ down)).mean().item(), 4)
print(f"alpha 0: LyCORIS merges {by_lycoris} times up @ down, diffusers {by_diffusers} times")
sys.exit((by_lycoris, by_diffusers) != (1.0, 0.0))
PYTHON
"$folder/venv/bin/python" "$folder/zero.py"
