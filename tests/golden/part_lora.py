"""LoRA files as LyCORIS, PEFT and diffusers write them, for the tiny models, and the weights that those libraries then compute with.

lora/CASE.safetensors (or a folder lora/CASE/ of PEFT's) is the file; lora/expected.safetensors has CASE/unet/NAME and
CASE/text_encoder/NAME for every weight that it changes, computed in float64 and rounded. Needs requirements-lora.txt.
"""
import copy
import json
import shutil

import torch
from safetensors.torch import load_file, save_file

from common import HERE, generator

# Of each kind of layer one or two: linear, 1 x 1 (a convolution in sd1, linear in sd2), 3 x 3, of the text encoder.
UNET = ["conv_in", "down_blocks.0.attentions.0.proj_in", "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
        "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k",
        "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0", "down_blocks.0.resnets.0.conv1",
        "down_blocks.0.resnets.0.time_emb_proj", "down_blocks.0.downsamplers.0.conv",
        "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2"]
TEXT = ["encoder.layers.0.self_attn.q_proj", "encoder.layers.1.self_attn.out_proj"]
expected = {}


def networks(model):
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel
    folder = HERE / f"{model}_tiny"
    return (UNet2DConditionModel.from_pretrained(folder / "unet").eval(),
            CLIPTextModel.from_pretrained(folder / "text_encoder").eval())


def fill(parameters, *key):
    """Random values, not so large that the change hides the weight."""
    with torch.no_grad():
        for name, p in parameters:
            if name.endswith(("dora_scale", "magnitude")) or "magnitude_vector" in name:
                p.mul_(1 + 0.3 * torch.randn(p.shape, generator=generator(*key, name)).abs())
            elif p.dim() >= 2:
                p.copy_(torch.randn(p.shape, generator=generator(*key, name)) * 0.3)


def keep(case, part, name, weight):
    expected[f"{case}/{part}/{name}.weight"] = weight.detach().float().contiguous()


def write(case, tensors, metadata=None):
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, HERE / "lora" / f"{case}.safetensors",
              metadata=metadata)


def text_name(name):
    """Since transformers 5.6 modules have no "text_model." before them."""
    return "text_model." + name.removeprefix("text_model.")


def lycoris(case, model="sd1", half=False, wanted=UNET, **options):
    """What LyCORIS writes, and the weights that its forward pass computes with. Not those of its merge_to(), which multiplies
    the change of LoHa and LoKr by alpha / rank twice (findings/lycoris_merge_squares_the_scale.sh)."""
    from lycoris.config import PRESET
    from lycoris.kohya import create_network
    unet, text = networks(model)
    # The preset "full" of 4.1.3 takes time_embedding twice in diffusers' UNet and stops.
    PRESET["tiny"] = {"enable_conv": True, "unet_target_module": ["Transformer2DModel", "ResnetBlock2D", "Downsample2D"],
                      "unet_target_name": ["conv_in"], "text_encoder_target_module": ["CLIPAttention"]}
    options["preset"] = "tiny"
    network = create_network(1.0, options.pop("dim", 2), options.pop("alpha", 1), None, text, unet, **options)
    paths = {f"lora_unet_{name}".replace(".", "_"): ("unet", name) for name, _ in unet.named_modules()}
    paths |= {f"lora_te_{name}".replace(".", "_"): ("text_encoder", name) for name, _ in text.named_modules()}
    file = {}
    for lora in network.unet_loras + network.text_encoder_loras:
        part, name = paths[lora.lora_name]
        if part == "unet" and name not in wanted or part == "text_encoder" and name.removeprefix("text_model.") not in TEXT:
            continue
        fill(lora.named_parameters(), case, lora.lora_name)
        tensors = {k: v.detach().clone() for k, v in lora.state_dict().items()}
        if half:
            tensors = {k: v.bfloat16() for k, v in tensors.items()}
            with torch.no_grad():
                for key, p in lora.named_parameters():
                    p.copy_(tensors[key].float() if key in tensors else p)
        file |= {f"{lora.lora_name}.{k}": v for k, v in tensors.items()}
        keep(case, part, text_name(name) if part == "text_encoder" else name, weight_of_forward(lora))
    write(case, file)


def weight_of_forward(lora):
    """The weight that a module of LyCORIS computes with: what its forward pass hands to its operation."""
    lora = lora.double()
    base = lora.org_module[0].double()
    lora.bypass_mode = False
    seen = []
    operation = lora.op
    lora.op = lambda x, weight, *rest, **named: seen.append(weight) or 0
    lora.org_forward = lambda *_, **__: 0
    lora.eval()(torch.zeros(1, dtype=torch.float64))
    lora.op = operation
    return base.weight + seen[-1]


def peft(case, config, model="sd1", text=False):
    from peft import get_peft_model
    network = networks(model)[1 if text else 0]
    adapted = get_peft_model(copy.deepcopy(network), config)
    fill([(n, p) for n, p in adapted.named_parameters() if p.requires_grad], case)
    folder = HERE / "lora" / case
    shutil.rmtree(folder, ignore_errors=True)
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink()
    adapter = json.loads((folder / "adapter_config.json").read_text())
    adapter["base_model_name_or_path"] = None  # a path of the machine
    adapter["target_modules"] = sorted(adapter["target_modules"])  # a set
    (folder / "adapter_config.json").write_text(json.dumps(adapter, indent=2) + "\n")
    before = dict(network.named_parameters())
    for name, weight in adapted.double().merge_and_unload().named_parameters():
        if not torch.equal(weight, before[name].double()):
            name = name.removesuffix(".weight")
            keep(case, "text_encoder" if text else "unet", text_name(name) if text else name, weight)


def pipeline(model):
    from diffusers import DDIMScheduler, StableDiffusionPipeline
    unet, text = networks(model)
    return StableDiffusionPipeline(unet=unet, vae=None, tokenizer=None, text_encoder=text, safety_checker=None,
                                   feature_extractor=None, requires_safety_checker=False,
                                   scheduler=DDIMScheduler.from_pretrained(HERE / f"{model}_tiny" / "scheduler"))


def read_by_diffusers(case, model):
    """What diffusers makes of a file."""
    pipe = pipeline(model)
    before = [dict(copy.deepcopy(network).named_parameters()) for network in (pipe.unet, pipe.text_encoder)]
    pipe.load_lora_weights(str(HERE / "lora"), weight_name=f"{case}.safetensors")
    for part, old, network in (("unet", before[0], pipe.unet), ("text_encoder", before[1], pipe.text_encoder)):
        network.double()
    pipe.fuse_lora(components=["unet", "text_encoder"])
    pipe.unload_lora_weights()
    for part, old, network in (("unet", before[0], pipe.unet), ("text_encoder", before[1], pipe.text_encoder)):
        for name, weight in network.named_parameters():
            if not torch.equal(weight, old[name].double()):
                name = name.removesuffix(".weight")
                keep(case, part, text_name(name) if part == "text_encoder" else name, weight)


def diffusers(case, model="sd2", dora=False):
    """By add_adapter() and save_lora_weights(), with the configurations in the header."""
    from diffusers import StableDiffusionPipeline
    from diffusers.training_utils import _collate_lora_metadata
    from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
    unet, text = networks(model)
    unet.add_adapter(LoraConfig(r=2, lora_alpha=3, target_modules=UNET, use_dora=dora, rank_pattern={"ff.net.2": 3},
                                alpha_pattern={"attn2.to_k": 5}))
    layers = [name for name, _ in text.named_modules() if name.removeprefix("text_model.") in TEXT]
    text_config = LoraConfig(r=2, lora_alpha=1, target_modules=layers, use_rslora=True)
    text = inject_adapter_in_model(text_config, text)
    text.peft_config = {"default": text_config}
    for network in (unet, text):
        fill([(n, p) for n, p in network.named_parameters() if "lora_" in n], case)
    states = [get_peft_model_state_dict(unet), get_peft_model_state_dict(text)]
    StableDiffusionPipeline.save_lora_weights(
        HERE / "lora", unet_lora_layers=states[0], text_encoder_lora_layers=states[1], weight_name=f"{case}.safetensors",
        **_collate_lora_metadata({"unet": unet, "text_encoder": text}))
    read_by_diffusers(case, model)


def diffusers_old(case, model="sd1"):
    """As diffusers wrote before PEFT: made of the names alone, since no release of today writes them."""
    file = {}
    for name in UNET:
        if ".attn" in name:
            path, layer = name.rsplit(".to_", 1)
            key = f"unet.{path}.processor.to_{layer.removesuffix('.0')}_lora"
        elif "ff.net" in name:
            key = f"unet.{name}.lora"
        else:
            continue
        weight = networks(model)[0].get_submodule(name).weight
        add_pair(file, key, weight, case)
    for name in TEXT:
        key = f"text_encoder.{text_name(name)}.lora_linear_layer"
        add_pair(file, key, networks(model)[1].get_submodule(name_in(model, name)).weight, case)
    write(case, file)
    read_by_diffusers(case, model)


def name_in(model, name):
    return next(n for n, _ in networks(model)[1].named_modules() if n.removeprefix("text_model.") == name)


def add_pair(file, key, weight, case, rank=2):
    file[f"{key}.down.weight"] = torch.randn((rank, weight.shape[1]), generator=generator(case, key, "down")) * 0.3
    file[f"{key}.up.weight"] = torch.randn((weight.shape[0], rank), generator=generator(case, key, "up")) * 0.3


def kohya(case, model="sd2"):
    """As sd-scripts writes; read by diffusers."""
    file = {}
    unet, text = networks(model)
    for name in UNET:
        weight = unet.get_submodule(name).weight
        if weight.dim() == 4 or "time_emb" in name:
            continue
        add_kohya(file, "lora_unet_" + name.replace(".", "_"), weight, case)
    for name in TEXT:
        add_kohya(file, "lora_te_" + text_name(name).replace(".", "_"), text.get_submodule(name_in(model, name)).weight, case)
    write(case, file)
    read_by_diffusers(case, model)


def add_kohya(file, key, weight, case):
    pair = {}
    add_pair(pair, "", weight, f"{case}/{key}")
    file[f"{key}.lora_down.weight"], file[f"{key}.lora_up.weight"] = pair[".down.weight"].half(), pair[".up.weight"].half()
    file[f"{key}.alpha"] = torch.tensor(1.5).half()


def make():
    from peft import LoHaConfig, LoKrConfig, LoraConfig
    expected.clear()
    shutil.rmtree(HERE / "lora", ignore_errors=True)
    (HERE / "lora").mkdir()
    lycoris("locon", algo="lora", dim=2, alpha=1.5, conv_dim=3, conv_alpha=1)
    lycoris("locon_tucker", algo="lora", dim=2, alpha=3, use_tucker=True)
    lycoris("locon_bf16", algo="lora", dim=2, alpha=1, half=True)
    lycoris("locon_sd2", model="sd2", algo="lora", dim=2, alpha=1)
    lycoris("loha", algo="loha", dim=2, alpha=1)
    lycoris("loha_tucker", algo="loha", dim=2, alpha=3, use_tucker=True)
    lycoris("lokr", algo="lokr", dim=1, alpha=0.5)
    lycoris("lokr_both", algo="lokr", dim=1, alpha=2, decompose_both=True)
    lycoris("lokr_tucker", algo="lokr", dim=1, alpha=3, use_tucker=True, factor=2)
    lycoris("lokr_whole", algo="lokr", dim=100, alpha=7, factor=4)
    lycoris("dora_output", algo="lora", dim=2, alpha=1, dora_wd=True)
    lycoris("dora_input", algo="lora", dim=2, alpha=1, dora_wd=True, wd_on_output=False)
    lycoris("dora_loha", algo="loha", dim=2, alpha=1, dora_wd=True, use_tucker=True)
    lycoris("dora_lokr", algo="lokr", dim=1, alpha=2, dora_wd=True, wd_on_output=False)
    peft("peft_lora", LoraConfig(r=2, lora_alpha=5, target_modules=UNET, use_rslora=True, rank_pattern={"attn1.to_q": 3},
                                 alpha_pattern={"conv1": 2}))
    peft("peft_dora", LoraConfig(r=2, lora_alpha=3, target_modules=UNET, use_dora=True))
    peft("peft_loha", LoHaConfig(r=2, alpha=3, target_modules=UNET, use_effective_conv2d=True, alpha_pattern={"to_q": 5}))
    peft("peft_lokr", LoKrConfig(r=1, alpha=3, target_modules=UNET, decompose_both=True, use_effective_conv2d=True))
    peft("peft_lokr_whole", LoKrConfig(r=8, alpha=3, target_modules=UNET, rank_pattern={"to_out.0": 16}))
    peft("peft_text", LoraConfig(r=2, lora_alpha=3, target_modules=["q_proj", "fc1"]), text=True)
    diffusers("diffusers_peft")
    diffusers("diffusers_dora", model="sd1", dora=True)
    diffusers_old("diffusers_old")
    kohya("kohya")
    save_file(expected, HERE / "lora" / "expected.safetensors")
    size = sum(f.stat().st_size for f in (HERE / "lora").rglob("*") if f.is_file())
    for file in (HERE / "lora").rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)
    print(f"wrote lora/: {len({k.split('/')[0] for k in expected})} cases, {len(expected)} weights, {size / 1024:.0f} KiB")
