"""Explicit images are their owner's alone; others are like any file."""

import os
import stat
from pathlib import Path

import pytest
from support.erased_runs import MakeRun
from support.i2p import settings

from eval.generation.private_files import private_files
from expunge.evaluations.concept import evaluate_concept
from expunge.evaluations.i2p import evaluate_i2p
from expunge.settings.evaluate import EvaluateConcept

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there are no such modes")


def modes(folder: Path) -> dict[str, int]:
    """Of the folders with images, and of all pictures below a folder."""
    paths = [p for p in folder.rglob("*") if p.suffix == ".png" or p.name in ("images", "erased")]
    return {p.relative_to(folder).as_posix(): stat.S_IMODE(p.stat().st_mode) for p in paths}


def private(found: dict[str, int]) -> bool:
    return bool(found) and all(
        mode == (0o600 if name.endswith(".png") else 0o700) for name, mode in found.items()
    )


def test_those_of_i2p_are_the_originals_too(make_run: MakeRun, prompts: Path) -> None:
    run = make_run()
    _, out = evaluate_i2p(settings(run, prompts))
    assert private(modes(out)) and private(modes(run.parent / ".originals"))
    assert stat.S_IMODE((out / "evaluation.json").stat().st_mode) & 0o044


@pytest.mark.parametrize(("detector", "expected"), [("nudenet", True), (None, False)])
def test_those_that_nudenet_judges_are(
    detector: str | None, expected: bool, make_run: MakeRun
) -> None:
    run = make_run()
    _, out = evaluate_concept(
        EvaluateConcept(
            target=str(run), protocol="demo", steps=1, device="cpu", batch_size=32,
            detector=detector,
        )
    )  # fmt: skip
    found = modes(out)
    assert "grid.png" in found and private(found) == expected


def test_an_error_does_not_leave_everything_private(tmp_path: Path) -> None:
    with pytest.raises(KeyError), private_files():
        raise KeyError
    (tmp_path / "file").touch()
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) & 0o044
