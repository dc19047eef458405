"""Pictures by the samplers that draw noise, from PyTorch's own stream: diffusers' pipeline, given a generator."""
import unittest.mock

import torch

from common import HERE, load, save, save_json

SEED, STEPS, PROMPT, GUIDANCE = 33, 6, 1, 3.0  # PROMPT: number in text.json
SD = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
CASES = [
    ("ddim", "DDIMScheduler", dict(clip_sample=False, set_alpha_to_one=False, steps_offset=1), 0.7),
    ("ddim.full", "DDIMScheduler", dict(clip_sample=False, set_alpha_to_one=False, steps_offset=1), 1.0),
    ("ddpm", "DDPMScheduler", dict(clip_sample=False, steps_offset=1), 0.0),
    ("euler_a", "EulerAncestralDiscreteScheduler", {}, 0.0),
    ("euler_a.trailing", "EulerAncestralDiscreteScheduler", dict(timestep_spacing="trailing"), 0.0),
    ("dpm2_a", "KDPM2AncestralDiscreteScheduler", {}, 0.0),
    ("sde", "DPMSolverMultistepScheduler", dict(algorithm_type="sde-dpmsolver++"), 0.0),
    ("sde.karras", "DPMSolverMultistepScheduler", dict(algorithm_type="sde-dpmsolver++", use_karras_sigmas=True), 0.0),
    ("sde.noise", "DPMSolverMultistepScheduler", dict(algorithm_type="sde-dpmsolver", final_sigmas_type="sigma_min"), 0.0),
    ("sde.single", "DPMSolverSinglestepScheduler", dict(algorithm_type="sde-dpmsolver++"), 0.0),
    ("lcm", "LCMScheduler", {}, 0.0),
    ("tcd", "TCDScheduler", {}, 0.3),
    ("tcd.full", "TCDScheduler", {}, 1.0),
]


def make():
    import diffusers
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel
    assert int(diffusers.__version__.split(".")[1]) >= 35, "needs requirements-recent.txt"
    folder = HERE / "sd1_tiny"
    pipe = StableDiffusionPipeline(
        unet=UNet2DConditionModel.from_pretrained(folder / "unet").eval(), vae=AutoencoderKL.from_pretrained(folder / "vae").eval(),
        text_encoder=CLIPTextModel.from_pretrained(folder / "text_encoder").eval(), tokenizer=None, safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
        scheduler=diffusers.DDIMScheduler.from_pretrained(folder / "scheduler"))
    pipe.set_progress_bar_config(disable=True)
    ids = load("text.safetensors")["sd1.input_ids"][[PROMPT, 0]].long()
    tensors, cases = {}, []
    with torch.no_grad():
        text, empty = pipe.text_encoder(ids)[0].chunk(2)
        for name, kind, config, eta in CASES:
            pipe.scheduler = getattr(diffusers, kind)(**SD, **config)
            drawn, plain, last = [], diffusers.utils.torch_utils.randn_tensor, []

            def noted(*given, plain=plain, drawn=drawn, **named):
                drawn.append(plain(*given, **named))
                return drawn[-1]

            def keep(_, step, timestep, states, last=last):
                last[:] = [states["latents"]]
                return states

            modules = {type(pipe).__module__, type(pipe.scheduler).__module__}
            modules = [m for m in modules if hasattr(__import__(m, fromlist=["x"]), "randn_tensor")]
            with unittest.mock.patch(f"{modules[0]}.randn_tensor", noted), \
                    unittest.mock.patch(f"{modules[-1]}.randn_tensor", noted):
                images = pipe(prompt_embeds=text, negative_prompt_embeds=empty, guidance_scale=GUIDANCE, height=64, width=64,
                              num_inference_steps=STEPS, eta=eta, generator=torch.Generator().manual_seed(SEED),
                              output_type="pt", callback_on_step_end=keep).images
            again = torch.Generator().manual_seed(SEED)
            assert len(drawn) > 2 and all(torch.equal(d, torch.randn(d.shape, generator=again)) for d in drawn), name
            tensors[f"{name}.latents"] = last[0]
            tensors[f"{name}.picture"] = (images * 255).round().to(torch.uint8)
            cases.append(dict(name=name, config=dict(_class_name=kind, **SD, **config), eta=eta, draws=len(drawn) - 1))
    save("drawn_noise.safetensors", tensors)
    save_json("drawn_noise.json", cases)
