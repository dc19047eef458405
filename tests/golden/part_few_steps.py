"""A LoRA of the kinds that distil a model to few steps (LCM, TCD, Hyper-SD), and what diffusers' own pipeline draws with it.

lora/few_steps.safetensors: kohya's form, as those are passed on, for every layer of the sd1 UNet that they have, random;
few_steps.safetensors: the noise, and the latents of each case. Needs requirements-lora.txt.
"""
import unittest.mock

import torch
from safetensors.torch import save_file

from common import HERE, load, randn, save

STEPS, PROMPT, EMPTY = 4, 1, 0  # of a run; numbers in text.json
LAYERS = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "conv1", "conv2", "conv_shortcut",
          "time_emb_proj", "downsamplers.0.conv", "upsamplers.0.conv")
RANK = 2


def lora(unet):
    tensors = {}
    for name, module in unet.named_modules():
        if not name.endswith(LAYERS) or not isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)):
            continue
        key, shape = "lora_unet_" + name.replace(".", "_"), module.weight.shape
        tensors[f"{key}.alpha"] = torch.tensor(1.0)
        tensors[f"{key}.lora_down.weight"] = 0.3 * randn((RANK, *shape[1:]), "few_steps", name, "down")
        one = (shape[0], RANK, *(1 for _ in shape[2:]))
        tensors[f"{key}.lora_up.weight"] = 0.3 * randn(one, "few_steps", name, "up")
    return tensors


def make():
    import diffusers
    from diffusers import AutoencoderKL, DDIMScheduler, LCMScheduler, StableDiffusionPipeline, TCDScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel
    assert int(diffusers.__version__.split(".")[1]) >= 35, "needs requirements-lora.txt"
    folder = HERE / "sd1_tiny"
    pipe = StableDiffusionPipeline(
        unet=UNet2DConditionModel.from_pretrained(folder / "unet").eval(), vae=AutoencoderKL.from_pretrained(folder / "vae").eval(),
        tokenizer=None, text_encoder=CLIPTextModel.from_pretrained(folder / "text_encoder").eval(), safety_checker=None,
        feature_extractor=None, scheduler=DDIMScheduler.from_pretrained(folder / "scheduler"), requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    file = HERE / "lora" / "few_steps.safetensors"
    save_file({k: v.half().contiguous() for k, v in lora(pipe.unet).items()}, str(file))
    file.chmod(0o644)
    prompts = load("text.safetensors")["sd1.input_ids"].long()
    ids, empty = prompts[PROMPT:PROMPT + 1], prompts[EMPTY:EMPTY + 1]
    noise = randn((STEPS, 1, 4, 8, 8), "few_steps", "noise")
    tensors = {"noise": noise}
    config = pipe.scheduler.config
    cases = {"lcm": (LCMScheduler.from_config(config), {}, 1.0), "lcm.guided": (LCMScheduler.from_config(config), {}, 1.5),
             "tcd": (TCDScheduler.from_config(config), dict(eta=0.3), 1.0),
             "trailing": (DDIMScheduler.from_config(config, timestep_spacing="trailing", clip_sample=False), {}, 0.0)}

    def draw(case):
        pipe.scheduler, arguments, scale = cases[case]
        draws = iter(noise[1:])
        with torch.no_grad(), unittest.mock.patch(f"{LCMScheduler.__module__}.randn_tensor", lambda *_, **__: next(draws)), \
                unittest.mock.patch(f"{TCDScheduler.__module__}.randn_tensor", lambda *_, **__: next(draws)):
            return pipe(prompt_embeds=pipe.text_encoder(ids)[0], negative_prompt_embeds=pipe.text_encoder(empty)[0],
                        latents=noise[0].clone(), guidance_scale=scale, height=64, width=64, num_inference_steps=STEPS,
                        output_type="latent", **arguments).images
    plain = {case: draw(case) for case in cases}
    pipe.load_lora_weights(HERE / "lora", weight_name=file.name)
    for case in cases:
        tensors[case] = draw(case)
        print(f"{case}: the LoRA moves latents by {(tensors[case] - plain[case]).abs().max():.2f} of {tensors[case].abs().max():.2f}")
    save("few_steps.safetensors", tensors)
