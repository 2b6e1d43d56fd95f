"""The architectures that can be erased from."""

from __future__ import annotations

import re
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


def of_pipeline(index: Mapping[str, Any]) -> Architecture | None:
    """That of a model_index.json: by the `_class_name` or, of a pipeline for another task, parts.

    What saves a model names itself in it, though inpainting, ControlNets and others draw with the
    very parts of a text-to-image model, too.
    """
    name = str(index.get("_class_name"))
    named = (each for each in ARCHITECTURES if name in each.pipelines)
    kin = (each for each in ARCHITECTURES if each.kin and re.fullmatch(each.kin, name))
    return next(named, None) or next((each for each in kin if _has_parts(each, index)), None)


def _has_parts(architecture: Architecture, index: Mapping[str, Any]) -> bool:
    weighted = (part for part in architecture.parts if architecture.layout(part))
    classes = {part: architecture.classes[part].partition(":")[2] for part in weighted}
    return all([*(index.get(part) or [None])][-1] == kind for part, kind in classes.items())


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
