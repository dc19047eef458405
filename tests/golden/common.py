"""Shared by the parts of the golden-file generator: seeded weights, files, comparisons."""
import json
import pathlib
import zlib

import torch
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).resolve().parent
MODELS = ("sd1", "sd2")
RESIDUAL_ENDS = ("conv2.", "proj_out.", "ff.net.2", "to_out.0")

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)


def generator(*key):
    """A generator whose seed depends on the key alone, so that parts can be made one by one."""
    return torch.Generator().manual_seed(zlib.crc32("/".join(map(str, key)).encode()))


def randn(shape, *key):
    return torch.randn(shape, generator=generator(*key))


def randomise(module, key):
    """Gives every parameter a value that a wrong use of it would show: no zero biases, no unit norms."""
    with torch.no_grad():
        for name, p in module.named_parameters():
            noise = randn(p.shape, key, name)
            if p.dim() == 1:
                p.copy_(1 + 0.2 * noise if "norm" in name and name.endswith("weight") else 0.1 * noise)
            elif "embedding" in name and not name.startswith(("time_embedding", "class_embedding")):
                p.copy_(0.5 * noise)
            else:
                gain = 1.0
                if ".to_q." in name or ".to_k." in name:
                    gain = 1.4  # attention far from uniform
                if any(part in name for part in RESIDUAL_ENDS):
                    gain = 0.35  # or rounding errors grow from block to block and hide real ones
                p.copy_(noise * (gain / p[0].numel() ** 0.5))


def save(path, tensors):
    path = HERE / path
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, str(path))
    path.chmod(0o644)
    print(f"wrote {path.relative_to(HERE)}: {len(tensors)} tensors, {path.stat().st_size / 1024:.0f} KiB")


def load(path):
    return load_file(str(HERE / path))


def save_json(path, value):
    path = HERE / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def load_json(path):
    return json.loads((HERE / path).read_text())


def gap(a, b):
    """Largest difference relative to the largest value of `b`."""
    a, b = a.detach().double(), b.detach().double()
    assert a.shape == b.shape, (a.shape, b.shape)
    top = b.abs().max().item() if b.numel() else 0.0
    return (a - b).abs().max().item() / top if top else (a - b).abs().max().item() if b.numel() else 0.0


def unet_config(model):
    return load_json(f"{model}_tiny/unet/config.json")


def unet_2d_weights(model):
    folder = HERE / f"{model}_tiny" / "unet"
    if (folder / "diffusion_pytorch_model.bin").exists():
        return torch.load(folder / "diffusion_pytorch_model.bin", map_location="cpu", weights_only=True)
    return load_file(str(folder / "diffusion_pytorch_model.safetensors"))


def inflated(model, temporal=None, dtype=torch.float32, config=None, extra=None):
    """The tiny model's inflated UNet; `temporal` defaults to the committed non-trivial temporal weights."""
    from inflated_unet import InflatedUNet
    unet = InflatedUNet(config or unet_config(model))
    weights = dict(unet_2d_weights(model))
    weights.update(load(f"{model}_temporal.safetensors") if temporal is None else temporal)
    weights.update(extra or {})
    unet.load_state_dict(weights, strict=True)
    return unet.to(dtype)
