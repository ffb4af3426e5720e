"""The folder that all scripts of `emoji` read from and write to, and how files get there."""
import argparse
import dataclasses
import json
import os
import pathlib
from collections.abc import Callable

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORK = ROOT / ".cache" / "emoji-train"


@dataclasses.dataclass(frozen=True)
class Pairs:
    """What make_pairs.py found. All members have one entry per picture."""
    pictures: np.ndarray  # uint8 [n, 64, 64, 3]
    captions: list[str]
    groups: list[str]
    further: list[list[str]]  # Other captions of the same picture; may be empty.
    is_everyday: list[bool]  # Common things, to be drawn well.


def add_work_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--work", type=pathlib.Path, default=WORK, help="folder of all data and weights [%(default)s]")


def load_pairs(work: pathlib.Path) -> Pairs:
    with np.load(work / "pairs.npz") as arrays:
        pictures = arrays["pictures"]
    return Pairs(pictures=pictures, **json.loads((work / "pairs.json").read_text(encoding="utf-8")))


def write_file(path: pathlib.Path, write: Callable[[pathlib.Path], object]) -> None:
    """Calls `write` with a name beside `path` and renames the result: a killed run leaves the old file or none."""
    partial = path.with_name(f".partial.{path.name}")
    write(partial)
    os.replace(partial, path)
