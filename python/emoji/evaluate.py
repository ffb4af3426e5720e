#!/usr/bin/env python3
"""How often a drawn picture is nearest to the real one: the quality bar of `emoji`.

Pictures are drawn for training captions chosen at random and compared with all 1,870 real ones at 32x32 pixels by
Euclidean distance. `first`, `five`, `ten`: the share of captions whose real picture is the nearest, among the five or
among the ten nearest.
"""
import argparse
import collections
import os

import numpy as np

from sample import Networks, add_drawing_arguments, draw, load_networks
from workspace import Pairs, load_pairs

CAPTIONS, SEED = 200, 1234


def shrink(pictures: np.ndarray) -> np.ndarray:
    """uint8 [n, 64, 64, 3] to FP32 [n, 32*32*3]: the mean of each 2x2 pixels."""
    n, side = len(pictures), pictures.shape[1] // 2
    return pictures.reshape(n, side, 2, side, 2, 3).mean((2, 4), dtype=np.float32).reshape(n, -1)


def ranks(drawn: np.ndarray, real: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """For each drawn picture: how many of `real` are nearer to it than real[rows[i]]; 0 is a hit."""
    small, targets = shrink(real), shrink(drawn)
    distances = (small ** 2).sum(1) - 2 * targets @ small.T  # Less |target|^2, which is the same along a row.
    return (distances < distances[np.arange(len(rows)), rows][:, None]).sum(1)


def chosen_rows(pairs: Pairs, count: int = CAPTIONS, seed: int = SEED) -> np.ndarray:
    """The captions to evaluate: `count` different pictures, the same for the same seed."""
    return np.random.default_rng(seed).permutation(len(pairs.captions))[:count]


def figures(found: np.ndarray) -> dict[str, float]:
    return {name: float((found < limit).mean()) for name, limit in (("first", 1), ("five", 5), ("ten", 10))}


def evaluate(networks: Networks, pairs: Pairs, text, rows: np.ndarray, **options) -> np.ndarray:
    """Ranks of the pictures drawn for `rows`; `text` is the content of text.npz, `options` go to draw()."""
    drawn = draw(networks, text["captions"][rows], text["empty"], **options)
    return ranks(drawn, pairs.pictures, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=int, default=CAPTIONS, help="[%(default)s]")
    parser.add_argument("--seed", type=int, default=SEED, help="of the choice of captions [%(default)s]")
    parser.add_argument("--missed", action="store_true", help="list the captions not among the ten")
    add_drawing_arguments(parser)
    args = parser.parse_args()
    os.nice(19)

    pairs = load_pairs(args.work)
    text = np.load(args.work / "text.npz")
    rows = chosen_rows(pairs, args.captions, args.seed)
    found = evaluate(load_networks(args), pairs, text, rows,
                     seed=args.noise_seed, steps=args.steps, guidance=args.guidance)

    def report(name: str, part: np.ndarray) -> None:
        shares = "  ".join(f"{key} {value:6.1%}" for key, value in figures(part).items())
        print(f"{name:20} {len(part):4} captions  {shares}")

    report("all", found)
    groups = collections.defaultdict(list)
    for row, rank in zip(rows, found):
        groups[pairs.groups[row]].append(rank)
    for group, part in sorted(groups.items()):
        report(group, np.array(part))
    if args.missed:
        print(*(f"{rank:5} {pairs.captions[row]}" for row, rank in zip(rows, found) if rank >= 10), sep="\n")


if __name__ == "__main__":
    main()
