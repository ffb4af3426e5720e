#!/usr/bin/env python3
"""Writes src/mezzo/text/internal/char_table.inc: what BERT's uncased tokenizer does with each Unicode character.

    tools/make_char_table.py [--check]

The facts come from this Python's unicodedata, which holds the Unicode Character Database (licence Unicode-DFS-2016). The
file in the repository was made with Unicode 14.0.0 (CPython 3.11); --check compares it with what would be written.

For each code point the table holds an action: keep, drop, white space, punctuation, CJK (a word of its own), a mark
that is dropped but ends a run of combining characters, a combining character that stays, or the index of a mapping:
the canonical decomposition without accents (Mn), lower-cased character by character. Hangul syllables are decomposed
by arithmetic in C++.
"""
import argparse
import os
import sys
import unicodedata

TARGET = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                      "src", "mezzo", "text", "internal", "char_table.inc")
BLOCK = 128
KEEP, DROP, SPACE, PUNCTUATION, CJK, BARRIER, COMBINING, FIRST_MAPPING = range(8)
CJK_RANGES = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
              (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))


def is_punctuation(char: str) -> bool:
    code = ord(char)
    if 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126:
        return True
    return unicodedata.category(char).startswith("P")


def plain_form(char: str) -> str:
    """Decomposed, without accents, lower case; one character at a time, so that a final sigma is like any other."""
    decomposed = unicodedata.normalize("NFD", char)
    return "".join(part.lower() for part in decomposed if unicodedata.category(part) != "Mn")


def class_of(char: str) -> int:
    category = unicodedata.category(char)
    if char in "\t\n\r" or category in ("Zs", "Zl", "Zp"):
        return SPACE
    if char in "\0\ufffd" or category in ("Cc", "Cf", "Co", "Cs"):
        return DROP
    if category == "Mn":
        return DROP if unicodedata.combining(char) else BARRIER
    if any(first <= ord(char) <= last for first, last in CJK_RANGES):
        return CJK
    if is_punctuation(char):
        return PUNCTUATION
    return COMBINING if unicodedata.combining(char) else KEEP


def actions() -> tuple[list[int], list[str]]:
    table, mappings = [], []
    for code in range(0x110000):
        char = chr(code)
        action = class_of(char)
        if action not in (SPACE, DROP, BARRIER) and not 0xAC00 <= code <= 0xD7A3:
            plain = plain_form(char)
            if plain != char:
                parts = {class_of(part) for part in plain}
                # What the C++ code relies on: CJK stays CJK, and only single characters become words of their own.
                assert (action == CJK) == (parts == {CJK}), hex(code)
                assert not parts & {SPACE, DROP, BARRIER}, hex(code)
                assert len(plain) == 1 or not parts & {PUNCTUATION, CJK}, hex(code)
                assert 1 <= len(plain) <= 7, hex(code)
                action = FIRST_MAPPING + len(mappings)
                mappings.append(plain)
        table.append(action)
    assert FIRST_MAPPING + len(mappings) < 1 << 16
    return table, mappings


def array(ctype: str, name: str, values: list[int], form) -> str:
    lines, line = [], " "
    for value in values:
        text = f" {form(value)},"
        if len(line) + len(text) > 118:
            lines.append(line)
            line = " "
        line += text
    lines.append(line)
    return f"constexpr {ctype} {name}[{len(values)}] = {{\n" + "\n".join(lines) + "\n};\n"


def render() -> str:
    table, mappings = actions()
    blocks: dict[tuple[int, ...], int] = {}
    index = []
    for start in range(0, len(table), BLOCK):
        index.append(blocks.setdefault(tuple(table[start:start + BLOCK]), len(blocks)))
    assert len(blocks) < 256
    # A mapping to one character is that character; to several, their count in the top byte and where they start.
    targets, sequences = [], []
    for plain in mappings:
        if len(plain) == 1:
            targets.append(ord(plain))
        else:
            targets.append(len(plain) << 24 | len(sequences))
            sequences += [ord(part) for part in plain]
    return "\n".join((
        "// Made by tools/make_char_table.py; do not edit. clang-format off",
        f"// From the Unicode Character Database {unicodedata.unidata_version} (Copyright 1991-2021 Unicode, Inc.;"
        " licence Unicode-DFS-2016,",
        "// https://www.unicode.org/license.txt).",
        f"constexpr std::uint32_t kBlockSize = {BLOCK};",
        array("std::uint8_t", "kBlockOf", index, str),
        array("std::uint16_t", "kActions", [action for block in blocks for action in block], str),
        array("std::uint32_t", "kMappings", targets, hex),
        array("char32_t", "kSequences", sequences, hex),
        "// clang-format on", ""))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fail when the file in the repository differs")
    text = render()
    if parser.parse_args().check:
        with open(TARGET, encoding="ascii") as f:
            if f.read() == text:
                return 0
        print(f"make_char_table: {TARGET} is not what Unicode {unicodedata.unidata_version} gives", file=sys.stderr)
        return 1
    with open(TARGET, "w", encoding="ascii") as f:
        f.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
