"""The families that come as single files in the original (LDM) layout, and in what they differ.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VAE_PREFIX = "first_stage_model."


@dataclass(frozen=True)
class Family:
    """What all files of a family have in common."""

    name: str
    """Its key in `hub.CONFIGS`."""
    title: str
    clip: Mapping[str, str]
    """The prefix of each text encoder that has the names of transformers' CLIP."""
    open_clip: Mapping[str, str]
    """The prefix of each text encoder that has OpenCLIP's."""
    architectures: Mapping[str, str]
    """`modelspec.architecture` by prediction type."""
    choices: str | None = None
    """How to tell the prediction types apart; None where the family's configs settle it."""
    last_layer_unread: bool = False
    """Whether OpenCLIP's last layer is in the files alone: diffusers' configs end before it."""

    @property
    def text(self) -> dict[str, str]:
        """The prefix of every text encoder by its part's name."""
        return {**self.clip, **self.open_clip}


SD1 = Family(
    name="sd1",
    title="Stable Diffusion 1.x",
    clip={"text_encoder": "cond_stage_model.transformer."},
    open_clip={},
    architectures=dict.fromkeys(("epsilon", "v_prediction"), "stable-diffusion-v1"),
)
SD2 = Family(
    name="sd2",
    title="Stable Diffusion 2.x",
    clip={},
    open_clip={"text_encoder": "cond_stage_model.model."},
    architectures={
        "epsilon": "stable-diffusion-v2-512",
        "v_prediction": "stable-diffusion-v2-768-v",
    },
    choices="epsilon (the 512-pixel base) or v_prediction (768 pixels)",
    last_layer_unread=True,
)
# Most SDXL files predict noise, and by convention those that predict v have the key v_pred. Not all
# keep to it, and training on the wrong target ruins a model in silence: so that is asked, not
# guessed from the base model's configs in the hub's cache.
SDXL = Family(
    name="sdxl",
    title="SDXL",
    clip={"text_encoder": "conditioner.embedders.0.transformer."},
    open_clip={"text_encoder_2": "conditioner.embedders.1.model."},
    architectures=dict.fromkeys(("epsilon", "v_prediction"), "stable-diffusion-xl-v1-base"),
    choices="epsilon (as most do) or v_prediction (as its page then says)",
)


def unet_architecture(config: Mapping[str, Any], prediction_type: str) -> str:
    """`modelspec.architecture` of a UNet alone, by its config.json."""
    if config.get("addition_embed_type") == "text_time":
        family = SDXL
    else:
        family = SD2 if config.get("use_linear_projection") else SD1
    return f"{family.architectures[prediction_type]}/unet"
