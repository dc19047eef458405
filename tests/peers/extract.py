#!/usr/bin/env python3
"""Makes of a peer's fetched sources what a test here can read. Called by fetch.sh with the suite's folder.

    extract.py yaml-test-suite FOLDER   cases.json: the suite's texts, what they are as JSON, and what OmegaConf makes of each
    extract.py safetensors FOLDER       cases/NAME.safetensors: the files that the Rust tests hold as literals
    extract.py fickling FOLDER          cases/NAME.pkl: the pickles that its tests make; none is loaded
    extract.py CLIP FOLDER              cases.json: the lines of its data/*.md, and the tokens that its tokenizer makes of each
"""
import ast
import importlib
import json
import math
import os
import pathlib
import pickle
import re
import subprocess
import sys
import unittest


# ---- yaml-test-suite, with OmegaConf as the judge

def plain(text):
    """The suite's signs for characters that an editor would lose."""
    for sign in ("———»", "——»", "—»", "»"):
        text = text.replace(sign, "\t")
    while "—" in text and "—\t" in text:
        text = text.replace("—\t", "\t")
    text = text.replace("␣", " ").replace("↵", "").replace("←", "\r").replace("⇔", "\ufeff")
    return text[:text.index("∎")] if "∎" in text else text


def value_of(value):
    """A tree that JSON can hold: a map is {"map": [[key, value], ...]}, a key that is no string null."""
    if isinstance(value, dict):
        return {"map": [[k if isinstance(k, str) else None, value_of(v)] for k, v in value.items()]}
    if isinstance(value, list):
        return [value_of(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return {"other": type(value).__name__}


def json_documents(text):
    documents, at = [], 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        value, at = json.JSONDecoder().raw_decode(text, at)
        documents.append(value)
    return documents


def yaml_cases(folder):
    import yaml
    from omegaconf import OmegaConf
    cases = []
    for path in sorted((folder / "src").glob("*.yaml")):
        for number, entry in enumerate(yaml.safe_load(path.read_text(encoding="utf-8"))):
            text = plain(entry["yaml"])
            case = {"id": f"{path.stem}/{number}", "yaml": text, "fail": bool(entry.get("fail", False))}
            documents = json_documents(entry.get("json") or "")
            if len(documents) == 1:
                case["json"] = value_of(documents[0])
            try:
                case["read"] = value_of(OmegaConf.to_container(OmegaConf.create(text), resolve=False))
                case["scalar"] = not isinstance(yaml.safe_load(text) if text.strip() else {}, (dict, list))
            except Exception as error:  # whatever it is, it is refused
                case["refused"] = f"{type(error).__name__}: {error}"
            cases.append(case)
    (folder / "cases.json").write_text(json.dumps(cases, ensure_ascii=True), encoding="utf-8")
    return len(cases)


# ---- safetensors' Rust tests

def safetensors_cases(folder):
    into = folder / "cases"
    into.mkdir(exist_ok=True)
    test, numbers = "", {}
    for line in (folder / "safetensors/src/tensor.rs").read_text(encoding="utf-8").splitlines():
        if name := re.search(r"fn (test_\w+)\(\)", line):
            test = name[1]
        if test and (literal := re.search(r'let serialized = (b"(?:[^"\\]|\\.)*");', line)):
            numbers[test] = numbers.get(test, -1) + 1
            data = ast.literal_eval(literal[1])  # Rust's escapes here are Python's
            (into / f"{test}-{numbers[test]}.safetensors").write_bytes(data)
    return sum(n + 1 for n in numbers.values())


# ---- fickling's pickles

def fickling_cases(folder):
    """Runs the tests that make pickles, with everything stopped that would load one or start something."""
    into = folder / "cases"
    into.mkdir(exist_ok=True)

    def forbidden(*_, **__):
        raise RuntimeError("not here")

    sys.path.insert(0, str(folder))
    from fickling import fickle
    made, names = [], {}
    construct, load = fickle.Pickled.__init__, fickle.Pickled.load

    def constructed(self, opcodes, *rest, **more):
        opcodes = list(opcodes)
        construct(self, opcodes, *rest, **more)
        try:
            made.append(bytes(self.dumps()))
        except Exception:  # opcodes that make no bytes
            pass

    def loaded(data, *rest, **more):
        if isinstance(data, bytes):
            made.append(data)
        return load(data, *rest, **more)

    fickle.Pickled.__init__, fickle.Pickled.load = constructed, staticmethod(loaded)
    pickle.load = pickle.loads = pickle.Unpickler = os.system = subprocess.Popen = forbidden
    for module in ("test_bypasses", "test_crashes", "test_expansion_attack_analysis"):
        suite = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(f"test.{module}"))
        for test in (t for group in suite for t in group):
            made.clear()
            test.run(unittest.TestResult())
            for data in dict.fromkeys(made):
                name = f"{module}.{test.id().split('.')[-1]}"
                names[name] = names.get(name, -1) + 1
                (into / f"{name}-{names[name]}.pkl").write_bytes(data)
    return sum(n + 1 for n in names.values())


# ---- CLIP's own tokenizer

def clip_cases(folder):
    sys.path.insert(0, str(folder / "clip"))
    tokenizer = importlib.import_module("simple_tokenizer").SimpleTokenizer()
    lines = [line for path in sorted((folder / "data").glob("*.md")) for line in path.read_text(encoding="utf-8").splitlines()]
    lines += [line.strip(" ',") for line in lines]
    cases = [[line, tokenizer.encode(line)] for line in dict.fromkeys(lines) if line]
    (folder / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    return len(cases)


KINDS = {"CLIP": clip_cases, "yaml-test-suite": yaml_cases, "safetensors": safetensors_cases, "fickling": fickling_cases}


def main():
    kind, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    print(f"{kind}: {KINDS[kind](folder)} cases")


if __name__ == "__main__":
    main()
