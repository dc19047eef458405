"""The whole inflated UNet, float64 outputs; its agreement with diffusers' 2D UNet on one frame; class embeddings."""
import torch

from common import HERE, MODELS, gap, generator, inflated, randn, save, unet_config, unet_2d_weights
from inflated_unet import InflatedUNet, fresh_temporal, is_temporal

TOKENS = 77


def silent_temporal(unet):
    """The same UNet with temporal attention adding nothing."""
    with torch.no_grad():
        for name, p in unet.named_parameters():
            if ".attn_temp.to_out." in name:
                p.zero_()
    return unet


def check_against_2d(model):
    from diffusers import UNet2DConditionModel
    flat = UNet2DConditionModel.from_pretrained(HERE / f"{model}_tiny", subfolder="unet").eval()
    video = silent_temporal(inflated(model))
    context_dim = unet_config(model)["cross_attention_dim"]
    for batch, height, width in ((1, 8, 8), (2, 7, 9), (2, 12, 10)):
        x = randn((batch, 4, height, width), model, "2d", height)
        context = randn((batch, TOKENS, context_dim), model, "2d context", height)
        with torch.no_grad():
            expected = flat(x, 481, context).sample
            got = video(x[:, :, None], 481, context)[:, :, 0]
        assert gap(got, expected) < 5e-6, gap(got, expected)
        print(f"{model} {height}x{width}: one frame against UNet2DConditionModel {gap(got, expected):.1e}")


def make():
    from diffusers import UNet2DConditionModel
    tensors = {}
    for model in MODELS:
        check_against_2d(model)
        context_dim = unet_config(model)["cross_attention_dim"]
        single_net, exact_net = inflated(model), inflated(model, dtype=torch.float64)
        for case, batch, frames, height, width, t, tokens in (("a", 1, 3, 8, 8, 981, 77), ("b", 2, 3, 7, 9, 21, 77),
                                                              ("c", 2, 4, 12, 10, 500, 5), ("d", 1, 1, 16, 8, 999, 5)):
            key = f"{model}.{case}"
            x = randn((batch, 4, frames, height, width), key, "sample")
            context = randn((batch, tokens, context_dim), key, "context")
            with torch.no_grad():
                single, exact = single_net(x, t, context), exact_net(x.double(), t, context.double())
            tensors.update({f"{key}.sample": x, f"{key}.timestep": torch.tensor(t),
                            f"{key}.encoder_hidden_states": context, f"{key}.output": exact})
            print(f"{key}: float32 floor {gap(single, exact):.1e}, largest {exact.abs().max():.2f}")

    # Class embeddings: sd1's weights and what each kind of embedding adds to them.
    config = unet_config("sd1")
    c_time = 4 * config["block_out_channels"][0]
    x = randn((2, 4, 2, 8, 8), "class", "sample")
    context = randn((2, 5, config["cross_attention_dim"]), "class", "context")
    tensors.update({"class.sample": x, "class.timestep": torch.tensor(301), "class.encoder_hidden_states": context})
    kinds = (("table", dict(num_class_embeds=5), torch.tensor([3, 0])),
             ("timestep", dict(class_embed_type="timestep"), torch.tensor([20, 700])),
             ("identity", dict(class_embed_type="identity"), randn((2, c_time), "class", "vector")))
    for kind, change, labels in kinds:
        changed = {**config, **change}
        shapes = {k: v.shape for k, v in InflatedUNet(changed).state_dict().items() if k.startswith("class_embedding.")}
        extra = {k: randn(s, "class", kind, k) * 0.5 for k, s in shapes.items()}
        real = labels.is_floating_point()
        with torch.no_grad():
            single = inflated("sd1", config=changed, extra=extra)(x, 301, context, labels)
            exact = inflated("sd1", dtype=torch.float64, config=changed, extra=extra)(
                x.double(), 301, context.double(), labels.double() if real else labels)
            flat = UNet2DConditionModel.from_config(changed)
            flat.load_state_dict({**unet_2d_weights("sd1"), **extra})
            expected = flat.eval()(x[:, :, 0], 301, context, labels).sample
            video = silent_temporal(inflated("sd1", config=changed, extra=extra))
            got = video(x[:, :, :1], 301, context, labels)[:, :, 0]
        assert gap(got, expected) < 5e-6
        tensors.update({f"class.{kind}.{k}": v for k, v in extra.items()})
        tensors.update({f"class.{kind}.class_labels": labels, f"class.{kind}.output": exact})
        print(f"class {kind}: float32 floor {gap(single, exact):.1e}, one frame against 2D {gap(got, expected):.1e}")

    # A fresh inflation: the temporal branch adds only its output bias.
    fresh = fresh_temporal(InflatedUNet(config), generator("fresh"))
    assert set(fresh) == {k for k in InflatedUNet(config).state_dict() if is_temporal(k)}
    x, context = tensors["sd1.a.sample"], tensors["sd1.a.encoder_hidden_states"]
    with torch.no_grad():
        single = inflated("sd1", temporal=fresh)(x, 981, context)
        exact = inflated("sd1", temporal=fresh, dtype=torch.float64)(x.double(), 981, context.double())
    tensors.update({f"fresh.init.{k}": v for k, v in fresh.items() if k.endswith("to_out.0.bias")})
    tensors["fresh.output"] = exact
    print(f"fresh inflation: float32 floor {gap(single, exact):.1e}")
    save("unet.safetensors", tensors)
