#!/usr/bin/env python3
"""Writes what Diffusers' schedulers and PyTorch's random generator give, for the C++ tests to compare with.

    ./dev golden      # or, in an environment with PyTorch and python/golden/requirements.txt:
    python python/golden/make_sampler_golden.py

tests/golden/generation/samplers.json: for each configuration of a scheduler, runs with a model that is a formula, over
numbers of steps and strengths: the timesteps, the initial sigma and the final latents.
tests/golden/generation/randn.json: calls of torch.randn() one after the other on one generator: the bits of the values, or
the SHA-256 of many.

Made with PyTorch 1.13 (Debian 12, a CPU with AVX2) and Diffusers 0.30.3.
"""
import hashlib
import json
import pathlib

import diffusers
import torch

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "generation"
SHAPE = (1, 4, 2, 2)
STEPS = (1, 4, 10, 20)
STRENGTHS = (1.0, 0.75, 0.3)
SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
SDXL = {**SD, "timestep_spacing": "leading", "steps_offset": 1}
ZERO_SNR = {**SD, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}

CONFIGS = (
    ("DDIMScheduler", (
        {},
        {**SD, "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1},
        ZERO_SNR,
        {**SD, "timestep_spacing": "linspace", "prediction_type": "sample"},
        {"beta_schedule": "squaredcos_cap_v2", "clip_sample_range": 2.5},
        {**SD, "thresholding": True, "dynamic_thresholding_ratio": 0.7, "sample_max_value": 1.5},
        {"num_train_timesteps": 40, "trained_betas": [0.001 * (1 + i) for i in range(40)], "clip_sample": False},
    )),
    ("PNDMScheduler", (
        {**SD, "skip_prk_steps": True, "steps_offset": 1},
        {**SD, "skip_prk_steps": True, "set_alpha_to_one": True, "prediction_type": "v_prediction"},
        {**SD, "skip_prk_steps": True, "timestep_spacing": "trailing"},
        {**SD, "skip_prk_steps": True, "timestep_spacing": "linspace"},
        {},
        {"prediction_type": "v_prediction", "timestep_spacing": "linspace"},
    )),
    ("EulerDiscreteScheduler", (
        {},
        SDXL,
        {**SDXL, "use_karras_sigmas": True},
        {**SD, "use_karras_sigmas": True, "sigma_min": 0.05, "sigma_max": 10.5, "final_sigmas_type": "sigma_min"},
        {**SD, "interpolation_type": "log_linear"},
        {**SD, "interpolation_type": "log_linear", "use_karras_sigmas": True},
        {**SD, "timestep_spacing": "trailing", "prediction_type": "sample"},
        ZERO_SNR,
        {"beta_schedule": "squaredcos_cap_v2"},
    )),
    ("EulerAncestralDiscreteScheduler", (
        {},
        SDXL,
        {**SD, "timestep_spacing": "trailing", "prediction_type": "v_prediction"},
        ZERO_SNR,
    )),
    ("DPMSolverMultistepScheduler", (
        {},
        SDXL,
        {**SD, "use_karras_sigmas": True},
        {**SD, "use_karras_sigmas": True, "final_sigmas_type": "sigma_min", "lower_order_final": False},
        {**SD, "solver_type": "heun", "timestep_spacing": "trailing"},
        {**SD, "solver_order": 1},
        {**SD, "solver_order": 3},
        {**SD, "solver_order": 3, "lower_order_final": False, "final_sigmas_type": "sigma_min"},
        {**SD, "euler_at_final": True, "final_sigmas_type": "sigma_min", "prediction_type": "v_prediction"},
        {**SD, "prediction_type": "sample"},
        {**SD, "thresholding": True, "dynamic_thresholding_ratio": 0.6, "sample_max_value": 3.0},
        {**SD, "algorithm_type": "sde-dpmsolver++"},
        {**SD, "algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True, "solver_type": "heun"},
        {"beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": -5.1},
        {"beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": -5.1, "timestep_spacing": "trailing"},
        ZERO_SNR,
    )),
    ("LCMScheduler", (
        {},
        {"prediction_type": "v_prediction", "timestep_scaling": 2.0},
        {"clip_sample": True, "prediction_type": "sample"},
        {"original_inference_steps": 100, "thresholding": True, "dynamic_thresholding_ratio": 0.5,
         "sample_max_value": 2.0},
    )),
)


def linear(sample, timestep):
    """The model of Diffusers' own tests."""
    return sample * timestep / (timestep + 1)


def wave(sample, timestep):
    return torch.sin(sample * 2 + timestep / 1000)


def run(scheduler, steps, strength, rule, eta, model, seed):
    """What a pipeline does (StableDiffusionImg2ImgPipeline, LatentConsistencyModelImg2ImgPipeline)."""
    shorten = rule == "shorten"
    scheduler.set_timesteps(steps, **({"strength": strength} if shorten else {}))
    start = 0 if shorten else max(steps - min(int(steps * strength), steps), 0)
    timesteps = scheduler.timesteps[start:]
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(start)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(SHAPE, generator=generator)
    if strength < 1:
        picture = torch.linspace(-1, 1, noise.numel()).reshape(SHAPE)
        latents = scheduler.add_noise(picture, noise, timesteps[:1])
    else:
        latents = noise * scheduler.init_noise_sigma
    more = {"eta": eta} if eta else {}
    if not isinstance(scheduler, diffusers.PNDMScheduler):
        more["generator"] = generator
    if isinstance(scheduler, diffusers.DDIMScheduler) and not eta:
        more = {}
    for timestep in timesteps:
        scaled = scheduler.scale_model_input(latents, timestep)
        output = model(scaled, timestep.to(torch.float32))
        latents = scheduler.step(output, timestep, latents, **more).prev_sample
    assert torch.isfinite(latents).all(), (scheduler, steps, strength)
    return timesteps, latents


def digits(tensor):
    return [float(f"{float(value):.9g}") for value in tensor.flatten()]


def cases(name, config):
    cls = getattr(diffusers, name)
    rules = ("skip", "shorten") if name == "LCMScheduler" else ("skip",)
    prk = name == "PNDMScheduler" and not config.get("skip_prk_steps")
    seed = 0
    for steps in STEPS:
        for strength in STRENGTHS:
            for rule in rules if strength < 1 else ("skip",):
                seed += 1
                shortened = int(config.get("original_inference_steps", 50) * strength)
                skipped = rule == "skip" and int(steps * strength) == 0
                if skipped or (prk and (steps < 4 or strength < 1)) or (rule == "shorten" and steps > shortened):
                    continue
                eta = 0.5 if name == "DDIMScheduler" and seed % 3 == 0 else 0.0
                model = wave if seed % 2 else linear
                scheduler = cls(**config)
                timesteps, latents = run(scheduler, steps, strength, rule, eta, model, seed)
                yield {"steps": steps, "strength": strength, "rule": rule, "eta": eta, "model": model.__name__,
                       "seed": seed, "init_noise_sigma": float(scheduler.init_noise_sigma),
                       "timesteps": digits(timesteps), "latents": digits(latents)}


def write(name, rows):
    """One row a line."""
    with open(FOLDER / name, "w", encoding="ascii") as file:
        file.write("[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]\n")


def make_samplers():
    write("samplers.json", [
        {"config": {"_class_name": name, **config}, "cases": list(cases(name, config))}
        for name, configs in CONFIGS for config in configs])


def make_randn():
    types = {"float32": torch.float32, "float16": torch.float16, "float64": torch.float64}
    short = [1, 2, 3, 15, 5, 7]
    plans = [
        [("float32", size) for size in (16, 17, 31, 32, 33, 64, 100, 4096)],
        [("float32", size) for size in short],
        [("float32", size) for size in (3, 16, 4, 1, 100, 2)],
        [("float64", size) for size in (3, 16, 4, 17, 1, 4096)],
        [("float16", size) for size in (3, 16, 4, 17, 1, 4096)],
        [(name, size) for size in (5, 20) for name in types],
        [("float32", 4 * 64 * 64), ("float32", 4 * 64 * 64), ("float16", 4 * 64 * 64), ("float64", 4 * 64 * 64)],
    ]
    rows = []
    for seed in (0, 1, 2, 42, 1234567890, 2**31, 2**32 - 1, 2**32 + 5, 2**63 - 1, 20240607):
        for plan in plans:
            generator = torch.Generator().manual_seed(seed)
            calls = []
            for name, size in plan:
                values = torch.randn(size, generator=generator, dtype=types[name])
                # Half precision is stored widened: the tests hold it so.
                data = (values.float() if name == "float16" else values).numpy().tobytes()
                key = "bits" if size <= 20 else "sha256"
                calls.append({"type": name, "size": size,
                              key: data.hex() if key == "bits" else hashlib.sha256(data).hexdigest()})
            rows.append({"seed": seed, "calls": calls})
    write("randn.json", rows)


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    make_samplers()
    make_randn()


if __name__ == "__main__":
    main()
