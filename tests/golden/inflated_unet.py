"""An independent PyTorch version of the inflated (video) UNet, written for the parity tests.

The module tree gives the state-dict names of Tune-A-Video's `UNet3DConditionModel`, so its checkpoints load with
`load_state_dict(strict=True)`, and so does a 2D Stable Diffusion UNet once the temporal parameters are added.
Inside, frames are folded into the batch: an activation is `[batch * frames, channels, height, width]` and every
module that couples frames is told how many there are. Files and the public `forward` use `[batch, channels,
frames, height, width]`.

Checkpointing: `unet.checkpointing` is None, "nonreentrant" or "reentrant". The last reproduces a property of the
reference: a segment none of whose *inputs* needs a gradient is cut out of the graph, trainable weights included.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint


def fold(x):
    """[B, C, F, H, W] -> [B*F, C, H, W]"""
    b, c, f, h, w = x.shape
    return x.permute(0, 2, 1, 3, 4).reshape(b * f, c, h, w)


def unfold(x, frames):
    """[B*F, C, H, W] -> [B, C, F, H, W]"""
    n, c, h, w = x.shape
    return x.reshape(n // frames, frames, c, h, w).permute(0, 2, 1, 3, 4).contiguous()


def timestep_embedding(t, dim, flip=True, shift=0.0):
    """Sinusoids in float32 whatever the model's type: [N] -> [N, dim], cosines first when `flip`."""
    half = dim // 2
    exponent = -math.log(10000.0) * torch.arange(half, dtype=torch.float32) / (half - shift)
    angle = t.to(torch.float32)[:, None] * torch.exp(exponent)[None]
    parts = (angle.cos(), angle.sin()) if flip else (angle.sin(), angle.cos())
    return torch.cat(parts, dim=1)


class ClipNorm(nn.GroupNorm):
    """Group norm whose statistics run over all frames of a clip."""

    def forward(self, x, frames):
        n, c, h, w = x.shape
        y = x.reshape(n // frames, frames, c, h * w).transpose(1, 2).reshape(n // frames, c, frames * h * w)
        y = F.group_norm(y, self.num_groups, self.weight, self.bias, self.eps)
        return y.reshape(n // frames, c, frames, h * w).transpose(1, 2).reshape(n, c, h, w)


class Resnet(nn.Module):
    def __init__(self, c_in, c_out, c_time, groups, eps):
        super().__init__()
        self.norm1 = ClipNorm(groups, c_in, eps)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.time_emb_proj = nn.Linear(c_time, c_out)
        self.norm2 = ClipNorm(groups, c_out, eps)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        if c_in != c_out:
            self.conv_shortcut = nn.Conv2d(c_in, c_out, 1)

    def forward(self, x, temb, frames):
        y = self.conv1(F.silu(self.norm1(x, frames)))
        shift = self.time_emb_proj(F.silu(temb)).repeat_interleave(frames, dim=0)
        y = self.conv2(F.silu(self.norm2(y + shift[:, :, None, None], frames)))
        return y + (self.conv_shortcut(x) if hasattr(self, "conv_shortcut") else x)


class Attention(nn.Module):
    def __init__(self, dim, heads, context_dim=None):
        super().__init__()
        self.heads = heads
        context_dim = context_dim or dim
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_k = nn.Linear(context_dim, dim, bias=False)
        self.to_v = nn.Linear(context_dim, dim, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(dim, dim)])

    def split(self, x):
        n, tokens, dim = x.shape
        return x.reshape(n, tokens, self.heads, dim // self.heads).transpose(1, 2)

    def mix(self, q, k, v):
        """q [N, T, D], k and v [N, S, D]"""
        n, tokens, dim = q.shape
        q, k, v = self.split(q), self.split(k), self.split(v)
        weights = ((q @ k.transpose(-1, -2)) * (dim // self.heads) ** -0.5).softmax(dim=-1)
        return self.to_out[0]((weights @ v).transpose(1, 2).reshape(n, tokens, dim))

    def forward(self, x, context=None):
        context = x if context is None else context
        return self.mix(self.to_q(x), self.to_k(context), self.to_v(context))


class SparseCausal(Attention):
    """Queries of frame i against keys of frame 0 and of frame max(i - 1, 0), in that order."""

    def forward(self, x, frames):
        n = x.shape[0]
        frame = torch.arange(n) % frames
        first = torch.arange(n) - frame
        former = first + (frame - 1).clamp(min=0)

        def pair(y):
            return torch.cat([y[first], y[former]], dim=1)

        return self.mix(self.to_q(x), pair(self.to_k(x)), pair(self.to_v(x)))


class GatedProjection(nn.Module):
    def __init__(self, dim, inner):
        super().__init__()
        self.proj = nn.Linear(dim, 2 * inner)

    def forward(self, x):
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.net = nn.ModuleList([GatedProjection(dim, 4 * dim), nn.Identity(), nn.Linear(4 * dim, dim)])

    def forward(self, x):
        return self.net[2](self.net[0](x))


class TransformerBlock(nn.Module):
    def __init__(self, dim, heads, context_dim):
        super().__init__()
        self.attn1 = SparseCausal(dim, heads)
        self.norm1 = nn.LayerNorm(dim)
        self.attn2 = Attention(dim, heads, context_dim)
        self.norm2 = nn.LayerNorm(dim)
        self.ff = FeedForward(dim)
        self.norm3 = nn.LayerNorm(dim)
        self.attn_temp = Attention(dim, heads)
        self.norm_temp = nn.LayerNorm(dim)

    def forward(self, x, context, frames):
        """x [B*F, T, C], context [B*F, S, D]"""
        x = x + self.attn1(self.norm1(x), frames)
        x = x + self.attn2(self.norm2(x), context)
        x = x + self.ff(self.norm3(x))
        n, tokens, dim = x.shape
        y = x.reshape(n // frames, frames, tokens, dim).transpose(1, 2).reshape(-1, frames, dim)
        y = y + self.attn_temp(self.norm_temp(y))
        return y.reshape(n // frames, tokens, frames, dim).transpose(1, 2).reshape(n, tokens, dim)


class SpatialTransformer(nn.Module):
    def __init__(self, dim, heads, context_dim, groups, linear):
        super().__init__()
        self.linear = linear
        self.norm = nn.GroupNorm(groups, dim, 1e-6)  # per frame
        self.proj_in = nn.Linear(dim, dim) if linear else nn.Conv2d(dim, dim, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(dim, heads, context_dim)])
        self.proj_out = nn.Linear(dim, dim) if linear else nn.Conv2d(dim, dim, 1)

    def forward(self, x, context, frames):
        n, c, h, w = x.shape
        context = context.repeat_interleave(frames, dim=0)
        y = self.norm(x)
        if self.linear:
            y = self.proj_in(y.flatten(2).transpose(1, 2))
        else:
            y = self.proj_in(y).flatten(2).transpose(1, 2)
        for block in self.transformer_blocks:
            y = block(y, context, frames)
        if self.linear:
            y = self.proj_out(y).transpose(1, 2).reshape(n, c, h, w)
        else:
            y = self.proj_out(y.transpose(1, 2).reshape(n, c, h, w))
        return x + y


class Down(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, stride=2, padding=1)

    def forward(self, x):
        return self.conv(x)


class Up(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x, size=None):
        size = (2 * x.shape[2], 2 * x.shape[3]) if size is None else size
        return self.conv(F.interpolate(x, size=tuple(size), mode="nearest"))


class Stage(nn.Module):
    """A row of resnets, each followed by a transformer when the stage has cross attention."""

    def __init__(self, widths_in, c_out, c_time, attention, groups, eps):
        super().__init__()
        if attention is not None:
            self.attentions = nn.ModuleList([SpatialTransformer(c_out, **attention) for _ in widths_in])
        self.resnets = nn.ModuleList([Resnet(c, c_out, c_time, groups, eps) for c in widths_in])
        self.checkpointing = None

    def run(self, module, *args):
        if self.checkpointing is None:
            return module(*args)
        return checkpoint(module, *args, use_reentrant=self.checkpointing == "reentrant")

    def layer(self, i, x, temb, context, frames):
        x = self.run(self.resnets[i], x, temb, frames)
        if hasattr(self, "attentions"):
            x = self.run(self.attentions[i], x, context, frames)
        return x


class DownStage(Stage):
    def __init__(self, *args, downsample):
        super().__init__(*args)
        if downsample:
            self.downsamplers = nn.ModuleList([Down(args[1])])

    def forward(self, x, temb, context, frames):
        skips = []
        for i in range(len(self.resnets)):
            x = self.layer(i, x, temb, context, frames)
            skips.append(x)
        if hasattr(self, "downsamplers"):
            x = self.downsamplers[0](x)
            skips.append(x)
        return x, skips


class UpStage(Stage):
    def __init__(self, *args, upsample):
        super().__init__(*args)
        if upsample:
            self.upsamplers = nn.ModuleList([Up(args[1])])

    def forward(self, x, temb, context, frames, skips, size=None):
        """`skips` is used from its end."""
        skips = list(skips)
        for i in range(len(self.resnets)):
            x = self.layer(i, torch.cat([x, skips.pop()], dim=1), temb, context, frames)
        if hasattr(self, "upsamplers"):
            x = self.upsamplers[0](x, size)
        return x


class MidStage(nn.Module):
    def __init__(self, c, c_time, attention, groups, eps):
        super().__init__()
        self.attentions = nn.ModuleList([SpatialTransformer(c, **attention)])
        self.resnets = nn.ModuleList([Resnet(c, c, c_time, groups, eps) for _ in range(2)])

    def forward(self, x, temb, context, frames):
        x = self.resnets[0](x, temb, frames)
        return self.resnets[1](self.attentions[0](x, context, frames), temb, frames)


class TimeMlp(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.linear_1 = nn.Linear(c_in, c_out)
        self.linear_2 = nn.Linear(c_out, c_out)

    def forward(self, x):
        return self.linear_2(F.silu(self.linear_1(x)))


class InflatedUNet(nn.Module):
    """Built from the `config.json` of a 2D UNet or of one that Tune-A-Video saved."""

    def __init__(self, config):
        super().__init__()
        self.config = dict(config)
        widths = list(config["block_out_channels"])
        levels = len(widths)
        heads = config["attention_head_dim"]  # the number of heads, in spite of its name
        heads = list(heads) if isinstance(heads, (list, tuple)) else [heads] * levels
        layers, groups, eps = config["layers_per_block"], config["norm_num_groups"], config["norm_eps"]
        c_time = 4 * widths[0]
        down_kinds = [kind.startswith("CrossAttn") for kind in config["down_block_types"]]
        up_kinds = [kind.startswith("CrossAttn") for kind in config["up_block_types"]]

        def attention(wanted, n):
            return dict(heads=n, context_dim=config["cross_attention_dim"], groups=groups,
                        linear=config.get("use_linear_projection", False)) if wanted else None

        self.conv_in = nn.Conv2d(config["in_channels"], widths[0], 3, padding=1)
        self.time_embedding = TimeMlp(widths[0], c_time)
        kind, classes = config.get("class_embed_type"), config.get("num_class_embeds")
        if kind is None and classes is not None:
            self.class_embedding = nn.Embedding(classes, c_time)
        elif kind == "timestep":
            self.class_embedding = TimeMlp(widths[0], c_time)
        elif kind == "identity":
            self.class_embedding = nn.Identity()
        elif kind is not None:
            raise ValueError(f"class_embed_type {kind!r}")

        skips, width = [widths[0]], widths[0]
        self.down_blocks = nn.ModuleList()
        for i, out in enumerate(widths):
            last = i == levels - 1
            self.down_blocks.append(DownStage([width] + [out] * (layers - 1), out, c_time,
                                              attention(down_kinds[i], heads[i]), groups, eps, downsample=not last))
            skips += [out] * (layers + (not last))
            width = out
        self.mid_block = MidStage(width, c_time, attention(True, heads[-1]), groups, eps)
        self.up_blocks = nn.ModuleList()
        for i, out in enumerate(reversed(widths)):
            c_in = []
            for _ in range(layers + 1):
                c_in.append(width + skips.pop())
                width = out
            self.up_blocks.append(UpStage(c_in, out, c_time, attention(up_kinds[i], heads[levels - 1 - i]), groups, eps,
                                          upsample=i < levels - 1))
        self.conv_norm_out = ClipNorm(groups, widths[0], eps)
        self.conv_out = nn.Conv2d(widths[0], config["out_channels"], 3, padding=1)

    @property
    def checkpointing(self):
        return self.down_blocks[0].checkpointing

    @checkpointing.setter
    def checkpointing(self, mode):
        assert mode in (None, "nonreentrant", "reentrant")
        for stage in [*self.down_blocks, *self.up_blocks]:  # never the mid block
            stage.checkpointing = mode

    def embed_time(self, timestep, batch, class_labels=None):
        """Time (and class) embedding [batch, 4 * width] of an int, or of one timestep per clip."""
        dtype, width = self.conv_in.weight.dtype, self.config["block_out_channels"][0]
        flip, shift = self.config.get("flip_sin_to_cos", True), self.config.get("freq_shift", 0)

        def sinusoids(t):
            return timestep_embedding(t, width, flip, shift).to(dtype)

        t = torch.as_tensor(timestep).reshape(-1).expand(batch)
        emb = self.time_embedding(sinusoids(t))
        if hasattr(self, "class_embedding"):
            if self.config.get("class_embed_type") == "timestep":
                class_labels = sinusoids(class_labels)
            emb = emb + self.class_embedding(class_labels).to(dtype)
        return emb

    def forward(self, sample, timestep, encoder_hidden_states, class_labels=None):
        """sample [B, C, F, H, W], encoder_hidden_states [B, S, D] -> [B, C_out, F, H, W]"""
        frames = sample.shape[2]
        if self.config.get("center_input_sample"):
            sample = 2 * sample - 1
        temb = self.embed_time(timestep, sample.shape[0], class_labels)
        context = encoder_hidden_states
        x = self.conv_in(fold(sample))
        skips = [x]
        for stage in self.down_blocks:
            x, more = stage(x, temb, context, frames)
            skips += more
        x = self.mid_block(x, temb, context, frames)
        # A size that halves unevenly on the way down must be restored from the skip on the way up.
        uneven = any(s % 2 ** (len(self.up_blocks) - 1) for s in sample.shape[-2:])
        for stage in self.up_blocks:
            n = len(stage.resnets)
            mine, skips = skips[-n:], skips[:-n]
            size = skips[-1].shape[2:] if uneven and skips else None
            x = stage(x, temb, context, frames, mine, size)
        return unfold(self.conv_out(F.silu(self.conv_norm_out(x, frames))), frames)


def is_temporal(name):
    """True for the parameters that inflation adds to a 2D UNet."""
    return ".attn_temp." in name or ".norm_temp." in name


def select_trainable(unet, modules=("attn1.to_q", "attn2.to_q", "attn_temp")):
    """Freezes all but the modules whose path ends with one of `modules`; returns their parameter names in order."""
    unet.requires_grad_(False)
    for path, module in unet.named_modules():
        if path.endswith(tuple(modules)):
            module.requires_grad_(True)
    return [name for name, p in unet.named_parameters() if p.requires_grad]


def fresh_temporal(unet, generator):
    """Parameters a fresh inflation creates: zero output weight, uniform output bias, identity norm, random q, k, v."""
    made = {}
    for name, p in unet.named_parameters():
        if not is_temporal(name):
            continue
        if name.endswith("norm_temp.weight"):
            value = torch.ones(p.shape)
        elif name.endswith("norm_temp.bias") or name.endswith("to_out.0.weight"):
            value = torch.zeros(p.shape)
        else:
            dim = p.shape[-1]
            value = (2 * torch.rand(p.shape, generator=generator) - 1) * dim ** -0.5
        made[name] = value
    return made
