"""The two tiny random-weight model folders, and the temporal weights of their inflated UNets."""
import json
import shutil

import torch

from common import HERE, load_json, randomise, save, save_json

UNET = {
    "sd1": dict(sample_size=8, in_channels=4, out_channels=4, center_input_sample=False, flip_sin_to_cos=True,
                freq_shift=0, block_out_channels=[8, 8, 16, 16], layers_per_block=1, norm_num_groups=2,
                cross_attention_dim=24, attention_head_dim=2),
    "sd2": dict(sample_size=8, in_channels=4, out_channels=4, center_input_sample=False, flip_sin_to_cos=True,
                freq_shift=0, block_out_channels=[8, 8, 8, 16], layers_per_block=2, norm_num_groups=2,
                cross_attention_dim=32, attention_head_dim=[1, 2, 2, 4], use_linear_projection=True,
                upcast_attention=True),
}
VAE = {
    "sd1": dict(block_out_channels=[8, 8, 8, 16], layers_per_block=2),
    "sd2": dict(block_out_channels=[8, 8, 16, 8], layers_per_block=1),
}
TEXT = {
    "sd1": dict(hidden_size=24, intermediate_size=96, num_hidden_layers=2, num_attention_heads=3,
                hidden_act="quick_gelu"),
    "sd2": dict(hidden_size=32, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4, hidden_act="gelu"),
}
MERGES = ["i n", "t h", "a n", "r e", "o n", "e r</w>", "in g</w>", "th e</w>", "an d</w>", "o f</w>", "a t</w>",
          "o r", "i s</w>", "a l", "e n", "m an</w>", "c a", "ca r</w>", "s k", "sk i", "ski ing</w>", "r a", "c k",
          "ra ck", "rack e", "racke t</w>", "c h", "j e", "je e", "jee p</w>", "0 0</w>", "! !</w>", "t en", "n is</w>",
          "ten nis</w>", "s n", "sn o", "sno w</w>", "o n</w>", "w in", "win g</w>"]


def byte_alphabet():
    """CLIP's 256 byte characters in id order: the printable Latin-1 ones first, the rest moved to U+0100 and on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(b) for b in printable] + [chr(0x100 + i) for i in range(256 - len(printable))]


def write_tokenizer(folder, pad):
    folder.mkdir(parents=True)
    letters = byte_alphabet()
    words = letters + [c + "</w>" for c in letters] + ["".join(m.split()) for m in MERGES]
    words += ["<|startoftext|>", "<|endoftext|>"]
    assert len(set(words)) == len(words)
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}, ensure_ascii=False) + "\n",
                                       encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n", encoding="utf-8")

    def special(text, normalized=True):
        return {"content": text, "lstrip": False, "normalized": normalized, "rstrip": False, "single_word": False}

    (folder / "special_tokens_map.json").write_text(json.dumps({
        "bos_token": special("<|startoftext|>"), "eos_token": special("<|endoftext|>"), "pad_token": pad,
        "unk_token": special("<|endoftext|>")}, indent=2) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "add_prefix_space": False, "bos_token": {"__type": "AddedToken", **special("<|startoftext|>")},
        "do_lower_case": True, "eos_token": {"__type": "AddedToken", **special("<|endoftext|>")}, "errors": "replace",
        "model_max_length": 77, "pad_token": pad, "tokenizer_class": "CLIPTokenizer",
        "unk_token": {"__type": "AddedToken", **special("<|endoftext|>")}}, indent=2) + "\n")
    return len(words)


def make():
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from inflated_unet import InflatedUNet, is_temporal

    for model in UNET:
        folder = HERE / f"{model}_tiny"
        shutil.rmtree(folder, ignore_errors=True)
        safe = model == "sd2"  # sd1 in PyTorch's zip format, sd2 in safetensors
        words = write_tokenizer(folder / "tokenizer", pad="<|endoftext|>" if model == "sd1" else "!")

        text = CLIPTextModel(CLIPTextConfig(
            vocab_size=words, max_position_embeddings=77, bos_token_id=words - 2, eos_token_id=words - 1,
            pad_token_id=words - 1 if model == "sd1" else 0, projection_dim=TEXT[model]["hidden_size"], **TEXT[model]))
        randomise(text, f"{model}/text")
        text.config._name_or_path = ""
        text.save_pretrained(folder / "text_encoder", safe_serialization=safe)

        blocks = len(VAE[model]["block_out_channels"])
        vae = AutoencoderKL(in_channels=3, out_channels=3, down_block_types=["DownEncoderBlock2D"] * blocks,
                            up_block_types=["UpDecoderBlock2D"] * blocks, latent_channels=4, norm_num_groups=4,
                            sample_size=64, act_fn="silu", **VAE[model])
        randomise(vae, f"{model}/vae")
        with torch.no_grad():  # a standard deviation near exp(-1) instead of 1, as a trained VAE has a small one
            vae.quant_conv.bias[4:] -= 2.0
        vae.save_pretrained(folder / "vae", safe_serialization=safe)

        unet = UNet2DConditionModel(**UNET[model])
        randomise(unet, f"{model}/unet")
        unet.save_pretrained(folder / "unet", safe_serialization=safe)
        if model == "sd1":  # Stable Diffusion 1.x's config has none of these, and Tune-A-Video rejects the first
            config = load_json("sd1_tiny/unet/config.json")
            for key in ("mid_block_type", "class_embed_type", "num_class_embeds", "only_cross_attention",
                        "dual_cross_attention", "use_linear_projection", "upcast_attention", "resnet_time_scale_shift"):
                del config[key]
            save_json("sd1_tiny/unet/config.json", config)

        scheduler = {
            "_class_name": "DDIMScheduler" if model == "sd2" else "PNDMScheduler", "_diffusers_version": "0.11.1",
            "beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "clip_sample": False,
            "num_train_timesteps": 1000, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1,
            "trained_betas": None}
        if model == "sd2":
            scheduler["prediction_type"] = "v_prediction"
        save_json(f"{model}_tiny/scheduler/scheduler_config.json", scheduler)
        save_json(f"{model}_tiny/model_index.json", {
            "_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.11.1", "requires_safety_checker": None,
            "feature_extractor": [None, None], "safety_checker": [None, None],
            "scheduler": ["diffusers", scheduler["_class_name"]], "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"], "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"]})

        video = InflatedUNet(unet.config)
        randomise(video, f"{model}/temporal")
        save(f"{model}_temporal.safetensors", {k: v for k, v in video.state_dict().items() if is_temporal(k)})
        for name, part in (("unet", unet), ("vae", vae), ("text_encoder", text)):
            print(f"{model} {name}: {sum(p.numel() for p in part.parameters())} parameters")
