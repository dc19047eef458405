"""Writes golden/variants: networks that differ from the plain ones, with what diffusers computes with them.

    python make_variants_golden.py    # torch 2.15.0, diffusers 0.42.1

A folder each: config.json and weights as save_pretrained writes them, and check.safetensors with inputs and outputs, computed
in float64 with the weights of the file.
"""
import pathlib
import sys

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.pipelines.latent_consistency_models.pipeline_latent_consistency_text2img import LatentConsistencyModelPipeline
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "golden"))
from common import randn, randomise  # noqa: E402

UNET = dict(sample_size=8, in_channels=4, out_channels=4, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
            cross_attention_dim=12, attention_head_dim=2, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
VAE = dict(sample_size=16, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, latent_channels=4,
           down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)
GUIDANCE = 4.5


def save(name, model, check):
    folder = HERE / "golden" / "variants" / name
    model.float().save_pretrained(folder)
    path = folder / "check.safetensors"
    save_file({k: v.detach().double().contiguous() for k, v in check.items()}, str(path))
    for file in folder.iterdir():
        file.chmod(0o644)


def unet(name, **changes):
    model = UNet2DConditionModel(**{**UNET, **changes})
    randomise(model, name)
    model.double().eval()
    sample, text = randn((2, 4, 8, 6), name, "sample").double(), randn((2, 5, 12), name, "text").double()
    check = dict(sample=sample, text=text, timestep=torch.tensor(321.0))
    with torch.no_grad():
        check["output"] = model(sample, 321, text).sample
        if "time_cond_proj_dim" in changes:
            w = torch.tensor(GUIDANCE - 1).repeat(2)
            condition = LatentConsistencyModelPipeline.get_guidance_scale_embedding(None, w, changes["time_cond_proj_dim"])
            check |= dict(guidance_scale=torch.tensor(GUIDANCE), condition=condition,
                          guided=model(sample, 321, text, timestep_cond=condition.double()).sample)
    save(name, model, check)


def main():
    unet("no_mid_block", mid_block_type=None)
    unet("distilled", time_cond_proj_dim=10)
    vae = AutoencoderKL(**VAE, use_quant_conv=False, use_post_quant_conv=False)
    randomise(vae, "no_quant_conv")
    vae.double().eval()
    picture, latents = randn((2, 3, 16, 12), "picture").double(), randn((2, 4, 8, 6), "latents").double()
    with torch.no_grad():
        save("no_quant_conv", vae, dict(picture=picture, latents=latents, moments=vae.encode(picture).latent_dist.parameters,
                                        decoded=vae.decode(latents).sample))


if __name__ == "__main__":
    main()
