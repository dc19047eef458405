"""PyTorch's side of bench/compare: the cases of full_size, with the same shapes and data type.

The UNet is the parity tests' own version of Tune-A-Video's (tests/golden/inflated_unet.py), the autoencoder is
diffusers' AutoencoderKL. Output is lines of JSON: one when ready, one per run.
"""
import argparse
import json
import os
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "golden"))

CASES = ["unet_forward", "tune_step", "tune_step_checkpoint", "tune_step_encoding", "vae_encode", "vae_decode",
         "text_encoder", "whole_job"]
SCALING_FACTOR = 0.18215
TUNING, INVERSION, SAMPLING = 20, 10, 10  # steps of the whole job


def read_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", required=True, choices=CASES,
                        help="tune_step_encoding is the reference's step: it encodes the clip again, and checkpoints")
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--size", type=int, default=256, help="width and height in pixels")
    parser.add_argument("--clips", type=int, default=1, help="of unet_forward: 2 as under guidance")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--serve", action="store_true", help="run once per line of standard input")
    parser.add_argument("--attention", choices=["sdpa", "plain"], default="sdpa",
                        help="fused attention, or an explicit softmax as in diffusers 0.11.1")
    parser.add_argument("--channels_last", action="store_true")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32",
                        help="of weights and activations; what is tuned stays in float32, under autocast")
    parser.add_argument("--count", action="store_true", help="run nothing, but count the case's operations")
    return parser.parse_args()


options = read_options()
import torch  # noqa: E402  after --help
import torch.nn.functional as F  # noqa: E402

import inflated_unet  # noqa: E402

torch.set_num_threads(options.threads)
torch.set_default_device(options.device)  # of what the model makes on its way


class FusedAttention:
    """inflated_unet.Attention.mix by PyTorch's fused attention."""

    @staticmethod
    def mix(self, q, k, v):
        n, tokens, dim = q.shape
        out = F.scaled_dot_product_attention(self.split(q), self.split(k), self.split(v))
        return self.to_out[0](out.transpose(1, 2).reshape(n, tokens, dim))


PLAIN_MIX = inflated_unet.Attention.mix


def set_attention(kind):
    inflated_unet.Attention.mix = FusedAttention.mix if kind == "sdpa" else PLAIN_MIX


def fill(model):
    """As full_size: weights in +-1/sqrt(fan in), norms that change nothing. A block of numbers, repeated, is quick."""
    block = (2 * torch.rand(1 << 20, device="cpu", generator=torch.Generator().manual_seed(0)) - 1).to(options.device)
    with torch.no_grad():
        for name, p in model.named_parameters():
            vector = p.dim() == 1
            if vector and name.endswith("weight"):
                p.fill_(1.0)
                continue
            bound = (1024 if vector else p.numel() // p.shape[0]) ** -0.5
            flat = p.view(-1)
            for start in range(0, flat.numel(), block.numel()):
                part = flat[start:start + block.numel()]
                torch.mul(block[:part.numel()], bound, out=part)
    return model


def unet_config(tiny):
    return dict(in_channels=4, out_channels=4, layers_per_block=2, norm_eps=1e-5, attention_head_dim=8,
                block_out_channels=[32, 64, 64, 64] if tiny else [320, 640, 1280, 1280],
                norm_num_groups=8 if tiny else 32, cross_attention_dim=64 if tiny else 768,
                down_block_types=["CrossAttnDownBlock3D"] * 3 + ["DownBlock3D"],
                up_block_types=["UpBlock3D"] + ["CrossAttnUpBlock3D"] * 3)


def build_unet():
    with torch.device("meta"):
        return inflated_unet.InflatedUNet(unet_config(options.tiny))


def build_text_encoder():
    from transformers import CLIPTextConfig, CLIPTextModel
    sizes = dict(hidden_size=64, intermediate_size=128, num_attention_heads=4) if options.tiny else \
        dict(hidden_size=768, intermediate_size=3072, num_attention_heads=12)
    return CLIPTextModel(CLIPTextConfig(num_hidden_layers=12, **sizes))


def build_vae():
    from diffusers import AutoencoderKL
    with torch.device("meta"):
        return AutoencoderKL(block_out_channels=(16, 32, 32, 32) if options.tiny else (128, 256, 512, 512),
                             norm_num_groups=8 if options.tiny else 32, layers_per_block=2, latent_channels=4,
                             down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)


def alphas():
    """Stable Diffusion's noise schedule: the share of the signal at each timestep."""
    betas = torch.linspace(0.00085 ** 0.5, 0.012 ** 0.5, 1000) ** 2
    return torch.cumprod(1 - betas, 0)


class Case:
    """`prepare()` makes weights and inputs; `run()` is what is timed; `operations()` counts the same work."""

    tuning = options.case.startswith("tune_step")
    text_encoder = options.case == "text_encoder"
    type = getattr(torch, options.dtype)

    def __init__(self):
        self.model = (build_text_encoder() if self.text_encoder else
                      build_vae() if self.vae() else build_unet())
        self.side = options.size // 8

    def inputs(self, device):
        with torch.device(device):
            generator = torch.Generator(device).manual_seed(1) if device != "meta" else None

            def normal(*shape):
                return torch.randn(*shape, generator=generator).to(self.type)

            if self.text_encoder:
                return (torch.arange(77)[None] * 613 % 49408,)
            if self.tuning or options.case in ("unet_forward", "whole_job"):
                width = self.model.config["cross_attention_dim"]
                clips = options.clips if options.case == "unet_forward" else 1
                return normal(clips, 4, options.frames, self.side, self.side), normal(clips, 77, width)
            if options.case == "vae_encode":
                return (normal(options.frames, 3, options.size, options.size).tanh(),)
            return (normal(options.frames, 4, self.side, self.side),)

    def forward(self, model, inputs):
        """What is counted, and, without gradients, what is timed."""
        if self.tuning or options.case in ("unet_forward", "whole_job"):
            return model(inputs[0], 981, inputs[1])
        if self.text_encoder:
            return model(inputs[0]).last_hidden_state
        if options.case == "vae_encode":
            # The reference encodes a clip at once, and decodes it frame by frame.
            return model.quant_conv(model.encoder(inputs[0]))
        return torch.cat([model.decode(latent).sample for latent in inputs[0].split(1)])

    def operations(self):
        """Floating-point operations of the case, counted without doing them; recomputation is not counted."""
        from torch.utils.flop_counter import FlopCounterMode
        set_attention("plain")
        self.model.requires_grad_(False)

        device = "cpu" if self.text_encoder else "meta"

        def count(model, inputs, backward=False):
            with torch.device(device), FlopCounterMode(display=False) as counter:
                out = self.forward(model, inputs)
                if backward:
                    out.square().mean().backward()
            return counter.get_total_flops()

        inputs = self.inputs(device)
        if self.type != torch.float32:
            self.model.to(self.type)
        if options.case == "whole_job":
            forward = count(self.model, inputs)
            inflated_unet.select_trainable(self.model)
            vae = build_vae()
            with torch.device("meta"), FlopCounterMode(display=False) as coding:
                vae.encoder(torch.empty(options.frames, 3, options.size, options.size))
                vae.decode(torch.empty(options.frames, 4, self.side, self.side))
            return TUNING * count(self.model, inputs, True) + (INVERSION + 2 * SAMPLING) * forward + \
                coding.get_total_flops()
        if self.tuning:
            inflated_unet.select_trainable(self.model)
        return count(self.model, inputs, self.tuning)

    def prepare(self):
        set_attention(options.attention)
        # transformers' positions are no parameters: to_empty would lose them.
        place = self.model.to if self.text_encoder else self.model.to_empty
        self.model = fill(place(device=options.device)).to(self.type)
        self.model.requires_grad_(False)
        if options.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.data = self.inputs(options.device)
        self.called = torch.compile(self.model) if options.compile and not self.vae() else self.model
        if self.vae() and options.compile:
            self.model.encoder = torch.compile(self.model.encoder)
            self.model.decoder = torch.compile(self.model.decoder)
        if options.case == "whole_job":
            self.autoencoder = fill(build_vae().to_empty(device=options.device)).to(self.type).requires_grad_(False)
            self.clip = torch.rand(options.frames, 3, options.size, options.size, dtype=self.type,
                                   device=options.device) * 2 - 1
        if self.tuning or options.case == "whole_job":
            self.prepare_tuning()

    def weight_bytes(self):
        models = [self.model, *(getattr(self, name) for name in ("autoencoder", "encoder") if hasattr(self, name))]
        return sum(p.numel() * p.element_size() for model in models for p in model.parameters())

    def vae(self):
        return options.case.startswith("vae")

    def prepare_tuning(self):
        inflated_unet.select_trainable(self.model)
        if options.case != "tune_step":  # the whole job's too
            self.model.checkpointing = "nonreentrant"
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        for p in self.trained:
            p.data = p.data.float()
        self.optimizer = torch.optim.AdamW(self.trained, lr=3e-5, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2)
        self.alphas = alphas()
        self.mean = self.data[0]
        self.deviation = torch.full_like(self.mean, 0.5)
        if options.case == "tune_step_encoding":
            self.encoder = fill(build_vae().to_empty(device=options.device)).requires_grad_(False)
            self.clip = torch.rand(options.frames, 3, options.size, options.size, device=options.device) * 2 - 1

    def tune(self):
        mean, deviation = self.mean, self.deviation
        if options.case == "tune_step_encoding":
            with torch.no_grad():
                moments = self.encoder.quant_conv(self.encoder.encoder(self.clip))
            mean, log_variance = inflated_unet.unfold(moments, options.frames).chunk(2, dim=1)
            deviation = (0.5 * log_variance.clamp(-30, 20)).exp()
        latents = (mean + deviation * torch.randn_like(mean)) * SCALING_FACTOR
        noise = torch.randn_like(latents)
        t = int(torch.randint(0, 1000, ()))
        noisy = self.alphas[t].sqrt() * latents + (1 - self.alphas[t]).sqrt() * noise
        with torch.autocast(options.device, torch.bfloat16, enabled=self.type != torch.float32):
            predicted = self.called(noisy, torch.tensor(t), self.data[1])  # not a number: it would be compiled in
        loss = F.mse_loss(predicted.float(), noise.float())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()

    def whole_job(self):
        """Encode the clip, tune, invert, sample with guidance, decode frame by frame; as full_size's."""
        frames, text = options.frames, self.data[1]
        half = torch.autocast(options.device, torch.bfloat16, enabled=self.type != torch.float32)
        with torch.no_grad():
            moments = self.autoencoder.quant_conv(self.autoencoder.encoder(self.clip))
            self.mean, log_variance = inflated_unet.unfold(moments, frames).chunk(2, dim=1)
            self.deviation = (0.5 * log_variance.clamp(-30, 20)).exp()
        for _ in range(TUNING):
            self.tune()
        with torch.no_grad(), half:
            x = self.mean * SCALING_FACTOR

            def move(x, noise, a, b):
                """From the level with signal a to that with signal b, deterministically."""
                clean = (x - (1 - a).sqrt() * noise) / a.sqrt()
                return (b.sqrt() * clean + (1 - b).sqrt() * noise).to(self.type)

            levels = [1000 // INVERSION * i + 1 for i in range(INVERSION)]
            for i, t in enumerate(levels):
                before = self.alphas[levels[i - 1]] if i else self.alphas[0]
                x = move(x, self.called(x, torch.tensor(t), text), before, self.alphas[t])
            both = torch.cat([-text, text])
            levels = [1000 // SAMPLING * i + 1 for i in range(SAMPLING)]
            for i, t in reversed(list(enumerate(levels))):
                without, wanted = self.called(torch.cat([x, x]), torch.tensor(t), both).chunk(2)
                after = self.alphas[levels[i - 1]] if i else self.alphas[0]
                x = move(x, without + 7.5 * (wanted - without), self.alphas[t], after)
            latents = inflated_unet.fold(x / SCALING_FACTOR)
            return float(torch.cat([self.autoencoder.decode(latent).sample for latent in latents.split(1)]).mean())

    def run(self):
        if self.tuning:
            return self.tune()
        if options.case == "whole_job":
            return self.whole_job()
        with torch.no_grad():
            return float(self.forward(self.called, self.data).mean())


def finish():
    if options.device == "cuda":
        torch.cuda.synchronize()


def measure(case):
    finish()
    if options.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    result = case.run()
    finish()
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    if result - result != 0:
        raise SystemExit(f"peer.py: {options.case}: the result is not finite")
    device = dict(peak_device_bytes=torch.cuda.max_memory_allocated()) if options.device == "cuda" else {}
    print(json.dumps(dict(**device, seconds=seconds, user_seconds=after.ru_utime - before.ru_utime,
                          system_seconds=after.ru_stime - before.ru_stime,
                          peak_resident_bytes=after.ru_maxrss * 1024, result=result)), flush=True)


def gemm_rate():
    """GFLOP/s of a large square product, the best of a few."""
    n = 1536 if options.device == "cpu" else 8192
    a, b = (torch.rand(n, n, device=options.device).to(Case.type) for _ in range(2))
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        torch.mm(a, b)
        finish()
        best = min(best, time.perf_counter() - start)
    return 2e-9 * n ** 3 / best


def main():
    case = Case()
    if options.count:
        print(json.dumps(dict(operations=case.operations())))
        return
    versions = f"PyTorch {torch.__version__}"
    if options.device == "cpu" or case.vae() or options.case in ("whole_job", "tune_step_encoding"):
        import diffusers
        versions += f", diffusers {diffusers.__version__}"
    rate = gemm_rate()
    libraries = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    case.prepare()
    for _ in range(options.warmup):
        case.run()
    print(json.dumps(dict(gemm_gflops=rate, threads=torch.get_num_threads(), library_bytes=libraries,
                          weight_bytes=case.weight_bytes(),
                          version=versions)), flush=True)
    if options.serve:
        for _ in sys.stdin:
            measure(case)
    else:
        for _ in range(options.repeats):
            measure(case)


main()
