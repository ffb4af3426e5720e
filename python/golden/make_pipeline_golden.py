#!/usr/bin/env python3
"""Writes tiny pipelines as ONNX folders, and what Diffusers draws with them, for the C++ tests to compare with.

    ./dev golden      # or, in an environment with PyTorch and python/golden/requirements.txt:
    python python/golden/make_pipeline_golden.py [NAME...]

tests/golden/generation/pipelines/README.md describes the files. Every case is drawn twice: by PyTorch, which is what is
written, and by the same pipeline with ONNX Runtime in place of its networks; the two must agree.

Made with PyTorch 1.13 (Debian 12), Diffusers 0.30.3, Transformers 4.44.2 and ONNX Runtime 1.18.1.
"""
import dataclasses
import json
import pathlib
import sys
import warnings

import diffusers
import torch
from PIL import Image
from safetensors.torch import save_file

import pipeline_cases
from make_clip_tokenizer_golden import FOLDER
from onnx_folder import write_folder
from onnx_standins import replaced_by_onnx
from pipeline_cases import SAMPLERS, Case
from tiny_pipelines import make_pipeline
from transformers.utils import logging

PIPELINES = FOLDER / "pipelines"
SCALAR, WHOLE = torch.tensor(1.0), torch.tensor(1)
# Folder: the pipeline, the layout, an example of the denoiser's timestep, whether it is FP16, what is drawn.
FOLDERS = {
    "sd1": ("sd1", "cli", WHOLE, False, pipeline_cases.SD1),
    "sd1_old": ("sd1", "old", torch.tensor([1, 1]), False, pipeline_cases.OLD),
    "sd1_fp16": ("sd1", "cli", SCALAR, True, pipeline_cases.HALF),
    "sd2": ("sd2", "cli", SCALAR, False, pipeline_cases.SD2),
    "turbo": ("turbo", "cli", SCALAR, False, pipeline_cases.TURBO),
    "sdxl": ("sdxl", "saved", WHOLE, False, pipeline_cases.SDXL),
    "lcm": ("lcm", "cli", WHOLE, False, pipeline_cases.LCM),
    "inpaint": ("inpaint", "saved", WHOLE, False, pipeline_cases.INPAINT),
}
TASKS = {  # The class of a pipeline, without its prefix: those of (text to image, image to image, inpainting).
    "StableDiffusion": (diffusers.StableDiffusionPipeline, diffusers.StableDiffusionImg2ImgPipeline,
                        diffusers.StableDiffusionInpaintPipeline),
    "StableDiffusionXL": (diffusers.StableDiffusionXLPipeline, diffusers.StableDiffusionXLImg2ImgPipeline, None),
    "LatentConsistencyModel": (diffusers.LatentConsistencyModelPipeline,
                               diffusers.LatentConsistencyModelImg2ImgPipeline, None),
    "StableDiffusionInpaint": (None, None, diffusers.StableDiffusionInpaintPipeline),
}
ABSOLUTE, RELATIVE = 1e-4, 1e-2  # How far ONNX Runtime may be from PyTorch, as Optimum's own tests have it.
HALF_DIFFERENCE = 0.02  # With FP16 networks: of the largest value.
LEAST_EFFECT = 0.05  # What another prompt must change, for the comparison to mean something.


def make_inputs() -> dict[str, torch.Tensor]:
    """A picture of smooth colours and a mask: uint8 [64, 64, 3] and [64, 64], 255 is drawn anew."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    planes = [128 + 100 * torch.sin(x / 9 + y / 17), 128 + 90 * torch.cos(x / 13 - y / 7), 2 * x + 2 * y]
    picture = torch.stack(planes, dim=-1).clamp(0, 255).to(torch.uint8)
    mask = ((x - 40) ** 2 + (y - 24) ** 2 < 18 ** 2).to(torch.uint8) * 255
    return {"picture": picture, "mask": mask}


def task_of(case: Case) -> int:
    return 2 if case.masked else 1 if case.strength is not None else 0


def for_task(pipeline, task: int):
    """The same parts as the pipeline of that task."""
    name = type(pipeline).__name__.removesuffix("Pipeline")
    wanted = TASKS[name][task]
    if wanted is type(pipeline):
        return pipeline
    more = {} if name == "StableDiffusionXL" else {"requires_safety_checker": False}
    result = wanted(**pipeline.components, **more)
    result.set_progress_bar_config(disable=True)
    return result


def make_scheduler(folder: pathlib.Path, sampler: str | None):
    """From the folder's file, as a user gets it: what the file says goes over the defaults of another class."""
    config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
    name, more = SAMPLERS[sampler] if sampler else (config["_class_name"], {})
    return getattr(diffusers, name).from_config(config, **more)


def draw(pipeline, folder: pathlib.Path, case: Case, inputs: dict, half: bool, old: bool) -> tuple:
    """Returns (timesteps, final latents, what the decoder makes of them)."""
    pipeline = for_task(pipeline, task_of(case))
    pipeline.scheduler = make_scheduler(folder, case.sampler)
    width, height = case.size
    arguments = {
        "prompt": [case.prompt] * len(case.seeds), "num_inference_steps": case.steps, "guidance_scale": case.guidance,
        "generator": [torch.Generator("cpu").manual_seed(seed) for seed in case.seeds], "output_type": "latent",
    }
    if not isinstance(pipeline, TASKS["LatentConsistencyModel"][:2]):
        arguments["negative_prompt"] = None if case.negative is None else [case.negative] * len(case.seeds)
    if case.strength is None:
        arguments.update(width=width, height=height)
        if half:  # A half precision pipeline starts from half precision noise.
            scale = pipeline.vae_scale_factor
            shape = (1, pipeline.unet.config.in_channels, height // scale, width // scale)
            noise = [torch.randn(shape, generator=one, dtype=torch.float16) for one in arguments["generator"]]
            arguments["latents"] = torch.cat(noise).float()
    else:
        arguments.update(strength=case.strength, image=Image.fromarray(inputs["picture"].numpy()))
        if case.masked:  # One of each for every picture, or only the first generator would be asked.
            arguments.update(image=[arguments["image"]] * len(case.seeds), width=width, height=height,
                             mask_image=[Image.fromarray(inputs["mask"].numpy())] * len(case.seeds))
        if old:  # Its encoder's result is taken as it is: four channels are latents already.
            pixels = pipeline.image_processor.preprocess(arguments["image"])
            encoded = pipeline.vae.encode(pixels).latent_dist.mode() * pipeline.vae.config.scaling_factor
            arguments["image"] = encoded.expand(len(case.seeds), -1, -1, -1)
    with torch.no_grad():
        latents = pipeline(**arguments).images
        picture = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor, return_dict=False)[0]
    start = 0
    if case.strength is not None and not isinstance(pipeline, diffusers.LatentConsistencyModelImg2ImgPipeline):
        start = max(case.steps - int(case.steps * case.strength), 0) * getattr(pipeline.scheduler, "order", 1)
    return pipeline.scheduler.timesteps[start:], latents, picture


def numbers(tensor: torch.Tensor) -> list[float]:
    return [float(value) for value in tensor.to(torch.float64)]


def check_agreement(name: str, case: Case, latents, picture, by_onnx: tuple, half: bool) -> float:
    """The largest difference of the latents; ends the program where ONNX Runtime is too far away."""
    for expected, actual in ((latents, by_onnx[1]), (picture, by_onnx[2])):
        difference = (actual - expected).abs()
        allowed = HALF_DIFFERENCE * expected.abs().max() if half else ABSOLUTE + RELATIVE * expected.abs()
        if not torch.isfinite(expected).all() or (difference > allowed).any():
            raise SystemExit(f"{name}/{case.name}: ONNX Runtime differs from PyTorch by {difference.max()}")
    return float((by_onnx[1] - latents).abs().max())


def check_effects(pipeline, folder, cases, inputs, half, old) -> None:
    """Another prompt must give other latents."""
    first = cases[0]
    one = draw(pipeline, folder, first, inputs, half, old)[1]
    other = draw(pipeline, folder, dataclasses.replace(first, prompt="zebra"), inputs, half, old)[1]
    effect = float((one - other).abs().max())
    print(f"{folder.name}: another prompt changes latents by {effect:.2f}, latents to {one.abs().max():.1f}")
    if effect < LEAST_EFFECT:
        raise SystemExit(f"{folder.name}: the prompt hardly matters")


def make_folder(name: str, inputs: dict) -> None:
    kind, layout, timestep, half, cases = FOLDERS[name]
    folder = PIPELINES / name
    pipeline = make_pipeline(kind)
    write_folder(pipeline, folder, layout, timestep, half)
    old = layout == "old"
    check_effects(pipeline, folder, cases, inputs, half, old)
    rows, tensors = [], {}
    for case in cases:
        timesteps, latents, picture = draw(pipeline, folder, case, inputs, half, old)
        with replaced_by_onnx(pipeline, folder):
            by_onnx = draw(pipeline, folder, case, inputs, half, old)
        difference = check_agreement(name, case, latents, picture, by_onnx, half)
        tensors[f"{case.name}.latents"] = latents
        if case.has_picture:
            tensors[f"{case.name}.picture"] = picture
        ids = pipeline.tokenizer(case.prompt, padding="max_length", truncation=True).input_ids
        rows.append({
            "name": case.name, "task": ("text_to_image", "image_to_image", "inpaint")[task_of(case)],
            "prompt": case.prompt, "negative_prompt": case.negative, "sampler": case.sampler, "steps": case.steps,
            "guidance": case.guidance, "seeds": list(case.seeds), "width": case.size[0], "height": case.size[1],
            "strength": case.strength, "scheduler": type(make_scheduler(folder, case.sampler)).__name__,
            "timesteps": numbers(timesteps), "prompt_ids": ids, "onnxruntime_difference": float(f"{difference:.2g}"),
            "has_picture": case.has_picture})
        print(f"{name}/{case.name}: timesteps {rows[-1]['timesteps']}, ONNX Runtime differs by {difference:.1e}")
    tensors = {key: value.contiguous().float() for key, value in tensors.items()}
    save_file(tensors, PIPELINES / f"{name}.safetensors")
    text = "[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]\n"
    (PIPELINES / f"{name}.json").write_text(text, encoding="ascii")


def main() -> None:
    warnings.filterwarnings("ignore")  # Of tracing: shapes that depend on nothing.
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    PIPELINES.mkdir(parents=True, exist_ok=True)
    inputs = make_inputs()
    save_file(inputs, PIPELINES / "inputs.safetensors")
    for name in sys.argv[1:] or FOLDERS:
        make_folder(name, inputs)


if __name__ == "__main__":
    main()
