"""What a command need not wait for: nothing is imported, hashed or encoded before it is needed."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support import report_runs
from support.drawn_rows import DRAWING, ROWS

import erase.models.locate
from erase.models.bundle import Bundle
from eval.generation.generate import generate
from expunge.evaluations.models_under_test import find_models, find_place
from expunge.settings.evaluate import EvaluateConcept
from plumbing.whole_files import sha256_file

DRAWS = ("erase", "mask", "evaluate_concept", "evaluate_quality", "evaluate_attack")


def run_python(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", ["report", "compare"])
def test_pages_import_nothing_that_draws_or_judges(command: str, tmp_path: Path) -> None:
    heavy = {"torch", "diffusers", "transformers", "accelerate", "onnxruntime", "cv2", "scipy"}
    runs = [report_runs.make_run(tmp_path / name) for name in ("one", "two")]
    for run in runs:
        report_runs.add_concept(run)
    words = ["report", str(runs[0]), "--to"]
    if command == "compare":
        words = ["compare", *map(str, runs), "--out"]
    page = tmp_path / "page.html"
    done = run_python("-X", "importtime", "-m", "expunge", *words, str(page))
    assert done.returncode == 0 and page.is_file()
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "matplotlib.figure" in imported and not imported & heavy


def test_what_draws_imports_neither_charts_nor_converters_nor_other_judges() -> None:
    """Those of single files bring SciPy's statistics where it is installed, half a second."""
    names = ", ".join(f"expunge.commands.{name}" for name in DRAWS)
    unneeded = {
        "matplotlib",
        "diffusers.loaders.single_file_utils",
        "erase.models.single_file.parts",
        "eval.judges.nudenet",
        "onnxruntime",
        "cv2",
        "sklearn",
        "torchvision",
    }
    done = run_python("-c", f"import sys, {names}; print({unneeded} & sys.modules.keys())")
    assert (done.returncode, done.stdout) == (0, "set()\n")


def test_imports_are_not_searched_for_garbage_and_what_follows_is(tmp_path: Path) -> None:
    """What was imported first is set apart for good, and nothing that came later."""
    code = (
        "import gc, sys; from expunge.cli import main; seen = []\n"
        "gc.callbacks.append(lambda when, _: seen.append(when))\n"
        "assert main(['export', 'no-run']) == 2 and 'torch' in sys.modules\n"
        "apart = gc.get_freeze_count(); assert apart > 100_000 and gc.isenabled()\n"
        "assert len(seen) < 200, len(seen)\n"
        "assert main(['export', 'no-run']) == 2 and gc.get_freeze_count() <= apart\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_who_collects_no_garbage_is_left_alone() -> None:
    code = (
        "import gc; from expunge.cli import main; gc.disable()\n"
        "assert main(['report', 'no-run']) == 2\n"
        "assert not gc.isenabled() and not gc.get_freeze_count()"
    )
    assert run_python("-c", code).returncode == 0


def test_a_prompt_is_encoded_once_and_not_before_its_batch(
    tiny: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of two of seven rows with three prompts: two prompts, then the third, then none."""
    pipeline = tiny.pipeline("ddim")
    encoded: list[str] = []
    encode = pipeline.encode_prompt

    def told(*given: Any, **named: Any) -> Any:
        # The pipeline asks as well, by position, for what is given to it encoded.
        encoded.extend([named["prompt"]] if "prompt" in named else [])
        return encode(*given, **named)

    monkeypatch.setattr(pipeline, "encode_prompt", told)
    counts: list[int] = []

    def look(_: int) -> None:
        counts.append(len(encoded))

    generate(pipeline, ROWS, tmp_path, DRAWING, model_hash="m", batch_size=2, progress=look)
    assert counts == [3, 4, 4, 4]
    assert sorted(encoded) == ["", *sorted({row.prompt for row in ROWS})]


def test_no_file_of_a_run_or_of_its_base_is_hashed_twice(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: Counter[Path] = Counter()

    def count(path: Path) -> str:
        hashed[path] += 1
        return sha256_file(path)

    monkeypatch.setattr(erase.models.locate, "sha256_file", count)
    original, erased = find_models(find_place(EvaluateConcept(target=str(run)), "concept"))
    assert original is not None and original.digest != erased.digest
    assert original.denoiser is None and erased.denoiser == run / "unet"
    assert len(hashed) > 5 and set(hashed.values()) == {1}
