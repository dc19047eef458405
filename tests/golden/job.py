"""The whole job in PyTorch: tune on a clip, invert its latents, sample an edit. The order of events is the reference's.

`Job(model, dtype, replay)` reads all that is random from `replay`, a dictionary of tensors named as
`insert_object --replay` names them; `run()` returns tensors named as `--save_tensors` names them.
"""
import torch

from common import HERE, inflated, load_json
from inflated_unet import fold, is_temporal, select_trainable, unfold
from schedule_cases import invert
from training import loss_of, noise_scheduler

SCALE = 0.18215


def ddim_scheduler(model):
    from diffusers import DDIMScheduler
    config = load_json(f"{model}_tiny/scheduler/scheduler_config.json")
    keys = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "set_alpha_to_one", "steps_offset",
            "prediction_type", "clip_sample")
    return DDIMScheduler(**{k: config[k] for k in keys if k in config})


class Job:
    def __init__(self, model, options, replay, dtype):
        from diffusers import AutoencoderKL
        from transformers import CLIPTextModel, CLIPTokenizer
        folder = HERE / f"{model}_tiny"
        self.model, self.options, self.replay, self.dtype = model, options, replay, dtype
        self.tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        self.text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder").to(dtype).eval()
        self.vae = AutoencoderKL.from_pretrained(folder, subfolder="vae").to(dtype).eval()
        temporal = {k[len("init."):]: v for k, v in replay.items() if k.startswith("init.")}
        assert all(is_temporal(k) for k in temporal)
        self.unet = inflated(model, temporal=temporal, dtype=dtype)

    @torch.no_grad()
    def text(self, prompt):
        ids = self.tokenizer([prompt], padding="max_length", max_length=77, truncation=True, return_tensors="pt")
        return self.text_encoder(ids.input_ids)[0]

    def train(self, out):
        options, replay, unet = self.options, self.replay, self.unet.train()
        frames = replay["video.frames_u8"].permute(0, 3, 1, 2).to(self.dtype) / 127.5 - 1
        with torch.no_grad():
            posterior = self.vae.encode(frames).latent_dist
        out["vae.moments"] = posterior.parameters
        out["text.train"] = self.text(options["prompt"])
        scheduler = noise_scheduler(self.model)
        names = select_trainable(unet, options["trainable_modules"])
        unet.checkpointing = "nonreentrant" if options["gradient_checkpointing"] else None
        optimizer = torch.optim.AdamW(unet.parameters(), lr=options["learning_rate"], betas=(0.9, 0.999), eps=1e-8,
                                      weight_decay=options["adam_weight_decay"])
        losses, norms = [], []
        for i in range(options["max_train_steps"]):
            sample = posterior.mean + posterior.std * replay["train.posterior_noise"][i].to(self.dtype)
            latents = unfold(sample, len(frames)) * SCALE
            if i == 0:
                out["train.latents0"] = latents
            loss = loss_of(unet, scheduler, latents, replay["train.noise"][i].to(self.dtype),
                           replay["train.timesteps"][i:i + 1], out["text.train"])
            loss.backward()
            norms.append(torch.nn.utils.clip_grad_norm_(unet.parameters(), options["max_grad_norm"]))
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.detach())
        out["train.loss"], out["train.grad_norm"] = torch.stack(losses), torch.stack(norms)
        weights = dict(unet.named_parameters())
        out.update({f"trained.{n}": weights[n].detach() for n in names})
        return latents

    @torch.no_grad()
    def invert(self, out, latents, formula):
        context = self.text("")
        unet = self.unet.eval()
        steps = self.options["num_inv_steps"]
        all_latents = invert(ddim_scheduler(self.model), steps, latents, lambda x, t: unet(x, t, context), formula)
        out["inv.latents"] = torch.stack(all_latents)
        return all_latents[-1]

    @torch.no_grad()
    def sample(self, out, latents):
        options, unet = self.options, self.unet.eval()
        scheduler = ddim_scheduler(self.model)
        scheduler.set_timesteps(options["num_inference_steps"])
        if self.dtype == torch.float64:
            scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
            scheduler.final_alpha_cumprod = scheduler.final_alpha_cumprod.double()
        out["text.edit"], out["text.uncond"] = self.text(options["edit"]), self.text(options["negative_prompt"])
        context = torch.cat([out["text.uncond"], out["text.edit"]])
        states = []
        for t in scheduler.timesteps.tolist():
            without, given = unet(torch.cat([latents] * 2), t, context).chunk(2)
            guided = without + options["guidance_scale"] * (given - without)
            latents = scheduler.step(guided, t, latents, eta=0.0).prev_sample
            states.append(latents)
        out["sample.latents"] = torch.stack(states)
        images = torch.cat([self.vae.decode(frame[None]).sample for frame in fold(latents) * (1 / SCALE)])
        out["sample.frames"] = unfold((images / 2 + 0.5).clamp(0, 1), latents.shape[2])

    def run(self, formula="exact"):
        """Tunes, inverts, samples; returns the tensors in the order they came about."""
        out = {}
        latents = self.train(out)
        self.sample(out, self.invert(out, latents, formula))
        return out
