#!/usr/bin/env python3
"""Writes what the transformers package's two CLIP tokenizers give, for the C++ tests to compare with.

    ./dev golden      # or, in an environment with PyTorch and python/golden/requirements.txt:
    python python/golden/make_clip_tokenizer_golden.py

tests/golden/generation/clip/vocab.json, merges.txt: a small vocabulary in CLIP's layout (bytes, bytes at the end of a
word, merges, the two special tokens), trained on the sentences below and tests/models_src/sentences.txt.
tests/golden/generation/clip_tokens.json: for several configurations of the tokenizer, texts and their ids by CLIPTokenizer
(without ftfy) and CLIPTokenizerFast, padding left out. Texts come from a fixed seed; of the characters those that Unicode 14
has and on which Python, the regex package and the tokenizers package agree.

Made with transformers 4.44.2 and tokenizers 0.19.1 on Python 3.11 (Unicode 14).
"""
import collections
import json
import os
import pathlib
import random
import tempfile
import unicodedata

os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import regex
from tokenizers import Regex, normalizers, pre_tokenizers
from transformers import CLIPTokenizer, CLIPTokenizerFast
from transformers.models.clip.tokenization_clip import bytes_to_unicode

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "golden" / "generation"
MERGES = 1200
START, END = "<|startoftext|>", "<|endoftext|>"
PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""
SENTENCES = (
    "a photo of a cat sitting on a red sofa, highly detailed, 8k", "an astronaut riding a horse on mars, digital art",
    "portrait of a woman with a pearl earring, oil painting", "a dog that doesn't like the rain, watercolour!!",
    "it's what they'd've called: a masterpiece; trending on artstation", "the king's castle at night, 4k, octane render",
    "一只猫坐在沙发上，阳光明媚", "一只戴着帽子的狗在雪地里奔跑", "夜晚的城市，霓虹灯，雨", "日本の桜と富士山の写真",
    "красивый закат над морем, фотография", "ein schöner Garten mit Blumen und Bäumen", "un café à Paris, où il pleut",
    "고양이 사진 한 장", "صورة قطة جميلة", "φωτογραφία μιας γάτας στον ήλιο", "a cup of ☕ and a 🍰 on a table 😀",
)
RANGES = [(0x20, 0x7E), (0x80, 0x24F), (0x250, 0x2FF), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x52F), (0x530, 0x5F4),
          (0x600, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0x1100, 0x11FF), (0x1E00, 0x1FFF), (0x2000, 0x206F),
          (0x2070, 0x20CF), (0x2100, 0x218F), (0x2190, 0x23FF), (0x2460, 0x27BF), (0x3000, 0x30FF), (0x3400, 0x3500),
          (0x4E00, 0x5200), (0xAC00, 0xAE00), (0xF900, 0xFAFF), (0xFB00, 0xFB4F), (0xFE00, 0xFE6F), (0xFF00, 0xFFFD),
          (0x10400, 0x1044F), (0x1D165, 0x1D172), (0x1D400, 0x1D4FF), (0x1F300, 0x1F64F), (0x20000, 0x20100),
          (0x2F800, 0x2F9FF), (0xE0020, 0xE007F), (0x0, 0x1F)]


def train() -> tuple[dict[str, int], list[str]]:
    """A vocabulary in the order of CLIP's, and its lines of merges: the most frequent pair first, of equal ones the least."""
    normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    splitter = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(PATTERN), behavior="removed", invert=True),
                                        pre_tokenizers.ByteLevel(add_prefix_space=False)])
    lines = (ROOT / "tests" / "models_src" / "sentences.txt").read_text(encoding="utf-8").splitlines()
    counts = collections.Counter(
        word for line in [*SENTENCES, *lines] for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(line)))
    words = [([*word[:-1], word[-1] + "</w>"], count) for word, count in counts.items()]
    pairs = []
    while len(pairs) < MERGES:
        frequencies = collections.Counter()
        for word, count in words:
            for pair in zip(word, word[1:]):
                frequencies[pair] += count
        best = min(frequencies, key=lambda pair: (-frequencies[pair], pair))
        pairs.append(best)
        for word, _ in words:
            at = 0
            while at + 1 < len(word):
                if (word[at], word[at + 1]) == best:
                    word[at:at + 2] = ["".join(best)]
                at += 1
    symbols = list(bytes_to_unicode().values())
    pieces = symbols + [symbol + "</w>" for symbol in symbols] + ["".join(pair) for pair in pairs] + [START, END]
    pieces = list(dict.fromkeys(pieces))  # Two merges may make the same piece.
    return {piece: number for number, piece in enumerate(pieces)}, [" ".join(pair) for pair in pairs]


def token(content: str, **more) -> dict:
    return {"content": content, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False, **more}


def configurations(size: int) -> list[dict]:
    """As they are in the folders of well-known models, and one with tokens that were added."""
    names = {"bos_token": token(START), "eos_token": token(END), "unk_token": token(END)}
    common = {"model_max_length": 77, "do_lower_case": True, "errors": "replace", "tokenizer_class": "CLIPTokenizer"}
    typed = {key: {"__type": "AddedToken", **value} for key, value in names.items()}
    added = {"0": token("!", normalized=False, special=True), str(size - 2): token(START, special=True),
             str(size - 1): token(END, special=True), str(size): token("<Cat-Toy>", normalized=False, special=False),
             str(size + 1): token("<Cat-Toy>_1", normalized=True, special=False)}
    return [
        {"name": "sd1", "config": {**common, **typed, "pad_token": END}, "map": {**names, "pad_token": END}},
        {"name": "sd2", "config": {**common, **typed, "pad_token": END}, "map": {**names, "pad_token": "!"}},
        {"name": "sdxl_2", "config": {**common, "bos_token": START, "eos_token": END, "unk_token": END, "pad_token": "!",
                                      "added_tokens_decoder": {key: added[key] for key in list(added)[:3]}}, "map": names},
        {"name": "added", "config": {**common, "pad_token": "!", "model_max_length": 16, "added_tokens_decoder": added},
         "map": {"pad_token": END}},
    ]


def agreed(char: str) -> bool:
    """Everybody has the same idea of this character."""
    category = unicodedata.category(char)
    if category == "Cs" or (category == "Cn" and char != "\ufffe"):
        return False
    kind = "L" if regex.match(r"\p{L}", char) else "N" if regex.match(r"\p{N}", char) else ""
    if kind != (category[0] if category[0] in "LN" else ""):
        return False
    if normalizers.NFC().normalize_str(char) != unicodedata.normalize("NFC", char):
        return False
    if normalizers.Lowercase().normalize_str(char) != char.lower() and char != "\u03a3":
        return False
    pieces = [piece for piece, _ in pre_tokenizers.Split(Regex(r"[\p{L}]+|[\p{N}]"), behavior="removed",
                                                         invert=True).pre_tokenize_str(char)]
    return bool(pieces) == bool(kind)


def make_texts(rng: random.Random) -> list[str]:
    chars = {group: [chr(code) for code in range(group[0], group[1] + 1) if agreed(chr(code))] for group in RANGES}
    texts = ["", " ", "\t\n\r\u3000\u2028", "a", "Hello, World!", "don't DON'T I'M we'Ve they'LL he'D 'S ''s '' s'",
             "it's 5'11\" tall", "'ſ 'S 'ß ſ 'ſt", "x" * 300, "ab " * 100, "🙂" * 60, "中" * 40, "é" * 200, "1234567890",
             "3.14159 1,000,000 ½ ² Ⅷ ٣ ५", "a  b\t\tc\n\nd", "\x00a\x01b\x7fc\x85d\x1ce\x1ff\xadg", "a\ufffdb\ufeffc",
             "e\u0301 é E\u0301 É", "\u0301a", "a\u0323\u0301 a\u0301\u0323", "가 \u1100\u1161 각 \u1100\u1161\u11a8",
             "ΟΔΟΣ ΣΑΣ Σ ΑΣ'Β Α'Σ Σ.", "İstanbul ıI İİ", "ǅ ǆ Ǆ ᾼ ẞ", "ﬁ ﬂ ﬀ", "\u212b \u2126 \u212a", "豈 更 \U0002f800",
             "Ａ１！，。", "“quoted” ‘single’ — dash…", "👍🏽 👨‍👩‍👧 🇩🇪 ❤️ 1️⃣", "a\u200db\u200cc\u2060d", "\u202eabc\u202c",
             "猫cat猫 1猫2", "日本語テキスト、東京タワー。", "한국어 텍스트", "สวัสดีครับ", "नमस्ते दुनिया", "שָׁלוֹם עולם", "مَرْحَبًا",
             START, END, f"a{START}b{END}c", f"{END}{END}", "<|ENDOFTEXT|> <|StartOfText|>", "<|endoftext|", "|endoftext|>",
             "<|end\u200doftext|>", "<|ENDOF\x00TEXT|>", "!<|ENDOFTEXT|>!", "<|ſtartoftext|> <|ſTARTOFTEXT|>", "<| endoftext |>",
             "!", "!!", "a!b", "wow!!! !", "<Cat-Toy>", "<cat-toy> <CAT-TOY>_1 <Cat-Toy>_1 <cat-toy>_1", "a<Cat-Toy>b",
             "<Cat-Toy>_1<Cat-Toy>_2", "($#@!%^&*)_+-=[]{}|;':\",./<>?`~", "a_b-c.d", "http://example.org/?a=b&c=d#e",
             "\u00a0nbsp\u00a0", "\u1680ogham\u205fspace", "a\u2029b\u2028c", "tab\x0bvt\x0cff", "q\u0307\u0323 \u1e0b\u0323",
             "ﷺ ﷲ", "℀ ™ ℡", "\U0001d400\U0001d401", "\U00010400 \U00010428", "\U0001d165\U0001d16d\U0001d15e"]
    words = [word for sentence in SENTENCES for word in sentence.split()]

    def odd_word() -> str:
        word = rng.choice((str, str.upper, str.title, str.swapcase))(rng.choice(words))
        if rng.random() < 0.25:
            at = rng.randrange(len(word) + 1)
            word = word[:at] + "".join(rng.choices(chars[(0x300, 0x36F)], k=rng.randint(1, 3))) + word[at:]
        return word

    texts += SENTENCES
    for _ in range(110):
        texts.append(rng.choice((" ", "  ", ", ", "-", "'")).join(odd_word() for _ in range(rng.randint(1, 14))))
    for group in RANGES:
        for _ in range(4):
            texts.append("".join(rng.choices(chars[group], k=rng.randint(1, 20))))
    for _ in range(80):
        parts = [odd_word() if rng.random() < 0.5 else "".join(rng.choices(chars[rng.choice(RANGES)], k=rng.randint(1, 5)))
                 for _ in range(rng.randint(1, 8))]
        texts.append(rng.choice(("", " ", "\u00a0", "!", "'s ")).join(parts))
    return texts


def main() -> None:
    (FOLDER / "clip").mkdir(parents=True, exist_ok=True)
    vocab, merges = train()
    files = {"vocab.json": json.dumps(vocab, ensure_ascii=False, separators=(",", ":")) + "\n",
             "merges.txt": "#version: 0.2\n" + "\n".join(merges) + "\n"}
    for name, text in files.items():
        (FOLDER / "clip" / name).write_text(text, encoding="utf-8")
    texts = make_texts(random.Random(20240607))
    rows = []
    for number, setup in enumerate(configurations(len(vocab))):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                pathlib.Path(folder, name).write_text(text, encoding="utf-8")
            pathlib.Path(folder, "tokenizer_config.json").write_text(json.dumps(setup["config"]))
            pathlib.Path(folder, "special_tokens_map.json").write_text(json.dumps(setup["map"]))
            basic, fast = CLIPTokenizer.from_pretrained(folder), CLIPTokenizerFast.from_pretrained(folder)
        cases = []
        for text in texts if number == 0 else texts[:120]:  # Those about special tokens are in front.
            row = {"text": text}
            for key, tokenizer in (("basic", basic), ("fast", fast)):
                ids = tokenizer(text, padding="max_length", truncation=True).input_ids
                assert len(ids) == setup["config"]["model_max_length"]
                count = len(tokenizer(text, truncation=True).input_ids)
                assert all(i == tokenizer.pad_token_id for i in ids[count:])
                row[key] = ids[:count]
            if row["basic"] == row["fast"]:
                del row["fast"]
            cases.append(row)
        rows.append({**setup, "padding": basic.pad_token_id, "cases": cases})
    with open(FOLDER / "clip_tokens.json", "w", encoding="ascii") as file:
        file.write("[\n")
        for number, row in enumerate(rows):
            cases = row.pop("cases")
            head = json.dumps(row, separators=(",", ":"))[:-1]
            lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
            file.write(f"{head},\"cases\":[\n{lines}]}}{',' if number + 1 < len(rows) else ''}\n")
        file.write("]\n")


if __name__ == "__main__":
    main()
