"""The samplers that images are drawn with, on a model's own noise schedule."""

from __future__ import annotations

from typing import Any

from diffusers import schedulers

from plumbing.errors import UsageError

SAMPLERS = {
    "ddim": "DDIMScheduler",
    "pndm": "PNDMScheduler",
    "euler": "EulerDiscreteScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
}


def build_sampler(name: str, config: Any) -> Any:
    """The scheduler called `name` (a key of `SAMPLERS`) on the noise schedule of `config`."""
    if name not in SAMPLERS:
        raise UsageError(f"--sampler {name}: unknown; choose one of {', '.join(SAMPLERS)}")
    # Latents are not bounded by 1: clipping them, a default of some schedulers, ruins the picture.
    # The rest is Stable Diffusion's own, which a config of another scheduler does not carry.
    config = {"set_alpha_to_one": False, "skip_prk_steps": True, **config}
    config |= {"clip_sample": False, "steps_offset": 1}
    return getattr(schedulers, SAMPLERS[name]).from_config(config)
