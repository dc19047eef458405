"""A folder as the Python Tune-A-Video saves it: a tuned 3D UNet in PyTorch's format and an inverted latent.

The UNet is smaller than the other models' and stands for one that was tuned: its temporal weights are not those of a
fresh inflation. `check.safetensors` holds inputs and the float64 output.
"""
import torch

from common import HERE, gap, randn, randomise, save, save_json
from inflated_unet import InflatedUNet

CONFIG = {
    "_class_name": "UNet3DConditionModel", "_diffusers_version": "0.11.1", "act_fn": "silu", "attention_head_dim": 2,
    "block_out_channels": [4, 4, 8, 8], "center_input_sample": False, "class_embed_type": None,
    "cross_attention_dim": 24,
    "down_block_types": ["CrossAttnDownBlock3D", "CrossAttnDownBlock3D", "CrossAttnDownBlock3D", "DownBlock3D"],
    "downsample_padding": 1, "dual_cross_attention": False, "flip_sin_to_cos": True, "freq_shift": 0, "in_channels": 4,
    "layers_per_block": 1, "mid_block_scale_factor": 1, "mid_block_type": "UNetMidBlock3DCrossAttn", "norm_eps": 1e-05,
    "norm_num_groups": 2, "num_class_embeds": None, "only_cross_attention": False, "out_channels": 4,
    "resnet_time_scale_shift": "default", "sample_size": 8,
    "up_block_types": ["UpBlock3D", "CrossAttnUpBlock3D", "CrossAttnUpBlock3D", "CrossAttnUpBlock3D"],
    "upcast_attention": False, "use_linear_projection": False}


def make():
    save_json("tuned/unet/config.json", CONFIG)
    unet = InflatedUNet(CONFIG)
    randomise(unet, "tuned")
    torch.save(dict(unet.state_dict()), HERE / "tuned/unet/diffusion_pytorch_model.bin")
    (HERE / "tuned/inv_latents").mkdir(exist_ok=True)
    latent = randn((1, 4, 3, 6, 8), "tuned/latent")
    torch.save(latent, HERE / "tuned/inv_latents/ddim_latent-6.pt")
    context = randn((1, 77, CONFIG["cross_attention_dim"]), "tuned/context")
    with torch.no_grad():
        single = unet(latent, 321, context)
        exact = unet.double()(latent.double(), 321, context.double())
    save("tuned/check.safetensors", {"unet.sample": latent, "unet.timestep": torch.tensor(321),
                                     "unet.encoder_hidden_states": context, "unet.output": exact,
                                     "inv_latents.ddim_latent-6": latent})
    print(f"tuned folder: float32 floor {gap(single, exact):.1e}")
