"""Puts ONNX Runtime in place of a Diffusers pipeline's networks."""
import contextlib
import pathlib

import numpy as np
import onnxruntime
import torch
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.clip.modeling_clip import CLIPTextModelOutput

TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64,
         "tensor(int32)": np.int32}


class Session:
    """One part: takes and gives FP32 or int64 tensors whatever its own types are. Not thread-safe."""

    def __init__(self, path: pathlib.Path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.inputs = {value.name: value for value in self.session.get_inputs()}
        self.outputs = [value.name for value in self.session.get_outputs()]

    def __call__(self, **tensors: torch.Tensor) -> dict[str, torch.Tensor]:
        assert set(tensors) == set(self.inputs), (set(tensors), set(self.inputs))
        feeds = {name: tensor.numpy().astype(TYPES[self.inputs[name].type]) for name, tensor in tensors.items()}
        results = self.session.run(None, feeds)
        return {name: torch.from_numpy(result.astype(np.float32)) for name, result in zip(self.outputs, results)}


def text_forward(session: Session):
    def forward(input_ids, attention_mask=None, output_hidden_states=False):
        assert attention_mask is None
        result = session(input_ids=input_ids)
        hidden = tuple(value for name, value in result.items() if name.startswith("hidden_states."))
        if "text_embeds" in result:
            return CLIPTextModelOutput(text_embeds=result["text_embeds"], hidden_states=hidden or None,
                                       last_hidden_state=result["last_hidden_state"])
        return BaseModelOutputWithPooling(result["last_hidden_state"], result["pooler_output"], hidden or None)
    return forward


def unet_forward(session: Session):
    rank = len(session.inputs["timestep"].shape)

    def forward(sample, timestep, encoder_hidden_states=None, timestep_cond=None, added_cond_kwargs=None, **_):
        timestep = torch.as_tensor(timestep)
        feeds = {"sample": sample, "timestep": timestep.expand(len(sample)) if rank else timestep,
                 "encoder_hidden_states": encoder_hidden_states, **(added_cond_kwargs or {})}
        if timestep_cond is not None:
            feeds["timestep_cond"] = timestep_cond
        return (session(**feeds)["out_sample"],)
    return forward


@contextlib.contextmanager
def replaced_by_onnx(pipeline, folder: pathlib.Path):
    """While it is open the networks of `pipeline` are those of `folder`."""
    encoder, decoder = Session(folder / "vae_encoder" / "model.onnx"), Session(folder / "vae_decoder" / "model.onnx")

    def encode(sample, return_dict=True):
        (name, value), = encoder(sample=sample).items()
        if name == "latent_sample":  # No distribution: its own mean, without deviation.
            value = torch.cat([value, torch.full_like(value, -30)], dim=1)
        return AutoencoderKLOutput(latent_dist=DiagonalGaussianDistribution(value))

    def decode(latents, return_dict=True, generator=None):
        sample = decoder(latent_sample=latents)["sample"]
        return DecoderOutput(sample=sample) if return_dict else (sample,)

    replaced = [(pipeline.vae, "encode", encode), (pipeline.vae, "decode", decode),
                (pipeline.unet, "forward", unet_forward(Session(folder / "unet" / "model.onnx")))]
    for part in ("text_encoder", "text_encoder_2"):
        if getattr(pipeline, part, None) is not None:
            replaced.append((getattr(pipeline, part), "forward", text_forward(Session(folder / part / "model.onnx"))))
    for module, name, function in replaced:
        setattr(module, name, function)
    try:
        yield
    finally:
        for module, name, _ in replaced:
            delattr(module, name)
