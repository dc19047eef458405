"""Text encoder: ids of the tiny tokenizers and what the tiny encoders make of them."""
import torch

from common import HERE, MODELS, gap, save, save_json

PROMPTS = ["", "a man is skiing", "A  jeep car\tand the WINGS of snow!!", "wonder woman is swinging a tennis racket",
           "naïve café 😀 ünïcode", "the man and the jeep " * 30]


def make():
    from transformers import CLIPTextModel, CLIPTokenizer
    tensors = {}
    for model in MODELS:
        tokenizer = CLIPTokenizer.from_pretrained(HERE / f"{model}_tiny" / "tokenizer")
        encoder = CLIPTextModel.from_pretrained(HERE / f"{model}_tiny" / "text_encoder").eval()
        ids = tokenizer(PROMPTS, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
        with torch.no_grad():
            single = encoder(ids)[0]
            exact = encoder.double()(ids)[0]
        tensors[f"{model}.input_ids"] = ids
        tensors[f"{model}.last_hidden_state"] = exact.float()
        print(f"{model} text: float32 floor {gap(single, exact):.1e}, largest {exact.abs().max():.2f}")
    save("text.safetensors", tensors)
    save_json("text.json", PROMPTS)
