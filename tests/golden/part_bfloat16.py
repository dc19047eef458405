"""What PyTorch computes in bfloat16: `model.to(torch.bfloat16)` on inputs of the other golden files, rounded."""
import torch
from diffusers import AutoencoderKL

from common import HERE, MODELS, gap, inflated, load, save


def make():
    tensors = {}
    unet, vae = load("unet.safetensors"), load("vae.safetensors")
    for model in MODELS:
        net = inflated(model, dtype=torch.bfloat16)
        for case in ("a", "b", "c"):
            key = f"{model}.{case}"
            with torch.no_grad():
                out = net(unet[f"{key}.sample"].bfloat16(), int(unet[f"{key}.timestep"]),
                          unet[f"{key}.encoder_hidden_states"].bfloat16())
            assert out.dtype == torch.bfloat16
            tensors[f"{key}.unet"] = out
            print(f"{key}: UNet in bfloat16 against float64 {gap(out, unet[f'{key}.output']):.1e}")
        coder = AutoencoderKL.from_pretrained(HERE / f"{model}_tiny", subfolder="vae").to(torch.bfloat16).eval()
        with torch.no_grad():
            moments = coder.quant_conv(coder.encoder(vae[f"{model}.even.image"].bfloat16()))
            decoded = coder.decode(vae[f"{model}.even.latents"].bfloat16()).sample
        for name, out in (("moments", moments), ("decoded", decoded)):
            tensors[f"{model}.{name}"] = out
            print(f"{model}: {name} in bfloat16 against float32 {gap(out, vae[f'{model}.even.{name}']):.1e}")
    save("bfloat16.safetensors", tensors)
