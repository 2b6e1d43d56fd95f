"""Which sets of images a run has: those of its method, of its mask and of its guard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from erase.methods.method import ClosedForm, Method
from expunge.settings.groups import Data, DataFlags
from expunge.settings.methods import METHODS
from plumbing.errors import UsageError

ROLES = ("forget", "anchor", "retain")
"""Images of the concept, of what takes its place, and of all else."""


def load_method(name: str) -> Method:
    """The method of a name that there is."""
    return import_module(METHODS[name].module).METHOD


def roles_of(method: Method, settings: Any) -> tuple[str, ...]:
    """The sets that a run by a method has, by its settled settings."""
    if isinstance(method, ClosedForm):
        return ()
    wanted = {*method.sets(settings)}
    wanted |= {"forget"} if settings.by_saliency else set()
    wanted |= {"retain"} if settings.by_contrast or not settings.no_guard else set()
    return tuple(role for role in ROLES if role in wanted)


def refuse_images(method: ClosedForm, asked: DataFlags) -> None:
    """Refuse, as a UsageError, to be told of images where there are none."""
    for role in ("forget", "retain"):
        for name in (f"{role}_images", f"{role}_data"):
            if getattr(asked, name) is not None:
                raise UsageError(
                    f"--{name.replace('_', '-')}: {method.title} computes from prompts, without "
                    f"images; leave it out, or give --{role}-prompts"
                )


def needed(
    data: Data, given: Mapping[str, Path | None], roles: tuple[str, ...], method: str
) -> Data:
    """The same without the sizes of sets that there are not: none of them is recorded.

    Folders of images that nothing would look at are a UsageError.
    """
    for role, folder in given.items():
        if folder is not None and role not in roles:
            raise UsageError(
                f"--{role}-data {folder}: --method {method} looks at no such images here; leave it "
                f"out, or give prompts with --{role}-prompts"
            )
    forget = data.forget_images if {"forget", "anchor"} & {*roles} else 0
    retain = data.retain_images if "retain" in roles else 0
    return replace(data, forget_images=forget, retain_images=retain)


def images_of(role: str, data: Data, captions: Mapping[str, Mapping[Path, str]]) -> int:
    """How many images a set has: as many as were given, or as are to be drawn."""
    drawn = data.retain_images if role == "retain" else data.forget_images
    return len(captions.get(role, ())) or drawn
