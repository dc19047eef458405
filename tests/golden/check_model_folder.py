"""Does diffusers draw the same pictures as reel? `python check_model_folder.py FOLDER RUN`

FOLDER is a Stable Diffusion folder, RUN one that `text_to_image --model FOLDER --output RUN --save_tensors
RUN/tensors.safetensors ...` wrote. StableDiffusionPipeline loads FOLDER and samples the prompts of RUN/manifest.json from
the same noise, in float32; the scheduler must be one without noise of its own. Prints the largest differences of latents
and pictures (0..1). Exit status 1 when the pictures differ by more than half a level of 255. Works with recent
diffusers and, where the scheduler is DDIM, with 0.11.1: that one does not know timestep_spacing, and its Euler and DPM-Solver
space their timesteps otherwise.
"""
import inspect
import json
import pathlib
import sys
import warnings

import diffusers
import torch
from safetensors.torch import load_file

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
LIMIT = 0.5 / 255


def main(folder, run):
    run = pathlib.Path(run)
    options = json.loads((run / "manifest.json").read_text())["options"]
    saved = load_file(str(run / "tensors.safetensors"))
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, feature_extractor=None,
                                                             requires_safety_checker=False, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    if options["scheduler"] != type(pipe.scheduler).__name__:
        pipe.scheduler = getattr(diffusers, options["scheduler"]).from_config(pipe.scheduler.config)
    prompts = [p for p in options["prompt"] for _ in range(options["num_images_per_prompt"])]
    arguments = dict(negative_prompt=[options["negative_prompt"]] * len(prompts), eta=options["eta"],
                     guidance_scale=options["guidance_scale"], num_inference_steps=options["num_inference_steps"],
                     height=options["height"], width=options["width"])
    last = []

    def keep(*given):  # (step, timestep, latents), or with the pipeline first and a dictionary of tensors
        last[:] = [given[-1]["latents"] if isinstance(given[-1], dict) else given[-1]]
        return {"latents": last[0]}

    new = "callback_on_step_end" in inspect.signature(type(pipe).__call__).parameters
    arguments["callback_on_step_end" if new else "callback"] = keep
    with torch.no_grad():
        images = pipe(prompts, latents=saved["noise"].clone(), output_type="np", **arguments).images
    pictures = torch.from_numpy(images).permute(0, 3, 1, 2)
    gap = (last[0] - saved["latents"]).abs().max().item()
    difference = (pictures - saved["pictures"]).abs().max().item()
    print(f"diffusers {diffusers.__version__}, {options['scheduler']}, {len(prompts)} pictures: latents differ by at most "
          f"{gap:.2e} (largest {saved['latents'].abs().max():.2f}), pictures by {difference:.2e}")
    return difference <= LIMIT


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(0 if main(*sys.argv[1:]) else 1)
