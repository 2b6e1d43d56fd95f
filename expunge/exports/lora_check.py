"""Does a LoRA erase as its run does? The concept evaluation of the base with the LoRA in it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from erase.export.denoiser import write_denoiser_files
from erase.export.lora.read import add_loras, bind_lora, read_lora
from erase.models.denoiser_files import denoiser_weights
from erase.models.erased_run import ErasedRun
from erase.run_folder.folder import write_run
from eval.concept.evaluate import EVALUATION
from eval.concept.results import ConceptEvaluation
from expunge.evaluations.concept import evaluate_concept
from expunge.settings.evaluate import EvaluateConcept
from plumbing.errors import UsageError
from plumbing.processes import sole

Protocol = Literal["demo", "full"]


def check_lora(run: ErasedRun, file: Path, protocol: Protocol) -> dict[str, Any]:
    """`ua`, `ira` and `cra` of the original, of the run, and of the base with the LoRA in it.

    The original's images are shared with the run's evaluations, and an evaluation of the run by
    this protocol is taken as it is. A concept that nothing can judge is a UsageError.
    """
    with TemporaryDirectory(prefix="expunge-") as name:
        folder = Path(name)
        with_lora = write_with_lora(run, file, folder / "lora")
        originals = run.folder.resolve().parent / ".originals"
        now = run.moved
        ask = partial(
            EvaluateConcept,
            protocol=protocol,
            originals=originals,
            base=now.id if now else None,
            config=Path(now.config) if now and now.config else None,
        )
        erased = _evaluate_run(run, ask, folder / "of-run")
        fused, _ = sole(evaluate_concept(ask(target=str(with_lora), out=folder / "of-lora")))
    before, after = erased.to_dict(), fused.to_dict()
    sides = {"original": before["original"], "erased": before["erased"], "lora": after["erased"]}
    return {"protocol": protocol, **sides}


def write_with_lora(run: ErasedRun, file: Path, folder: Path) -> Path:
    """A folder that stands in for the run, its UNet the base's with the LoRA in it."""
    base = denoiser_weights(run.locate_base())
    lora = bind_lora(file, read_lora(file), base.specs, run.config)
    folder.mkdir(parents=True)
    write_denoiser_files(add_loras([lora], base), run.config, folder / run.denoiser, {})
    # Its UNet is another than the run wrote.
    write_run(folder, replace(run.record, weights={}))
    return folder


def _evaluate_run(run: ErasedRun, ask: Any, out: Path) -> ConceptEvaluation:
    if (run.folder / "eval" / "concept" / EVALUATION).is_file():
        try:
            return sole(evaluate_concept(ask(target=str(run.folder))))[0]
        except UsageError:
            # It was by another protocol, or with flags of its own, and stays.
            pass
    return sole(evaluate_concept(ask(target=str(run.folder), out=out)))[0]
