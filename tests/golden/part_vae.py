"""VAE: moments, mean, sample with given noise, decoded images; a batch of two, sizes not square."""
import torch

from common import HERE, MODELS, gap, randn, save

SIZES = {"even": (32, 32), "odd": (24, 40)}


def make():
    from diffusers import AutoencoderKL
    tensors = {}
    for model in MODELS:
        vae = AutoencoderKL.from_pretrained(HERE / f"{model}_tiny", subfolder="vae").eval()
        for size, (height, width) in SIZES.items():
            key = f"{model}.{size}"
            image = randn((2, 3, height, width), key, "image").clamp(-1, 1)
            noise = randn((2, 4, height // 8, width // 8), key, "noise")
            latents = randn((2, 4, height // 8, width // 8), key, "latents")
            results = []
            for dtype in (torch.float32, torch.float64):
                vae.to(dtype)
                with torch.no_grad():
                    posterior = vae.encode(image.to(dtype)).latent_dist
                    results.append({
                        "moments": posterior.parameters, "mean": posterior.mean, "std": posterior.std,
                        "sample": posterior.mean + posterior.std * noise.to(dtype),
                        "decoded": vae.decode(latents.to(dtype)).sample})
            single, exact = results
            tensors.update({f"{key}.image": image, f"{key}.noise": noise, f"{key}.latents": latents})
            tensors.update({f"{key}.{k}": v.float() for k, v in exact.items()})
            print(key, "float32 floors:", {k: f"{gap(single[k], exact[k]):.1e}" for k in exact},
                  f"std {exact['std'].mean():.2f}, decoded {exact['decoded'].abs().max():.2f}")
    save("vae.safetensors", tensors)
