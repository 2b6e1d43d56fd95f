"""`expunge verify` of what was exported or made: a file or folder, with its base, run, or alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from erase.export.single_file_base import SingleFileBase, open_base
from erase.models.denoiser_files import OpenedDenoiser, denoiser_weights, open_denoiser
from erase.models.erased_run import ErasedRun, find_base, open_run
from erase.models.single_file.unet_keys import UNET_PREFIX
from erase.saliency.mask import SaliencyMask
from erase.tensors.weight_files import Computed, Spec, Weights
from erase.verify.checks import (
    Check,
    Difference,
    check_digest,
    check_files,
    check_hashes,
    check_mask,
    check_names,
)
from erase.verify.exported import Exported, open_exported, specs_of_config
from erase.verify.exported_checks import (
    FLOATS,
    check_as_run,
    check_changes,
    check_content,
    check_copies,
    check_delta_alone,
    check_finite,
    check_gone,
    check_metadata,
    check_parts,
    check_rest,
    deltas_of,
    expected_specs,
    strength_of,
    unet_of,
)
from expunge.settings.verify import Verify
from plumbing.errors import UsageError

_NO_BASE = "needs the base: --base MODEL, or --run RUN"
_NO_RUN = "needs the run: --run RUN"


@dataclass(frozen=True)
class _Base:
    """What the file is compared with."""

    opened: OpenedDenoiser
    single: SingleFileBase | None
    """The base in the layout of a single file, if that is what is checked."""


def verify_file(settings: Verify) -> dict[str, Any]:
    """Check a file or folder without printing; what is wrong is in the result, not raised.

    What cannot be checked at all (an unreadable file, a base that is not found) is a UsageError.
    """
    made = open_exported(settings.target)
    if "expunge.loras" in made.metadata:
        raise UsageError(
            f"{settings.target}: made of LoRAs, which alter weights that no mask selected; apply "
            "them to their base again and compare, or verify their runs"
        )
    folder = settings.run or made.run
    run = open_run(folder) if folder else None
    mask = SaliencyMask.load(run.folder / "mask.safetensors") if run else None
    base = _open_base(made, run, settings)
    checks = [check_metadata(made, run.concept if run and not _several(made) else None)]
    if run and mask:
        checks.append(check_files("the run's files", run.record.weights, run.folder))
        checks.append(check_mask(mask, run.record.mask))
    difference = None
    if base is None:
        checks += _alone(made)
    else:
        checks += _hashes(made, base, run)
        found, difference = _compared(made, base, run, mask)
        checks += found
    return {
        "target": str(settings.target),
        "kind": made.kind,
        "concept": made.concept,
        "run": str(run.folder) if run else None,
        "passed": all(check.state != "FAILED" for check in checks),
        "checks": [asdict(check) for check in checks],
        "weights": asdict(difference) if difference else None,
    }


def _open_base(made: Exported, run: ErasedRun | None, settings: Verify) -> _Base | None:
    words = {"config": settings.config, "prediction_type": settings.prediction_type}
    if run:
        source = find_base(run, settings.base, **words)
        opened = OpenedDenoiser(denoiser_weights(source), {}, source)
    elif settings.base:
        try:
            opened = open_denoiser(settings.base, **words)
        except UsageError as error:
            raise UsageError(str(error).replace("--model", "--base", 1)) from error
    else:
        return None
    if made.kind != "single file":
        return _Base(opened, None)
    if opened.source is None:
        raise UsageError(f"--base {settings.base}: a UNet alone; give the whole model")
    return _Base(opened, open_base(opened.source))


def _several(made: Exported) -> bool:
    """Whether it is of more than one delta, of which a run tells one alone."""
    try:
        return len(deltas_of(made.metadata)) > 1
    except ValueError:
        return False


def _hashes(made: Exported, base: _Base, run: ErasedRun | None) -> Iterator[Check]:
    """Recorded hashes: of the base's files, and of the UNets that a delta leads between."""
    source, told = base.opened.source, made.metadata
    if source is None:
        yield Check("the base's digest", "skipped", "the base is a UNet alone")
    else:
        recorded = run.record.base if run else None
        if recorded:
            yield check_hashes("the base's files", recorded.files, source.files)
        yield check_digest(source, told.get("expunge.base"), recorded.digest if recorded else None)
    if made.delta and not _misfits(made, base):
        dtype = made.delta.dtype
        specs = {n: Spec(dtype, spec.shape) for n, spec in base.opened.weights.specs.items()}
        before = Computed(specs, lambda name: base.opened.weights[name].to(dtype))
        yield check_content("the base's UNet", told["expunge.base_unet"], before)
        yield check_content("the erased UNet", told["expunge.erased_unet"], _unet(made, base))


def _misfits(made: Exported, base: _Base) -> list[str]:
    """Names of a delta that the base does not have in this shape."""
    known, specs = base.opened.weights.specs, made.delta.specs if made.delta else {}
    return [n for n, spec in specs.items() if n not in known or known[n].shape != spec.shape]


def _unet(made: Exported, base: _Base) -> Weights | Computed:
    """The UNet under diffusers' names, as far as it is there."""
    if base.single:
        return unet_of(made.tensors, base.single.unet)
    delta, original = made.delta, base.opened.weights
    if delta is None:
        return made.tensors
    wrong = _misfits(made, base)
    specs = {n: Spec(delta.dtype, s.shape) for n, s in original.specs.items() if n not in wrong}
    return Computed(specs, lambda name: delta.flipped(name, original[name].to(delta.dtype)))


def _compared(
    made: Exported, base: _Base, run: ErasedRun | None, mask: SaliencyMask | None
) -> tuple[list[Check], Difference]:
    """Everything that the base tells, and the run if there is one."""
    unet, single = _unet(made, base), base.single
    original = unet_of(single.tensors, single.unet) if single else base.opened.weights
    if single:
        checks = [check_names(made.tensors.specs, expected_specs(made.tensors, single), FLOATS)]
    else:
        checks = [check_names(unet.specs, original.specs, FLOATS)]
    of_mask = None if _several(made) else mask
    found, difference = check_changes(made, unet, original, of_mask)
    checks += found
    if single:
        checks += [check_rest(made.tensors, single), check_copies(made.tensors, single.unet)]
        if unet.specs.keys() == single.unet.keys():
            checks.append(check_gone(made.path, single, made.tensors))
    if made.source and base.opened.source:
        checks.append(check_parts(made.source, base.opened.source))
    return [*checks, _as_run(made, unet, original, run)], difference


def _as_run(
    made: Exported, unet: Weights | Computed, original: Weights | Computed, run: ErasedRun | None
) -> Check:
    name = "as the run gives"
    if "expunge.deltas" in made.metadata:
        return Check(name, "skipped", "made of deltas by `expunge apply`; verify each delta")
    if run is None:
        return Check(name, "skipped", _NO_RUN)
    try:
        strength = strength_of(made.metadata)
    except ValueError:
        return Check(name, "skipped", "it does not tell its strength")
    return check_as_run(unet, original, run.weights, strength)


def _alone(made: Exported) -> Iterator[Check]:
    """What can be told of a file by itself; the rest is skipped."""
    if made.delta:
        yield check_delta_alone(made.delta)
    else:
        if made.config:
            # The config tells no type.
            kinds = {spec.dtype for spec in made.tensors.specs.values()}
            yield check_names(made.tensors.specs, specs_of_config(made.config), kinds)
        else:
            known = "recognised by its names; the rest " if made.kind == "single file" else ""
            yield Check("names and shapes", "skipped", known + _NO_BASE)
        yield check_finite(made.tensors)
    if made.kind == "single file":
        keys = [key for key in made.tensors.specs if key.startswith(UNET_PREFIX)]
        yield check_copies(made.tensors, {key.removeprefix(UNET_PREFIX): key for key in keys})
    for name in ("the base's digest", "unselected weights", "changed weights"):
        yield Check(name, "skipped", _NO_BASE)
