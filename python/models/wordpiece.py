"""BERT's uncased WordPiece tokenizer: the reference for the one in C++. Standard library only.

tests/models_src/minilm_tokens.json holds what it gives for the sentences there; those ids were compared once with the
`tokenizers` package reading the model's own tokenizer.json, and agree.
"""
import unicodedata

MAX_WORD_CHARACTERS = 100


def load_vocabulary(path: str) -> dict[str, int]:
    with open(path, encoding="utf-8") as f:
        return {line.rstrip("\n"): number for number, line in enumerate(f)}


def _is_cjk(code: int) -> bool:
    return (0x4E00 <= code <= 0x9FFF or 0x3400 <= code <= 0x4DBF or 0x20000 <= code <= 0x2A6DF
            or 0x2A700 <= code <= 0x2B73F or 0x2B740 <= code <= 0x2B81F or 0x2B920 <= code <= 0x2CEAF
            or 0xF900 <= code <= 0xFAFF or 0x2F800 <= code <= 0x2FA1F)


def _is_punctuation(char: str) -> bool:
    """Every ASCII character that is neither letter, digit nor space counts, also where Unicode calls it a symbol."""
    code = ord(char)
    if 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126:
        return True
    return unicodedata.category(char).startswith("P")


def words(text: str) -> list[str]:
    """Cleans, lower-cases, strips accents and splits at white space, punctuation and CJK characters."""
    cleaned = []
    for char in text:
        category = unicodedata.category(char)
        if char in "\t\n\r" or category == "Zs":
            cleaned.append(" ")
        elif char in "\0\ufffd" or category in ("Cc", "Cf", "Co", "Cs"):
            continue
        elif _is_cjk(ord(char)):
            cleaned.append(f" {char} ")
        else:
            cleaned.append(char)
    decomposed = unicodedata.normalize("NFD", "".join(cleaned))
    plain = "".join(char for char in decomposed if unicodedata.category(char) != "Mn").lower()
    spaced = "".join(f" {char} " if _is_punctuation(char) else char for char in plain)
    return spaced.split()


def _pieces(word: str, vocabulary: dict[str, int]) -> list[int]:
    """The longest known prefix, again and again; one unknown remainder makes the whole word [UNK]."""
    if len(word) > MAX_WORD_CHARACTERS:
        return [vocabulary["[UNK]"]]
    ids, start = [], 0
    while start < len(word):
        end = len(word)
        while end > start and (("##" if start else "") + word[start:end]) not in vocabulary:
            end -= 1
        if end == start:
            return [vocabulary["[UNK]"]]
        ids.append(vocabulary[("##" if start else "") + word[start:end]])
        start = end
    return ids


def encode(text: str, vocabulary: dict[str, int], max_tokens: int = 256) -> list[int]:
    """[CLS] pieces [SEP], cut to `max_tokens` in all. Names of special tokens in the text are ordinary text."""
    ids = [piece for word in words(text) for piece in _pieces(word, vocabulary)]
    return [vocabulary["[CLS]"]] + ids[: max_tokens - 2] + [vocabulary["[SEP]"]]
