"""Check a run against its record and its base."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from erase.models.denoiser_files import denoiser_weights
from erase.models.erased_run import find_base, open_run
from erase.models.model_source import ModelSource
from erase.run_folder.folder import is_run
from erase.run_folder.record import RunRecord
from erase.saliency.mask import SaliencyMask
from erase.verify.checks import (
    Check,
    Difference,
    check_digest,
    check_files,
    check_hashes,
    check_mask,
    check_names,
    check_weights,
)
from expunge.settings.verify import Verify
from expunge.verification.verify_file import verify_file
from plumbing.errors import UsageError


def verify(settings: Verify) -> dict[str, Any]:
    """Check a run, file or folder without printing; what is wrong is in the result, not raised.

    What cannot be checked at all (no finished run, a base that is not found) is a UsageError.
    """
    if not is_run(settings.target):
        return verify_file(settings)
    if settings.run:
        raise UsageError(f"--run {settings.run}: TARGET {settings.target} is a run itself; drop it")
    erased = open_run(settings.target)
    source = find_base(
        erased, settings.base, config=settings.config, prediction_type=settings.prediction_type
    )
    base = denoiser_weights(source)
    record = erased.record
    mask = SaliencyMask.load(erased.folder / "mask.safetensors")
    checks = [
        check_files("the run's files", record.weights, erased.folder),
        check_hashes("the base's files", record.base.files, source.files),
        check_digest(source, record.base.digest, str(record.mask.get("base", ""))),
        *_check_inputs(record, source),
        check_mask(mask, record.mask),
        check_names(erased.weights.specs, base.specs),
    ]
    found, difference = check_weights(erased.weights, base, mask)
    checks += found
    return {
        "target": str(settings.target),
        "run": str(settings.target),
        "concept": erased.concept,
        "passed": all(check.state != "FAILED" for check in checks),
        "checks": [asdict(check) for check in checks],
        "weights": _counts(difference, mask),
    }


def _counts(difference: Difference, mask: SaliencyMask) -> dict[str, int]:
    return {**asdict(difference), "selected": mask.kept}


def _check_inputs(record: RunRecord, source: ModelSource) -> Iterator[Check]:
    """What the user gave (prompts, pictures, a mask); what is no longer there is skipped."""
    # It reads prompts as `erase` does, and with it comes diffusers, which a file does not need.
    from expunge.runs.plan import hash_inputs

    for name, expected in sorted(record.inputs.items()):
        try:
            found = hash_inputs(name, record.concepts, record.config, source)
        except (UsageError, OSError) as error:
            reason = str(error).split(";")[0]
            yield Check(f"input {name}", "skipped", f"not to be had any more ({reason})")
            continue
        same = expected in found
        detail = expected[:12] if same else f"{found[0][:12]}, recorded {expected[:12]}"
        yield Check(f"input {name}", "ok" if same else "FAILED", detail)
