"""The exported folder as stand-ins for the PyTorch networks: what is drawn and judged is then what is served."""
import pathlib

import onnxruntime
import torch


class ExportedUnet:
    """Called like the denoiser in networks.py; FP32 by ONNX Runtime on the CPU."""

    dtype = torch.float32

    def __init__(self, folder: pathlib.Path):
        self.session = onnxruntime.InferenceSession(folder / "unet" / "model.onnx", providers=["CPUExecutionProvider"])

    def __call__(self, sample, timestep, encoder_hidden_states, return_dict: bool):
        assert not return_dict
        feeds = {"sample": sample.numpy(), "timestep": timestep.expand(len(sample)).numpy(),
                 "encoder_hidden_states": encoder_hidden_states.numpy()}
        return (torch.from_numpy(self.session.run(["out_sample"], feeds)[0]),)


class ExportedAutoencoder:
    """Decodes latents like Autoencoder."""

    def __init__(self, folder: pathlib.Path):
        self.session = onnxruntime.InferenceSession(folder / "vae_decoder" / "model.onnx",
                                                    providers=["CPUExecutionProvider"])

    def decode(self, latents):
        return torch.from_numpy(self.session.run(["sample"], {"latent_sample": latents.numpy()})[0])
