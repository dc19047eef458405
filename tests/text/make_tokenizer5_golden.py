#!/usr/bin/env python3
"""Writes what transformers 5 makes of prompts, and a tokenizer folder as it writes one.

tests/text/golden/transformers5.json.gz  for the strings of strings.json.gz the 77 ids in both paddings, without the padding;
                                         null where they are those of transformers 4.26.1 with ftfy
tests/text/golden/tokenizer5             examples/model/tokenizer, loaded with tokens of both kinds added, used and saved; and
                                         strings with its ids

Versions: transformers 5.24.0, tokenizers as it asks for. Usage: python make_tokenizer5_golden.py
"""
import gzip
import json
from pathlib import Path

import transformers
from transformers import CLIPTokenizer

assert transformers.__version__ == "5.24.0"
HERE = Path(__file__).resolve().parent
GOLDEN = HERE / "golden"
END = "<|endoftext|>"
STRINGS = ["a man is swinging", "a <cat-toy>s <CAT-toy> zebra Zebra <X y> <x y>", "don’t &amp; DON'T", "<|STARTOFTEXT|>a<|startoftext|>",
           f"a {END} b<|ENDOFTEXT|>!!", "<|endoftext|>!!", "!!<|startoftext|>!!", "ΟΔΟΣ İ", "e\u0301 é", "'ſ 'S", "\u0345a\u001cb"]


def vocabulary():
    bytes_ = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(b) for b in bytes_] + [chr(256 + i) for i in range(256 - len(bytes_))]
    lines = gzip.open(GOLDEN / "merges.txt.gz", "rt", encoding="utf8").read().splitlines()[1:48895]
    merges = [tuple(line.split()) for line in lines]
    tokens = letters + [c + "</w>" for c in letters] + ["".join(pair) for pair in merges] + ["<|startoftext|>", END]
    return {token: i for i, token in enumerate(tokens)}, merges


def main():
    rows = json.loads(gzip.decompress((GOLDEN / "strings.json.gz").read_bytes()))
    vocab, merges = vocabulary()
    ids = {}
    for name, pad in (("sd1", END), ("sd2", "!")):
        tokenizer = CLIPTokenizer(vocab, merges, pad_token=pad, model_max_length=77)
        full = tokenizer([row["text"] for row in rows], padding="max_length", truncation=True)
        ids[name] = [None if given == row[name] else given[:sum(mask)]
                     for given, mask, row in zip(full["input_ids"], full["attention_mask"], rows)]
    (GOLDEN / "transformers5.json.gz").write_bytes(gzip.compress(json.dumps(ids, separators=(",", ":")).encode(), mtime=0))

    tokenizer = CLIPTokenizer.from_pretrained(HERE.parents[1] / "examples" / "model" / "tokenizer")
    tokenizer.add_tokens(["<cat-toy>", "Zebra"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<X y>"]})
    given = tokenizer(STRINGS, padding="max_length", truncation=True)["input_ids"]
    tokenizer.save_pretrained(GOLDEN / "tokenizer5")
    (GOLDEN / "tokenizer5" / "strings.json").write_text(json.dumps(list(zip(STRINGS, given))) + "\n")


if __name__ == "__main__":
    main()
