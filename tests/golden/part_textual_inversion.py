"""Files of textual inversion in all their forms, and what diffusers makes of them: ids and texts of prompts, clip_skip,
and weighed words by the formula of stable-diffusion-webui (times the weight, then back to the mean)."""
import json
import pathlib
import shutil
import tempfile

import torch
from safetensors.torch import save_file

from common import HERE, randn, save, save_json

FOLDER = HERE / "textual_inversion"
PROMPTS = ["a photo of WORD", "WORD and a man, WORD!", "a man is skiing", "xWORDy WORD"]
# name, file, word that is asked for, vectors (of a word with capital letters diffusers takes the first alone)
CASES = [("webui", "webui.pt", None, 2), ("parameter_dict", "parameter_dict.pt", "<toy>", 2),
         ("emb_params", "emb_params.safetensors", "<Glass-Dog>", 3), ("bin", "learned_embeds.bin", None, 1),
         ("safetensors", "learned_embeds.safetensors", None, 2), ("bare", "bare.pt", "sksword", 1)]
WEIGHTED = [("a man", 1.0), ("is", 1.1), ("skiing fast", 1.3), ("on", 1 / 1.1), ("snow", 0.0)]


def tokenizer():
    """The tiny model's, without the merges of tokens that it has not, which transformers 4 and reel pass over."""
    from transformers import CLIPTokenizer
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(shutil.copytree(HERE / "sd1_tiny" / "tokenizer", pathlib.Path(name) / "tokenizer"))
        known = json.loads((folder / "vocab.json").read_text())
        version, *merges = (folder / "merges.txt").read_text().strip().split("\n")
        merges = [m for m in merges if all(t in known for t in (*m.split(), "".join(m.split())))]
        (folder / "merges.txt").write_text("\n".join([version, *merges]) + "\n")
        return CLIPTokenizer.from_pretrained(folder)


def pipeline():
    import diffusers
    from transformers import CLIPTextModel
    assert int(diffusers.__version__.split(".")[1]) >= 35, "needs requirements-recent.txt"
    sd1 = HERE / "sd1_tiny"
    return diffusers.StableDiffusionPipeline(
        unet=diffusers.UNet2DConditionModel.from_pretrained(sd1 / "unet"), vae=diffusers.AutoencoderKL.from_pretrained(sd1 / "vae"),
        text_encoder=CLIPTextModel.from_pretrained(sd1 / "text_encoder").eval(),
        tokenizer=tokenizer(), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False, scheduler=diffusers.DDIMScheduler.from_pretrained(sd1 / "scheduler"))


def write_files():
    """Returns what diffusers can read of each file, where it cannot read the file itself."""
    FOLDER.mkdir(exist_ok=True)
    vectors = {name: 0.5 * randn((count, 24), "textual_inversion", name) for name, _, _, count in CASES}
    about = dict(string_to_token={"*": 265}, name="<cat-toy>", step=100, sd_checkpoint="7460a6fa", sd_checkpoint_name="sd")
    torch.save(dict(about, string_to_param={"*": vectors["webui"]}), FOLDER / "webui.pt")
    parameter = torch.nn.Parameter(vectors["parameter_dict"])
    torch.save(dict(about, string_to_param=torch.nn.ParameterDict({"*": parameter})), FOLDER / "parameter_dict.pt")
    save_file({"emb_params": vectors["emb_params"].half()}, FOLDER / "emb_params.safetensors")
    torch.save({"<red-stool>": vectors["bin"][0]}, FOLDER / "learned_embeds.bin")
    save_file({"<new-word>": vectors["safetensors"].half()}, FOLDER / "learned_embeds.safetensors")
    torch.save(vectors["bare"][0], FOLDER / "bare.pt")
    for file in FOLDER.iterdir():
        file.chmod(0o644)
    return {"parameter_dict": {"<toy>": vectors["parameter_dict"]}, "bare": {"sksword": vectors["bare"][0]},
            "emb_params": {"<Glass-Dog>": vectors["emb_params"].half()}}


def ids_of(pipe, prompt):
    prompt = pipe.maybe_convert_prompt(prompt, pipe.tokenizer)
    return pipe.tokenizer(prompt, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids


def make():
    told = write_files()
    tensors, cases = {}, []
    with torch.no_grad():
        for name, file, word, count in CASES:
            pipe = pipeline()
            pipe.load_textual_inversion(told.get(name, FOLDER / file) if name in told else str(FOLDER / file), token=word)
            word = word or [t for t in pipe.tokenizer.get_added_vocab() if "|" not in t and not t.endswith("_1")][0]
            prompts = [prompt.replace("WORD", word) for prompt in PROMPTS]
            tensors[f"{name}.ids"] = torch.cat([ids_of(pipe, prompt) for prompt in prompts]).int()
            tensors[f"{name}.text"] = torch.cat([pipe.encode_prompt(p, "cpu", 1, False)[0] for p in prompts])
            cases.append(dict(name=name, file=file, word=word, prompts=prompts))
        pipe = pipeline()
        # What encode_prompt(clip_skip=1) means; with transformers 5 it fails (findings/diffusers_clip_skip_fails.sh).
        hidden = pipe.text_encoder(ids_of(pipe, "a man is skiing"), output_hidden_states=True)[-1][-2]
        tensors["clip_skip.1"] = getattr(pipe.text_encoder, "text_model", pipe.text_encoder).final_layer_norm(hidden)
        ids, weights = [], []
        for text, weight in WEIGHTED:
            piece = pipe.tokenizer(text, add_special_tokens=False).input_ids
            ids += piece
            weights += [weight] * len(piece)
        start, end = pipe.tokenizer.bos_token_id, pipe.tokenizer.eos_token_id
        rest = 77 - 1 - len(ids)
        text = pipe.text_encoder(torch.tensor([[start] + ids + [end] * rest]))[0]
        weighed = text * torch.tensor([1.0] + weights + [1.0] * rest)[None, :, None]
        tensors["weighted"] = weighed * (text.mean() / weighed.mean())
    save("textual_inversion.safetensors", tensors)
    save_json("textual_inversion.json", cases)
