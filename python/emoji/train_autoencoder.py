#!/usr/bin/env python3
"""Trains the autoencoder between 64x64 pictures and 8x16x16 latents and writes autoencoder.safetensors.

Noise is added to the latents while training, so that nearby latents decode to nearby pictures and the denoiser's
small errors stay small. Pictures are mirrored half of the time: image to image gets pictures that were never seen.
With --decoder-only the encoder and with it the latents stay as they are, so that a trained denoiser goes on to fit.
"""
import argparse
import math
import time

import torch
from torch.nn import functional

from networks import Autoencoder, load_weights, save_weights, to_pictures, to_tensor
from politeness import Politeness
from workspace import add_work_argument, load_pairs

BATCH = 32
WARMUP_STEPS = 200


def edges(x):
    """Differences of neighbouring pixels, both directions in one flat tensor."""
    return torch.cat([(x[..., 1:] - x[..., :-1]).flatten(), (x[..., 1:, :] - x[..., :-1, :]).flatten()])


def loss_of(result, pictures, latents):
    """Absolute and squared error, sharpness of edges, and a weak pull of the latents towards 0."""
    return (functional.l1_loss(result, pictures) + functional.mse_loss(result, pictures)
            + 0.5 * functional.l1_loss(edges(result), edges(pictures)) + 1e-3 * latents.square().mean())


@torch.no_grad()
def normalise_latents(model: Autoencoder, pictures) -> None:
    """Sets `shift` and `scale` to the mean and deviation of each latent channel over all pictures."""
    latents = torch.cat([model.bounded(part) for part in pictures.split(64)])
    model.shift.copy_(latents.mean((0, 2, 3)).view(-1, 1, 1))
    model.scale.copy_(latents.std((0, 2, 3)).view(-1, 1, 1))


@torch.no_grad()
def psnr(model: Autoencoder, pictures) -> float:
    """Of the 8-bit round trip without noise, in dB over all pictures."""
    error = sum((torch.from_numpy(to_pictures(model.decode(model.encode(part)))).float()
                 - torch.from_numpy(to_pictures(part)).float()).square().sum().item() for part in pictures.split(64))
    return 10 * math.log10(255 ** 2 * pictures.numel() / error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_work_argument(parser)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--noise", type=float, default=0.1, help="largest deviation of noise on latents [%(default)s]")
    parser.add_argument("--peak-rate", type=float, default=2e-3, help="of learning [%(default)s]")
    parser.add_argument("--decoder-only", action="store_true", help="go on from autoencoder.safetensors")
    args = parser.parse_args()
    politeness = Politeness()
    torch.manual_seed(0)

    pictures = to_tensor(load_pairs(args.work).pictures)
    path = args.work / "autoencoder.safetensors"
    model = Autoencoder().to(memory_format=torch.channels_last)
    if args.decoder_only:
        load_weights(model, path)
        model.encoder.requires_grad_(False)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, 1.0, betas=(0.9, 0.99), weight_decay=1e-4, fused=True)
    steps = args.epochs * (len(pictures) // BATCH)

    def rate(step: int) -> float:  # Warm-up, then half a cosine down to a hundredth.
        return args.peak_rate * min(1, (step + 1) / WARMUP_STEPS) * (0.505 + 0.495 * math.cos(math.pi * step / steps))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)

    started = time.monotonic()
    for epoch in range(1, args.epochs + 1):
        squared_error = 0.0
        order = torch.randperm(len(pictures))[:len(pictures) // BATCH * BATCH].view(-1, BATCH)
        for rows in order:
            politeness.before_step()
            batch = pictures[rows]
            if torch.rand(()) < 0.5:
                batch = batch.flip(3)
            batch = batch.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                latents = model.bounded(batch)
                deviation = args.noise * torch.rand(BATCH, 1, 1, 1)
                result = model.decoder(latents + deviation * torch.randn(latents.shape)).float()
            loss = loss_of(result, batch, latents.float())
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            squared_error += functional.mse_loss(result.detach(), batch).item()
        if epoch % 5 == 0 or epoch in (1, args.epochs):
            if not args.decoder_only:
                normalise_latents(model, pictures)
            save_weights(model, path)
            noisy = 10 * math.log10(4 * len(order) / squared_error)
            print(f"epoch {epoch}: PSNR {psnr(model, pictures):.2f} dB, with noise {noisy:.2f} dB, "
                  f"{time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
