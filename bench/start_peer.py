"""PyTorch's side of bench/compare's start: what bench/start.cpp does, by diffusers and transformers."""
import json
import resource
import sys

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

folder = sys.argv[1]
tokenizer = CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer")
text_encoder = CLIPTextModel.from_pretrained(folder, subfolder="text_encoder")
vae = AutoencoderKL.from_pretrained(folder, subfolder="vae")
unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet")
ids = tokenizer("a man is swinging a red tennis racket", padding="max_length", return_tensors="pt").input_ids
with torch.no_grad():
    result = prompt = text_encoder(ids).last_hidden_state
    if sys.argv[2:] == ["--step"]:
        result = unet(torch.full((4, 4, 32, 32), 0.5), 981, prompt.expand(4, -1, -1)).sample
print(json.dumps(dict(result=result.flatten()[0].item(),
                      peak_resident_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)))
