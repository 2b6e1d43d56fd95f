"""The samplers that images are drawn with, on a model's own noise schedule."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

from diffusers import schedulers

from erase.diffusion.scheduler_config import NOISE, prediction_type_of
from plumbing.errors import UsageError

SAMPLERS = {
    "ddim": "DDIMScheduler",
    "pndm": "PNDMScheduler",
    "euler": "EulerDiscreteScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
}
_DRAWN = (
    "timestep_spacing",
    "set_alpha_to_one",
    "skip_prk_steps",
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "use_beta_sigmas",
    "thresholding",
    "dynamic_thresholding_ratio",
    "sample_max_value",
)
"""What one sampler may take of another's config beside the noise."""


def build_sampler(name: str, config: Mapping[str, Any]) -> Any:
    """The sampler called `name` (a key of `SAMPLERS`) on the noise schedule of a config.

    A model that it cannot draw is a UsageError.
    """
    if name not in SAMPLERS:
        raise UsageError(f"--sampler {name}: unknown; choose one of {', '.join(SAMPLERS)}")
    kind = getattr(schedulers, SAMPLERS[name])
    known = signature(kind.__init__).parameters.keys()
    if config.get("rescale_betas_zero_snr") and "rescale_betas_zero_snr" not in known:
        raise UsageError(
            f"--sampler {name}: cannot begin at pure noise, as this model was taught to "
            "(rescale_betas_zero_snr); choose ddim, euler or dpm++"
        )
    own = config.get("_class_name") == SAMPLERS[name]
    taken = known - set(config.get("_use_default_values", ()))
    taken = {key for key in taken if own or key in (*NOISE, *_DRAWN)}
    # The last two are Stable Diffusion's own, which a config of another scheduler does not carry.
    usual = {"set_alpha_to_one": False, "skip_prk_steps": True}
    values = usual | {key: config[key] for key in taken if config.get(key) is not None}
    # Latents are not bounded by 1: clipping them, a default of some schedulers, ruins the picture.
    values |= {"clip_sample": False, "steps_offset": 1}
    values["prediction_type"] = prediction_type_of(config)
    try:
        return kind(**{key: value for key, value in values.items() if key in known})
    except (ImportError, NotImplementedError, TypeError, ValueError) as error:
        raise UsageError(
            f"--sampler {name}: cannot draw with the settings of the model's scheduler "
            f"({' '.join(str(error).split())}); choose another"
        ) from error
