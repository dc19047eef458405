"""Writes golden/ldm_names.txt.gz: the tensor names of Stable Diffusion 1 and 2 in one file and in a diffusers folder.

    python make_ldm_golden.py            (diffusers 0.42.1, torch)

The single file's names are enumerated here from the layout of its configuration (v1-inference.yaml, v2-inference.yaml);
diffusers' own conversion says what each becomes, and its models that none is missing. A line is
version, part, single file's name, folder's name, and for a third of a tensor which.
"""
import gzip
import pathlib

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils as convert

LEVELS = 4


def layer(name):
    return [f"{name}.weight", f"{name}.bias"]


def unet_resnet(name, shortcut):
    parts = ["in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3"]
    return [n for part in parts + ["skip_connection"] * shortcut for n in layer(f"{name}.{part}")]


def transformer(name):
    block = f"{name}.transformer_blocks.0"
    names = [n for part in ("norm", "proj_in", "proj_out") for n in layer(f"{name}.{part}")]
    for part in ("norm1", "norm2", "norm3", "ff.net.0.proj", "ff.net.2", "attn1.to_out.0", "attn2.to_out.0"):
        names += layer(f"{block}.{part}")
    return names + [f"{block}.attn{i}.to_{x}.weight" for i in (1, 2) for x in "qkv"]


def unet():
    names = layer("time_embed.0") + layer("time_embed.2") + layer("input_blocks.0.0")
    block = 1
    for level in range(LEVELS):
        for i in range(2):
            names += unet_resnet(f"input_blocks.{block}.0", i == 0 and level in (1, 2))
            names += transformer(f"input_blocks.{block}.1") if level < 3 else []
            block += 1
        if level < 3:
            names += layer(f"input_blocks.{block}.0.op")
            block += 1
    names += unet_resnet("middle_block.0", False) + transformer("middle_block.1") + unet_resnet("middle_block.2", False)
    for block in range(12):
        names += unet_resnet(f"output_blocks.{block}.0", True)
        names += transformer(f"output_blocks.{block}.1") if block >= 3 else []
        if block % 3 == 2 and block < 11:
            names += layer(f"output_blocks.{block}.{1 if block == 2 else 2}.conv")
    return ["model.diffusion_model." + name for name in names + layer("out.0") + layer("out.2")]


def vae():
    def resnet(name, shortcut):
        return [n for p in ["norm1", "conv1", "norm2", "conv2"] + ["nin_shortcut"] * shortcut for n in layer(f"{name}.{p}")]

    names = layer("quant_conv") + layer("post_quant_conv")
    for side, blocks in (("encoder", 2), ("decoder", 3)):
        names += layer(f"{side}.conv_in") + layer(f"{side}.norm_out") + layer(f"{side}.conv_out")
        names += resnet(f"{side}.mid.block_1", False) + resnet(f"{side}.mid.block_2", False)
        for part in ("norm", "q", "k", "v", "proj_out"):
            names += layer(f"{side}.mid.attn_1.{part}")
        for level in range(LEVELS):
            for i in range(blocks):
                wider = i == 0 and level in ((1, 2) if side == "encoder" else (0, 1))
                names += resnet(f"{side}.{'down' if side == 'encoder' else 'up'}.{level}.block.{i}", wider)
        for level in range(3):
            names += layer(f"encoder.down.{level}.downsample.conv") if side == "encoder" else []
            names += layer(f"decoder.up.{level + 1}.upsample.conv") if side == "decoder" else []
    return ["first_stage_model." + name for name in names]


def clip():
    names = ["embeddings.token_embedding.weight", "embeddings.position_embedding.weight", "embeddings.position_ids"]
    for i in range(12):
        for part in ("layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2"):
            names += layer(f"encoder.layers.{i}.{part}")
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            names += layer(f"encoder.layers.{i}.self_attn.{part}")
    return ["cond_stage_model.transformer.text_model." + name for name in names + layer("final_layer_norm")]


def open_clip():
    names = ["token_embedding.weight", "positional_embedding"] + layer("ln_final")
    for i in range(24):
        block = f"transformer.resblocks.{i}"
        names += [f"{block}.attn.in_proj_weight", f"{block}.attn.in_proj_bias"]
        for part in ("ln_1", "ln_2", "mlp.c_fc", "mlp.c_proj", "attn.out_proj"):
            names += layer(f"{block}.{part}")
    return ["cond_stage_model.model." + name for name in names]


class Text:
    class config:
        hidden_size = 1


def main():
    kinds = ["CrossAttn"] * 3 + [""]
    with torch.device("meta"):
        expected = {
            "unet": UNet2DConditionModel(cross_attention_dim=768),
            "vae": AutoencoderKL(block_out_channels=(128, 256, 512, 512), layers_per_block=2,
                                 down_block_types=("DownEncoderBlock2D",) * 4,
                                 up_block_types=("UpDecoderBlock2D",) * 4),
        }
    config = {"layers_per_block": 2, "down_block_types": [kind + "DownBlock2D" for kind in kinds],
              "up_block_types": [kind + "UpBlock2D" for kind in reversed(kinds)], "class_embed_type": None,
              "addition_embed_type": None}
    lines = []
    for version, text in ((1, clip()), (2, open_clip())):
        names = unet() + vae() + text
        tags, checkpoint = {}, {}
        for i, name in enumerate(names):
            thirds = 3 if ".in_proj_" in name else 1
            values = torch.arange(3 * i, 3 * i + thirds, dtype=torch.float64)
            for third in range(thirds):
                tags[3 * i + third] = (name, third if thirds == 3 else -1)
            convolution = ".attn_1." in name and name.endswith("weight") and ".norm." not in name
            matrix = name.endswith("in_proj_weight")
            checkpoint[name] = values[:, None, None, None] if convolution else values[:, None] if matrix else values
        parts = {"unet": convert.convert_ldm_unet_checkpoint(dict(checkpoint), config),
                 "vae": convert.convert_ldm_vae_checkpoint(dict(checkpoint), {"down_block_types": [0] * 4,
                                                                             "up_block_types": [0] * 4}),
                 "text_encoder": convert.convert_ldm_clip_checkpoint(dict(checkpoint)) if version == 1
                 else convert.convert_open_clip_checkpoint(Text, dict(checkpoint))}
        for part, model in expected.items():
            assert parts[part].keys() == model.state_dict().keys(), part
        left = set(tags)
        for part, tensors in parts.items():
            for name, value in tensors.items():
                source, third = tags[int(value.flatten()[0])]
                left.discard(int(value.flatten()[0]))
                lines.append(f"{version}\t{part}\t{source}\t{name}\t{third}")
        unused = {tags[tag][0] for tag in left}
        assert all(".resblocks.23." in name for name in unused), unused  # Stable Diffusion 2 does not use the last
    golden = pathlib.Path(__file__).parent / "golden" / "ldm_names.txt.gz"
    text = "".join(line + "\n" for line in sorted(lines)).encode()
    golden.write_bytes(gzip.compress(text, mtime=0))
    print(golden.name, len(lines), "names")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
