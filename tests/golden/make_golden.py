"""Makes the golden files. `python make_golden.py` makes everything, `python make_golden.py PART...` just those parts.

The parts `schedulers_recent` and `training_2d` need a recent diffusers (requirements-recent.txt) and are made only when
named; all others need requirements.txt. Every part prints how far float32 is from float64 where it computes both.
"""
import importlib
import sys
import warnings

warnings.filterwarnings("ignore")

PARTS = ["models", "schedulers", "lr_schedules", "text", "vae", "unet_blocks", "unet", "unet_gradients", "adamw",
         "bfloat16", "end_to_end", "saved_folder"]
RECENT = ["schedulers_recent", "training_2d"]


def main(wanted):
    for name in wanted or PARTS:
        if name not in PARTS + RECENT:
            sys.exit(f"unknown part {name!r}; known: {', '.join(PARTS + RECENT)}")
        print(f"--- {name}")
        importlib.import_module(f"part_{name}").make()


if __name__ == "__main__":
    main(sys.argv[1:])
