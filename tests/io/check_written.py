"""Checks, with PyTorch and safetensors, the files that test_weights.cpp wrote into the folder given."""
import pathlib
import sys

import torch
from safetensors import safe_open
from safetensors.torch import load_file

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from make_weights_golden import all_types, ramp  # noqa: E402


def check_types(tensors):
    expected = {**all_types(), "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4)}
    assert tensors.keys() == expected.keys()
    for name, tensor in tensors.items():
        assert tensor.dtype == expected[name].dtype, name
        assert torch.equal(tensor, expected[name]), name


def main():
    folder = pathlib.Path(sys.argv[1])
    torch.set_num_threads(1)
    check_types(load_file(folder / "types.safetensors"))
    with safe_open(folder / "types.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
    for name in ("types.bin", "zip64.bin"):
        check_types(torch.load(folder / name, weights_only=True))
        check_types(torch.load(folder / name, weights_only=True, mmap=True))
        check_types(torch.load(folder / name, weights_only=False))
    bare = torch.load(folder / "bare.pt", weights_only=True)
    assert torch.equal(bare, ramp(1, 4, 2, 3, 3))
    many = torch.load(folder / "many.bin", weights_only=True)
    assert len(many) == 70000 and all(value == int(name) for name, value in many.items())


if __name__ == "__main__":
    main()
