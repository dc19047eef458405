"""A picture by an inpainting UNet of 9 channels: diffusers' StableDiffusionInpaintPipeline, and one step of its training."""
import unittest.mock

import numpy as np
import torch

from common import HERE, gap, load, randn, save, unet_2d_weights

STEPS, PROMPT, GUIDANCE, SIZE, TIMESTEP = 6, 1, 3.0, 64, 437  # PROMPT: number in text.json
GRADIENTS = ["down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight",
             "up_blocks.3.attentions.1.transformer_blocks.0.attn2.to_q.weight"]


def picture():
    """Bytes [H, W, 3], and a mask [H, W] whose edges fall between the latents' pixels, with greys on both sides of half."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    rgb = np.stack([3 * x + y, 255 - 2 * y, (x * y) % 256], axis=-1) % 256
    mask = np.zeros((SIZE, SIZE))
    mask[13:45, 9:38] = 255
    mask[8:12, 40:64] = 127
    mask[16:20, 40:64] = 128
    return rgb.astype(np.uint8), mask.astype(np.uint8)


def make():
    import diffusers
    from diffusers import AutoencoderKL, StableDiffusionInpaintPipeline, UNet2DConditionModel
    from PIL import Image
    from transformers import CLIPTextModel
    assert int(diffusers.__version__.split(".")[1]) >= 35, "needs requirements-recent.txt"
    folder = HERE / "sd1_tiny"
    config = UNet2DConditionModel.load_config(folder / "unet")
    weights = dict(unet_2d_weights("sd1"))
    kernel = randn((weights["conv_in.weight"].shape[0], 9, 3, 3), "inpainting", "conv_in.weight") / 9
    weights["conv_in.weight"] = kernel
    unet = UNet2DConditionModel.from_config(config | {"in_channels": 9}).eval()
    unet.load_state_dict(weights, strict=True)
    ids = load("text.safetensors")["sd1.input_ids"][[PROMPT, 0]].long()
    rgb, mask = picture()
    noise = randn((1, 4, SIZE // 8, SIZE // 8), "inpainting", "noise")
    of_masked = randn((1, 4, SIZE // 8, SIZE // 8), "inpainting", "of_masked")
    out = {}
    for dtype in (torch.float32, torch.float64):
        pipe = StableDiffusionInpaintPipeline(
            unet=unet.to(dtype), vae=AutoencoderKL.from_pretrained(folder / "vae").eval().to(dtype),
            text_encoder=CLIPTextModel.from_pretrained(folder / "text_encoder").eval().to(dtype), tokenizer=None,
            safety_checker=None, feature_extractor=None, requires_safety_checker=False,
            scheduler=diffusers.DDIMScheduler.from_pretrained(folder / "scheduler", clip_sample=False))
        pipe.set_progress_bar_config(disable=True)
        seen = []

        def kept(sample, *given, call=pipe.unet.forward, **named):
            seen.append(sample)
            return call(sample, *given, **named)
        drawn = unittest.mock.Mock(side_effect=lambda shape, **_: of_masked.to(dtype).expand(shape))
        with torch.no_grad(), unittest.mock.patch("diffusers.models.autoencoders.vae.randn_tensor", drawn), \
                unittest.mock.patch.object(pipe.unet, "forward", kept):
            text, empty = pipe.text_encoder(ids)[0].chunk(2)
            run = dict(prompt_embeds=text, negative_prompt_embeds=empty, guidance_scale=GUIDANCE, height=SIZE, width=SIZE,
                       num_inference_steps=STEPS, image=Image.fromarray(rgb), mask_image=Image.fromarray(mask),
                       latents=noise.to(dtype), strength=1.0)
            latents = pipe(output_type="latent", **run).images
            pixels = pipe(output_type="pt", **run).images
        beside = seen[0][:1, 4:]
        assert seen[0].shape[1] == 9 and all(torch.equal(s[i:i + 1, 4:], beside) for s in seen for i in (0, 1))
        # one step of training, as for any UNet, with the same channels beside the noisy latents
        clean = randn((1, 4, SIZE // 8, SIZE // 8), "inpainting", "clean").to(dtype)
        a = pipe.scheduler.alphas_cumprod[TIMESTEP].to(dtype)
        noisy = a.sqrt() * clean + (1 - a).sqrt() * noise.to(dtype)
        unet.zero_grad()
        loss = (unet(torch.cat([noisy, beside], 1), TIMESTEP, text).sample - noise.to(dtype)).square().mean()
        loss.backward()
        grads = {f"grad.{name}": unet.get_parameter(name).grad.clone() for name in GRADIENTS}
        out[dtype] = dict(latents=latents, pixels=pixels, beside=beside, loss=loss.detach()[None], clean=clean) | grads
    exact = out[torch.float64]
    for name, value in exact.items():
        print(f"{name}: float32 floor {gap(out[torch.float32][name], value):.1e}")
    save("inpainting.safetensors", {k: v.float() for k, v in exact.items()} | {
        "conv_in.weight": kernel, "noise": noise, "of_masked": of_masked,
        "rgb": torch.from_numpy(rgb), "mask": torch.from_numpy(mask)})


if __name__ == "__main__":
    make()
