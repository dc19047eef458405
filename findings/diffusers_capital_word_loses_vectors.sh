#!/usr/bin/env bash
# diffusers 0.42.1: of a textual inversion of several vectors only the first reaches the prompt where its word has a capital
# letter; the rest are dropped without a word. "<glass-dog>" becomes three tokens, "<Glass-Dog>" one.
#
# Why: maybe_convert_prompt() looks for the words among tokenizer.tokenize(prompt), where CLIP's tokenizer of transformers
# 5.24.0 has made them small, so the word is not in added_tokens_encoder and is not replaced by its three.
#
# Seen with torch 2.15.0, Python 3.11, x86-64. Exits 0 while it is so, 1 when it has changed. Needs Python 3.11 and PyPI;
# installs into a temporary folder.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.15.0 diffusers==0.42.1 transformers==5.24.0
cat > "$folder/word.py" <<'PYTHON'
import sys
from diffusers.loaders import TextualInversionLoaderMixin
from transformers import CLIPTokenizer

letters = [chr(c) for c in range(33, 127)]
vocab = {t: i for i, t in enumerate(letters + [c + "</w>" for c in letters] + ["<|startoftext|>", "<|endoftext|>"])}
counts = {}
for word in ("<glass-dog>", "<Glass-Dog>"):
    tokenizer = CLIPTokenizer(vocab=dict(vocab), merges=[])
    tokenizer.add_tokens([word, word + "_1", word + "_2"])
    prompt = TextualInversionLoaderMixin().maybe_convert_prompt("a " + word, tokenizer)
    added = set(tokenizer.get_added_vocab().values()) - set(vocab.values())
    counts[word] = sum(i in added for i in tokenizer(prompt).input_ids)
    print(word, "->", repr(prompt), counts[word], "vectors")
sys.exit(counts != {"<glass-dog>": 3, "<Glass-Dog>": 1})
PYTHON
"$folder/venv/bin/python" "$folder/word.py"
