"""What the tensors of a LoRA are called, by diffusers and PEFT or by kohya's scripts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from erase.models.architectures.known import of_config
from erase.models.single_file.unet_keys import unet_keys
from plumbing.errors import UsageError

Naming = Literal["diffusers", "kohya"]
DOWN: dict[Naming, str] = {"diffusers": ".lora_A.weight", "kohya": ".lora_down.weight"}
UP: dict[Naming, str] = {"diffusers": ".lora_B.weight", "kohya": ".lora_up.weight"}
ALPHA = ".alpha"


def prefixes(naming: Naming, names: Iterable[str], config: Mapping[str, Any]) -> dict[str, str]:
    """By each weight's diffusers name (`….weight`): what its tensors' names in a LoRA begin with.

    `config` is the UNet's config.json. Kohya's scripts take the names of diffusers' modules, but
    for SDXL those of the original (LDM) ones; an SDXL UNet that has none is a UsageError.
    """
    names = list(names)
    architecture = of_config(config)
    if naming == "diffusers":
        return {name: f"{architecture.denoiser}.{_module(name)}" for name in names}
    if not architecture.single_files:
        raise UsageError(
            f"--naming kohya: there are no such names for {architecture.title}; "
            "use --naming diffusers"
        )
    original = unet_keys(config, names) if is_sdxl(config) else dict(zip(names, names, strict=True))
    return {n: f"lora_unet_{_module(key).replace('.', '_')}" for n, key in original.items()}


def is_sdxl(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of an SDXL UNet."""
    return config.get("addition_embed_type") == "text_time"


def _module(name: str) -> str:
    return name.removesuffix(".weight")
