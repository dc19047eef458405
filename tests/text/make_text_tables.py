#!/usr/bin/env python3
"""Writes the character data of include/reel/text: html_entities.hpp and mojibake_tables.hpp.

Data only: HTML5's entity names (Python's html.entities), the single-byte code pages (Python's codecs), and
the sets of characters by which ftfy recognises text decoded with the wrong code page.

Versions: Python 3.11, ftfy 6.3.1 (pip install ftfy==6.3.1).
Usage: python make_text_tables.py FOLDER        (FOLDER: include/reel/text; then clang-format mojibake_tables.hpp)
"""
import sys
from pathlib import Path

import ftfy
from ftfy import badness, chardata

assert ftfy.__version__ == "6.3.1", ftfy.__version__
HEAD = "// Written by tests/text/make_text_tables.py; change that, not this.\n#pragma once\n\n"
CLASSES = ["common", "c1", "bad", "law", "currency", "start_punctuation", "end_punctuation", "numeric", "kaomoji",
           "upper_accented", "lower_accented", "upper_common", "lower_common", "box"]
CLUES = ["utf8_first_of_2", "utf8_first_of_3", "utf8_first_of_4", "utf8_continuation", "utf8_continuation_strict"]
PAGES = ["windows-1252", "windows-1251", "windows-1250", "windows-1253", "windows-1254", "windows-1257",
         "iso-8859-2", "macroman", "cp437"]


def members(spec):
    """The code points of a regex character class written as characters and a-b ranges."""
    out, i = set(), 0
    while i < len(spec):
        if i + 2 < len(spec) and spec[i + 1] == "-":
            out.update(range(ord(spec[i]), ord(spec[i + 2]) + 1))
            i += 3
        else:
            out.add(ord(spec[i]))
            i += 1
    return out


def wrap(items, indent="    ", width=118, sep=", "):
    lines, line = [], indent
    for item in items:
        if len(line) + len(item) + len(sep) > width:
            lines.append(line.rstrip())
            line = indent
        line += item + sep
    lines.append(line.rstrip())
    return "\n".join(lines)


def mojibake_tables():
    sets = {name: members(badness.MOJIBAKE_CATEGORIES[name]) for name in CLASSES}
    sets |= {name: members(chardata.UTF8_CLUES[name]) for name in CLUES}
    assert set(CLASSES) == set(badness.MOJIBAKE_CATEGORIES) and set(CLUES) == set(chardata.UTF8_CLUES)
    mask = {}
    for bit, name in enumerate(CLASSES + CLUES):
        for c in sets[name]:
            mask[c] = mask.get(c, 0) | 1 << bit
    ranges = []
    for c in sorted(mask):
        if ranges and ranges[-1][1] == c - 1 and ranges[-1][2] == mask[c]:
            ranges[-1][1] = c
        else:
            ranges.append([c, c, mask[c]])
    out = [HEAD, "#include <array>\n#include <cstdint>\n\nnamespace reel::text {\n\n",
           "/// The sets of characters that tell mojibake (text decoded with the wrong code page) from text, as in ftfy\n"
           "/// 6.3.1: what a character usually is in text, then what it may stand for if it is a UTF-8 byte.\n"
           "enum CharacterClass : std::uint32_t {\n"]
    for bit, name in enumerate(CLASSES + CLUES):
        out.append(f"    class_{name} = 1u << {bit},\n")
    out.append("};\n\n/// Characters first..last belong to the classes in `classes`.\nstruct CharacterClassRange {\n"
               "    char16_t first;\n    char16_t last;\n    std::uint32_t classes;\n};\n\n"
               f"inline constexpr std::array<CharacterClassRange, {len(ranges)}> character_class_ranges = {{{{\n")
    out.append(wrap([f"{{0x{a:x}, 0x{b:x}, 0x{m:x}}}" for a, b, m in ranges]) + "\n}};\n\n")
    out.append("/// What bytes 0x80..0xff mean in a single-byte code page; 0 where the page gives a byte no meaning.\n"
               "using CodePage = std::array<char16_t, 128>;\n\n")
    for page in PAGES:
        table = [bytes([b]).decode(page, errors="replace") for b in range(128, 256)]
        assert bytes(range(128)).decode(page) == "".join(map(chr, range(128)))
        name = page.replace("-", "_")
        out.append(f"inline constexpr CodePage page_{name} = {{\n"
                   + wrap(["0" if c == "\ufffd" else f"0x{ord(c):x}" for c in table]) + "\n};\n")
    out.append("\n} // namespace reel::text\n")
    return "".join(out)


def html_entities():
    # Names over 24 characters are never matched by the pattern that looks for entities.
    items = []
    for name, value in sorted(chardata.HTML_ENTITIES.items()):
        assert name[0] == "&" and name[-1] == ";" and name[1:-1].isalnum() and name.isascii()
        if len(name) - 2 <= 24:
            items.append(f"{name[1:-1]}={'+'.join(f'{ord(c):x}' for c in value)}")
    lines, line = [], ""
    for item in items:
        if len(line) + len(item) + 1 > 112:
            lines.append(line)
            line = ""
        line += item + " "
    lines.append(line)
    body = "\n".join(f'    "{text}"' for text in lines)
    return (HEAD + "#include <string_view>\n\nnamespace reel::text {\n\n// clang-format off\n"
            "/// HTML5's named character references, and Latin letters' and common symbols' names in capitals, as ftfy 6.3.1\n"
            "/// reads them: \"name=codepoint[+codepoint...] \" in hexadecimal, without '&' and ';'.\n"
            f"inline constexpr std::string_view html_entity_list =\n{body};\n// clang-format on\n\n"
            "} // namespace reel::text\n")


folder = Path(sys.argv[1])
(folder / "mojibake_tables.hpp").write_text(mojibake_tables())
(folder / "html_entities.hpp").write_text(html_entities())
