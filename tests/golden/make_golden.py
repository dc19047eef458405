"""Makes the golden files. `python make_golden.py` makes everything, `python make_golden.py PART...` just those parts.

The parts `schedulers_recent`, `training_2d`, `distilled`, `drawn_noise` and `textual_inversion` need a recent diffusers (requirements-recent.txt) and are made
only when named, and so are `lora`, `lora_tuning` and `few_steps` (requirements-lora.txt); all others need requirements.txt. Every part prints how far float32 is from float64 where it computes both.
"""
import importlib
import sys
import warnings

warnings.filterwarnings("ignore")

PARTS = ["models", "schedulers", "lr_schedules", "text", "vae", "unet_blocks", "unet", "unet_gradients", "adamw",
         "bfloat16", "end_to_end", "saved_folder"]
RECENT = ["schedulers_recent", "training_2d", "distilled", "drawn_noise", "textual_inversion"]
LORA = ["lora", "lora_tuning", "few_steps"]


def main(wanted):
    for name in wanted or PARTS:
        if name not in PARTS + RECENT + LORA:
            sys.exit(f"unknown part {name!r}; known: {', '.join(PARTS + RECENT + LORA)}")
        print(f"--- {name}")
        importlib.import_module(f"part_{name}").make()


if __name__ == "__main__":
    main(sys.argv[1:])
