#!/usr/bin/env python3
"""Writes the golden files of the tokenizer tests: what transformers' slow CLIPTokenizer makes of many strings.

tests/text/golden/merges.txt.gz    CLIP's merges (OpenAI, MIT licence), as Stable Diffusion's tokenizer/merges.txt has them
tests/text/golden/strings.json.gz  strings with their 77 ids as Stable Diffusion 1 (padded with <|endoftext|>) and 2
                                   (padded with "!") have them, the text after cleaning, and the text cut off

Versions: Python 3.11 (its Unicode is 14.0), transformers 4.26.1, ftfy 6.3.1, regex 2026.11.15; the merges from the wheel
open_clip_torch 3.3.0 (pip download --no-deps open_clip_torch==3.3.0), of which only the data file is read.
Usage: python make_tokenizer_golden.py WHEEL [--count N] [--seed S] [--strings-only FILE]
The last writes another, larger set to a file of your own, which test_tokenizer_golden checks when the environment
variable REEL_TOKENIZER_GOLDEN names it.
"""
import argparse
import gzip
import html.entities
import io
import json
import random
import re
import tempfile
import unicodedata
import zipfile
from pathlib import Path

import ftfy
import transformers
from ftfy import badness, chardata
from re import _parser as regex_parser
from transformers import CLIPTokenizer
from transformers.models.clip.tokenization_clip import bytes_to_unicode, whitespace_clean

assert transformers.__version__ == "4.26.1" and ftfy.__version__ == "6.3.1"
BOS, EOS = "<|startoftext|>", "<|endoftext|>"

CAPTIONS = """
a man is swinging a tennis racket|wonder woman is swinging a tennis racket|a man is swinging a red tennis racket
a man is swinging a silver tennis racket|a man is swinging a wooden tennis racket|a man is carrying a toolbox
spiderman is carrying a toolbox|a man is carrying a red toolbox|a man is carrying a metal toolbox
a man is carrying a wooden toolbox|a man is surfing|a panda is surfing, cartoon style|Iron Man is skiing down the hill
a rabbit is eating a watermelon on the table|a puppy is eating a cheeseburger on the table, comic style
A jeep car is moving on the road.|a Porsche car is moving on the beach|Mickey Mouse is playing guitar on the moon!
an astronaut riding a horse, oil painting, 4k, highly-detailed|portrait of a woman's face; bokeh; 85mm f/1.4
"cyberpunk" city at night (neon, rain) -- ultra wide|3 cats & 12 dogs, $9.99 each, 50% off!!!|what's that? it's the dog's bone
they'll say we've won; I'd bet you're late, he'd've known, don't they?|ROCK 'N' ROLL isn't dead|O'Neill's e-mail: a.b@c.org
http://example.org/a?b=1&c=2#d|C++20, C#, .NET and node.js|v1.4.2-rc3+build.7|1,000,000 km/h ~ 621371.19 mph|#hashtag @user
(masterpiece:1.2), [best quality], {intricate|simple} <lora:style:0.8>|a_b-c.d/e\\f|2023-01-31T23:59:59Z|:-) ;) <3 ¯\\_(ツ)_/¯
blurry, low quality, worst quality, jpeg artifacts, watermark, extra fingers|  leading and   inner\tand trailing spaces \n
"""
ADJECTIVES = "red blue golden tiny huge wooden old futuristic watercolour photorealistic sleepy Victorian low-poly".split()
NOUNS = "man woman child robot cat dog horse panda knight astronaut Spider-Man chef violinist dragon skateboarder".split()
VERBS = "is riding|is holding|carries|throws|is swinging|looks at|is painting|runs past|doesn't see|dances with".split("|")
THINGS = "a bicycle|the Eiffel Tower|two umbrellas|an apple pie|a tennis racket|Tokyo's skyline|a 1967 Mustang|the sea".split("|")
PLACES = "in the rain|at sunset|on Mars|, studio lighting|in the style of Van Gogh|, 8k, artstation|under water|!".split("|")
PIECES = """naïve café über schön façade ÀÉÎÕÜ ß ſ ﬅ İstanbul ısı ΣΊΣΥΦΟΣ ΟΔΟΣ Σ ΑΣ' ΑΣ.Β ΑΣ΄α aΣ\u0301 Привет мир Київ Ґанок
مرحبا بالعالم ﷺ ﻻ שלום עולם नमस्ते दुनिया क्षत्रिय ภาษาไทย สวัสดี ខ្មែរ မြန်မာ ქართული Հայերեն አማርኛ தமிழ் বাংলা ᠮᠣᠩᠭᠣᠯ
こんにちは 世界 東京 你好 漢字 안녕하세요 \u1100\u1161\u11a8 ｶﾞｷﾞｸﾞ ﾊﾟ ＡＢＣ１２３！ ￥ ￣ ﾡ ￡ ﬁne ﬂow ﬃ Ǆ ǅ Ǉ ŉ Ĳ 𝒜𝓑 𝟙𝟚 Ａ\u0301 ① Ⓐ Ⅷ ⅷ ½ ² ٣٤ १२ ৩
😀 👩‍👩‍👧‍👦 🏳️‍🌈 🏴󠁧󠁢󠁥󠁮󠁧󠁿 👍🏽 ❤️ 5️⃣ 🇩🇪 🤷🏿‍♀️ ™ © ® “quoted” ‘single’ „low“ «guillemets» – — … • ‚ ′ ´ ` Ω Ω K Å Å ø Ꭰ ꭰ ᾳ α\u0345 \u0345 e\u0301
o\u0308\u0323 \u0323\u0308 q\u0307\u0323 \u200b \u200c \u200d \u200e \u202e \ufeff \u00ad \x00 \x07 \x7f \x1b[31m \x1b[0m \x1b[1;3 \x1b[٣m \x1b] \ufffc
\ufffd \x80 \x85 \x99 \x9d \u2028 \u2029 \x1c \u3000 \u00a0 \u1680 \u2003 &amp; &lt; &gt; &quot; &nbsp; &#39; &#x27; &#8217; &#xD83D; &#128512;
&eacute; &EACUTE; &SZLIG; &amp;amp; &amp;lt; &hellip; &notit; &copy &ampx; &#0; &#x110000; &#99999999999999999999; &#; &#x; &#59; &#150; &#129;
&#13; &#x1FFFE; &zwj; &NotEqualTilde; &CounterClockwiseContourIntegral; &nTILDE; &fjlig; <b>bold</b> &lt;b&gt; < > <|endoftext|> <|startoftext|>
<|ENDOFTEXT|> <|\u017ftartoftext|> <|endoftext <|end\x00oftext|> &lt;|endoftext|&gt; 'ſ 'S 'LL 'T ''s 're-do ! !! !!! ?! a!b""".split()
BLANKS = [" ", " ", " ", "  ", "\n", "\r\n", "\t", "\x0b", "\u00a0", "\u3000", ""]
CODE_PAGES = ["latin-1", "sloppy-windows-1252", "sloppy-windows-1251", "sloppy-windows-1250", "sloppy-windows-1253",
              "sloppy-windows-1254", "sloppy-windows-1257", "iso-8859-2", "macroman", "cp437"]
ASSIGNED = [c for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
MOJIBAKE = sorted({c for spec in [*badness.MOJIBAKE_CATEGORIES.values(), *chardata.UTF8_CLUES.values()] for c in spec})
SCRIPTS = [(0x41, 0x5a), (0xa0, 0x17f), (0x370, 0x4ff), (0x5d0, 0x64a), (0x900, 0x97f), (0xe01, 0xe30), (0x1100, 0x11ff),
           (0x2010, 0x2040), (0x3040, 0x30ff), (0x4e00, 0x9fff), (0xac00, 0xd7a3), (0xff01, 0xffee), (0x1f600, 0x1f64f)]


def mangle(rnd, text):
    """Text decoded with the wrong code page, perhaps with more gone wrong."""
    kind = rnd.random()
    data = text.encode()
    if kind < 0.1:  # surrogates written as UTF-8, Java's zero
        pairs = [text[i].encode("utf-16-be") for i in range(len(text))]
        units = [p[i:i + 2] for p in pairs for i in range(0, len(p), 2)]
        data = b"".join(u.decode("utf-16-be", "surrogatepass").encode("utf-8", "surrogatepass") for u in units)
        data = data.replace(b"\0", b"\xc0\x80")
    elif kind < 0.14:
        data += rnd.choice([b"\xc0\n", b"\xed\xa0\x80\xed\xb0\n", b"\xc0\x80", b"\xed\xa0\x80", b"\xed\xb0\n"])
    try:
        text = data.decode(rnd.choice(CODE_PAGES))
    except UnicodeDecodeError:
        return text
    kind = rnd.random()
    if kind < 0.15:
        text = text.replace("\u00a0", " ")
    elif kind < 0.3:
        text = "".join("\ufffd" if "\x80" <= c <= "\x9f" else c for c in text)
    elif kind < 0.35:
        text = "".join("?" if c > "\x7f" and rnd.random() < 0.2 else c for c in text)
    return text


def scripts(rnd, most):
    return "".join(chr(rnd.randint(*rnd.choice(SCRIPTS))) for _ in range(rnd.randint(1, most)))


def random_string(rnd, words):
    kind = rnd.randrange(10)
    if kind == 0:
        return "".join(chr(rnd.choice(ASSIGNED)) for _ in range(rnd.randint(1, 10)))
    if kind == 1:
        return "".join(rnd.choice(MOJIBAKE) for _ in range(rnd.randint(1, 9)))
    if kind == 2:
        return "".join(rnd.choice(PIECES) + rnd.choice(BLANKS) for _ in range(rnd.randint(1, 6)))
    if kind == 3:
        return "".join(rnd.choice(PIECES) for _ in range(rnd.randint(2, 4)))
    if kind == 4:
        return mangle(rnd, " ".join(rnd.choice(PIECES) for _ in range(rnd.randint(1, 4))))
    if kind == 5:
        return rnd.choice(["", "a ", "é"]) + mangle(rnd, mangle(rnd, scripts(rnd, 5)) if rnd.random() < 0.3 else scripts(rnd, 7))
    if kind == 6:
        return "".join(chr(rnd.randint(0x20, 0x7e)) for _ in range(rnd.randint(1, 40)))
    if kind == 7:
        pool = [EOS, BOS, "!", " ! ", "!!", "a", "b!", " ", "&amp;", "\n", "Ã ", "schÃ¶n", "\x1c!", "<", "|>"]
        return "".join(rnd.choice(pool) for _ in range(rnd.randint(1, 9)))
    if kind == 8:
        return " ".join(rnd.choice(words) for _ in range(rnd.randint(4, 12)))
    return "".join(rnd.choice(words) + rnd.choice(["", " ", "-", ", "]) for _ in range(rnd.randint(2, 8)))


def strings(rnd, words, count):
    fixed = ["", " ", "\n", "a", "!", "!!", "! !", EOS, BOS, EOS + EOS, " " + EOS + " ", "schÃ¶n", "Ã la mode", "l’Ã©tÃ©", "caf√© – ok", "na√Øve – no",
             "â€œa â€\ufffd – b", "Ã s onze Ã quele", "РџСЂРёРІРµС‚", "â•¥îœ", "Ó╝║ ╣Ôé¼ ├®", "ÔöÇ┬á caf├®"]
    fixed += [c for line in CAPTIONS.strip("\n").split("\n") for c in line.split("|")] + PIECES
    fixed += ["a" * 76, "ab " * 80, "!" * 90, "é" * 200, "word " * 75, "word " * 76, "x" * 10000, "😀" * 60, "7" * 80]
    names = sorted(chardata.HTML_ENTITIES)
    fixed += [" ".join(names[i:i + 30]) for i in range(0, len(names), 30)]
    fixed += ["".join(map(chr, range(i, i + 32))) for i in range(0, 0x600, 32)]
    fixed += ["x" + chr(c) + "y" for c in list(range(0x2000, 0x2070)) + list(range(0xff00, 0xfff0)) + list(chardata.LIGATURES)]
    for _ in range(250):
        fixed.append(" ".join(["a", rnd.choice(ADJECTIVES), rnd.choice(NOUNS), rnd.choice(VERBS), rnd.choice(THINGS),
                               rnd.choice(PLACES)]))
    out, seen = [], set()
    while fixed or len(out) < count:
        text = fixed.pop(0) if fixed else random_string(rnd, words)
        clean = whitespace_clean(ftfy.fix_text(text)).lower()
        # Characters newer than Unicode 14 depend on the versions of the libraries on both sides.
        if text in seen or any(unicodedata.category(c) in ("Cn", "Cs") for c in text + clean):
            continue
        seen.add(text)
        out.append((text, clean))
    return out


def matching(rnd, sequence):
    """A string that a parsed regex matches, most of the time."""
    out = ""
    for operation, argument in sequence:
        name = str(operation)
        if name == "LITERAL":
            out += chr(argument)
        elif name == "IN":
            kind, value = rnd.choice(argument)
            out += {"LITERAL": lambda: chr(value), "RANGE": lambda: chr(rnd.randint(*value)),
                    "CATEGORY": lambda: rnd.choice(" \t\u00a0" if "SPACE" in str(value) else "aZ9_éб"),
                    "NEGATE": lambda: rnd.choice("é !9")}[str(kind)]()
        elif name in ("ANY", "NOT_LITERAL", "CATEGORY"):
            out += rnd.choice("a é\n")
        elif name == "MAX_REPEAT":
            out += matching(rnd, argument[2]) * rnd.randint(argument[0], min(argument[1], 2))
        elif name == "BRANCH":
            out += matching(rnd, rnd.choice(argument[1]))
        elif name == "SUBPATTERN":
            out += matching(rnd, argument[3])
    return out


def badness_strings(rnd):
    pattern = regex_parser.parse(badness.BADNESS_RE.pattern, re.VERBOSE)
    branches = pattern[0][1][1]
    out = {True: set(), False: set()}
    for branch in branches:
        for _ in range(60):
            text = matching(rnd, branch)
            for variant in (text, "a" + text, text[:-1] + rnd.choice(MOJIBAKE), rnd.choice(MOJIBAKE) + text[1:], text[1:] + "a"):
                out[badness.is_bad(variant)].add(variant)
    return {"bad": sorted(out[True]), "good": sorted(out[False])}


def write_folder(folder, merges, pad):
    characters = sorted(bytes_to_unicode().values(), key=lambda c: (ord(c) >= 256, ord(c)))
    tokens = characters + [c + "</w>" for c in characters] + [m.replace(" ", "") for m in merges] + [BOS, EOS]
    vocab = {token: i for i, token in enumerate(tokens)}
    assert len(vocab) == 49408
    added = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    special = {"bos_token": dict(added, content=BOS), "eos_token": dict(added, content=EOS), "pad_token": pad,
               "unk_token": dict(added, content=EOS)}
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True, "errors": "replace"}
    settings |= {k: dict(v, __type="AddedToken") if isinstance(v, dict) else EOS for k, v in special.items()}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "special_tokens_map.json").write_text(json.dumps(special))


def compress(path, text):
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9, mtime=0) as file:
        file.write(text.encode())
    path.write_bytes(buffer.getvalue())
    print(path.name, len(buffer.getvalue()), "bytes")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--count", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=33)
    parser.add_argument("--strings-only", type=Path)
    args = parser.parse_args()
    packed = zipfile.ZipFile(args.wheel).read("open_clip/bpe_simple_vocab_16e6.txt.gz")
    merges = gzip.decompress(packed).decode().split("\n")[1:49152 - 256 - 2 + 1]
    rows = []
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        write_folder(Path(one), merges, EOS)
        write_folder(Path(two), merges, "!")
        tokenizers = [CLIPTokenizer.from_pretrained(one), CLIPTokenizer.from_pretrained(two)]
        rnd = random.Random(args.seed)
        words = [tokenizers[0].decode([i]) for i in range(512, 49406)]
        for text, clean in strings(rnd, words, args.count):
            row = {"text": text}
            if clean != text:
                row["clean"] = clean
            for name, tokenizer in zip(("sd1", "sd2"), tokenizers):
                row[name] = tokenizer(text, padding="max_length", max_length=77, truncation=True).input_ids
                whole = tokenizer(text, padding="longest").input_ids
                if len(whole) > 77 and len(text) < 2000:  # as diffusers tells the user
                    row[name + "_dropped"] = tokenizer.decode(whole[76:-1])
            rows.append(row)
    text = json.dumps(rows, ensure_ascii=False, separators=(",", ":"))
    if args.strings_only:
        compress(args.strings_only, text)
        return
    golden = Path(__file__).parent / "golden"
    golden.mkdir(exist_ok=True)
    compress(golden / "merges.txt.gz", "\n".join(["#version: 0.2", *merges]) + "\n")
    compress(golden / "strings.json.gz", text)
    compress(golden / "badness.json.gz", json.dumps(badness_strings(random.Random(args.seed)), ensure_ascii=False))
    print(len(rows), "strings")


main()
