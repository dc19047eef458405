"""check_ldm.py FOLDER FILE: diffusers' own conversion of a single file gives the tensors of the diffusers folder.

Needs diffusers 0.42.1. FILE is what convert_checkpoint made of FOLDER.
"""
import json
import pathlib
import sys

import torch
from diffusers.loaders import single_file_utils as convert
from safetensors.torch import load_file


def load(path):
    if path.suffix == ".safetensors":
        return load_file(path)
    state = torch.load(path, weights_only=True)
    return state.get("state_dict", state)


def folder_tensors(folder):
    return load(next(path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin")))


def later_name(name):
    for old, new in ((".query.", ".to_q."), (".key.", ".to_k."), (".value.", ".to_v."), (".proj_attn.", ".to_out.0.")):
        name = name.replace(old, new)
    return name


class Text:
    def __init__(self, hidden_size):
        self.config = type("config", (), {"hidden_size": hidden_size})


def main():
    folder, file = map(pathlib.Path, sys.argv[1:])
    state = load(file)
    configs = {part: json.loads((folder / part / "config.json").read_text())
               for part in ("unet", "vae", "text_encoder")}
    configs["unet"] = {"class_embed_type": None, "addition_embed_type": None, **configs["unet"]}
    open_clip = any(name.startswith("cond_stage_model.model.") for name in state)
    if open_clip:
        text = convert.convert_open_clip_checkpoint(Text(configs["text_encoder"]["hidden_size"]), dict(state))
    else:
        text = convert.convert_ldm_clip_checkpoint(dict(state))
    made = {"unet": convert.convert_ldm_unet_checkpoint(dict(state), configs["unet"]),
            "vae": convert.convert_ldm_vae_checkpoint(dict(state), configs["vae"]), "text_encoder": text}
    for part, tensors in made.items():
        expected = {later_name(name): tensor for name, tensor in folder_tensors(folder / part).items()
                    if not (open_clip and name.endswith("position_ids"))}
        assert tensors.keys() == expected.keys(), (part, sorted(tensors.keys() ^ expected.keys())[:5])
        for name, tensor in tensors.items():
            assert tensor.dtype == expected[name].dtype and torch.equal(tensor, expected[name]), (part, name)
    print("equal:", ", ".join(f"{part} {len(tensors)}" for part, tensors in made.items()))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
