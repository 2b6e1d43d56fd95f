"""The architectures that can be erased from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from erase.models.architectures.architecture import Architecture
from erase.models.architectures.families import Family
from erase.models.architectures.stable_diffusion import SDXL, STABLE_DIFFUSION

ARCHITECTURES: list[Architecture] = [STABLE_DIFFUSION, SDXL]


def supported() -> str:
    """For messages: what is known."""
    *titles, last = (architecture.title for architecture in ARCHITECTURES)
    return f"expunge erases from text-to-image {', '.join(titles)} and {last}"


def of_pipeline(name: Any) -> Architecture | None:
    """That of the pipelines with this `_class_name`."""
    return next((each for each in ARCHITECTURES if str(name) in each.pipelines), None)


def of_single_file(family: Family) -> Architecture:
    """That of the files of a family."""
    return next(each for each in ARCHITECTURES if family in each.single_files)


def of_denoiser(name: Any) -> Architecture | None:
    """The first whose denoisers have this `_class_name`; all of those predict alike."""
    return next((each for each in ARCHITECTURES if name == each.denoiser_class), None)


def of_config(config: Mapping[str, Any]) -> Architecture:
    """That of a denoiser by its config.json; one that does not say is a Stable Diffusion's."""
    return of_denoiser(config.get("_class_name")) or STABLE_DIFFUSION


def architecture_of(denoiser: Any) -> Architecture:
    """How a loaded denoiser predicts, compiled or not; one of no architecture is a TypeError."""
    names = [kind.__name__ for kind in type(getattr(denoiser, "_orig_mod", denoiser)).__mro__]
    found = next(filter(None, map(of_denoiser, names)), None)
    if found is None:
        raise TypeError(f"{names[0]} is the denoiser of no architecture that is known here")
    return found
