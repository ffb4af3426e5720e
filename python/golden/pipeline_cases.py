"""What is drawn with every pipeline for the golden files."""
import dataclasses

CAT = "a photo of a cat sitting on a red sofa, highly detailed"
DOG = "一只戴着帽子的狗在雪地里奔跑"  # A dog with a hat runs through snow.
LONG = "an astronaut riding a horse on mars, digital art, trending on artstation, " * 12  # Beyond 77 tokens.
BLURRY = "blurry, low quality"

# A sampler's name: its class in Diffusers, and what it sets in the model's own configuration.
SAMPLERS = {
    "ddim": ("DDIMScheduler", {}),
    "pndm": ("PNDMScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_karras": ("EulerDiscreteScheduler", {"use_karras_sigmas": True}),
    "euler_ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "dpmpp_2m_karras": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "solver_order": 2,
                                                         "use_karras_sigmas": True}),
    "lcm": ("LCMScheduler", {}),
}


@dataclasses.dataclass(frozen=True)
class Case:
    """One call. A strength makes it image-to-image, or inpainting where `masked`."""
    name: str
    prompt: str = CAT
    negative: str | None = None
    sampler: str | None = None  # None: the pipeline's own.
    steps: int = 4
    guidance: float = 7.5
    seeds: tuple[int, ...] = (1,)  # One picture each.
    size: tuple[int, int] = (64, 64)  # Width, height.
    strength: float | None = None
    masked: bool = False
    has_picture: bool = False


SD1 = (
    Case("own", has_picture=True),
    Case("one_step", steps=1, seeds=(7,)),
    Case("three_steps_ddim_two_pictures", DOG, BLURRY, "ddim", 3, seeds=(42, 43), has_picture=True),
    Case("no_guidance", sampler="ddim", guidance=1.0, seeds=(2**32 + 5,)),
    Case("negative", negative=BLURRY),
    Case("empty_prompt", "", sampler="ddim"),
    Case("long_prompt", LONG, sampler="ddim"),
    Case("euler", DOG, sampler="euler"),
    Case("euler_ancestral", sampler="euler_ancestral", seeds=(3, 4)),
    Case("dpmpp_2m_karras", sampler="dpmpp_2m_karras", negative=BLURRY),
    Case("lcm_sampler", sampler="lcm", guidance=1.5, seeds=(5, 6)),
    Case("wide", sampler="ddim", size=(96, 64), has_picture=True),
    Case("image_to_image", strength=0.6, has_picture=True),
    Case("image_to_image_ddim_two_pictures", DOG, BLURRY, "ddim", seeds=(8, 9), strength=0.6),
    Case("image_to_image_euler_ancestral", sampler="euler_ancestral", seeds=(10, 11), strength=0.6),
    Case("inpaint_full", sampler="ddim", strength=1.0, masked=True, has_picture=True),
    Case("inpaint", DOG, sampler="euler_ancestral", seeds=(12, 13), strength=0.6, masked=True),
)
OLD = (
    Case("own", has_picture=True),
    Case("ddim_two_pictures", DOG, BLURRY, "ddim", 3, seeds=(42, 43)),
    Case("image_to_image", sampler="ddim", strength=0.6, has_picture=True),
)
HALF = (
    Case("own", has_picture=True),
    Case("ddim_two_pictures", DOG, BLURRY, "ddim", 3, seeds=(42, 43)),
    Case("euler", sampler="euler"),
)
SD2 = (
    Case("own", negative=BLURRY, has_picture=True),
    Case("two_pictures", DOG, steps=3, seeds=(21, 22)),
    Case("no_guidance", guidance=1.0),
    Case("euler_karras", sampler="euler_karras"),
    Case("euler_ancestral", sampler="euler_ancestral", seeds=(23, 24)),
    Case("dpmpp_2m_karras", DOG, BLURRY, "dpmpp_2m_karras"),
    Case("image_to_image", strength=0.6),
)
TURBO = (
    Case("one_step", steps=1, guidance=0.0, has_picture=True),
    Case("four_steps_two_pictures", DOG, guidance=0.0, seeds=(31, 32)),
    Case("image_to_image", steps=2, guidance=0.0, strength=0.6),
)
SDXL = (
    Case("own", guidance=5.0, has_picture=True),  # No negative prompt: zeros, as this model asks.
    Case("empty_negative", negative="", guidance=5.0),
    Case("negative_two_pictures", DOG, BLURRY, steps=3, seeds=(41, 42)),
    Case("no_guidance", guidance=1.0, steps=1),
    Case("wide", DOG, size=(96, 64)),
    Case("euler_ancestral", sampler="euler_ancestral", seeds=(43, 44)),
    Case("dpmpp_2m_karras", sampler="dpmpp_2m_karras"),
    Case("image_to_image", strength=0.6, seeds=(45, 46), has_picture=True),
)
LCM = (
    Case("own", guidance=8.5, has_picture=True),
    Case("one_step", DOG, steps=1, guidance=8.5),
    Case("least_guidance_two_pictures", guidance=1.0, seeds=(51, 52)),
    Case("image_to_image", guidance=8.5, strength=0.6, seeds=(53, 54)),
)
INPAINT = (
    Case("own", strength=1.0, masked=True, has_picture=True),
    Case("partly_ddim_two_pictures", DOG, BLURRY, "ddim", seeds=(61, 62), strength=0.6, masked=True, has_picture=True),
    Case("no_guidance_euler_ancestral", sampler="euler_ancestral", guidance=1.0, strength=1.0, masked=True),
)
