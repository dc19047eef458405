"""Every building block of the inflated UNet, two clips of three frames, 5 x 7 pixels; outputs computed in float64.

A block's weights are those of the tiny model under the case's `module` path. Clips are [B, C, F, H, W], tokens
[B*F, H*W, C] (temporal attention: [B*H*W, F, C]), as the reference passes them. Cases share their inputs: `inputs`
maps the name of an argument to the name of its tensor.
"""
import torch

from common import MODELS, gap, inflated, randn, save, save_json
from inflated_unet import fold, timestep_embedding, unfold

BATCH, FRAMES, HEIGHT, WIDTH = 2, 3, 5, 7
TOKENS = 11


def make():
    tensors, cases = {}, []
    for model in MODELS:
        nets = {torch.float32: inflated(model), torch.float64: inflated(model, dtype=torch.float64)}
        config = nets[torch.float32].config
        widths, context_dim = config["block_out_channels"], config["cross_attention_dim"]
        c_time = 4 * widths[0]
        layers = config["layers_per_block"]

        def add(name, kind, module, inputs, apply):
            """apply(net's module, {input: tensor}) -> {output: tensor}"""
            key = f"{model}.{name}"
            stored = {k: f"input.{k}.{'x'.join(map(str, shape))}" for k, shape in inputs.items()}
            given = {k: randn(shape, stored[k]) for k, shape in inputs.items()}
            results = {}
            for dtype, net in nets.items():
                with torch.no_grad():
                    results[dtype] = apply(net.get_submodule(module), {k: v.to(dtype) for k, v in given.items()})
            exact = results[torch.float64]
            floor = max(gap(v, exact[k]) for k, v in results[torch.float32].items())
            tensors.update({stored[k]: v for k, v in given.items()})
            tensors.update({f"{key}.{k}": v.float() for k, v in exact.items()})
            cases.append(dict(name=key, kind=kind, model=model, module=module, inputs=stored,
                              outputs={k: f"{key}.{k}" for k in exact}, float32_floor=floor))

        def clip(c, h=HEIGHT, w=WIDTH):
            return BATCH, c, FRAMES, h, w

        def tokens(c):
            return BATCH * FRAMES, HEIGHT * WIDTH, c

        temb, context = (BATCH, c_time), (BATCH, TOKENS, context_dim)

        for module in ("down_blocks.0.resnets.0", "up_blocks.2.resnets.1"):
            r = nets[torch.float32].get_submodule(module)
            add(f"resnet.{module}", "ResnetBlock", module, dict(sample=clip(r.conv1.in_channels), temb=temb),
                lambda m, x: dict(output=unfold(m(fold(x["sample"]), x["temb"], FRAMES), FRAMES)))

        for level in (2,) if model == "sd1" else (0, 2):
            c = widths[level]
            path = f"down_blocks.{level}.attentions.0"
            add(f"transformer.{level}", "SpatialTransformer", path, dict(sample=clip(c), encoder_hidden_states=context),
                lambda m, x: dict(output=unfold(m(fold(x["sample"]), x["encoder_hidden_states"], FRAMES), FRAMES)))
            block = path + ".transformer_blocks.0"
            add(f"attn1.{level}", "SparseCausalAttention", block + ".attn1", dict(hidden_states=tokens(c)),
                lambda m, x: dict(output=m(x["hidden_states"], FRAMES)))
            add(f"attn2.{level}", "CrossAttention", block + ".attn2",
                dict(hidden_states=tokens(c), encoder_hidden_states=(BATCH * FRAMES, TOKENS, context_dim)),
                lambda m, x: dict(output=m(x["hidden_states"], x["encoder_hidden_states"])))
            add(f"attn_temp.{level}", "TemporalAttention", block + ".attn_temp",
                dict(hidden_states=(BATCH * HEIGHT * WIDTH, FRAMES, c)),
                lambda m, x: dict(output=m(x["hidden_states"])))
            add(f"ff.{level}", "FeedForward", block + ".ff", dict(hidden_states=tokens(c)),
                lambda m, x: dict(output=m(x["hidden_states"])))
            add(f"block.{level}", "BasicTransformerBlock", block,
                dict(hidden_states=tokens(c), encoder_hidden_states=(BATCH * FRAMES, TOKENS, context_dim)),
                lambda m, x: dict(output=m(x["hidden_states"], x["encoder_hidden_states"], FRAMES)))

        add("downsample", "Downsample", "down_blocks.1.downsamplers.0", dict(sample=clip(widths[1])),
            lambda m, x: dict(output=unfold(m(fold(x["sample"])), FRAMES)))
        add("upsample", "Upsample", "up_blocks.1.upsamplers.0", dict(sample=clip(widths[-2])),
            lambda m, x: dict(output=unfold(m(fold(x["sample"])), FRAMES)))
        for h, w in ((9, 13), (10, 13)):
            add(f"upsample.to{h}x{w}", "Upsample", "up_blocks.1.upsamplers.0", dict(sample=clip(widths[-2])),
                lambda m, x: dict(output=unfold(m(fold(x["sample"]), (h, w)), FRAMES)))

        def down(m, x):
            y, skips = m(fold(x["sample"]), x["temb"], x.get("encoder_hidden_states"), FRAMES)
            return {"output": unfold(y, FRAMES),
                    **{f"skip{i}": unfold(s, FRAMES) for i, s in enumerate(skips[:len(m.resnets)])}}

        add("down.0", "CrossAttnDownBlock", "down_blocks.0",
            dict(sample=clip(widths[0]), temb=temb, encoder_hidden_states=context), down)
        add("down.3", "DownBlock", "down_blocks.3", dict(sample=clip(widths[2]), temb=temb), down)
        add("mid", "MidBlock", "mid_block", dict(sample=clip(widths[-1]), temb=temb, encoder_hidden_states=context),
            lambda m, x: dict(output=unfold(
                m(fold(x["sample"]), x["temb"], x["encoder_hidden_states"], FRAMES), FRAMES)))

        def up_case(level, cross, size=None, suffix=""):
            stage = nets[torch.float32].up_blocks[level]
            width = widths[min(len(widths) - level, len(widths) - 1)]  # what comes from below
            inputs = dict(sample=clip(width), temb=temb)
            for i, r in enumerate(stage.resnets):  # skip0 is the first one joined
                inputs[f"skip{i}"] = clip(r.conv1.in_channels - width)
                width = r.conv1.out_channels
            if cross:
                inputs["encoder_hidden_states"] = context

            def up(m, x):
                skips = [fold(x[f"skip{i}"]) for i in reversed(range(layers + 1))]
                return dict(output=unfold(m(fold(x["sample"]), x["temb"], x.get("encoder_hidden_states"), FRAMES, skips,
                                            size), FRAMES))

            add(f"up.{level}{suffix}", "CrossAttnUpBlock" if cross else "UpBlock", f"up_blocks.{level}", inputs, up)

        up_case(0, False)
        up_case(2, True)
        up_case(2, True, (9, 14), ".to9x14")
        up_case(3, True)

        t = torch.tensor([0, 1, 57, 981, 999])
        width = config["block_out_channels"][0]
        tensors[f"{model}.time.timestep"] = t
        tensors[f"{model}.time.sinusoids"] = timestep_embedding(t, width)
        with torch.no_grad():
            exact = nets[torch.float64].embed_time(t, len(t))
            single = nets[torch.float32].embed_time(t, len(t))
        tensors[f"{model}.time.output"] = exact.float()
        cases.append(dict(name=f"{model}.time", kind="TimeEmbedding", model=model, module="time_embedding",
                          inputs={"timestep": f"{model}.time.timestep"},
                          outputs={k: f"{model}.time.{k}" for k in ("sinusoids", "output")},
                          float32_floor=gap(single, exact)))
    save("unet_blocks.safetensors", tensors)
    save_json("unet_blocks.json", cases)
    worst = max(cases, key=lambda c: c["float32_floor"])
    print(f"{len(cases)} cases; float32 floor at worst {worst['float32_floor']:.1e} ({worst['name']})")
