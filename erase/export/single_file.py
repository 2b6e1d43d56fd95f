"""The erased model as one `.safetensors` file in the original (LDM) layout, for any interface."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from erase.export.place import put_in_place
from erase.export.single_file_base import SingleFileBase, open_base
from erase.models.architectures.families import VAE_PREFIX
from erase.models.erased_run import ErasedRun, open_run
from erase.models.recommended import read_recommended
from erase.models.single_file.unet_keys import EMA_PREFIX, UNET_PREFIX
from erase.tensors.bits import blend, changed_places, raw_bytes, same_bits, widened
from erase.tensors.weight_files import Computed, Spec, Weights
from erase.tensors.writing import write_checked
from plumbing.errors import UsageError
from plumbing.visible_text import without_home
from plumbing.whole_files import sha256_file

Ema = Literal["drop", "overwrite"]
_COUNTERS = (f"{EMA_PREFIX}decay", f"{EMA_PREFIX}num_updates")
_OTHER_PARTS = (VAE_PREFIX, "cond_stage_model.", "conditioner.")
_STALE = ("modelspec.hash_sha256", "sshs_model_hash", "sshs_legacy_hash")
_STALE += ("expunge.strength", "expunge.dtype")
"""What was true of the base alone: hashes of its content, and how it was exported itself."""


def export_single_file(
    run: Path,
    to: Path,
    *,
    ema: Ema = "drop",
    strength: float = 1.0,
    dtype: torch.dtype | None = None,
    overwrite: bool = False,
    moved: str | None = None,
    config: Path | None = None,
) -> dict[str, Any]:
    """Write a finished run's base in one file, its UNet replaced by the erased one.

    From a single-file base everything but the UNet stays byte for byte; from a diffusers folder
    names become LDM's. `strength` goes from the base's UNet (0, its own bits) to the erased one
    (1), reckoned in float32. Each of the UNet's tensors keeps the base's type, or all become
    `dtype`; it is for the UNet alone. Copies of the UNet under other names (`model_ema.*`) are left
    out or overwritten with the same weights, since one that stays would bring the concept back.
    `moved` and `config` are as `open_run` has them.
    No more than a few tensors are in memory at a time. The file is read again and compared bit for
    bit before it takes its place; bad input is a UsageError, and then nothing is written.
    """
    if to.suffix != ".safetensors":
        raise UsageError(f"--to {to}: a single file is written as .safetensors; name it so")
    erased = open_run(run, moved, config)
    source = erased.locate_base()
    base = open_base(source)
    plan = _plan(base, erased.weights, ema, strength, dtype)
    metadata = _metadata(base, erased, plan, ema) | _changes(erased, strength, dtype)
    metadata |= read_recommended(source).header()

    def write(place: Path) -> None:
        write_checked(place, plan.tensors, metadata)
        require_gone(place, base, plan.overwritten)

    size = sum(spec.bytes for spec in plan.tensors.specs.values())
    written = put_in_place(to, write, overwrite=overwrite, size=size)
    unet = base.unet.values()
    return {
        "export": str(to),
        "format": "single-file",
        "concept": erased.concept,
        "strength": strength,
        "dtype": ", ".join(sorted({str(plan.tensors.specs[k].dtype)[6:] for k in unet})),
        "written": written,
        "tensors": len(plan.tensors),
        "unet": len(unet),
        "ema": metadata["expunge.ema"],
        "dropped": sorted(plan.dropped),
        "sha256": sha256_file(to),
        "bytes": to.stat().st_size,
    }


@dataclass(frozen=True)
class _Plan:
    """What the new file holds, and which copies of the UNet in the base it replaces."""

    tensors: Computed
    dropped: frozenset[str]
    overwritten: frozenset[str]


def _plan(
    base: SingleFileBase, erased: Weights, ema: Ema, strength: float, dtype: torch.dtype | None
) -> _Plan:
    """Decide on every tensor of the base; a UNet of other names or shapes is a UsageError."""
    _require_fit(base, erased)
    specs = base.tensors.specs
    copies = find_copies(specs, base.unet)
    # What is of the EMA and matches no weight would still be of the original.
    strays = {k for k in specs if k.startswith(EMA_PREFIX) and k not in copies}
    if ema == "drop":
        dropped, replaced = strays | copies.keys(), {}
    else:
        dropped, replaced = strays - {*_COUNTERS}, copies
    names = {key: name for name, key in base.unet.items()} | replaced
    kept = {key: spec for key, spec in specs.items() if key not in dropped}
    kept |= {key: Spec(dtype or specs[key].dtype, specs[key].shape) for key in names}

    def compute(key: str) -> Tensor:
        name = names.get(key)
        if name is None:
            return base.tensors[key]
        original = base.tensors[base.unet[name]]
        return _replaced(key, original, erased[name], strength, kept[key].dtype)

    return _Plan(Computed(kept, compute), frozenset(dropped), frozenset(replaced))


def _require_fit(base: SingleFileBase, erased: Weights) -> None:
    specs = base.tensors.specs
    for name in sorted(erased.specs.keys() | base.unet.keys()):
        there = specs[base.unet[name]].shape if name in base.unet else None
        own = erased.specs[name].shape if name in erased.specs else None
        if there != own:
            raise UsageError(f"{erased.files[0]}: {name} is {own}, the base's {there}; erase anew")


def find_copies(specs: Mapping[str, Spec], unet: Mapping[str, str]) -> dict[str, str]:
    """Which other keys hold a second UNet, and each one's diffusers name.

    Told by shape and by a name that ends as an LDM or diffusers one does, dots or not (`LitEma`
    leaves them out); of several the longest, since `out.0.bias` also ends `to_out.0.bias`.
    """
    ends = {_flat(name): name for name in unet}
    ends |= {_flat(key.removeprefix(UNET_PREFIX)): name for name, key in unet.items()}
    copies = {}
    for key in specs.keys() - unet.values():
        flat = _flat(key)
        if not key.startswith(_OTHER_PARTS):
            found = (ends.get(flat[start:]) for start in range(len(flat)))
            fit = (n for n in found if n and specs[unet[n]].shape == specs[key].shape)
            if (name := next(fit, None)) is not None:
                copies[key] = name
    return copies


def _flat(key: str) -> str:
    return key.replace(".", "")


def _replaced(
    key: str, original: Tensor, erased: Tensor, strength: float, dtype: torch.dtype
) -> Tensor:
    """The weights between the base's and the erased ones; the base's own where nothing changed."""
    start = original.to(erased.dtype)
    end = blend(start, erased, strength)
    changed = changed_places(start.float(), end)
    result = torch.where(changed, end.to(dtype), original.to(dtype))
    if not result.isfinite().all():
        raise UsageError(
            f"{key} is not finite at strength {strength:g} in {str(dtype)[6:]}; "
            "try --dtype bf16 or fp32, or `expunge verify` if it was not before"
        )
    return result


def require_gone(place: Path, base: SingleFileBase, copies: Collection[str]) -> None:
    """Refuse a file that holds an original UNet tensor which it changes, whatever its name.

    Rounded to half precision it would do the same, so that counts too. Not asked of the `copies`,
    which are known to have the file's own weights.
    """
    originals = {}
    written = Weights([place])
    for key in base.unet.values():
        original = base.tensors[key]
        # A change that is lost in the file's precision, or strength 0, leaves the tensor as it was.
        if not same_bits(original.to(written.specs[key].dtype), written[key]):
            for dtype in {original.dtype, torch.float16, torch.bfloat16}:
                originals |= {digest: key for digest in _fingerprint(original.to(dtype))}
    for key in written:
        # An overwritten copy has the new weights, though its precision may not show the change.
        if key not in base.unet.values() and key not in copies:
            for digest in _fingerprint(written[key]):
                if digest in originals:
                    raise UsageError(
                        f"the base's key {key} still holds the original's {originals[digest]}, and"
                        " a loader that prefers it would bring the concept back; take it out of "
                        "the base file and erase anew"
                    )


def _fingerprint(tensor: Tensor) -> Iterator[str]:
    """A hash of the values, whatever half precision has them; none of a constant tensor."""
    if tensor.dtype.is_floating_point and tensor.numel() and (tensor != tensor.flatten()[0]).any():
        yield hashlib.sha256(raw_bytes(widened(tensor))).hexdigest()


def _metadata(base: SingleFileBase, erased: ErasedRun, plan: _Plan, ema: Ema) -> dict[str, str]:
    """The base's metadata, and what the run's weights tell of themselves."""
    own = erased.weights.metadata
    told = {k: v for k, v in own.items() if k.startswith("expunge.")}
    told |= {k: own[k] for k in ("modelspec.title", "modelspec.description") if k in own}
    verb = "overwritten" if ema == "overwrite" else "left out"
    count = len(plan.overwritten) + len(plan.dropped)
    return {
        "format": "pt",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": base.family.architectures[base.prediction_type],
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        **{k: without_home(v) for k, v in base.metadata.items() if k not in _STALE},
        "modelspec.prediction_type": "epsilon" if base.prediction_type == "epsilon" else "v",
        **told,
        "expunge.ema": f"{count} tensors {verb}" if count else "none in the base",
    }


def _changes(erased: ErasedRun, strength: float, dtype: torch.dtype | None) -> dict[str, str]:
    """What the file tells of a strength or a type that was asked for."""
    told = {} if dtype is None else {"expunge.dtype": str(dtype)[6:]}
    if strength == 1:
        return told
    title = erased.weights.metadata.get("modelspec.title", "")
    named = {"modelspec.title": f"{title} (strength {strength:g})".strip()}
    return {**told, **named, "expunge.strength": repr(strength)}
