"""Diffusers pipelines of every shape that is served, with tiny random networks.

Each has the parts, the configurations and the wiring of the model it is named after; only widths and weights differ.
"""
import json
import pathlib
import tempfile
from collections.abc import Callable

import diffusers
import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from make_clip_tokenizer_golden import FOLDER, configurations

SCALED_LINEAR = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
NO_CHECKER = {"safety_checker": None, "feature_extractor": None}


def make_tokenizer(name: str) -> CLIPTokenizer:
    """The tests' own CLIP vocabulary with the configuration `name` of make_clip_tokenizer_golden.py."""
    vocab = (FOLDER / "clip" / "vocab.json").read_text(encoding="utf-8")
    setup = next(row for row in configurations(len(json.loads(vocab))) if row["name"] == name)
    with tempfile.TemporaryDirectory() as folder:
        files = {"vocab.json": vocab, "merges.txt": (FOLDER / "clip" / "merges.txt").read_text(encoding="utf-8"),
                 "tokenizer_config.json": json.dumps(setup["config"]),
                 "special_tokens_map.json": json.dumps(setup["map"])}
        for file, text in files.items():
            pathlib.Path(folder, file).write_text(text, encoding="utf-8")
        return CLIPTokenizer.from_pretrained(folder)


def lively(module: torch.nn.Module) -> torch.nn.Module:
    """Enlarges what leads the prompt into the picture: with fresh weights a wrong prompt would hardly be seen."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "attn2.to_" in name or "conv_out" in name or "add_embedding" in name or "cond_proj" in name:
                parameter.mul_(2.5)
    return module.eval()


def make_text_encoder(tokenizer, width: int, projection: int = 0, activation: str = "quick_gelu"):
    """A CLIP text model; with `projection` the kind that also gives text_embeds of that width."""
    end = tokenizer.eos_token_id
    config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=77, hidden_act=activation, projection_dim=projection or width,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=end, pad_token_id=tokenizer.pad_token_id)
    model = (CLIPTextModelWithProjection if projection else CLIPTextModel)(config)
    with torch.no_grad():  # CLIP starts with embeddings so small that layer norms see little of the tokens.
        model.text_model.embeddings.token_embedding.weight.mul_(20)
    return model.eval()


def make_unet(**more) -> diffusers.UNet2DConditionModel:
    config = {
        "sample_size": 8, "layers_per_block": 1, "block_out_channels": (8, 16), "norm_num_groups": 4,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "cross_attention_dim": 16, "attention_head_dim": 4,
    }
    return lively(diffusers.UNet2DConditionModel(**{**config, **more}))


def make_vae(channels: tuple[int, ...] = (4, 4, 8, 8), scaling: float = 0.18215) -> diffusers.AutoencoderKL:
    """Pictures have 2 ** (len(channels) - 1) times the side of their latents."""
    vae = diffusers.AutoencoderKL(
        block_out_channels=channels, down_block_types=["DownEncoderBlock2D"] * len(channels),
        up_block_types=["UpDecoderBlock2D"] * len(channels), layers_per_block=1, latent_channels=4, norm_num_groups=2,
        sample_size=64, scaling_factor=scaling)
    return vae.eval()


def stable_diffusion_1():
    tokenizer = make_tokenizer("sd1")
    scheduler = diffusers.PNDMScheduler(**SCALED_LINEAR, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1)
    scheduler.register_to_config(clip_sample=False)
    return diffusers.StableDiffusionPipeline(
        vae=make_vae(), text_encoder=make_text_encoder(tokenizer, 16), tokenizer=tokenizer, unet=make_unet(),
        scheduler=scheduler, **NO_CHECKER, requires_safety_checker=False)


def stable_diffusion_2():
    tokenizer = make_tokenizer("sd2")
    return diffusers.StableDiffusionPipeline(
        vae=make_vae(), text_encoder=make_text_encoder(tokenizer, 24, activation="gelu"), tokenizer=tokenizer,
        unet=make_unet(cross_attention_dim=24, use_linear_projection=True, attention_head_dim=(2, 4)),
        scheduler=diffusers.DDIMScheduler(**SCALED_LINEAR, prediction_type="v_prediction", clip_sample=False,
                                          set_alpha_to_one=False, steps_offset=1),
        **NO_CHECKER, requires_safety_checker=False)


def turbo():
    """SD-Turbo: made from 2.1, for one step without guidance."""
    base = stable_diffusion_2()
    base.scheduler = diffusers.EulerDiscreteScheduler(**SCALED_LINEAR, timestep_spacing="trailing", steps_offset=1)
    return base


def stable_diffusion_xl():
    tokenizer, tokenizer_2 = make_tokenizer("sd1"), make_tokenizer("sdxl_2")
    return diffusers.StableDiffusionXLPipeline(
        vae=make_vae(scaling=0.13025), text_encoder=make_text_encoder(tokenizer, 16),
        text_encoder_2=make_text_encoder(tokenizer_2, 24, projection=12, activation="gelu"),
        tokenizer=tokenizer, tokenizer_2=tokenizer_2,
        unet=make_unet(
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=16 + 24, transformer_layers_per_block=(1, 2), use_linear_projection=True,
            attention_head_dim=(2, 4), addition_embed_type="text_time", addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 12),
        scheduler=diffusers.EulerDiscreteScheduler(**SCALED_LINEAR, timestep_spacing="leading", steps_offset=1),
        add_watermarker=False)


def latent_consistency():
    tokenizer = make_tokenizer("sd1")
    return diffusers.LatentConsistencyModelPipeline(
        vae=make_vae((4, 8, 8)), text_encoder=make_text_encoder(tokenizer, 16), tokenizer=tokenizer,
        unet=make_unet(time_cond_proj_dim=20), scheduler=diffusers.LCMScheduler(**SCALED_LINEAR), **NO_CHECKER,
        requires_safety_checker=False)


def inpainting():
    base = stable_diffusion_1()
    components = {**base.components, "unet": make_unet(in_channels=9)}
    components.pop("image_encoder", None)
    return diffusers.StableDiffusionInpaintPipeline(**components, requires_safety_checker=False)


PIPELINES: dict[str, tuple[int, Callable]] = {  # Name: seed of the weights, maker.
    "sd1": (101, stable_diffusion_1),
    "sd2": (102, stable_diffusion_2),
    "turbo": (102, turbo),
    "sdxl": (103, stable_diffusion_xl),
    "lcm": (104, latent_consistency),
    "inpaint": (105, inpainting),
}


def make_pipeline(name: str):
    seed, make = PIPELINES[name]
    torch.manual_seed(seed)
    pipeline = make()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
