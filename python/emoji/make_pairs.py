#!/usr/bin/env python3
"""Writes the training pairs of `emoji`: 64x64 pictures of Noto Color Emoji and what people call them.

Pictures are the font's own bitmaps (136x128, CBDT table) on white, scaled down with Lanczos. The caption of a picture
is its name in Unicode's emoji-test.txt; further captions are the keywords of CLDR's English annotations that few
pictures share ("apple" for the red apple) and the words of everyday_words.json ("car" for the automobile). Skin tones
are left out. Reads three Debian packages: fonts-noto-color-emoji, unicode-data, unicode-cldr-core.
"""
import argparse
import collections
import io
import json
import pathlib
import re
import xml.etree.ElementTree

import numpy as np
from fontTools.ttLib import TTFont
from PIL import Image

from workspace import add_work_argument, write_file

FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
NAMES = "/usr/share/unicode/emoji/emoji-test.txt"
ANNOTATIONS = "/usr/share/unicode/cldr/common/annotations/en.xml"
EVERYDAY_WORDS = pathlib.Path(__file__).with_name("everyday_words.json")
SIDE = 64
VARIATION_SELECTOR = 0xFE0F
# A keyword that more pictures share ("face", "woman") says too little to be a caption of one of them.
MAX_PICTURES_PER_KEYWORD = 4


class EmojiFont:
    """The bitmaps of a colour font by sequence of code points."""

    def __init__(self, path: str):
        font = TTFont(path)
        self.glyph_of_code = font.getBestCmap()
        self.ligatures = {}
        for lookup in font["GSUB"].table.LookupList.Lookup:
            for table in lookup.SubTable:
                table = getattr(table, "ExtSubTable", table)
                for first, entries in getattr(table, "ligatures", {}).items():
                    for entry in entries:
                        self.ligatures[(first, *entry.Component)] = entry.LigGlyph
        self.png_of_glyph = {glyph: bitmap.imageData
                             for strike in font["CBDT"].strikeData for glyph, bitmap in strike.items()}

    def picture(self, codes: list[int]) -> np.ndarray | None:
        """RGB uint8 [SIDE, SIDE, 3] on white; None when the font does not draw `codes` as one bitmap."""
        glyphs = tuple(self.glyph_of_code.get(code) for code in codes if code != VARIATION_SELECTOR)
        glyph = glyphs[0] if len(glyphs) == 1 else self.ligatures.get(glyphs)
        if glyph not in self.png_of_glyph:
            return None
        bitmap = Image.open(io.BytesIO(self.png_of_glyph[glyph])).convert("RGBA")
        page = Image.new("RGBA", (136, 136), "white")
        page.alpha_composite(bitmap, (0, (136 - bitmap.height) // 2))
        return np.asarray(page.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def read_names(path: str):
    """Yields (group, code points, name) of every fully qualified emoji without a skin tone."""
    entry = re.compile(r"([0-9A-F ]+?)\s*; fully-qualified\s*# \S+ E\d+\.\d+ (.*)")
    group = ""
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("# group: "):
                group = line.removeprefix("# group: ").strip()
            elif (match := entry.fullmatch(line.strip())) and "skin tone" not in match[2]:
                yield group, [int(code, 16) for code in match[1].split()], match[2]


def read_keywords(path: str) -> dict[str, list[str]]:
    """CLDR's keywords by emoji, written without variation selectors as CLDR writes them."""
    root = xml.etree.ElementTree.parse(path).getroot()
    return {node.get("cp"): node.text.split(" | ") for node in root.iter("annotation") if node.get("type") != "tts"}


def further_captions(captions: list[str], keywords: list[list[str]], words: dict[str, str]) -> list[list[str]]:
    """What else each picture is called: its everyday words (`words`: word to caption) and its rare keywords.

    A keyword that is another picture's name or everyday word is left to that picture.
    """
    shared_by = collections.Counter(word for own_keywords in keywords for word in set(own_keywords))
    taken = {*captions, *words}
    result = []
    for caption, own_keywords in zip(captions, keywords):
        own = [word for word, target in words.items() if target == caption]
        own += [word for word in dict.fromkeys(own_keywords)
                if word not in taken and shared_by[word] <= MAX_PICTURES_PER_KEYWORD]
        if caption.startswith("flag: "):
            country = caption.removeprefix("flag: ")
            own += [f"flag of {country}", f"{country} flag"]
        result.append(own)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_work_argument(parser)
    work: pathlib.Path = parser.parse_args().work

    font, keywords_of = EmojiFont(FONT), read_keywords(ANNOTATIONS)
    pictures, captions, groups, keywords = [], [], [], []
    for group, codes, name in read_names(NAMES):
        picture = font.picture(codes)
        if picture is None:
            continue
        pictures.append(picture)
        captions.append(name)
        groups.append(group)
        keywords.append(keywords_of.get("".join(chr(code) for code in codes if code != VARIATION_SELECTOR), []))
    everyday = json.loads(EVERYDAY_WORDS.read_text(encoding="utf-8"))
    if unknown := {*everyday["words"].values(), *everyday["everyday"]} - set(captions):
        raise SystemExit(f"make_pairs: {EVERYDAY_WORDS.name} names pictures that do not exist: {sorted(unknown)}")
    further = further_captions(captions, keywords, everyday["words"])

    work.mkdir(parents=True, exist_ok=True)
    write_file(work / "pairs.npz", lambda path: np.savez_compressed(path.open("wb"), pictures=np.stack(pictures)))
    is_everyday = [caption in everyday["everyday"] for caption in captions]
    text = json.dumps({"captions": captions, "groups": groups, "further": further, "is_everyday": is_everyday},
                      ensure_ascii=False, indent=0)
    write_file(work / "pairs.json", lambda path: path.write_text(text, encoding="utf-8"))
    print(f"{len(captions)} pictures, {sum(map(len, further))} further captions")


if __name__ == "__main__":
    main()
