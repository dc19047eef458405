"""Edits steered by attention, as their papers' equations say, in PyTorch: prompt-to-prompt (Hertz et al. 2022) and
mutual self-attention (Cao et al. 2023), the clip read off its DDIM inversion. Of one tiny video model with random weights.

controls.safetensors: the inverted clip at every level, and per case the edited latents after the last step.
"""
import torch

from common import gap, inflated, load, randn, save
from inflated_unet import Attention, SparseCausal, fold

STEPS, FRAMES, SIZE, SCALE = 5, 3, 16, 7.5
TOKENS = 77


class Seen:
    """What the attention layers of a UNet are told, by name, and what is laid over it."""

    def __init__(self, unet):
        self.rule = None
        for name, module in unet.named_modules():
            if isinstance(module, Attention) and not name.endswith("attn_temp"):
                module.forward = self.layer(name, module)

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
                k, v = (torch.cat([y[first], y[former]], dim=1) for y in (k, v))
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
            "mutual": MutualSelfAttention(0.2), "nothing": Rule()}


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
    return out | text


def make():
    single, exact = edits(torch.float32), edits(torch.float64)
    for name in ("refine", "replace", "reweight", "blend", "mutual", "nothing"):
        print(f"{name}: float32 floor {gap(single[name], exact[name]):.1e}, moves the edit by {gap(exact[name], exact['nothing']):.2f}")
    save("controls.safetensors", {k: v.float() for k, v in exact.items()})


if __name__ == "__main__":
    make()
