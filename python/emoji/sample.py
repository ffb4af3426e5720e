#!/usr/bin/env python3
"""Draws pictures for prompts: `sample.py -o out.png "red apple" rocket`.

DDIM without added noise, classifier-free guidance, by the weights in the training folder or by an exported folder.
evaluate.py, contact_sheet.py and training draw with the functions here.
"""
import argparse
import dataclasses
import json
import pathlib

import numpy as np
import torch
from diffusers import DDIMScheduler
from PIL import Image

from exported import ExportedAutoencoder, ExportedUnet
from networks import LATENT_CHANNELS, LATENT_SIDE, SCHEDULER_CONFIG, Autoencoder, load_weights, make_unet, to_pictures
from text_states import TextEncoder
from workspace import add_work_argument

STEPS, GUIDANCE = 20, 3.0


@dataclasses.dataclass(frozen=True)
class Networks:
    """What drawing needs; the networks of PyTorch (FP32 or BF16) or of an exported folder."""
    unet: torch.nn.Module | ExportedUnet
    autoencoder: Autoencoder | ExportedAutoencoder
    scheduler: dict  # Configuration of a DDIMScheduler.


@torch.no_grad()
def draw(networks: Networks, states: np.ndarray, empty: np.ndarray, *, seed: int = 0, steps: int = STEPS,
         guidance: float = GUIDANCE, batch: int = 31) -> np.ndarray:
    """Pictures uint8 [n, 64, 64, 3] for text states [n, 16, 384]; `empty` is the state of no caption.

    Picture i starts from noise of its own generator (seed + i), so it does not depend on `batch`.
    """
    unet = networks.unet
    scheduler = DDIMScheduler.from_config(networks.scheduler)
    scheduler.set_timesteps(steps)
    states, empty = torch.from_numpy(states).to(unet.dtype), torch.from_numpy(empty).to(unet.dtype)
    pictures = []
    for start in range(0, len(states), batch):
        part = states[start:start + batch]
        generators = [torch.Generator().manual_seed(seed + start + i) for i in range(len(part))]
        latents = torch.stack([torch.randn((LATENT_CHANNELS, LATENT_SIDE, LATENT_SIDE), generator=generator)
                               for generator in generators])
        both = torch.cat([empty.expand(len(part), -1, -1), part])
        for timestep in scheduler.timesteps:
            velocity = unet(torch.cat([latents, latents]).to(unet.dtype), timestep, both, return_dict=False)[0].float()
            without, with_text = velocity.chunk(2)
            guided = without + guidance * (with_text - without)
            latents = scheduler.step(guided, timestep, latents, return_dict=False)[0]
        pictures.append(to_pictures(networks.autoencoder.decode(latents)))
    return np.concatenate(pictures)


def add_drawing_arguments(parser: argparse.ArgumentParser) -> None:
    add_work_argument(parser)
    parser.add_argument("--exported", type=pathlib.Path, help="draw with this exported folder (ONNX Runtime, FP32)")
    parser.add_argument("--steps", type=int, default=STEPS, help="[%(default)s]")
    parser.add_argument("--guidance", type=float, default=GUIDANCE, help="[%(default)s]")
    parser.add_argument("--noise-seed", type=int, default=0, help="[%(default)s]")


def load_networks(args: argparse.Namespace) -> Networks:
    """Those of an exported folder, or those of training (running average in BF16, autoencoder in FP32)."""
    if args.exported:
        scheduler = json.loads((args.exported / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
        return Networks(ExportedUnet(args.exported), ExportedAutoencoder(args.exported), scheduler)
    unet = load_weights(make_unet(), args.work / "unet.safetensors")
    unet.to(torch.bfloat16, memory_format=torch.channels_last)
    return Networks(unet, load_weights(Autoencoder(), args.work / "autoencoder.safetensors"), SCHEDULER_CONFIG)


def draw_prompts(args: argparse.Namespace, prompts: list[str]) -> np.ndarray:
    """Pictures uint8 [n, 64, 64, 3] for any prompts, as the drawing arguments say."""
    encoder = TextEncoder()
    return draw(load_networks(args), encoder.states(prompts), encoder.states([""])[0],
                seed=args.noise_seed, steps=args.steps, guidance=args.guidance)


def grid(pictures: np.ndarray, columns: int) -> Image.Image:
    """All pictures in rows of at most `columns`, on white."""
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    side = pictures.shape[1]
    page = np.full((rows * columns, side, side, 3), 255, np.uint8)
    page[:len(pictures)] = pictures
    return Image.fromarray(page.reshape(rows, columns, side, side, 3).swapaxes(1, 2).reshape(rows * side, -1, 3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompts", nargs="+")
    parser.add_argument("-o", "--output", default="emoji.png", help="[%(default)s]")
    add_drawing_arguments(parser)
    args = parser.parse_args()
    grid(draw_prompts(args, args.prompts), columns=10).save(args.output)


if __name__ == "__main__":
    main()
