"""Edits whose noise comes from the clip, as their papers' equations say, in PyTorch: edit-friendly DDPM inversion
(Huberman-Spiegelglas et al. 2023, algorithm 1), and LEDITS++ (Brack et al. 2023, section 3) on it. Of one tiny video model
with random weights.

edit_friendly.safetensors: the clip, the independent noise of every level, texts, a mask, and per case the edited latents.
"""
import torch

from common import gap, inflated, randn, save
from inflated_unet import Attention

STEPS, FRAMES, SIZE, SCALE = 5, 3, 16, 7.5
TOKENS = 77


def cumulative(dtype):
    betas = torch.linspace(0.00085 ** 0.5, 0.012 ** 0.5, 1000, dtype=torch.float32) ** 2  # as diffusers has them
    return torch.cumprod(1 - betas, 0).to(dtype)


class Ancestral:
    """One step of the generalised process with eta = 1 (Song et al. 2020, equation 16); no memory."""

    def __init__(self, dtype):
        self.a = cumulative(dtype)
        self.times = [1 + (STEPS - 1 - i) * (1000 // STEPS) for i in range(STEPS)]

    def level(self, i):
        """signal and noise before step i"""
        a = self.a[self.times[i]] if i < STEPS else self.a[0]
        return a.sqrt(), (1 - a).sqrt()

    def mean(self, i, x, eps, memory):
        (s, n), (s1, n1) = self.level(i), self.level(i + 1)
        clean = (x - n * eps) / s
        deviation = (n1 / n) * (1 - (s / s1) ** 2).clamp(min=0).sqrt()
        return s1 * clean + (n1 ** 2 - deviation ** 2).sqrt() * eps, deviation, None


class Solver:
    """sde-dpmsolver++ of second order, by midpoints (Lu et al. 2022, arXiv:2211.01095, the SDE's 2M), which remembers the
    clean sample of the step before; the first step is of first order, and so is the last, which goes to the clean one."""

    def __init__(self, dtype):
        self.a = cumulative(dtype)
        grid = torch.linspace(0, 999, STEPS + 1, dtype=torch.float64).round().long().tolist()
        self.times = grid[::-1][:-1]

    def level(self, i):
        a = self.a[self.times[i]]
        return a.sqrt(), (1 - a).sqrt()

    def mean(self, i, x, eps, memory):
        s, n = self.level(i)
        clean = (x - n * eps) / s
        if i + 1 == STEPS:
            return clean, torch.zeros_like(n), clean
        s1, n1 = self.level(i + 1)
        h = (s1 / n1).log() - (s / n).log()
        decay = torch.exp(-h)
        share = 1 - decay ** 2
        out = (n1 / n) * decay * x + s1 * share * clean
        if memory is not None:
            s0, n0 = self.level(i - 1)
            h0 = (s / n).log() - (s0 / n0).log()
            out = out + 0.5 * s1 * share * (clean - memory) / (h0 / h)
        return out, n1 * share.sqrt(), clean


class Found:
    """The levels of the clip, each with noise of its own, and the noise of every step that leads from one to the next."""

    def __init__(self, process, clip, noise, model):
        self.levels, self.noise, self.memory = [], [], []
        for i in range(STEPS):
            signal, deviation = process.level(i)
            self.levels.append(signal * clip + deviation * noise[i])
        self.levels.append(clip)
        memory = None
        for i, t in enumerate(process.times):
            self.memory.append(memory)
            mean, deviation, memory = process.mean(i, self.levels[i], model(self.levels[i], t), memory)
            rest = self.levels[i + 1] - mean
            self.noise.append(rest / deviation if deviation > 0 else rest)


def edit(process, found, skip, model, after=lambda i, x: x):
    """`skip` steps are left out. `after(i, x)` may change what step i gave."""
    x, memory = after(skip - 1, found.levels[skip]), found.memory[skip]
    for i in range(skip, STEPS):
        mean, deviation, memory = process.mean(i, x, model(x, process.times[i]), memory)
        x = after(i, mean + (deviation * found.noise[i] if deviation > 0 else found.noise[i]))
    return x


CONCEPTS = [("edited", [2, 3], 5.0, 0.7, 1), ("source", [4], 3.0, 0.6, -1)]  # text, tokens, scale, lambda, into or out of


class Looked:
    """The cross attention of one call, of the layers with maps of a quarter of the latents' sides: mean over layers and
    heads, [clips * frames, pixels, tokens]."""

    def __init__(self, unet):
        self.maps = []
        for name, module in unet.named_modules():
            if isinstance(module, Attention) and name.endswith("attn2"):
                module.register_forward_hook(self.see)

    def see(self, module, given, _):
        x, context = given
        if x.shape[1] == (SIZE // 4) ** 2:
            q, k = module.split(module.to_q(x)), module.split(module.to_k(context))
            self.maps.append((q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(dim=-1).mean(dim=1))

    def take(self):
        maps, self.maps = torch.stack(self.maps).mean(dim=0), []
        return maps


def ledits(unet, looked, text, shares):
    """The guided prediction; `shares` gets how much of the clip each concept may change."""
    def model(x, t):
        looked.take() if looked.maps else None
        texts = [text["negative"]] + [text[c[0]] for c in CONCEPTS]
        without, *each = unet(torch.cat([x] * len(texts)), t, torch.cat(texts)).chunk(len(texts))
        maps = looked.take().chunk(len(texts))[1:]
        out = without
        for (_, tokens, scale, threshold, sign), map_, with_ in zip(CONCEPTS, maps, each):
            psi = with_ - without
            where = map_[:, :, tokens].sum(-1)  # [F, pixels]
            where = where >= where.flatten().quantile(threshold)
            where = where.reshape(FRAMES, SIZE // 4, SIZE // 4).repeat_interleave(4, 1).repeat_interleave(4, 2)
            size = psi.abs().sum(dim=1)[0]  # [F, h, w]
            mask = (where & (size >= size.flatten().quantile(threshold))).to(x.dtype)
            shares.append(mask.mean().item())
            out = out + sign * scale * mask * psi
        return out
    return model


@torch.no_grad()
def edits(dtype):
    unet = inflated("sd1", dtype=dtype).eval()
    text = {k: randn((1, TOKENS, 24), "edit_friendly", k).to(dtype) for k in ("source", "edited", "negative")}
    clip = randn((1, 4, FRAMES, SIZE, SIZE), "edit_friendly", "clip").to(dtype)
    noise = randn((STEPS, 1, 4, FRAMES, SIZE, SIZE), "edit_friendly", "noise").to(dtype)
    mask = torch.zeros(1, 1, FRAMES, SIZE, SIZE, dtype=dtype)
    mask[:, :, :, 4:11, 2:9] = 1

    def guided(x, t):
        without, given = unet(torch.cat([x, x]), t, torch.cat([text["negative"], text["edited"]])).chunk(2)
        return without + SCALE * (given - without)
    out = text | {"clip": clip, "noise": noise, "mask": mask}
    for name, process, skip in (("ancestral", Ancestral(dtype), 2), ("solver", Solver(dtype), 2)):
        found = Found(process, clip, noise, lambda x, t: unet(x, t, text["source"]))
        again = edit(process, found, 0, lambda x, t: unet(x, t, text["source"]))
        print(f"{name}: the clip comes back to {gap(again, clip):.1e}")
        out[name] = edit(process, found, skip, guided)
        out[name + ".whole"] = edit(process, found, 0, guided)
        out[name + ".masked"] = edit(process, found, skip, guided,
                                     lambda i, x: found.levels[i + 1] + mask * (x - found.levels[i + 1]))
    looked, shares = Looked(unet), []
    process = Solver(dtype)
    found = Found(process, clip, noise, lambda x, t: unet(x, t, text["negative"]))
    looked.maps = []
    out["ledits"] = edit(process, found, 1, ledits(unet, looked, text, shares))
    print(f"ledits: masks of {min(shares):.3f} to {max(shares):.3f} of the clip")
    return out


CASES = [f"{process}{how}" for process in ("ancestral", "solver") for how in ("", ".whole", ".masked")] + ["ledits"]


def make():
    single, exact = edits(torch.float32), edits(torch.float64)
    for name in CASES:
        print(f"{name}: float32 floor {gap(single[name], exact[name]):.1e}, moves the clip by {gap(exact[name], exact['clip']):.2f}")
    save("edit_friendly.safetensors", {k: v.float() for k, v in exact.items()})


if __name__ == "__main__":
    make()
