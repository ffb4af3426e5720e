#!/usr/bin/env python3
"""Draws 40 common things, each with its prompt below, for people to judge: `contact_sheet.py -o sheet.png`."""
import argparse

import numpy as np
from PIL import Image, ImageDraw

from sample import add_drawing_arguments, draw_prompts

COLUMNS, SIDE, LABEL_HEIGHT = 8, 128, 18
PROMPTS = (
    "red apple", "banana", "strawberry", "pizza", "hamburger", "birthday cake", "ice cream", "cup of coffee",
    "dog", "cat", "panda", "lion", "frog", "fish", "butterfly", "penguin",
    "car", "bus", "bicycle", "airplane", "rocket", "sailboat", "train", "house",
    "sun", "moon", "rainbow", "snowman", "tree", "rose", "fire", "mountain",
    "red heart", "star", "soccer ball", "guitar", "grinning face", "robot", "ghost", "flag: Japan",
)


def sheet(pictures: np.ndarray, prompts: tuple[str, ...]) -> Image.Image:
    """Pictures uint8 [n, h, w, 3] at SIDE pixels in rows of COLUMNS, prompts below them."""
    cell = SIDE + LABEL_HEIGHT
    page = Image.new("RGB", (COLUMNS * SIDE, -(-len(prompts) // COLUMNS) * cell), "white")
    pen = ImageDraw.Draw(page)
    for index, (picture, prompt) in enumerate(zip(pictures, prompts)):
        x, y = index % COLUMNS * SIDE, index // COLUMNS * cell
        page.paste(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC), (x, y))
        pen.text((x + SIDE // 2, y + SIDE), prompt, fill="black", anchor="ma")
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", default="sheet.png", help="[%(default)s]")
    add_drawing_arguments(parser)
    args = parser.parse_args()
    sheet(draw_prompts(args, list(PROMPTS)), PROMPTS).save(args.output)


if __name__ == "__main__":
    main()
