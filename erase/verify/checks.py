"""The checks of `expunge verify`: files by their hashes, weights by their bits."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from erase.models.model_source import ModelSource
from erase.saliency.mask import SaliencyMask
from erase.tensors.bits import changed_places
from erase.tensors.weight_files import Computed, Spec, Weights
from plumbing.whole_files import sha256_file

State = Literal["ok", "FAILED", "skipped"]


@dataclass(frozen=True)
class Check:
    """What one check found."""

    name: str
    state: State
    detail: str


def check(name: str, problems: list[str], fine: str) -> Check:
    """A check that failed if there are problems; the first is told, and how many there are."""
    if not problems:
        return Check(name, "ok", fine)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return Check(name, "FAILED", problems[0] + more)


def check_files(name: str, expected: Mapping[str, str], folder: Path) -> Check:
    """Whether files below `folder` have the sha256 that a record tells."""
    problems = []
    for file, sha in sorted(expected.items()):
        if not (folder / file).is_file():
            problems.append(f"{file} is gone")
        elif (found := sha256_file(folder / file)) != sha:
            problems.append(f"{file} has the sha256 {found[:12]}, not {sha[:12]}")
    return check(name, problems, _recorded(len(expected)))


def check_hashes(name: str, expected: Mapping[str, str], found: Mapping[str, str]) -> Check:
    """Whether two lists of files and hashes are the same."""
    problems = []
    for file in sorted(expected.keys() | found.keys()):
        there, told = found.get(file, "none"), expected.get(file, "none")
        if there != told:
            problems.append(f"{file} has the sha256 {there[:12]}, not {told[:12]}")
    return check(name, problems, _recorded(len(expected)))


def _recorded(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'} as recorded"


def check_mask(mask: SaliencyMask, recorded: Mapping[str, Any]) -> Check:
    """Whether a mask is what a run.json tells of it: its counts, and what it was made from."""
    found = {"kept": mask.kept, "total": mask.total, **mask.metadata}
    problems = [
        f"{key} is {found.get(key)!r}, recorded {recorded.get(key)!r}"
        for key in sorted(found.keys() | recorded.keys())
        if found.get(key) != recorded.get(key)
    ]
    return check("mask", problems, f"{mask.kept:,} of {mask.total:,} weights, as recorded")


def check_names(
    erased: Mapping[str, Spec],
    base: Mapping[str, Spec],
    types_too: Collection[torch.dtype] = (torch.float32,),
) -> Check:
    """Whether names and shapes are the base's, and types too, or others that are told.

    Unless told otherwise that is float32, in which runs train.
    """
    problems, types = [], set()
    for name in sorted(erased.keys() | base.keys()):
        if name not in erased or name not in base:
            problems.append(f"{name} is {'gone' if name in base else 'not in the base'}")
        elif erased[name].shape != base[name].shape:
            problems.append(f"{name} is {erased[name].shape}, the base's {base[name].shape}")
        elif erased[name].dtype not in (base[name].dtype, *types_too):
            problems.append(f"{name} is {erased[name].dtype}, the base's {base[name].dtype}")
        else:
            types.add(f"{str(erased[name].dtype)[6:]} (base {str(base[name].dtype)[6:]})")
    fine = f"{len(erased)} tensors, shapes as the base's, {', '.join(sorted(types))}"
    return check("names and shapes", problems, fine)


@dataclass
class Difference:
    """How an erased UNet differs from its base, counted in weights."""

    total: int = 0
    changed: int = 0
    outside: int = 0
    """Changed although the mask does not select them."""


def check_digest(source: ModelSource, *recorded: str | None) -> Check:
    """Whether one hash over a base's files is what is recorded of it, wherever it is."""
    wrong = sorted({digest[:12] for digest in recorded if digest and digest != source.digest})
    if wrong:
        told = f"{source.digest[:12]}, recorded {', '.join(wrong)}"
        return Check("the base's digest", "FAILED", told)
    return Check("the base's digest", "ok", source.digest[:12])


def check_weights(
    erased: Weights | Computed,
    base: Weights | Computed,
    mask: SaliencyMask,
    chosen: str = "the mask",
) -> tuple[list[Check], Difference]:
    """Whether all weights are finite, and unselected ones are the base's by the bit.

    The base's are compared in the type of the erased ones. `chosen` is what `mask` is called.
    """
    infinite, outside, misfits = [], [], []
    found = Difference()
    for name, weight in erased.items():
        if not weight.isfinite().all():
            infinite.append(f"{name} has {int((~weight.isfinite()).sum()):,} NaN or infinite")
        original = base.get(name)
        if original is None or original.shape != weight.shape:
            misfits.append(f"{name} cannot be compared")
            continue
        # float32, in which a run trains and stores, has every value of half precision; a narrower
        # export rounds what did not change as the base's is rounded here.
        changed = changed_places(original.to(weight.dtype), weight)
        stray = changed & ~_selected(mask, name, weight)
        found.total += weight.numel()
        found.changed += int(changed.sum())
        if stray.any():
            found.outside += int(stray.sum())
            outside.append(f"{name}: {int(stray.sum()):,} changed outside {chosen}")
    unselected = found.total - mask.kept
    return [
        check("finite", infinite, f"all of {found.total:,} weights"),
        check(
            "unselected weights", misfits + outside, f"{unselected:,} bit-identical to the base's"
        ),
        _changed(mask, found, chosen, [*misfits, *_unknown(mask, erased)]),
    ], found


def _changed(mask: SaliencyMask, found: Difference, chosen: str, problems: list[str]) -> Check:
    inside = found.changed - found.outside
    share = f"{inside:,} of {mask.kept:,} selected ({100 * inside / max(mask.kept, 1):.2f} %)"
    share += f", {100 * found.changed / max(found.total, 1):.2f} % of all weights"
    if found.outside:
        problems = [*problems, f"{found.outside:,} are not in {chosen}; {share}"]
    return check("changed weights", problems, f"{share}; all in {chosen}")


def _selected(mask: SaliencyMask, name: str, weight: Tensor) -> Tensor:
    if mask.shapes.get(name) == tuple(weight.shape):
        return mask.bits(name)
    return torch.zeros_like(weight, dtype=torch.bool)


def _unknown(mask: SaliencyMask, erased: Weights | Computed) -> Iterator[str]:
    """What the mask selects that the UNet does not have in this shape."""
    for name, shape in mask.shapes.items():
        if name not in erased.specs or erased.specs[name].shape != shape:
            yield f"the mask's {name} is no weight of the UNet"
