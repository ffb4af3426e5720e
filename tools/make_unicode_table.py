#!/usr/bin/env python3
"""Writes src/mezzo/text/internal/unicode_table.inc: categories, lower case and canonical composition of Unicode characters.

    tools/make_unicode_table.py [--check]

The facts come from this Python's unicodedata, which holds the Unicode Character Database (licence Unicode-DFS-2016). The
file in the repository was made with Unicode 14.0.0 (CPython 3.11); --check compares it with what would be written.

Properties are runs of equal characters. Cased and Case_Ignorable (The Unicode Standard, section 3.13) are not in
unicodedata, but str.lower() shows them: it writes a final sigma where they say so. Hangul is composed by arithmetic in C++.
"""
import argparse
import os
import sys
import unicodedata

from make_char_table import array

TARGET = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                      "src", "mezzo", "text", "internal", "unicode_table.inc")
CODES = range(0x110000)
CLASSES = "CLMNPSZ"  # In the order of CharClass.
CASED, CASE_IGNORABLE = 8, 16
HANGUL = range(0xAC00, 0xD7A4)


def is_final_sigma(before: str) -> bool:
    return (before + "\u03a3").lower().endswith("\u03c2")


def properties(code: int) -> int:
    char = chr(code)
    bits = CLASSES.index(unicodedata.category(char)[0])
    if is_final_sigma(char):
        bits |= CASED
    elif is_final_sigma("A" + char):
        bits |= CASE_IGNORABLE
    return bits


def runs(value_of) -> list[int]:
    """First code point << 8 | value, for each run of equal values."""
    out, last = [], None
    for code in CODES:
        value = value_of(code)
        if value != last:
            out.append(code << 8 | value)
            last = value
    return out


def lower_cases() -> list[tuple[int, int]]:
    pairs = []
    for code in CODES:
        lower = chr(code).lower()
        if lower != chr(code):
            assert len(lower) == 1 or code == 0x130, hex(code)
            pairs.append((code, ord(lower[0])))
    return pairs


def decompositions() -> list[tuple[int, int, int]]:
    """(code, first, second): one canonical step; second is 0 for singletons."""
    out = []
    for code in CODES:
        field = unicodedata.decomposition(chr(code))
        if field and not field.startswith("<"):
            parts = [int(part, 16) for part in field.split()]
            assert len(parts) <= 2 and code not in HANGUL, hex(code)
            out.append((code, parts[0], parts[1] if len(parts) == 2 else 0))
    return out


def compositions(steps: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """(first, second, code) of the primary composites: the pairs that NFC joins."""
    pairs = [(first, second, code) for code, first, second in steps
             if second and unicodedata.normalize("NFC", chr(first) + chr(second)) == chr(code)]
    return sorted(pairs)


def render() -> str:
    steps, lower = decompositions(), lower_cases()
    joined = compositions(steps)
    return "\n".join((
        "// Made by tools/make_unicode_table.py; do not edit. clang-format off",
        f"// From the Unicode Character Database {unicodedata.unidata_version} (Copyright 1991-2021 Unicode, Inc.;"
        " licence Unicode-DFS-2016,",
        "// https://www.unicode.org/license.txt).",
        "// First code point << 8 | CharClass | 8 when cased | 16 when case-ignorable.",
        array("std::uint32_t", "kProperties", runs(properties), hex),
        "// First code point << 8 | canonical combining class.",
        array("std::uint32_t", "kCombiningClasses", runs(lambda code: unicodedata.combining(chr(code))), hex),
        "// Code point, then its lower case.",
        array("CharPair", "kLowerCases", lower, lambda pair: f"{{{pair[0]:#x}, {pair[1]:#x}}}"),
        "// Code point, then one step of its canonical decomposition; 0: it is one character.",
        array("CharTriple", "kDecompositions", steps, lambda row: "{" + ", ".join(map(hex, row)) + "}"),
        "// Two characters, then what they compose to.",
        array("CharTriple", "kCompositions", joined, lambda row: "{" + ", ".join(map(hex, row)) + "}"),
        "// clang-format on", ""))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fail when the file in the repository differs")
    text = render()
    if parser.parse_args().check:
        with open(TARGET, encoding="ascii") as f:
            if f.read() == text:
                return 0
        print(f"make_unicode_table: {TARGET} is not what Unicode {unicodedata.unidata_version} gives", file=sys.stderr)
        return 1
    with open(TARGET, "w", encoding="ascii") as f:
        f.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
