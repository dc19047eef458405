"""Writes golden/peft: weights with LoRA adapters of PEFT still attached, and what PEFT merges them to.

    pip install torch==2.15.0 peft==0.21.2 safetensors
    python3 tests/io/make_peft_golden.py

One folder for each way a scale is said: diffusion_pytorch_model.safetensors (as save_pretrained leaves an attached adapter),
adapter_config.json (PEFT's own), merged.safetensors (by merge_and_unload, in float64, then rounded).
"""
import copy
import json
import pathlib

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file

GOLDEN = pathlib.Path(__file__).parent / "golden" / "peft"


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.to_q = torch.nn.Linear(6, 4, bias=False)
        self.to_out = torch.nn.ModuleList([torch.nn.Linear(4, 6)])
        self.conv1 = torch.nn.Conv2d(3, 4, 3)
        self.proj_in = torch.nn.Conv2d(4, 4, 1)
        self.norm = torch.nn.LayerNorm(4)


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.ModuleList([Block(), Block()])


CASES = {
    "plain": dict(r=2, lora_alpha=5),
    "rslora": dict(r=3, lora_alpha=4, use_rslora=True),
    "patterns": dict(r=2, lora_alpha=4, rank_pattern={"conv1": 3}, alpha_pattern={"blocks.1.to_q": 7.5, "conv1": 1}),
}


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for name, options in CASES.items():
        adapter = "default" if name == "plain" else "style"
        config = LoraConfig(target_modules=["to_q", "to_out.0", "conv1", "proj_in"], **options)
        model = get_peft_model(Model(), config, adapter_name=adapter)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn(parameter.shape))
        attached = {k: v.clone() for k, v in model.get_base_model().state_dict().items()}
        merged = copy.deepcopy(model).double().merge_and_unload().state_dict()
        folder = GOLDEN / name
        folder.mkdir(parents=True, exist_ok=True)
        save_file(attached, folder / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
        save_file({k: v.float() for k, v in merged.items()}, folder / "merged.safetensors")
        model.peft_config[adapter].save_pretrained(folder if name == "plain" else folder / adapter)


if __name__ == "__main__":
    main()
