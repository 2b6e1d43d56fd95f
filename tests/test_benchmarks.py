"""A benchmark's cases are run folders: done once, kept, and put in one table."""

import hashlib
import importlib
import json
import pkgutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

import benchmarks
from benchmarks import determinism, drawing, speed, startup, training
from benchmarks.common import (
    SCORES,
    Case,
    Options,
    score_cells,
    table,
    to_record,
    write_results,
    write_table,
)
from erase.models.bundle import Bundle
from eval.concept.results import ConceptEvaluation, ConceptProtocol, ConceptQuestion, ConceptScores
from eval.generation.image_log import image_path, read_generations, write_generations
from eval.metrics.schema import Metric


def metric(value: float) -> Metric:
    return Metric(value=value, n=4, ci95=(value - 1, value + 1))


def case(name: str, ua: float, ira: float) -> Case:
    evaluation = ConceptEvaluation(
        protocol=ConceptProtocol("demo", 0, "ddim", 2, 5.0, 16, 16, "float32", {"forget": 4}, "ab"),
        concept=ConceptQuestion(name, "object", (name,)),
        models={},
        judges={},
        original=ConceptScores(metric(2), metric(99), None),
        erased=ConceptScores(metric(ua), metric(ira), None),
    )
    return Case(name, name, evaluation, 12.34)


def test_every_benchmark_can_be_imported() -> None:
    """They are run seldom: a name that has moved would be found out late."""
    names = [module.name for module in pkgutil.iter_modules(benchmarks.__path__)]
    assert len(names) > 30
    for name in names:
        if name != "__main__":
            importlib.import_module(f"benchmarks.{name}")


def test_a_table_has_a_row_a_case_and_their_means(tmp_path: Path) -> None:
    """ua (100 + 98) / 2 = 99; ira changes -1 and -2, mean -1.5; no cra, no number."""
    groups = {"ten": [case("church", 100, 98), case("dog", 98, 97)], "one": [case("fish", 50, 50)]}
    markdown = write_table(Options(out=tmp_path), "test", groups, "Two concepts")
    lines = markdown.splitlines()
    assert lines[0].startswith("Two concepts: miniature, full protocol")
    assert lines[4].startswith("| church | 2.0 | 100.0 | 99.0 to 101.0 | 99.0 | 98.0 |")
    assert lines[6] == "| **ten, mean** | 2.0 | 99.0 |  | 99.0 | 97.5 |  | -1.5 |  |  |  |  |"
    assert len(lines) == 8
    assert (tmp_path / "test.md").read_text() == markdown
    record = json.loads((tmp_path / "test.json").read_text())
    assert [c["case"] for c in record["groups"]["ten"]] == ["church", "dog"]


def test_a_case_without_an_original_has_no_change() -> None:
    alone = case("church", 100, 98)
    alone = replace(alone, evaluation=replace(alone.evaluation, original=None))
    assert to_record(alone)["change"] == {"ua": None, "ira": None, "cra": None}


def test_a_row_of_scores_fits_its_heads(tmp_path: Path) -> None:
    cells = score_cells(case("church", 100, 98).evaluation.erased)
    assert cells == ["100.0", "99.0 to 101.0", "98.0", "97.0 to 99.0", "", ""]
    markdown = table(["rank", *SCORES], [["1", *cells]])
    assert markdown.splitlines()[2] == f"| 1 | {' | '.join(cells)} |"
    write_results(Options(out=tmp_path), "lora", {"points": [1]}, markdown)
    assert json.loads((tmp_path / "lora.json").read_text()) == {"benchmark": "lora", "points": [1]}
    assert (tmp_path / "lora.md").read_text() == markdown


def test_an_image_that_differs_is_counted_and_its_pixels_compared(
    tiny: Bundle, tmp_path: Path
) -> None:
    """The second lowest bit of one value in one of three images: 2 of 255."""
    options = determinism.Options(model=str(tiny.source.folder), rows=3, steps=1)
    assert len({row.prompt for row in determinism.choose_rows(options)}) == 3
    a, b = (determinism.draw(tiny.pipeline("ddim"), options, tmp_path / name) for name in "ab")
    assert determinism.compare(a, b) == {"images": 0, "max_255ths": 0}
    first, *others = read_generations(b).values()
    path = image_path(b, first.id)
    with Image.open(path) as image:
        pixels = np.array(image)
    pixels[5, 5, 0] ^= 2
    Image.fromarray(pixels).save(path)
    changed = replace(first, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    write_generations(b, [changed, *others])
    assert determinism.compare(a, b) == {"images": 1, "max_255ths": 2}


def test_a_timed_step_is_that_of_the_miniature() -> None:
    """Ours and the floor of it run for real; which is faster is not for a test to say."""
    for variant in ("ours", "floor", "channels_last"):
        result = training.run_variant(training.Options(steps=2), variant)
        (only,) = result["all"]
        assert result["seconds"] == pytest.approx(only, abs=1e-3)
        assert result["peak_gb"] < psutil.virtual_memory().total / 1e9


def test_a_start_is_timed_to_its_end_or_until_enough_is_there(tmp_path: Path) -> None:
    """Sleeping takes time and no processor; what fails is no time at all."""
    whole = startup.watch((sys.executable, "-c", "import time; time.sleep(0.3)"), lambda: False)
    assert whole.seconds >= 0.3 and 0 < whole.processor < whole.seconds
    sign = tmp_path / "sign"
    code = f"import time; open({str(sign)!r}, 'w').close(); time.sleep(60)"
    assert startup.watch((sys.executable, "-c", code), sign.exists).seconds < 30
    with pytest.raises(RuntimeError, match="no such thing"):
        startup.watch((sys.executable, "-c", "raise SystemExit('no such thing')"), lambda: False)


def test_drawing_is_told_in_ratios_to_a_plain_loop_and_to_the_bare_passes(tmp_path: Path) -> None:
    """10 s of ours, where a plain loop takes 12, the UNet 8 and the decoder 1: 1.2, 0.8 and 0.9."""
    seconds = {"evaluation": 10.0, "set": 16.0, "plain": 12.0, "bare": 8.0, "decode": 1.0}
    found = drawing.ratios(seconds)
    assert found["plain / evaluation"] == 1.2 and found["plain / set"] == 0.75
    assert found["bare / evaluation"] == 0.8 and found["bare and decode / evaluation"] == 0.9
    drawing.main(drawing.Options(size="tiny", rounds=2, steps=2, out=tmp_path))
    record = json.loads((tmp_path / "drawing-tiny.json").read_text())
    assert record["images"] == 4 and {len(times) for times in record["all"].values()} == {2}
    (tmp_path / "drawing-miniature.json").write_text(json.dumps(record))
    speed.main(speed.SpeedOptions(out=tmp_path, parts=("drawing-miniature",)))
    rows = json.loads((tmp_path / "speed.json").read_text())["rows"]
    assert len(rows) == 5 and all(float(value) > 0 for _, _, value in rows)
