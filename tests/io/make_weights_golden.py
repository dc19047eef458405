"""Makes the files of tests/io/golden/weights, which the tests of include/reel/io read.

    pip install torch==2.15.0 safetensors==0.8.0 numpy==1.26.4
    python3 tests/io/make_weights_golden.py

Values follow simple rules, which the tests repeat.
"""
import collections
import datetime
import json
import os
import pathlib

import numpy as np
import torch
from safetensors.torch import save_file

GOLDEN = pathlib.Path(__file__).parent / "golden" / "weights"
TYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
         torch.int8, torch.uint8, torch.bool]


def ramp(*shape, dtype=torch.float32):
    """-1, -0.5, 0, 0.5, ... ; for integers 0, 1, 2, ...; for bool false, true, false, ..."""
    count = int(np.prod(shape, dtype=np.int64))
    values = torch.arange(count, dtype=torch.float64)
    if dtype == torch.bool:
        return (values % 2 == 1).reshape(shape)
    if dtype.is_floating_point:
        values = values / 2 - 1
    return values.to(dtype).reshape(shape)


def all_types():
    return {str(t).removeprefix("torch."): ramp(2, 3, dtype=t) for t in TYPES}


def state_dict():
    model = torch.nn.Sequential(collections.OrderedDict(conv=torch.nn.Conv2d(2, 3, 3), norm=torch.nn.BatchNorm2d(3)))
    for tensor in model.state_dict().values():
        tensor.copy_(ramp(*tensor.shape, dtype=tensor.dtype))
    return model.state_dict()


def marked(tensor):
    """With a Python attribute, which torch.save keeps."""
    tensor.note = "seen"
    return tensor


class Own(torch.Tensor):
    pass


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def main():
    torch.set_num_threads(1)
    GOLDEN.mkdir(parents=True, exist_ok=True)
    save_file({**all_types(), "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4)}, GOLDEN / "types.safetensors",
              metadata={"format": "pt"})
    save_file({"x": torch.zeros(2, dtype=torch.uint16)}, GOLDEN / "uint16.safetensors")

    torch.save(all_types(), GOLDEN / "types.pt")
    torch.save(state_dict(), GOLDEN / "state_dict.bin")
    for protocol in (3, 4, 5):
        torch.save(state_dict(), GOLDEN / f"protocol{protocol}.bin", pickle_protocol=protocol)
    base = ramp(4, 6)
    torch.save({"base": base, "transposed": base.t(), "row": base[2], "column": base[:, 1], "block": base[1:3, 2:5],
                "every_other": base[::2, ::3], "expanded": base[:1].expand(3, 6), "scalar": base[3, 5],
                "empty": base[:0], "parameter": torch.nn.Parameter(base[1])}, GOLDEN / "views.pt")
    torch.save(ramp(1, 4, 2, 3, 3), GOLDEN / "ddim_latent-2.pt")
    torch.save({"state_dict": state_dict(), "epoch": 3, "note": "text", "rate": 1e-3, "big": 1 << 40, "minus": -5,
                "shape": torch.Size([2, 3]), "list": [ramp(2), None, (ramp(3), True)], 7: ramp(1)},
               GOLDEN / "nested.pt")
    attributed = {"tensor": marked(ramp(2, 3)), "parameter": marked(torch.nn.Parameter(ramp(4))),
                  "buffer": torch.nn.Buffer(ramp(5)), "marked_buffer": marked(torch.nn.Buffer(ramp(6))),
                  "view": marked(base.t()[1:3])}
    torch.save(attributed, GOLDEN / "attributes.pt")
    torch.save(attributed, GOLDEN / "attributes_legacy.pt", _use_new_zipfile_serialization=False)
    torch.save({"kept": ramp(2), "own": ramp(2).as_subclass(Own)}, GOLDEN / "refused_subclass.pt")
    torch.save({"kept": ramp(2), "a": ramp(2).to_sparse()}, GOLDEN / "refused_sparse.pt")

    torch.save({**all_types(), "transposed": base.t()}, GOLDEN / "legacy.pt", _use_new_zipfile_serialization=False)

    torch.save({"a": Calls(os.system, "true")}, GOLDEN / "refused_system.pt")
    torch.save({"a": Calls(eval, "1")}, GOLDEN / "refused_eval.pt", pickle_protocol=4)
    torch.save({"a": datetime.date(2020, 1, 1)}, GOLDEN / "refused_date.pt")
    torch.save({"a": np.float32(1)}, GOLDEN / "refused_numpy.pt")
    torch.save(torch.nn.Linear(1, 1), GOLDEN / "refused_module.pt")
    torch.save({"a": {1, 2}}, GOLDEN / "refused_set.pt", pickle_protocol=4)
    torch.save({"a": ramp(2).to(torch.complex64)}, GOLDEN / "refused_complex.pt")
    torch.save({"a": ramp(2).to(torch.float8_e4m3fn)}, GOLDEN / "refused_float8.pt")
    torch.save(Calls(os.system, "true"), GOLDEN / "refused_legacy.pt", _use_new_zipfile_serialization=False)
    total = sum(path.stat().st_size for path in GOLDEN.iterdir())
    print(f"{len(list(GOLDEN.iterdir()))} files, {total} bytes")


if __name__ == "__main__":
    main()
