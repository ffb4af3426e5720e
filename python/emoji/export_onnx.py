#!/usr/bin/env python3
"""Exports `emoji` as a Diffusers folder of ONNX models: `export_onnx.py` writes models-src/emoji/1.

Weights are stored as FP16 and cast where they are used; ONNX Runtime folds the casts when it loads, so a CPU computes
in FP32. They keep PyTorch's names: from_onnx.py makes modules of them again. All graphs are opset 17 with a dynamic
batch. `timestep` has one value per row: rows of one batch may be at different steps. The text encoder is no file here:
text_encoder/config.json names the served model `minilm`.
"""
import argparse
import hashlib
import json
import pathlib
import shutil

import diffusers
import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from networks import LATENT_CHANNELS, LATENT_SIDE, SCHEDULER_CONFIG, Autoencoder, load_weights, make_unet
from text_states import TOKENS, WIDTH
from workspace import ROOT, add_work_argument

FOLDER = ROOT / "models-src" / "emoji" / "1"
OPSET = 17
# Smaller constants are shapes, axes and scales; they stay as they are.
FEWEST_FP16_VALUES = 64
LARGEST_DIFFERENCE = 2e-3

MODEL_INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": diffusers.__version__,
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["mezzo", "minilm"],  # A served model and its tokenizer, by name.
    "tokenizer": [None, None],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae_decoder": ["diffusers", "AutoencoderKL"],
    "vae_encoder": ["diffusers", "AutoencoderKL"],
    "feature_extractor": [None, None],
    "safety_checker": [None, None],
}
TEXT_ENCODER_CONFIG = {
    "model": "minilm",
    "output": "last_hidden_state",
    "max_tokens": TOKENS,
    "hidden_size": WIDTH,
    "zero_padding": True,  # Rows beyond the last token are 0.
}
VAE_CONFIG = {
    "_class_name": "AutoencoderKL",
    "sample_size": 64,
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": LATENT_CHANNELS,
    "block_out_channels": [12, 64, 128],  # Three resolutions: latents have a quarter of the picture's side.
    "scaling_factor": 1.0,  # The graphs scale the latents themselves.
}


class Unet(torch.nn.Module):
    """The denoiser with positional inputs and one tensor as its result."""

    def __init__(self, unet):
        super().__init__()
        self.unet = unet

    def forward(self, sample, timestep, encoder_hidden_states):
        return self.unet(sample, timestep, encoder_hidden_states, return_dict=False)[0]


class VaeEncoder(torch.nn.Module):
    def __init__(self, autoencoder):
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, sample):
        return self.autoencoder.encode(sample)


class VaeDecoder(torch.nn.Module):
    def __init__(self, autoencoder):
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, latent_sample):
        return self.autoencoder.decode(latent_sample)


def store_weights_as_fp16(model: onnx.ModelProto) -> None:
    """Replaces every large FP32 constant by an FP16 one and a Cast that gives it its old name."""
    graph = model.graph
    casts = []
    for weight in graph.initializer:
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < FEWEST_FP16_VALUES:
            continue
        name = weight.name
        values = numpy_helper.to_array(weight)
        if np.abs(values).max() > np.finfo(np.float16).max:
            raise SystemExit(f"export_onnx: {name} does not fit FP16")
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + ".fp16"))
        casts.append(helper.make_node("Cast", [name + ".fp16"], [name], name=name + ".cast", to=TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend(casts + nodes)


def export(module: torch.nn.Module, folder: pathlib.Path, inputs: dict[str, torch.Tensor], output: str,
           config: dict) -> None:
    """Writes `folder`/model.onnx and config.json and compares ONNX Runtime with `module` on `inputs`."""
    folder.mkdir(parents=True)
    path = folder / "model.onnx"
    torch.onnx.export(module, tuple(inputs.values()), path, input_names=list(inputs), output_names=[output],
                      dynamic_axes={name: {0: "batch"} for name in [*inputs, output]}, opset_version=OPSET,
                      do_constant_folding=False, dynamo=False)  # Folding would transpose and rename weights.
    model = onnx.load(path)
    store_weights_as_fp16(model)
    model.doc_string = ""
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for rows in (1, len(next(iter(inputs.values())))):
        part = {name: value[:rows] for name, value in inputs.items()}
        with torch.no_grad():
            expected = module(*part.values()).numpy()
        actual = session.run([output], {name: value.numpy() for name, value in part.items()})[0]
        difference = float(np.abs(actual - expected).max())
        print(f"{folder.name}, {rows} rows: {path.stat().st_size / 1e6:.2f} MB, largest difference {difference:.1e}")
        if difference > LARGEST_DIFFERENCE:
            raise SystemExit(f"export_onnx: {folder.name} differs from PyTorch by {difference}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_work_argument(parser)
    parser.add_argument("--folder", type=pathlib.Path, default=FOLDER, help="is replaced [%(default)s]")
    args = parser.parse_args()
    torch.manual_seed(0)

    # FP16 before the comparison: what is exported is what is compared.
    autoencoder = load_weights(Autoencoder(), args.work / "autoencoder.safetensors").half().float()
    unet = load_weights(make_unet(), args.work / "unet.safetensors").half().float()
    scratch = args.folder.with_name(".partial." + args.folder.name)
    shutil.rmtree(scratch, ignore_errors=True)
    latents = torch.randn(5, LATENT_CHANNELS, LATENT_SIDE, LATENT_SIDE)
    export(Unet(unet), scratch / "unet",
           {"sample": latents, "timestep": torch.tensor([999, 0, 500, 20, 700]),
            "encoder_hidden_states": torch.randn(5, TOKENS, WIDTH) * 0.3},
           "out_sample", {"_class_name": "UNet2DConditionModel", **{
               key: value for key, value in unet.config.items() if not key.startswith("_")}})
    export(VaeEncoder(autoencoder), scratch / "vae_encoder", {"sample": torch.rand(5, 3, 64, 64) * 2 - 1},
           "latent_sample", VAE_CONFIG)
    export(VaeDecoder(autoencoder), scratch / "vae_decoder", {"latent_sample": latents}, "sample", VAE_CONFIG)
    for name, content in (("model_index.json", MODEL_INDEX), ("text_encoder/config.json", TEXT_ENCODER_CONFIG),
                          ("scheduler/scheduler_config.json", {"_class_name": "DDIMScheduler", **SCHEDULER_CONFIG})):
        path = scratch / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    if args.folder.exists():
        shutil.rmtree(args.folder)
    scratch.rename(args.folder)
    files = sorted(path for path in args.folder.rglob("*") if path.is_file())
    for path in files:
        print(hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size, path.relative_to(args.folder))
    print(f"{sum(path.stat().st_size for path in files) / 1e6:.2f} MB in {args.folder}")


if __name__ == "__main__":
    main()
