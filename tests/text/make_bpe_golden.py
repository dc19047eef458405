#!/usr/bin/env python3
"""Writes tests/text/golden/bpe.json.gz: captions, the BPE learned from them, and ids by transformers' slow CLIPTokenizer.

The learner here follows the definition and nothing else: it counts all pairs anew before each merge. Its merges are held
against those of the `tokenizers` package's trainer, which breaks ties by other ids: each of the trainer's merges must be
a most frequent pair when its turn comes, and they must be the same as long as no two pairs are equally frequent.

Versions: Python 3.11, transformers 4.26.1, tokenizers 0.13.3, ftfy 6.3.1.
Usage: python make_bpe_golden.py
       python make_bpe_golden.py --check    (any transformers: the golden's folders and ids by its CLIPTokenizer and Fast)
"""
import argparse
import collections
import gzip
import io
import itertools
import json
import random
import re
import tempfile
from pathlib import Path

import transformers
from transformers import CLIPTokenizer, CLIPTokenizerFast

GOLDEN = Path(__file__).parent / "golden" / "bpe.json.gz"
BOS, EOS = "<|startoftext|>", "<|endoftext|>"
THINGS = ["swinging|tennis racket", "sitting on|stool", "pulling|suitcase", "carrying|toolbox"]
COLOURS = ["", "red ", "green ", "blue ", "yellow ", "orange ", "purple "]
ODD = ["aaaaaaa aaaa aaa", "abcabcabc ab bc abc xabc abcx", "Don't they're we've I'm he'll she'd it's", "a1b22c333", "!!! ?! ...",
       "naïve café über schön", "schÃ¶n", "Привет, мир", "こんにちは 世界", "안녕하세요 안녕", "😀😀 😀👍🏽", "&eacute;&amp;", "  A  MAN\tIS \n",
       "", " ", "banana bananas bandana", "<|endoftext|> end <|startoftext|>of text", "'S ſ ǆ ﬁne Ω", "</w> </w></w>", "z"]
PLAIN = re.compile(r"[A-Za-z0-9 ,.!?;:()*+#_-]*|(?:[A-Za-z ]|'(?=(?:s|t|re|ve|m|ll|d)\b))*")  # no repairs, no odd quotes


def grid():
    acts = [thing.split("|") for thing in THINGS]
    for who, (act, thing), colour in itertools.product(["man", "woman"], acts, COLOURS):
        yield f"a {who} is {act} {'an' if colour == 'orange ' else 'a'} {colour}{thing}"
    for who, (act, _) in itertools.product(["man", "woman"], acts):
        yield f"a {who} is {act.split()[0]}"


def babble(rnd):
    """Random words, so many that few pairs are equally frequent."""
    words = ["".join(rnd.choice("abcde") for _ in range(rnd.randint(2, 6))) for _ in range(150)]
    return [" ".join(rnd.choices(words, weights=range(150), k=40)) for _ in range(60)]


def byte_characters():
    """CLIP's characters for bytes 0 to 255, and the same in the order of their ids."""
    shown = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b]
    hidden = [b for b in range(256) if b not in shown]
    characters = {b: chr(b) for b in shown} | {b: chr(256 + i) for i, b in enumerate(hidden)}
    return [characters[b] for b in range(256)], [characters[b] for b in shown + hidden]


def first_tokens():
    ordered = byte_characters()[1]
    return ordered + [c + "</w>" for c in ordered]


def words_of(reference, captions):
    """Counts of words, in byte characters, as the reference's tokenizer cuts them."""
    from transformers.models.clip.tokenization_clip import whitespace_clean
    characters = byte_characters()[0]
    counts = collections.Counter()
    for caption in captions:
        clean = whitespace_clean(reference.fix_text(caption)).lower()
        for word in reference.pat.findall(clean):
            if word not in (BOS, EOS):
                counts["".join(characters[b] for b in word.encode())] += 1
    return counts


class Words:
    """Words as lists of tokens."""

    def __init__(self, counts):
        self.words = [([*word[:-1], word[-1] + "</w>"], count) for word, count in sorted(counts.items())]

    def pairs(self):
        counts = collections.Counter()
        for tokens, count in self.words:
            for pair in zip(tokens, tokens[1:]):
                counts[pair] += count
        return counts

    def merge(self, pair):
        for tokens, _ in self.words:
            i = 0
            while i + 1 < len(tokens):
                if (tokens[i], tokens[i + 1]) == pair:
                    tokens[i:i + 2] = ["".join(pair)]
                i += 1


def learn(counts, size, least):
    words, tokens, merges = Words(counts), first_tokens(), []
    while len(tokens) + 2 < size:
        pairs = words.pairs()
        most = max(pairs.values(), default=0)
        if most < least:
            break
        ids = {token: i for i, token in enumerate(tokens)}
        pair = min((p for p, n in pairs.items() if n == most), key=lambda p: (ids[p[0]], ids[p[1]]))
        words.merge(pair)
        merges.append(pair)
        if "".join(pair) not in ids:
            tokens.append("".join(pair))
    return tokens, merges


def check_against_trainer(counts, size, least, merges):
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=10 ** 6, min_frequency=least, initial_alphabet=byte_characters()[1],
                                  end_of_word_suffix="</w>", show_progress=False)
    tokenizer.train_from_iterator((w for w, n in counts.items() for _ in range(n)), trainer)
    theirs = json.loads(tokenizer.to_str())["model"]["merges"]
    theirs = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in theirs]
    theirs = theirs if size >= 10 ** 4 else theirs[:len(merges)]
    words, ties, same = Words(counts), 0, 0
    for i, pair in enumerate(theirs):
        pairs = words.pairs()
        most = max(pairs.values())
        assert pairs[pair] == most, (i, pair, pairs[pair], most)
        ties += sum(n == most for n in pairs.values()) > 1
        if ties == 0:
            assert pair == merges[i], (i, pair, merges[i])
            same += 1
        words.merge(pair)
    if size >= 10 ** 4:  # both went on until no pair was left
        assert max(words.pairs().values(), default=0) < least
    print(len(merges), "merges;", len(theirs), "of the trainer are most frequent; equal up to the first tie:", same)


def write_folder(folder, tokens, merges, length, size=0):
    ids = size or len(tokens) + 2
    vocab = {token: i for i, token in enumerate(tokens)} | {BOS: ids - 2, EOS: ids - 1}
    added = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    special = {"bos_token": dict(added, content=BOS), "eos_token": dict(added, content=EOS), "pad_token": EOS,
               "unk_token": dict(added, content=EOS)}
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": length, "do_lower_case": True, "errors": "replace",
                "add_prefix_space": False}
    settings |= {k: dict(v, __type="AddedToken") if isinstance(v, dict) else v for k, v in special.items()}
    files = {"vocab.json": vocab, "tokenizer_config.json": settings, "special_tokens_map.json": special}
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, merges)]) + "\n")
    return settings, special


def strings(rnd, captions, tokens):
    out = list(dict.fromkeys(captions)) + ODD + ["a man is swinging a red tennis racket with a very long tail " * 2, "a panda is surfing"]
    letters = [t.replace("</w>", " ") for t in tokens[512:] if t.isascii()]
    for i in range(150):
        if i % 3 == 0:
            out.append("".join(rnd.choice(letters + ["x", "Q", "7", ", "]) for _ in range(rnd.randint(1, 8))))
        elif i % 3 == 1:
            out.append("".join(chr(rnd.randint(0x20, 0x7e)) for _ in range(rnd.randint(1, 16))))
        else:
            out.append("".join(rnd.choice("abcé世😀пр' !1") for _ in range(rnd.randint(1, 9))))
    return out


def encode(tokenizer, texts, length):
    return [tokenizer(t, padding="max_length", max_length=length, truncation=True).input_ids for t in texts]


def make():
    import ftfy
    assert transformers.__version__ == "4.26.1" and ftfy.__version__ == "6.3.1"
    rnd = random.Random(2016)
    cases = [("world", list(grid()), 10 ** 4, 2, 16, 0), ("odd", ODD * 2 + list(grid()), 49408, 1, 12, 0),
             ("full", [*grid(), *ODD], 560, 3, 20, 1000), ("babble", babble(rnd), 580, 2, 16, 0)]
    rows = []
    for name, captions, size, least, length, ids in cases:
        with tempfile.TemporaryDirectory() as folder:
            write_folder(Path(folder), first_tokens(), [], length)
            counts = words_of(CLIPTokenizer.from_pretrained(folder), captions)
            tokens, merges = learn(counts, size, least)
            check_against_trainer(counts, size, least, merges)
            settings, special = write_folder(Path(folder), tokens, merges, length, ids)
            tokenizer = CLIPTokenizer.from_pretrained(folder)
            assert tokenizer.model_max_length == length
            texts = strings(rnd, captions, tokens)
            rows.append({"name": name, "captions": captions, "vocab_size": size, "min_frequency": least, "length": length,
                         "ids_of_encoder": ids, "tokens": tokens, "merges": [" ".join(m) for m in merges], "settings": settings,
                         "special": special, "strings": texts, "ids": encode(tokenizer, texts, length)})
            print(name, len(tokens) + 2, "tokens,", len(texts), "strings")
    many = ["".join(rnd.choice("abcdefgh") for _ in range(rnd.randint(2, 9))) for _ in range(500)]
    counts = collections.Counter({word: rnd.randint(1, 2000) for word in many})  # ties are rare: says more of the trainer
    check_against_trainer(counts, 10 ** 4, 1, learn(counts, 10 ** 4, 1)[1])
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9, mtime=0) as file:
        file.write(json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode())
    GOLDEN.write_bytes(buffer.getvalue())
    print(len(buffer.getvalue()), "bytes")


def check():
    rows = json.loads(gzip.decompress(GOLDEN.read_bytes()))
    for row, kind in itertools.product(rows, (CLIPTokenizer, CLIPTokenizerFast)):
        with tempfile.TemporaryDirectory() as folder:
            merges = [m.split(" ") for m in row["merges"]]
            write_folder(Path(folder), row["tokens"], merges, row["length"], row["ids_of_encoder"])
            tokenizer = kind.from_pretrained(folder)
            assert tokenizer.model_max_length == row["length"], tokenizer.model_max_length
            # Only the slow one repairs texts.
            chosen = [i for i, t in enumerate(row["strings"]) if kind.__name__ == "CLIPTokenizer"
                      and transformers.__version__ == "4.26.1" or PLAIN.fullmatch(t)]
            wrong = [row["strings"][i] for i, ids in zip(chosen, encode(tokenizer, [row["strings"][i] for i in chosen],
                                                                      row["length"])) if ids != row["ids"][i]]
            assert not wrong, (kind.__name__, row["name"], wrong)
            print(transformers.__version__, kind.__name__, row["name"], len(chosen), "strings equal")


parser = argparse.ArgumentParser()
parser.add_argument("--check", action="store_true")
check() if parser.parse_args().check else make()
