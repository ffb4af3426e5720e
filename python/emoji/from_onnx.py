"""Modules of PyTorch with the weights of an exported folder: a benchmark's peer computes with them what is served."""
import pathlib

import onnx
import torch
from onnx import numpy_helper

from networks import Autoencoder, make_unet


def read_weights(path: pathlib.Path, module: str) -> dict[str, torch.Tensor]:
    """The weights of `module` inside an exported graph, in FP32, by their names in that module."""
    prefix, suffix = module + ".", ".fp16"
    return {tensor.name.removeprefix(prefix).removesuffix(suffix):
            torch.from_numpy(numpy_helper.to_array(tensor).copy()).float()
            for tensor in onnx.load(path).graph.initializer if tensor.name.startswith(prefix)}


def load_unet(folder: pathlib.Path) -> torch.nn.Module:
    """The denoiser; every weight must be there."""
    unet = make_unet()
    unet.load_state_dict(read_weights(folder / "unet" / "model.onnx", "unet"))
    return unet.eval()


def load_autoencoder(folder: pathlib.Path) -> Autoencoder:
    """Both halves, out of their two graphs."""
    autoencoder = Autoencoder()
    weights = {}
    for half in ("vae_encoder", "vae_decoder"):
        weights.update(read_weights(folder / half / "model.onnx", "autoencoder"))
    autoencoder.load_state_dict(weights)
    return autoencoder.eval()
