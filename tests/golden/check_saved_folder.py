"""Does a diffusers folder that reel saved mean in Python what it means to reel? `python check_saved_folder.py FOLDER`

FOLDER holds `unet/` (in the 3D form Tune-A-Video saves), further parts of a Stable Diffusion folder where there are
any, and `check.safetensors` with what reel computed:
  unet.sample [B, 4, F, h, w], unet.timestep [] or [B], unet.encoder_hidden_states [B, S, D], unet.output
and optionally
  text.input_ids [N, 77], text.last_hidden_state
  vae.image [N, 3, H, W], vae.moments; vae.latents [N, 4, h, w], vae.decoded
  inv_latents.<name>: the same as inv_latents/<name>.pt
Exit status 1 when a difference exceeds 1e-4 of the largest value, or when something is missing.
"""
import json
import pathlib
import sys

import torch
from safetensors.torch import load_file

from common import gap
from inflated_unet import InflatedUNet, is_temporal

LIMIT = 1e-4


def load_unet(folder):
    config = json.loads((folder / "config.json").read_text())
    if config.get("_class_name") != "UNet3DConditionModel":
        sys.exit(f"{folder}/config.json: _class_name is {config.get('_class_name')!r}, expected 'UNet3DConditionModel'")
    expected = ["CrossAttnDownBlock3D"] * 3 + ["DownBlock3D"]
    if config["down_block_types"] != expected or config["up_block_types"] != ["UpBlock3D"] + ["CrossAttnUpBlock3D"] * 3:
        sys.exit(f"{folder}/config.json: the block types are not Tune-A-Video's")
    weights = folder / "diffusion_pytorch_model.bin"
    if not weights.exists():  # the only file name the Python Tune-A-Video reads
        sys.exit(f"{weights} is missing")
    state = torch.load(weights, map_location="cpu", weights_only=True)
    if not any(is_temporal(k) for k in state):
        sys.exit(f"{weights}: no temporal attention in it")
    unet = InflatedUNet(config)
    unet.load_state_dict(state, strict=True)
    return unet.eval()


def main(folder):
    folder = pathlib.Path(folder)
    check = load_file(str(folder / "check.safetensors"))
    failed = compared = 0

    def compare(name, got):
        nonlocal failed, compared
        difference = gap(got, check[name])
        compared += 1
        failed += not difference <= LIMIT
        print(f"{name}: {difference:.1e}{'' if difference <= LIMIT else '  TOO FAR'}")

    with torch.no_grad():
        unet = load_unet(folder / "unet")
        compare("unet.output", unet(check["unet.sample"].float(), check["unet.timestep"],
                                    check["unet.encoder_hidden_states"].float()))
        if "text.input_ids" in check:
            from transformers import CLIPTextModel
            encoder = CLIPTextModel.from_pretrained(folder / "text_encoder").eval()
            compare("text.last_hidden_state", encoder(check["text.input_ids"].long())[0])
        if "vae.image" in check or "vae.latents" in check:
            from diffusers import AutoencoderKL
            vae = AutoencoderKL.from_pretrained(folder, subfolder="vae").eval()
            if "vae.image" in check:
                compare("vae.moments", vae.encode(check["vae.image"].float()).latent_dist.parameters)
            if "vae.latents" in check:
                compare("vae.decoded", vae.decode(check["vae.latents"].float()).sample)
    for name in check:
        if name.startswith("inv_latents."):
            compare(name, torch.load(folder / "inv_latents" / (name.partition(".")[2] + ".pt"), weights_only=True))
    print(f"{compared} compared, {failed} too far")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: check_saved_folder.py FOLDER")
    sys.exit(main(sys.argv[1]))
