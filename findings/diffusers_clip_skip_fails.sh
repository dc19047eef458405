#!/usr/bin/env bash
# diffusers 0.42.1: clip_skip fails with transformers 5.24.0, in every pipeline of Stable Diffusion:
#   AttributeError: 'CLIPTextModel' object has no attribute 'text_model'
#
# Why: encode_prompt() takes an earlier hidden state and calls self.text_encoder.text_model.final_layer_norm on it;
# transformers 5.6 and later have the embeddings, the encoder and the norm in CLIPTextModel itself.
#
# Seen with torch 2.15.0, Python 3.11, x86-64. Without clip_skip the same prompt is encoded.
# Exits 0 while it is so, 1 when it has changed. Needs Python 3.11 and PyPI; installs into a temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.15.0 diffusers==0.42.1 transformers==5.24.0
cat > "$folder/skip.py" <<'PYTHON'
import sys
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel


class Tokenizer:  # as much of one as encode_prompt() looks at when it is given ids by us
    model_max_length = 8
    added_tokens_encoder = {}

    def tokenize(self, text):
        return [text]

    def __call__(self, prompt, **_):
        return type("Ids", (), dict(input_ids=torch.arange(8)[None], attention_mask=None))


text_encoder = CLIPTextModel(CLIPTextConfig(vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=2,
                                            num_attention_heads=1, max_position_embeddings=8))
pipe = StableDiffusionPipeline(vae=AutoencoderKL(norm_num_groups=1, block_out_channels=(8,)), tokenizer=None,
                               unet=UNet2DConditionModel(cross_attention_dim=8, norm_num_groups=1, block_out_channels=(8,),
                                                         down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",)),
                               text_encoder=text_encoder, scheduler=DDIMScheduler(), safety_checker=None,
                               feature_extractor=None, requires_safety_checker=False)
pipe.tokenizer = Tokenizer()
print("clip_skip None:", pipe.encode_prompt("a", "cpu", 1, False)[0].shape)
try:
    print("clip_skip 1:", pipe.encode_prompt("a", "cpu", 1, False, clip_skip=1)[0].shape)
    sys.exit(1)
except AttributeError as error:
    print("clip_skip 1: AttributeError:", error)
PYTHON
"$folder/venv/bin/python" "$folder/skip.py"
