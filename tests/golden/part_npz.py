"""arrays.npz: what numpy.savez writes of every type and form that reel reads; test_npy.cpp knows the values."""

import io
import pathlib
import zipfile

import numpy as np


def run(folder):
    count = np.arange(24).reshape(2, 3, 4)
    arrays = {
        "float64": count / 4,
        "float32": (count / 4).astype(np.float32),
        "float16": (count / 4).astype(np.float16),
        "int64": count - 5,
        "int32": (count - 5).astype(np.int32),
        "int16": (count - 5).astype(np.int16),
        "int8": (count - 5).astype(np.int8),
        "uint8": count.astype(np.uint8),
        "bool": count % 3 == 0,
        "scalar": np.float32(1.5),
        "row": np.arange(5, dtype=np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "fortran": np.asfortranarray((count / 4).astype(np.float32)),
        "fortran_matrix": np.arange(6, dtype=np.int16).reshape(2, 3).T,
        "a/b.c": np.float64([2.5]),
    }
    np.savez(folder / "arrays.npz", **arrays)
    # Headers of the formats that numpy writes where version 1.0 does not do.
    with zipfile.ZipFile(folder / "arrays.npz", "a") as archive:
        for version in ((2, 0), (3, 0)):
            out = io.BytesIO()
            np.lib.format.write_array(out, arrays["float32"], version=version)
            archive.writestr(f"version{version[0]}.npy", out.getvalue())


if __name__ == "__main__":
    run(pathlib.Path(__file__).parent)
