"""Edits steered by attention, as their papers' equations say, in PyTorch: prompt-to-prompt (Hertz et al. 2022) and
mutual self-attention (Cao et al. 2023), plug-and-play (Tumanyan et al. 2022), TokenFlow (Geyer et al. 2023), attend-and-excite (Chefer
et al. 2023), the clip read off its DDIM inversion. Of one tiny video model with random weights.

controls.safetensors: the inverted clip at every level, and per case the edited latents after the last step.
"""
import torch
import torch.nn.functional as F

from common import gap, inflated, randn, save
from inflated_unet import Attention, Resnet, SparseCausal

STEPS, FRAMES, SIZE, SCALE = 5, 3, 16, 7.5
TOKENS = 77


class Seen:
    """What the attention layers of a UNet are told, by name, and what is laid over it."""

    def __init__(self, unet):
        self.rule = None
        for name, module in unet.named_modules():
            if isinstance(module, Attention) and not name.endswith("attn_temp"):
                module.forward = self.layer(name, module)
            if isinstance(module, Resnet):
                module.forward = self.block(name, module)

    def block(self, name, module):
        def forward(x, temb, frames):
            y = module.conv1(F.silu(module.norm1(x, frames)))
            shift = module.time_emb_proj(F.silu(temb)).repeat_interleave(frames, dim=0)
            y = module.conv2(F.silu(module.norm2(y + shift[:, :, None, None], frames)))
            if self.rule is not None:
                y = self.rule.features(name, y)
            return y + (module.conv_shortcut(x) if hasattr(module, "conv_shortcut") else x)
        return forward

    def layer(self, name, module):
        def forward(x, other=None):
            pairs = isinstance(module, SparseCausal)
            context = x if pairs else other
            q, k, v = module.to_q(x), module.to_k(context), module.to_v(context)
            if pairs:
                n = x.shape[0]
                frame = torch.arange(n) % other
                first = torch.arange(n) - frame
                former = first + (frame - 1).clamp(min=0)

                def joined(y):
                    return torch.cat([y[first], y[former]], dim=1)
                if hasattr(self.rule, "mixed"):
                    return module.to_out[0](self.rule.mixed(name, module, q, k, v, joined))
                k, v = joined(k), joined(v)
            if self.rule is not None:
                q, k, v = self.rule.inputs(name, q, k, v)
            n, tokens, dim = q.shape
            q, k, v = module.split(q), module.split(k), module.split(v)
            p = ((q @ k.transpose(-1, -2)) * (dim // module.heads) ** -0.5).softmax(dim=-1)
            if self.rule is not None:
                p = self.rule.probabilities(name, p)
            return module.to_out[0]((p @ v).transpose(1, 2).reshape(n, tokens, dim))
        return forward


class Rule:
    """`step` and `on_clip` are set before each call; of a guided call the second half is the edit's."""
    step, on_clip = 0, True

    def inputs(self, name, q, k, v):
        return q, k, v

    def probabilities(self, name, p):
        return p

    def features(self, name, y):
        return y

    def within(self, share):
        return self.step < share * STEPS


class PromptToPrompt(Rule):
    def __init__(self, share, own, weight, cross, own_pictures, words=None, threshold=0.3):
        self.share, self.own, self.weight, self.cross, self.self_ = share, own, weight, cross, own_pictures
        self.kept, self.words, self.threshold, self.maps = {}, words, threshold, [0, 0]

    def probabilities(self, name, p):
        small = p.shape[2] <= SIZE * SIZE / 4
        if self.on_clip:
            self.kept[name] = p
            edit = p
        else:
            other, edit = p.chunk(2)
            clip = self.kept[name]
            if name.endswith("attn1") and small and self.within(self.self_):
                edit = clip
            if name.endswith("attn2") and self.within(self.cross):
                edit = self.weight * (torch.einsum("fhqi,ij->fhqj", clip, self.share) + self.own * edit)
            p = torch.cat([other, edit])
        if self.words and name.endswith("attn2") and p.shape[2] == SIZE * SIZE / 16:
            which = 0 if self.on_clip else 1
            self.maps[which] = self.maps[which] + edit[..., self.words[which]].sum(-1).mean(1)
        return p

    def blend(self, k, x, clip):
        """x, clip [1, C, F, H, W] after step k"""
        if not self.words or k <= int(0.2 * STEPS):
            return x
        mask = 0
        for m in self.maps:
            m = m.reshape(FRAMES, 1, SIZE // 4, SIZE // 4)
            m = torch.nn.functional.max_pool2d(m, 3, stride=1, padding=1)
            m = torch.nn.functional.interpolate(m, size=(SIZE, SIZE))
            mask = mask + (m > self.threshold * m.max())
        mask = (mask > 0).to(x.dtype).permute(1, 0, 2, 3)[None]
        print(f"  blended: {mask.mean().item():.2f} of the latents are the edit's")
        return clip + mask * (x - clip)


class MutualSelfAttention(Rule):
    def __init__(self, start):
        self.start, self.kept = start, {}

    def inputs(self, name, q, k, v):
        if name.endswith("attn1") and name.startswith("up_blocks"):
            if self.on_clip:
                self.kept[name] = k, v
            elif not self.within(self.start):
                k, v = (torch.cat([y, y]) for y in self.kept[name])
        return q, k, v


class PlugAndPlay(Rule):
    """tau_f and tau_A; blocks whose features are injected; decoder layers whose queries and keys are"""

    def __init__(self, tau_f=0.8, tau_a=0.5, blocks=("up_blocks.1.resnets.1",), first=(1, 1)):
        self.tau_f, self.tau_a, self.blocks, self.first, self.kept = tau_f, tau_a, blocks, first, {}

    def inputs(self, name, q, k, v):
        parts = name.split(".")
        if name.endswith("attn1") and parts[0] == "up_blocks" and (int(parts[1]), int(parts[3])) >= self.first:
            if self.on_clip:
                self.kept[name] = q, k
            elif self.within(self.tau_a):
                q, k = (torch.cat([y, y]) for y in self.kept[name])
        return q, k, v

    def features(self, name, y):
        if name in self.blocks:
            if self.on_clip:
                self.kept[name] = y
            elif self.within(self.tau_f):
                return torch.cat([self.kept[name]] * 2)
        return y


def attention(module, q, k, v):
    q, k, v = module.split(q), module.split(k), module.split(v)
    y = ((q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5).softmax(dim=-1) @ v
    return y.transpose(1, 2).flatten(2)


class TokenFlow(PlugAndPlay):
    """Of the clip's tokens in two frames the most alike are looked up; `margin` is how far the next ones were behind."""
    keyframes = ([0, 2], [1], [1, 2], [0, 2], [0, 1])  # of each step

    def __init__(self, plug):
        super().__init__(*(() if plug else (0, 0, ())))
        self.nearest, self.margin = {}, 1.0

    def mixed(self, name, module, q, k, v, joined):
        q, k, v = self.inputs(name, q, k, v)
        if not self.on_clip:
            return torch.cat([self.half(name, module, *parts) for parts in zip(q.chunk(2), k.chunk(2), v.chunk(2))])
        y = attention(module, q, joined(k), joined(v))
        unit = F.normalize(y, dim=-1)
        for i in range(FRAMES):
            for j in set(self.keyframes[self.step]) - {i}:
                likeness = unit[i] @ unit[j].T
                self.nearest[name, i, j] = likeness.argmax(dim=-1)
                best = likeness.topk(2, dim=-1).values
                self.margin = min(self.margin, (best[:, 0] - best[:, 1]).min().item())
        return y

    def half(self, name, module, q, k, v):
        frames = self.keyframes[self.step]
        keys, values = (y[frames].flatten(0, 1)[None] for y in (k, v))
        edited = {j: attention(module, q[j:j + 1], keys, values)[0] for j in frames}
        out = []
        for i in range(FRAMES):
            if i in frames:
                out.append(edited[i])
                continue
            before, after = [j for j in frames if j < i], [j for j in frames if j > i]
            tokens_of = {j: edited[j][self.nearest[name, i, j]] for j in before[-1:] + after[:1]}
            if before and after:
                back, ahead = i - before[-1], after[0] - i
                w = torch.sigmoid(torch.tensor(back / (back + ahead), dtype=q.dtype))
                out.append(w * tokens_of[after[0]] + (1 - w) * tokens_of[before[-1]])
            else:
                out += tokens_of.values()
        return torch.stack(out)


class Listen(Rule):
    """Keeps where words look, of the maps of 1/32 of the picture."""

    def __init__(self):
        self.maps = []

    def probabilities(self, name, p):
        if name.endswith("attn2") and p.shape[2] == SIZE * SIZE // 16:
            self.maps.append(p.mean(1))
        return p


def word_losses(maps, words):
    """maps [F, pixels, tokens] -> [F]"""
    shares = (100 * maps[..., 1:]).softmax(dim=-1)
    line = torch.exp(-torch.tensor([1.0, 0.0, 1.0], dtype=maps.dtype) / (2 * 0.5 ** 2))
    kernel = torch.outer(line, line)
    kernel = (kernel / kernel.sum())[None, None]
    best = []
    for word in words:
        m = shares[..., word - 1].reshape(FRAMES, 1, SIZE // 4, SIZE // 4)
        best.append(F.conv2d(F.pad(m, (1, 1, 1, 1), mode="reflect"), kernel).flatten(1).amax(1))
    return 1 - torch.stack(best).amin(0)


class Excite:
    """Attend-and-excite with every frame a picture; `until` says at which steps what is to be reached."""
    share, words, until, most, size = 0.5, [57, 58], {0: 0.1, 1: 0.999}, 3, 1

    @torch.enable_grad()
    def __call__(self, unet, seen, x, t, step, text):
        if step >= self.share * STEPS:
            return x
        alpha, reach = self.size * (1 - 0.5 * step / (STEPS - 1)) ** 0.5, self.until.get(step)
        before = x
        for i in range(self.most if reach else 1):
            z = x.detach().requires_grad_(True)
            seen.rule = Listen()
            unet(z, t, text)
            losses = word_losses(torch.stack(seen.rule.maps).mean(0), self.words)
            x = (z - alpha * torch.autograd.grad(losses.sum(), z)[0]).detach()
            print(f"  losses at step {step}: {[round(v, 4) for v in losses.tolist()]}")
            if reach and losses.max() <= 1 - reach:
                break
        print(f"  changed by {gap(x, before):.2f}")
        return x


def levels(dtype):
    betas = torch.linspace(0.00085 ** 0.5, 0.012 ** 0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0).to(dtype)


def ddim(x, eps, a_from, a_to):
    clean = (x - (1 - a_from).sqrt() * eps) / a_from.sqrt()
    return a_to.sqrt() * clean + (1 - a_to).sqrt() * eps


def alignment(pairs, new, weights=()):
    """share [source, edited], own [edited], weight [edited] of (source, edited, part) and of tokens that keep their own"""
    share, own, weight = torch.zeros(TOKENS, TOKENS), torch.zeros(TOKENS), torch.ones(TOKENS)
    for i, j, part in pairs:
        share[i, j] = part
    for j in new:
        own[j] = 1
    for j, factor in weights:
        weight[j] = factor
    return share, own, weight


def cases(dtype):
    same = [(i, i, 1.0) for i in range(TOKENS)]
    # "a man is skiing" to "a man is skiing ...": two new tokens behind the third; padding moves on, its last have none.
    refine = [(i, i, 1.0) for i in range(4)] + [(i, i + 2, 1.0) for i in range(4, TOKENS - 2)]
    # one token for two
    replace = [s for s in same if s[0] not in (3, 4)] + [(3, 3, 1.0), (4, 3, 1.0)]

    def p2p(pairs, new, weights, *more):
        return PromptToPrompt(*(x.to(dtype) for x in alignment(pairs, new, weights)), *more)
    return {"refine": p2p(refine, [4, 5], [], 0.8, 0.4), "replace": p2p(replace, [4], [], 0.6, 0.8),
            "reweight": p2p(same, [], [(4, 3.0), (2, -1.0)], 1.0, 0.0),
            "blend": p2p(refine, [4, 5], [], 0.8, 0.4, ([3], [4, 5]), 0.8),
            "mutual": MutualSelfAttention(0.2), "plug": PlugAndPlay(),
            "plug_features": PlugAndPlay(0.6, 0, ("up_blocks.2.resnets.0", "up_blocks.2.resnets.1")),
            "flow": TokenFlow(False), "flow_plug": TokenFlow(True), "excite": Rule(), "excite_plug": PlugAndPlay(),
            "nothing": Rule()}


@torch.no_grad()
def edits(dtype):
    unet = inflated("sd1", dtype=dtype).eval()
    seen = Seen(unet)
    out = {}
    text = {k: randn((1, TOKENS, 24), "controls", k).to(dtype) for k in ("source", "edited", "negative")}
    a = levels(dtype)
    final = a[0]
    times = [1 + i * (1000 // STEPS) for i in range(STEPS)]
    x = randn((1, 4, FRAMES, SIZE, SIZE), "controls", "clip").to(dtype)
    clip = [x]
    for i, t in enumerate(times):  # as reel inverts: the network is asked at the level that a step leads to
        before = final if i == 0 else a[times[i - 1]]
        x = ddim(x, unet(x, t, text["source"]), before, a[t])
        clip.append(x)
    out["clip"] = torch.stack(clip)
    for name, rule in cases(dtype).items():
        x = clip[-1]
        for step, t in enumerate(reversed(times)):
            level = STEPS - step
            if name.startswith("excite"):
                x = Excite()(unet, seen, x, t, step, text["edited"])
            seen.rule, rule.step, rule.on_clip = rule, step, True
            unet(clip[level], t, text["source"])
            rule.on_clip = False
            without, given = unet(torch.cat([x, x]), t, torch.cat([text["negative"], text["edited"]])).chunk(2)
            seen.rule = None
            to = final if level == 1 else a[times[level - 2]]
            x = ddim(x, without + SCALE * (given - without), a[t], to)
            if hasattr(rule, "blend"):
                x = rule.blend(step + 1, x, clip[level - 1])
        out[name] = x
        if hasattr(rule, "margin"):
            print(f"  {name}: a nearest token is so much nearer than the next: {rule.margin:.1e}")
    return out | text


def make():
    single, exact = edits(torch.float32), edits(torch.float64)
    for name in cases(torch.float64):
        print(f"{name}: float32 floor {gap(single[name], exact[name]):.1e}, moves the edit by {gap(exact[name], exact['nothing']):.2f}")
    save("controls.safetensors", {k: v.float() for k, v in exact.items()})


if __name__ == "__main__":
    make()
