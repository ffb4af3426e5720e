"""The networks of `emoji`: an autoencoder between pictures and latents, and the denoiser in Diffusers' layout.

Pictures are FP32 [n, 3, 64, 64] in -1..1, latents FP32 [n, 8, 16, 16] with mean 0 and deviation 1 per channel.
"""
import pathlib

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from workspace import write_file

LATENT_CHANNELS, LATENT_SIDE = 8, 16
# Latents stay within +-LATENT_BOUND before they are normalised, so that the noise of training means something.
LATENT_BOUND = 4.0
# Few groups: PyTorch's group norm on a CPU is ten times slower when a group has fewer than 16 channels.
UNET_NORM_GROUPS = 4

UNET_CONFIG = {
    "sample_size": LATENT_SIDE,
    "in_channels": LATENT_CHANNELS,
    "out_channels": LATENT_CHANNELS,
    "layers_per_block": 1,
    "block_out_channels": (64, 128, 208),
    "down_block_types": ("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 384,
    "attention_head_dim": 4,
    "use_linear_projection": True,
    "norm_num_groups": UNET_NORM_GROUPS,
    # The pooled caption joins the time embedding and scales and shifts every residual block: with 1,870 captions to
    # tell apart this teaches far more per parameter than cross attention does.
    "addition_embed_type": "text",
    "addition_embed_type_num_heads": 12,
    "encoder_hid_dim": 384,
    "time_embedding_dim": 384,
    "resnet_time_scale_shift": "scale_shift",
}
SCHEDULER_CONFIG = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    # Above Stable Diffusion's 0.012: 16x16 latents average noise over fewer values, so the last step must hide more.
    "beta_end": 0.02,
    "prediction_type": "v_prediction",
    "clip_sample": False,
    "timestep_spacing": "trailing",
}


class ResidualBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), the identity before training."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(8, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x):
        inner = self.conv1(functional.silu(self.norm1(x)))
        return x + self.conv2(functional.silu(self.norm2(inner)))


class Autoencoder(nn.Module):
    """Pictures to latents and back. `shift` and `scale` normalise the latents; training sets them at its end."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(2), nn.Conv2d(12, 48, 3, padding=1), ResidualBlock(48),
            nn.Conv2d(48, 96, 3, stride=2, padding=1), ResidualBlock(96),
            nn.GroupNorm(8, 96), nn.SiLU(), nn.Conv2d(96, LATENT_CHANNELS, 3, padding=1))
        self.decoder = nn.Sequential(
            nn.Conv2d(LATENT_CHANNELS, 128, 3, padding=1), ResidualBlock(128), ResidualBlock(128),
            nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(128, 64, 3, padding=1),
            ResidualBlock(64), ResidualBlock(64),
            nn.GroupNorm(8, 64), nn.SiLU(), nn.Conv2d(64, 12, 3, padding=1), nn.PixelShuffle(2))
        self.register_buffer("shift", torch.zeros(LATENT_CHANNELS, 1, 1))
        self.register_buffer("scale", torch.ones(LATENT_CHANNELS, 1, 1))

    def bounded(self, pictures):
        """Latents before normalisation: linear near 0, saturating smoothly at +-LATENT_BOUND."""
        z = self.encoder(pictures)
        return z / (1 + (z / LATENT_BOUND) ** 4) ** 0.25

    def encode(self, pictures):
        return (self.bounded(pictures) - self.shift) / self.scale

    def decode(self, latents):
        return self.decoder(latents * self.scale + self.shift)


def make_unet() -> UNet2DConditionModel:
    """An untrained denoiser. Plain attention: the fused kernel's backward pass is slow on short sequences."""
    unet = UNet2DConditionModel(**UNET_CONFIG)
    unet.set_attn_processor(AttnProcessor())
    return unet


def save_weights(module: nn.Module, path: pathlib.Path, dtype: torch.dtype = torch.float32) -> None:
    tensors = {name: tensor.detach().to(dtype).contiguous() for name, tensor in module.state_dict().items()}
    write_file(path, lambda partial: save_file(tensors, partial))


def load_weights(module: nn.Module, path: pathlib.Path) -> nn.Module:
    """Fills `module` in its own type and puts it into evaluation mode."""
    tensors = load_file(path)
    module.load_state_dict({name: tensor.to(module.state_dict()[name].dtype) for name, tensor in tensors.items()})
    return module.eval()


def to_tensor(pictures) -> torch.Tensor:
    """uint8 [n, h, w, 3] to FP32 [n, 3, h, w] in -1..1."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pictures(tensor: torch.Tensor):
    """The inverse of to_tensor, rounding and clamping."""
    return ((tensor.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
