"""Writes golden/tiny_vae: tiny autoencoders (TAESD's kind), with what diffusers computes with them.

    python make_tiny_vae_golden.py    # torch 2.15.0, diffusers 0.42.1

four/ and sixteen/ (latent channels) as save_pretrained writes them, with check.safetensors: picture -> latents, latents ->
decoded, computed in float64 with the weights of the file. The same weights under the names of TAESD's own code: halves/ has
a PyTorch file for each half of four/, one.safetensors has sixteen/ in one file as ComfyUI takes it.
"""
import pathlib
import sys

import torch
from diffusers import AutoencoderTiny
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "golden"))
from common import randn, randomise  # noqa: E402

FOLDER = HERE / "golden" / "tiny_vae"
SIZES = {"four": dict(latent_channels=4, encoder_block_out_channels=(6,) * 4, decoder_block_out_channels=(8,) * 4),
         "sixteen": dict(latent_channels=16, encoder_block_out_channels=(6,) * 3, decoder_block_out_channels=(6,) * 3,
                         num_encoder_blocks=(1, 2, 1), num_decoder_blocks=(2, 1, 0))}


def original(weights, half):
    """The numbers of TAESD's layers: its decoder counts the clamp at its start."""
    start = f"{half}.layers."
    shift = 1 if half == "decoder" else 0
    named = {}
    for name, tensor in weights.items():
        if name.startswith(start):
            number, rest = name[len(start):].split(".", 1)
            named[f"{int(number) + shift}.{rest}"] = tensor.contiguous().clone()
    return named


def main():
    (FOLDER / "halves").mkdir(parents=True, exist_ok=True)
    for name, sizes in SIZES.items():
        vae = AutoencoderTiny(**sizes)
        randomise(vae, name)
        vae.float().save_pretrained(FOLDER / name)
        weights = {k: v.detach() for k, v in vae.state_dict().items()}
        span = 2 ** (len(sizes["encoder_block_out_channels"]) - 1)
        picture = randn((2, 3, 2 * span, 3 * span), name, "picture").clamp(-1, 1)
        latents = 3 * randn((2, sizes["latent_channels"], 2, 3), name, "latents")  # so that the clamp is seen
        vae.double().eval()
        with torch.no_grad():
            check = dict(picture=picture, given=latents, latents=vae.encode(picture.double()).latents,
                         decoded=vae.decode(latents.double()).sample)
        save_file({k: v.double().contiguous() for k, v in check.items()}, str(FOLDER / name / "check.safetensors"))
        if name == "four":
            for half in ("encoder", "decoder"):
                torch.save(original(weights, half), FOLDER / "halves" / f"taesd_{half}.pth")
        else:
            one = {f"taesd_{half}.{k}": v for half in ("encoder", "decoder") for k, v in original(weights, half).items()}
            save_file(one | {"vae_scale": torch.tensor(0.18215), "vae_shift": torch.tensor(0.0)}, str(FOLDER / "one.safetensors"))
    for file in FOLDER.rglob("*"):
        if file.is_file():
            file.chmod(0o644)


if __name__ == "__main__":
    main()
