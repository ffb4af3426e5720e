"""A pipeline in NumPy over the ONNX files that the server serves, without PyTorch and Diffusers."""

import json
import pathlib

import numpy as np
import onnxruntime
from images_text import TextEncoder


class Ddim:
    """DDIM without added noise for v prediction, in Diffusers' arithmetic. Immutable."""

    def __init__(self, config: dict):
        assert config["_class_name"] == "DDIMScheduler" and config["beta_schedule"] == "scaled_linear"
        assert config["prediction_type"] == "v_prediction" and config["timestep_spacing"] == "trailing"
        assert not config["clip_sample"]
        self.training_steps = config["num_train_timesteps"]
        roots = np.linspace(config["beta_start"] ** 0.5, config["beta_end"] ** 0.5, self.training_steps, dtype=np.float32)
        self.signal = np.cumprod(1 - roots ** 2, dtype=np.float32)

    def timesteps(self, steps: int) -> np.ndarray:
        return np.round(np.arange(self.training_steps, 0, -self.training_steps / steps)).astype(np.int64) - 1

    def step(self, velocity: np.ndarray, timestep: int, latents: np.ndarray, steps: int) -> np.ndarray:
        previous = timestep - self.training_steps // steps
        now = self.signal[timestep]
        then = self.signal[previous] if previous >= 0 else np.float32(1)
        original = now ** 0.5 * latents - (1 - now) ** 0.5 * velocity
        noise = now ** 0.5 * velocity + (1 - now) ** 0.5 * latents
        return then ** 0.5 * original + (1 - then) ** 0.5 * noise


class Pipeline:
    """Thread-safe: sessions are shared, everything else belongs to a call."""

    def __init__(self, folder: pathlib.Path, text_folder: pathlib.Path, threads: int):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads

        def load(part):
            return onnxruntime.InferenceSession(folder / part / "model.onnx", options, providers=["CPUExecutionProvider"])

        self.unet, self.decoder = load("unet"), load("vae_decoder")
        self.encoder = TextEncoder(text_folder, threads)
        self.scheduler = Ddim(json.loads((folder / "scheduler" / "scheduler_config.json").read_text()))
        unet = json.loads((folder / "unet" / "config.json").read_text())
        self.shape = (unet["in_channels"], unet["sample_size"], unet["sample_size"])

    def draw(self, prompt: str, seeds: list[int], steps: int, guidance: float) -> np.ndarray:
        """uint8 [len(seeds), 64, 64, 3]."""
        n = len(seeds)
        latents = np.stack([np.random.default_rng(seed).standard_normal(self.shape, np.float32) for seed in seeds])
        captions = [self.encoder.states("")] * n + [self.encoder.states(prompt)] * n
        states = np.stack(captions if guidance > 1 else captions[n:])
        for timestep in self.scheduler.timesteps(steps):
            sample = np.concatenate([latents, latents]) if guidance > 1 else latents
            feeds = {"sample": sample, "timestep": np.full(len(sample), timestep), "encoder_hidden_states": states}
            velocity = self.unet.run(["out_sample"], feeds)[0]
            if guidance > 1:
                velocity = velocity[:n] + guidance * (velocity[n:] - velocity[:n])
            latents = self.scheduler.step(velocity, timestep, latents, steps)
        pixels = self.decoder.run(["sample"], {"latent_sample": latents})[0]
        return ((pixels.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8).transpose(0, 2, 3, 1)
