"""The checks of `expunge verify` on what was exported or made, each against its base or alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from erase.export.copied_files import Copied, copied_part
from erase.export.delta import Delta
from erase.export.single_file import find_copies, require_gone
from erase.export.single_file_base import SingleFileBase
from erase.models.model_source import INDEX, ModelSource
from erase.models.single_file.unet_keys import EMA_PREFIX, UNET_PREFIX
from erase.saliency.mask import SaliencyMask, freeze_mask
from erase.tensors.bits import blend, changed_places, content_hash, same_bits
from erase.tensors.weight_files import Computed, Weights
from erase.verify.checks import Check, Difference, check, check_hashes, check_weights
from erase.verify.exported import Exported
from plumbing.errors import UsageError
from plumbing.privacy import published

FLOATS = (torch.float32, torch.float16, torch.bfloat16)
"""The types in which an export may store what the base has in another."""
_COUNTERS = (f"{EMA_PREFIX}decay", f"{EMA_PREFIX}num_updates")
Tensors = Weights | Computed


def strength_of(metadata: Mapping[str, str]) -> float:
    """How far a file says it goes; ValueError for what is no number from 0 on."""
    strength = float(metadata.get("expunge.strength", "1"))
    if not 0 <= strength < float("inf"):
        raise ValueError(strength)
    return strength


def deltas_of(metadata: Mapping[str, str]) -> list[str]:
    """The hashes of the deltas it was made by; ValueError for anything but a list of them."""
    deltas = json.loads(metadata.get("expunge.deltas", "[]"))
    if not isinstance(deltas, list) or not all(isinstance(each, str) for each in deltas):
        raise ValueError(deltas)
    return deltas


def train_method_of(made: Exported) -> str | None:
    """Which weights it says were let train; None if it does not say."""
    try:
        found = json.loads(made.metadata.get("expunge.config", "{}")).get("train_method")
    except (ValueError, AttributeError):
        return None
    return found if found in made.architecture.groups else None


def check_metadata(made: Exported, concept: str | None) -> Check:
    """Whether what a file says of itself can be, and is of the run's `concept` if there is one."""
    told = made.metadata
    if not any(key.startswith("expunge.") for key in told):
        return Check("metadata", "skipped", "says nothing of expunge; made by another tool")
    problems = [f"expunge.{key} is missing" for key in ("concept", "base") if not _has(told, key)]
    for key, read in (("strength", strength_of), ("deltas", deltas_of)):
        try:
            read(told)
        except ValueError:
            problems.append(f"expunge.{key} is {told[f'expunge.{key}']!r}")
    if concept is not None and made.concept not in (concept, None):
        problems.append(f"tells of {made.concept}, the run of {concept}")
    at = told.get("expunge.strength", "1")
    return check("metadata", problems, f"{made.concept} erased, strength {at}")


def _has(metadata: Mapping[str, str], key: str) -> bool:
    return bool(metadata.get(f"expunge.{key}", "").strip())


def check_finite(tensors: Tensors) -> Check:
    """Whether no tensor has a NaN, and no UNet weight an infinity; of a file read alone."""
    problems = []
    for name, tensor in tensors.items():
        if tensor.dtype.is_floating_point:
            # A text encoder may hold a mask of -inf.
            whole = name.startswith(UNET_PREFIX) or not _is_single(tensors)
            bad = ~tensor.isfinite() if whole else tensor.isnan()
            if bad.any():
                problems.append(f"{name} has {int(bad.sum()):,} NaN or infinite")
    return check("finite", problems, f"all of {len(tensors)} tensors")


def _is_single(tensors: Tensors) -> bool:
    return any(name.startswith(UNET_PREFIX) for name in tensors.specs)


def check_content(name: str, recorded: str, weights: Mapping[str, Tensor]) -> Check:
    """Whether a UNet has the hash that a delta tells of it."""
    found = content_hash(weights)
    same = found == recorded
    detail = found[:12] if same else f"has the hash {found[:12]}, recorded {recorded[:12]}"
    return Check(name, "ok" if same else "FAILED", detail)


def check_delta_alone(delta: Delta) -> Check:
    """Whether the places of the weights that a delta changes are sound, and as many as it tells."""
    problems, count = [], 0
    for name in delta.specs:
        try:
            count += len(delta.places(name))
        except UsageError as error:
            problems.append(str(error))
    told = delta.metadata.get("expunge.changed")
    if not problems and told != str(count):
        problems.append(f"changes {count:,} weights, recorded {told}")
    return check("places", problems, f"{count:,} weights in {len(delta.specs)} tensors")


def check_changes(
    made: Exported, unet: Tensors, base: Tensors, mask: SaliencyMask | None
) -> tuple[list[Check], Difference]:
    """As `check_weights`; without a mask, what was let train stands for it, if it is known."""
    if mask is not None:
        return check_weights(unet, base, mask)
    train_method = train_method_of(made)
    selects = made.architecture.groups[train_method or "full"]
    bits = {
        name: torch.ones((), dtype=torch.bool).expand(spec.shape)
        for name, spec in unet.specs.items()
        if selects(name)
    }
    chosen = f"what {train_method} trains" if train_method else "the UNet"
    checks, difference = check_weights(unet, base, freeze_mask(bits, {}), chosen)
    if train_method in (None, "full"):
        checks[1] = Check(checks[1].name, "skipped", "which are selected is in the run: --run RUN")
    return checks, difference


def check_as_run(unet: Tensors, base: Tensors, run: Weights, strength: float) -> Check:
    """Whether every weight is what an export of the run at this strength has, in its type."""
    problems = []
    for name in unet:
        original, erased = base.get(name), run.get(name)
        if original is None or erased is None or original.shape != erased.shape:
            problems.append(f"{name} cannot be compared")
            continue
        expected = _exported(original, erased, strength, unet.specs[name].dtype)
        if not same_bits(unet[name], expected):
            problems.append(f"{name} is not what the run gives")
    fine = f"{len(unet)} tensors, bit for bit at strength {strength:g}"
    return check("as the run gives", problems, fine)


def _exported(original: Tensor, erased: Tensor, strength: float, dtype: torch.dtype) -> Tensor:
    changed = changed_places(original.to(erased.dtype), erased)
    blended = blend(original.to(erased.dtype), erased, strength).to(dtype)
    return torch.where(changed, blended, original.to(dtype))


def check_parts(made: ModelSource, base: ModelSource) -> Check:
    """Whether all of a pipeline but its UNet is the base's, file by file."""
    if base.single_file is not None:
        return Check("the other parts", "skipped", "the base is a single file, of other files")
    return check_hashes("the other parts", _plain(base), _plain(made))


def _plain(source: ModelSource) -> dict[str, str]:
    """Files and hashes without the UNet's, and without the variant's name, as exports have them."""
    parts = [part for part in source.architecture.parts if part != source.architecture.denoiser]
    copied = [each for part in parts for each in copied_part(source, part)]
    if INDEX in source.files:
        copied.append(Copied(INDEX, source.folder / INDEX, published(source.folder / INDEX)))
    return {each.name: each.sha256() for each in copied}


def unet_of(tensors: Tensors, names: Mapping[str, str]) -> Computed:
    """A single file's UNet under diffusers' names, as far as the file has it."""
    there = {name: key for name, key in names.items() if key in tensors.specs}
    specs = {name: tensors.specs[key] for name, key in there.items()}
    return Computed(specs, lambda name: tensors[there[name]])


def expected_specs(tensors: Tensors, base: SingleFileBase) -> Mapping:
    """The base's tensors without the copies of its UNet that the file has left out."""
    specs = base.tensors.specs
    copies = find_copies(specs, base.unet).keys() | {k for k in specs if k.startswith(EMA_PREFIX)}
    return {k: spec for k, spec in specs.items() if k in tensors.specs or k not in copies}


def check_rest(tensors: Tensors, base: SingleFileBase) -> Check:
    """Whether everything outside the UNet and its copies is the base's, byte for byte."""
    copies = find_copies(base.tensors.specs, base.unet)
    own = {*base.unet.values(), *copies}
    keys = [k for k in base.tensors if k in tensors.specs and k not in own]
    problems = [f"{k} differs" for k in keys if not same_bits(tensors[k], base.tensors[k])]
    return check("everything else", problems, f"{len(keys)} tensors byte for byte the base's")


def check_copies(tensors: Tensors, names: Mapping[str, str]) -> Check:
    """Whether no second UNet is there (an EMA, a backup) but of this file's own weights.

    `names` tells the file's full key of every UNet weight by a name that a copy may end with.
    """
    names = {name: key for name, key in names.items() if key in tensors.specs}
    copies = find_copies(tensors.specs, names)
    problems = [
        f"{key} is another {names[name]}"
        for key, name in sorted(copies.items())
        if not _alike(tensors[key], tensors[names[name]])
    ]
    strays = {k for k in tensors.specs if k.startswith(EMA_PREFIX)} - {*copies, *_COUNTERS}
    problems += [f"{key} is an average of no weight that is there" for key in sorted(strays)]
    fine = f"{len(copies)} tensors, as the UNet's own" if copies else "none"
    return check("copies of the UNet", problems, fine)


def _alike(copy: Tensor, own: Tensor) -> bool:
    # Either may have been rounded from the run's float32.
    narrow = min((copy.dtype, own.dtype), key=lambda dtype: dtype.itemsize)
    return same_bits(copy.to(narrow), own.to(narrow))


def check_gone(path: Path, base: SingleFileBase, tensors: Tensors) -> Check:
    """Whether no changed weight of the base's is there under any other name."""
    copies = find_copies(tensors.specs, base.unet)
    own = {key for key, n in copies.items() if _alike(tensors[key], tensors[base.unet[n]])}
    try:
        require_gone(path, base, own)
    except UsageError as error:
        return Check("originals left", "FAILED", str(error).split(",")[0])
    return Check("originals left", "ok", "none under any name")
