"""The same model by PyTorch and Diffusers: its UNet2DConditionModel and DDIMScheduler, FP32 as everywhere else here."""

import json
import pathlib
import sys

import numpy as np
import torch
from diffusers import DDIMScheduler
from images_text import TextEncoder

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python" / "emoji"))
import from_onnx  # noqa: E402


class Pipeline:
    """Thread-safe: networks are shared; a scheduler is not thread-safe and belongs to a call."""

    def __init__(self, folder: pathlib.Path, text_folder: pathlib.Path, threads: int):
        torch.set_num_threads(threads)
        self.unet = from_onnx.load_unet(folder).to(memory_format=torch.channels_last)
        self.autoencoder = from_onnx.load_autoencoder(folder).to(memory_format=torch.channels_last)
        self.encoder = TextEncoder(text_folder, threads)
        self.scheduler = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())

    @torch.inference_mode()
    def draw(self, prompt: str, seeds: list[int], steps: int, guidance: float) -> np.ndarray:
        """uint8 [len(seeds), 64, 64, 3]."""
        n, config = len(seeds), self.unet.config
        shape = (config.in_channels, config.sample_size, config.sample_size)
        latents = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        captions = [self.encoder.states("")] * n + [self.encoder.states(prompt)] * n
        states = torch.from_numpy(np.stack(captions if guidance > 1 else captions[n:]))
        scheduler = DDIMScheduler.from_config(self.scheduler)
        scheduler.set_timesteps(steps)
        for timestep in scheduler.timesteps:
            sample = torch.cat([latents, latents]) if guidance > 1 else latents
            velocity = self.unet(sample, timestep, states, return_dict=False)[0]
            if guidance > 1:
                velocity = velocity[:n] + guidance * (velocity[n:] - velocity[:n])
            latents = scheduler.step(velocity, timestep, latents, return_dict=False)[0]
        pixels = self.autoencoder.decode(latents)
        return ((pixels.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
