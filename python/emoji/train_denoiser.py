#!/usr/bin/env python3
"""Trains the denoiser of `emoji` on a CPU; run it again to go on where it stopped.

Forward and backward pass are BF16 (AMX where the processor has it) with FP32 master weights. Every few minutes
checkpoint.pt (all state) and unet.safetensors (running average of the weights) are replaced; now and then the figures
of evaluate.py are added to log.txt. Sleeps while politeness.PAUSE_FILE exists. SIGTERM and SIGINT end it after a
checkpoint; so does reaching --steps, after a last evaluation.
"""
import argparse
import fcntl
import signal
import sys
import time

import numpy as np
import torch
from diffusers import DDIMScheduler

from evaluate import chosen_rows, evaluate, figures
from networks import SCHEDULER_CONFIG, Autoencoder, load_weights, make_unet, save_weights, to_tensor
from politeness import Politeness
from sample import Networks
from small_map_conv import use_small_map_convolutions
from workspace import Pairs, add_work_argument, load_pairs, write_file

# Below 64: from there on Diffusers' upsampling leaves the channels-last layout, which costs a tenth of the speed.
BATCH = 62
PEAK_RATE, WARMUP_STEPS, DECAY_SHARE = 1e-3, 500, 0.3
AVERAGE_DECAY = 0.999
NO_CAPTION_SHARE = 0.1
OTHER_WORDING_SHARE = 0.3
# Timesteps are 1000 * u**TIMESTEP_POWER for uniform u: more of the noisy ones, where the caption decides the picture.
TIMESTEP_POWER = 0.7
# The squared error of the predicted latents counts min(1 + snr, this) times.
LARGEST_WEIGHT = 5.0
SAVE_SECONDS, FEWEST_STEPS_PER_SAVE = 300, 25  # Beside other work a step can take a minute.


def learning_rate(step: int, steps: int) -> float:
    """Warm-up, a long plateau, and a linear descent to a hundredth over the last DECAY_SHARE of `steps`."""
    left = max(0.01, min(1.0, (steps - step) / (DECAY_SHARE * steps)))
    return PEAK_RATE * min(1.0, (step + 1) / WARMUP_STEPS) * left


class Batches:
    """Endless training batches of (latents, text states); everyday things come twice an epoch, the rest once."""

    def __init__(self, latents: torch.Tensor, pairs: Pairs, text):
        self.latents = latents
        self.captions = torch.from_numpy(text["captions"])
        self.others = torch.from_numpy(text["others"])
        self.empty = torch.from_numpy(text["empty"])
        owners = torch.from_numpy(text["owners"])
        self.first_other = torch.searchsorted(owners, torch.arange(len(latents)))
        self.other_count = torch.bincount(owners, minlength=len(latents))
        everyday = torch.tensor(pairs.is_everyday).nonzero().flatten()
        self.rows = torch.cat([torch.arange(len(latents)), everyday])
        self.order = torch.empty(0, dtype=torch.int64)

    def next(self) -> tuple[torch.Tensor, torch.Tensor]:
        while len(self.order) < BATCH:
            self.order = torch.cat([self.order, self.rows[torch.randperm(len(self.rows))]])
        rows, self.order = self.order[:BATCH], self.order[BATCH:]
        other = self.first_other[rows] + (torch.rand(BATCH) * self.other_count[rows]).long()
        states = torch.where((torch.rand(BATCH) < OTHER_WORDING_SHARE)[:, None, None],
                             self.others[other], self.captions[rows])
        states[torch.rand(BATCH) < NO_CAPTION_SHARE] = self.empty
        return self.latents[rows], states


class Trainer:
    """The BF16 model that computes, and its FP32 master weights, running average and optimizer."""

    def __init__(self):
        self.model = make_unet()
        use_small_map_convolutions(self.model)
        self.master = [parameter.detach().clone() for parameter in self.model.parameters()]
        self.average = [tensor.clone() for tensor in self.master]
        for tensor in self.master:
            tensor.grad = torch.zeros_like(tensor)
        self.model.to(torch.bfloat16, memory_format=torch.channels_last)
        self.parameters = list(self.model.parameters())
        self.optimizer = torch.optim.AdamW(self.master, PEAK_RATE, betas=(0.9, 0.99), weight_decay=1e-3, fused=True)
        self.noise = DDIMScheduler(**SCHEDULER_CONFIG)
        self.step = 0
        self.hours = 0.0

    def train(self, latents: torch.Tensor, states: torch.Tensor, rate: float) -> float:
        """One optimizer step; returns the weighted loss."""
        n = len(latents)
        # One timestep from each of n equal slices: less noise in the gradient than n independent ones.
        uniform = (torch.randperm(n) + torch.rand(n)) / n
        timesteps = (1000 * uniform ** TIMESTEP_POWER).long()
        noise = torch.randn_like(latents)
        noisy = self.noise.add_noise(latents, noise, timesteps)
        target = self.noise.get_velocity(latents, noise, timesteps)
        share = self.noise.alphas_cumprod[timesteps]  # snr = share / (1 - share), 1 + snr = 1 / (1 - share).
        weight = (LARGEST_WEIGHT * (1 - share)).clamp(max=1.0)  # Velocity's own weight on the latents is 1 + snr.

        noisy = noisy.to(torch.bfloat16, memory_format=torch.channels_last)
        velocity = self.model(noisy, timesteps, states.to(torch.bfloat16), return_dict=False)[0]
        loss = (weight * (velocity.float() - target).square().mean((1, 2, 3))).mean()
        loss.backward()
        self._update(rate)
        return loss.item()

    @torch.no_grad()
    def _update(self, rate: float) -> None:
        torch._foreach_copy_([tensor.grad for tensor in self.master], [p.grad for p in self.parameters])
        self.model.zero_grad()
        torch.nn.utils.clip_grad_norm_(self.master, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        torch._foreach_copy_(self.parameters, self.master)
        decay = min(AVERAGE_DECAY, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self.average, self.master, 1 - decay)
        self.step += 1

    def averaged_model(self) -> torch.nn.Module:
        """A new FP32 denoiser with the running average of the weights."""
        result = make_unet()
        with torch.no_grad():
            torch._foreach_copy_(list(result.parameters()), self.average)
        return result.eval()

    def save(self, work) -> None:
        state = {"master": [tensor.detach() for tensor in self.master], "average": self.average,
                 "optimizer": self.optimizer.state_dict(), "step": self.step, "hours": self.hours}
        write_file(work / "checkpoint.pt", lambda path: torch.save(state, path))
        save_weights(self.averaged_model(), work / "unet.safetensors", torch.float16)

    def load(self, work) -> None:
        state = torch.load(work / "checkpoint.pt")
        with torch.no_grad():
            torch._foreach_copy_(self.master, state["master"])
            torch._foreach_copy_(self.parameters, self.master)
            torch._foreach_copy_(self.average, state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.hours = state["step"], state["hours"]


def log(work, line: str) -> None:
    with open(work / "log.txt", "a", encoding="utf-8") as file:
        file.write(line + "\n")
    print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_work_argument(parser)
    parser.add_argument("--steps", type=int, default=16000, help="the end of the learning rate's descent [%(default)s]")
    parser.add_argument("--evaluate-steps", type=int, default=1000, help="steps between evaluations [%(default)s]")
    args = parser.parse_args()
    politeness = Politeness()
    lock = open(args.work / ".lock-denoiser", "w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"train_denoiser: another process trains in {args.work}")
    stopped = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.append(True))

    pairs = load_pairs(args.work)
    text = dict(np.load(args.work / "text.npz"))
    autoencoder = load_weights(Autoencoder(), args.work / "autoencoder.safetensors")
    with torch.no_grad():
        latents = torch.cat([autoencoder.encode(part) for part in to_tensor(pairs.pictures).split(64)])
    batches = Batches(latents, pairs, text)
    trainer = Trainer()
    if (args.work / "checkpoint.pt").exists():
        trainer.load(args.work)
    torch.manual_seed(trainer.step)
    log(args.work, f"training from step {trainer.step}: {sum(map(torch.numel, trainer.master)) / 1e6:.2f} M parameters")

    losses = []
    saved = time.monotonic()
    while trainer.step < args.steps and not stopped:
        politeness.before_step()
        started = time.monotonic()
        losses.append(trainer.train(*batches.next(), learning_rate(trainer.step, args.steps)))
        trainer.hours += (time.monotonic() - started) / 3600
        if started > saved + SAVE_SECONDS and len(losses) >= FEWEST_STEPS_PER_SAVE:
            trainer.save(args.work)
            log(args.work, f"step {trainer.step} loss {np.mean(losses):.4f} hours {trainer.hours:.2f}")
            losses = []
            saved = time.monotonic()
        if trainer.step % args.evaluate_steps == 0 and trainer.step < args.steps:
            report(args.work, trainer, autoencoder, pairs, text)
    trainer.save(args.work)
    if not stopped:
        report(args.work, trainer, autoencoder, pairs, text)


def report(work, trainer: Trainer, autoencoder: Autoencoder, pairs: Pairs, text) -> None:
    """Adds the figures of evaluate.py for the averaged weights to log.txt."""
    model = trainer.averaged_model().to(torch.bfloat16, memory_format=torch.channels_last)
    shares = figures(evaluate(Networks(model, autoencoder, SCHEDULER_CONFIG), pairs, text, chosen_rows(pairs)))
    epoch = trainer.step * BATCH / len(pairs.captions)
    log(work, f"evaluated: step {trainer.step} epoch {epoch:.0f} hours {trainer.hours:.2f} "
        + " ".join(f"{name} {share:.1%}" for name, share in shares.items()))


if __name__ == "__main__":
    main()
