"""What the training parts share: one tuning step as the reference does it, and how gradients are compared."""
import torch
import torch.nn.functional as F

from common import gap, load_json


def noise_scheduler(model):
    from diffusers import DDPMScheduler
    keys = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "prediction_type", "clip_sample")
    config = load_json(f"{model}_tiny/scheduler/scheduler_config.json")
    return DDPMScheduler(**{k: config[k] for k in keys if k in config})


def noised(scheduler, latents, noise, timesteps):
    """The UNet's input and its target. The schedule is the float32 one in every precision."""
    wide = latents.dtype == torch.float64
    alpha = scheduler.alphas_cumprod[timesteps].to(latents.dtype).reshape(-1, 1, 1, 1, 1)
    signal, spread = alpha ** 0.5, (1 - alpha) ** 0.5
    noisy = signal * latents + spread * noise
    velocity = signal * noise - spread * latents
    if not wide:  # float32 is the reference's own arithmetic
        assert torch.equal(noisy, scheduler.add_noise(latents, noise, timesteps))
        assert torch.equal(velocity, scheduler.get_velocity(latents, noise, timesteps))
    return noisy, velocity if scheduler.config.prediction_type == "v_prediction" else noise


def loss_of(unet, scheduler, latents, noise, timesteps, context):
    noisy, target = noised(scheduler, latents, noise, timesteps)
    return F.mse_loss(unet(noisy, timesteps, context), target)


def worst_gap(a, b):
    """The largest gap over dictionaries with equal keys, and whose it is; each tensor relative to its own maximum."""
    assert set(a) == set(b), set(a) ^ set(b)
    return max(((gap(a[k], b[k]), k) for k in b), default=(0.0, ""))
