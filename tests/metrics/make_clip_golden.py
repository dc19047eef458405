"""Makes tests/metrics/golden/clip: a tiny CLIP with random weights as transformers saves it, and what transformers computes
with it (expected.safetensors).

    pip install torch==2.15.0 transformers==4.26.1 safetensors==0.8.0 pillow==13.0.0 numpy
    python3 tests/metrics/make_clip_golden.py

The prompts' ids are those of tests/golden/sd1_tiny/tokenizer. The tests repeat the rule of the clip.
"""
import json
import pathlib
import zlib

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

HERE = pathlib.Path(__file__).resolve().parent
FOLDER = HERE / "golden" / "clip"
PROMPTS = ["a man is skiing", "wonder woman is swinging a tennis racket"]
FRAMES, HEIGHT, WIDTH = 3, 40, 52

torch.set_num_threads(1)


def clip():
    f, y, x, c = np.meshgrid(*map(np.arange, (FRAMES, HEIGHT, WIDTH, 3)), indexing="ij")
    waves = 128 + 90 * np.sin(0.31 * x + 0.9 * f + c) * np.cos(0.23 * y - 0.4 * f * (c + 1))
    return np.floor(waves).astype(np.uint8)


def randomise(model):
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
            if name == "logit_scale":
                continue
            if p.dim() == 1:
                p.copy_(1 + 0.2 * noise if "norm" in name and name.endswith("weight") else 0.1 * noise)
            elif "embedding" in name and "patch" not in name:
                p.copy_(0.5 * noise)
            else:
                p.copy_(noise / p[0].numel() ** 0.5)


def main():
    text = dict(vocab_size=555, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3,
                max_position_embeddings=77, projection_dim=16)
    vision = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, image_size=32,
                  patch_size=8, projection_dim=16)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).eval()
    randomise(model)
    FOLDER.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(FOLDER)
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor.save_pretrained(FOLDER)
    # With every key that transformers of 2022 wrote, as in the published folders.
    config = model.config.to_dict()
    config["architectures"] = ["CLIPModel"]
    config["torch_dtype"] = "float32"
    for part in ("text_config", "vision_config"):
        config[part] = {**getattr(model.config, part).to_dict()}
        config[part + "_dict"] = None
    (FOLDER / "config.json").write_text(json.dumps(config, indent=1, default=str) + "\n")

    tokenizer = CLIPTokenizer.from_pretrained(HERE.parent / "golden" / "sd1_tiny" / "tokenizer")
    ids = tokenizer(PROMPTS, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
    pixels = processor([Image.fromarray(frame) for frame in clip()], return_tensors="pt").pixel_values
    single = CLIPModel.from_pretrained(FOLDER).eval()
    with torch.no_grad():
        float32 = single.get_image_features(pixels)
        exact = single.double()
        hidden = exact.vision_model(pixels.double())
        images = exact.get_image_features(pixels.double())
        texts = exact.get_text_features(ids)
    print("float32 floor", ((float32 - images).abs().max() / images.abs().max()).item())
    unit = images / images.norm(dim=-1, keepdim=True)
    words = texts / texts.norm(dim=-1, keepdim=True)
    cosines = unit @ unit.T
    pairs = [cosines[i, j] for i in range(FRAMES) for j in range(i + 1, FRAMES)]
    expected = {
        "input_ids": ids, "pixels0": pixels[0].permute(1, 2, 0), "pixel_sums": pixels.double().sum(dim=(2, 3)),
        "last_hidden_state": hidden.last_hidden_state.float(), "pooled": hidden.pooler_output.float(),
        "image_features": images.float(), "text_features": texts.float(),
        "consistency": torch.stack([torch.stack([cosines[i, i + 1] for i in range(FRAMES - 1)]).mean(),
                                    torch.stack(pairs).mean()]),
        "alignment": 100 * (unit @ words.T).mean(0),
    }
    save_file({k: v.contiguous() for k, v in expected.items()}, str(FOLDER / "expected.safetensors"))
    for file in sorted(FOLDER.iterdir()):
        file.chmod(0o644)
        print(file.name, file.stat().st_size)
    print({k: expected[k].tolist() for k in ("consistency", "alignment")})


if __name__ == "__main__":
    main()
