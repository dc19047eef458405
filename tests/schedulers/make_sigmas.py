"""Quantiles of beta distributions by SciPy; noise schedules and guidance rescale of a recent diffusers (tests/golden/requirements-recent.txt).

    python make_sigmas.py
"""
import pathlib

import numpy as np
import scipy.stats
import torch
from diffusers import DDPMScheduler, HeunDiscreteScheduler
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from safetensors.numpy import save_file

SHAPES = [(0.6, 0.6), (0.5, 0.5), (0.3, 2.0), (5.0, 1.0), (2.0, 3.5), (30.0, 4.0)]
P = np.concatenate([[1e-9, 1e-6, 1e-3, 0.999, 1 - 1e-6], np.linspace(0.01, 0.99, 25)])

quantiles = np.array([[scipy.stats.beta.ppf(p, a, b) for p in P] for a, b in SHAPES])
curves = {"exp": HeunDiscreteScheduler(beta_schedule="exp"), "laplace": DDPMScheduler(beta_schedule="laplace")}
tensors = {"beta.shapes": np.array(SHAPES), "beta.p": P, "beta.quantiles": quantiles}
for name, scheduler in curves.items():
    tensors[f"curve.{name}.alphas_cumprod"] = scheduler.alphas_cumprod.numpy()
generator = torch.Generator().manual_seed(0)
guided, text = (torch.randn(2, 3, 4, dtype=torch.float64, generator=generator) * scale + 0.5 for scale in (4, 1))
tensors |= {"guidance.guided": guided.numpy(), "guidance.text": text.numpy(),
            "guidance.rescaled": rescale_noise_cfg(guided, text, 0.7).numpy()}
path = pathlib.Path(__file__).parent / "golden" / "sigmas.safetensors"
save_file(tensors, str(path))
path.chmod(0o644)
