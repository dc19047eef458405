"""A UNet distilled to be told the guidance scale, drawn with by diffusers' own pipeline."""
import unittest.mock

import torch

from common import HERE, load, randn, save, unet_2d_weights, unet_config

WIDTH, STEPS, PROMPT = 16, 4, 1  # of the embedded scale; of a run; number in text.json


def make():
    import diffusers
    from diffusers import AutoencoderKL, DDIMScheduler, LCMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel
    assert int(diffusers.__version__.split(".")[1]) >= 35, "needs requirements-recent.txt"
    folder = HERE / "sd1_tiny"
    config = {k: v for k, v in unet_config("sd1").items() if not k.startswith("_")}
    unet = UNet2DConditionModel(**config, time_cond_proj_dim=WIDTH)
    weight = randn((config["block_out_channels"][0], WIDTH), "distilled")
    unet.load_state_dict(unet_2d_weights("sd1") | {"time_embedding.cond_proj.weight": weight})
    pipe = StableDiffusionPipeline(
        unet=unet.eval(), vae=AutoencoderKL.from_pretrained(folder / "vae").eval(), tokenizer=None,
        text_encoder=CLIPTextModel.from_pretrained(folder / "text_encoder").eval(), safety_checker=None,
        feature_extractor=None, scheduler=DDIMScheduler.from_pretrained(folder / "scheduler"), requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    ids = load("text.safetensors")["sd1.input_ids"][PROMPT:PROMPT + 1].long()
    noise = randn((STEPS + 1, 1, 4, 8, 8), "distilled", "noise")
    tensors = {"time_embedding.cond_proj.weight": weight, "noise": noise}
    ddim = pipe.scheduler
    with torch.no_grad():
        text = pipe.text_encoder(ids)[0]
        for name, scheduler, scale in (("ddim.1", ddim, 1.0), ("ddim.7.5", ddim, 7.5), ("lcm.8.5", None, 8.5)):
            pipe.scheduler = scheduler or LCMScheduler.from_config(ddim.config)
            draws = iter(noise[1:])
            with unittest.mock.patch(f"{LCMScheduler.__module__}.randn_tensor", lambda *_, **__: next(draws)):
                tensors[name] = pipe(prompt_embeds=text, latents=noise[0].clone(), guidance_scale=scale, height=64, width=64,
                                     num_inference_steps=STEPS, output_type="latent").images
    save("distilled.safetensors", tensors)
    print(f"the scale moves latents by {(tensors['ddim.1'] - tensors['ddim.7.5']).abs().max():.2f}")
