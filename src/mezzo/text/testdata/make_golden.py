#!/usr/bin/env python3
"""Writes wordpiece_golden.json: texts and the ids that the `tokenizers` package (0.23.3) gives for them with MiniLM's
vocabulary.

    make_golden.py VOCAB_TXT        # .cache/models/minilm/1/vocab.txt; needs `pip install tokenizers==0.23.3`

Texts are made from a fixed seed: words of the vocabulary in odd cases, accents composed and not, scripts, CJK, Hangul,
marks out of order, controls, symbols, long words. Characters that came after Unicode 8 are left out where the package's
tables for categories do not know them (python/models/wordpiece.py says so, too).
"""
import json
import os
import random
import sys
import unicodedata

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

HERE = os.path.dirname(os.path.abspath(__file__))
MAX_TOKENS = 96


def load(path: str) -> tuple[Tokenizer, list[str]]:
    with open(path, encoding="utf-8") as f:
        pieces = [line.rstrip("\n") for line in f]
    numbers = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(WordPiece(numbers, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", numbers["[CLS]"]), ("[SEP]", numbers["[SEP]"])])
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer, pieces


def known_to_both(char: str) -> bool:
    """Not one of the characters where an old table of categories and a new one disagree."""
    if "\ud800" <= char <= "\udfff" or unicodedata.category(char) == "Cn":
        return False
    normalized = BertNormalizer(strip_accents=None).normalize_str(f"a{char}b")
    category = unicodedata.category(char)
    if category in ("Mn", "Cc", "Cf", "Co"):
        return normalized in ("ab", "a b")
    words = [word for word, _ in BertPreTokenizer().pre_tokenize_str(normalized)]
    return (len(words) == 3) == (category.startswith("P") or len(normalized.split()) == 3 or
                                 (ord(char) < 128 and not char.isalnum() and char != " "))


def main() -> None:
    tokenizer, pieces = load(sys.argv[1])
    rng = random.Random(20240607)
    words = [piece for piece in pieces if piece.isalpha() and len(piece) > 2]
    ranges = [(0x20, 0x7E), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF), (0x591, 0x5F4),
              (0x600, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0x1100, 0x11FF), (0x1E00, 0x1FFF), (0x2000, 0x206F),
              (0x20A0, 0x20BF), (0x2100, 0x214F), (0x2190, 0x22FF), (0x3000, 0x30FF), (0x3400, 0x3500),
              (0x4E00, 0x5200), (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0xFB00, 0xFB4F), (0xFF00, 0xFFEF),
              (0x1D15E, 0x1D172), (0x1D400, 0x1D4FF), (0x1F300, 0x1F64F), (0x20000, 0x20100), (0x2F800, 0x2F9FF)]
    chars = {r: [chr(c) for c in range(r[0], r[1] + 1) if known_to_both(chr(c))] for r in ranges}
    marks = [c for c in chars[(0x300, 0x36F)]]
    reorder = ["\u302e", "\u302f", "\u093c", "\u0e3a", "\U0001d165", "\U0001d16d", "\u1b44", "\u0903", "a"]

    def odd_word() -> str:
        word = rng.choice(words)
        word = rng.choice((str, str.upper, str.title, str.swapcase))(word)
        if rng.random() < 0.3:
            at = rng.randrange(len(word) + 1)
            word = word[:at] + "".join(rng.choices(marks, k=rng.randint(1, 3))) + word[at:]
        return word

    texts = ["", " ", "\t\n\r\u3000\u2028", "[CLS] [SEP] [UNK] ##ing", "ΟΔΟΣ Σ ΣΑΣ", "İstanbul ĞÜ ıI", "a\0b\ufffdc\x7f\x85d",
             "don't stop-believing!!", "1,000.5e-3 $5 50%", "naïve café résumé", "e\u0301\u0327", "\u1e9b\u0323",
             "ﬁ ﬂ ſ K Å Ω ; ` ´", "x" * 100, "x" * 101, "é" * 100, "é" * 101, "가나다 한국어 각", "日本語テキスト 東京",
             "\u0301abc", "\u200bzero\u200dwidth", "👍🏽 👨‍👩‍👧 🇩🇪", "unaffable " * 40, "a\u302f\u093c\u302e \U0001d16d\U0001d165"]
    for _ in range(130):
        texts.append(" ".join(odd_word() for _ in range(rng.randint(1, 12))))
    for group in ranges:
        for _ in range(5):
            texts.append("".join(rng.choices(chars[group], k=rng.randint(1, 24))))
    for _ in range(70):
        parts = []
        for _ in range(rng.randint(1, 8)):
            parts.append(odd_word() if rng.random() < 0.5 else
                         "".join(rng.choices(chars[rng.choice(ranges)], k=rng.randint(1, 6))))
        texts.append(rng.choice(("", " ", "-", "\u00a0")).join(parts))
    for _ in range(40):
        texts.append("".join(rng.choices(reorder, k=rng.randint(2, 8))))
    with open(os.path.join(HERE, "wordpiece_golden.json"), "w", encoding="ascii") as f:
        f.write("[\n")
        rows = [json.dumps({"text": text, "ids": tokenizer.encode(text).ids}, separators=(",", ":")) for text in texts]
        f.write(",\n".join(rows) + "\n]\n")


if __name__ == "__main__":
    main()
