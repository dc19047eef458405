"""Writes golden/trainer.ckpt: a state dict among what a training program keeps beside it, objects of its own included.

    python make_trainer_golden.py            (torch, numpy)
"""
import argparse
import collections
import datetime
import pathlib

import numpy as np
import torch


class Callback:
    pass


class Loop:
    def __init__(self):
        self.step = 3
        self.tensors = {"best": torch.ones(2)}


def main():
    state = collections.OrderedDict(a=torch.arange(6.0).reshape(2, 3), b=torch.ones(2, dtype=torch.float16))
    state._metadata = {"": {"version": 1}}
    torch.save({
        "global_step": 470000,
        "callbacks": {Callback: {"score": np.float64(0.3), "best": torch.tensor(1.0)}},
        "optimizer_states": [{"state": {0: {"step": 1, "exp_avg": torch.zeros(3)}}, "lr": np.float32(1e-3)}],
        "hyper_parameters": argparse.Namespace(layers=[1, 2]),
        "counts": collections.defaultdict(list, {"k": [1]}),
        "loop": Loop(),
        "date": datetime.datetime(2022, 1, 1),
        "folder": pathlib.PurePosixPath("a/b"),
        "state_dict": state,
    }, pathlib.Path(__file__).parent / "golden" / "trainer.ckpt")


if __name__ == "__main__":
    main()
