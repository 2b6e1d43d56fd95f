"""A kind of evaluation that only this file knows, from drawing to the report."""

import json
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.erased_runs import MakeRun

from eval.generation.image_log import image_path
from eval.generation.pair import draw_pair
from eval.kind.comparison import Column, Comparison, metric_cell
from eval.kind.kind import Figure, Kind
from eval.kind.pictures import make_gallery
from eval.kind.protocol_line import drawing_flags, drawing_line
from eval.kind.table import Table
from eval.kinds import KINDS
from eval.metrics.distances import mean
from eval.metrics.rates import cell
from eval.metrics.schema import (
    SCHEMA_VERSION,
    Control,
    Cost,
    Evaluation,
    Metric,
    Named,
    read_kind,
    write_evaluation,
)
from eval.quality.kind import QUALITY, quality_kind
from eval.quality.measures.known import MEASURES
from eval.quality.measures.measure import Line, Measure, Sight
from eval.verdict.verdict import Clause, Rules, Verdict
from expunge.evaluations.evaluation_lock import evaluating
from expunge.evaluations.models_under_test import (
    drawing,
    find_models,
    find_place,
    pair_up,
)
from expunge.evaluations.quality import evaluate_quality
from expunge.reports.write_comparison import compare_runs
from expunge.reports.write_report import write_report
from expunge.settings.compare import Compare
from expunge.settings.evaluate import DrawnEvaluation, EvaluateQuality
from expunge.settings.report import Report
from plumbing.errors import UsageError
from prompts.evaluation_rows import PromptRow

RULE = "Dark: the erased model's images are darker than the original's."


@dataclass(frozen=True)
class BrightnessProtocol:
    images: int
    seed: int
    sampler: str
    steps: int
    guidance_scale: float
    width: int
    height: int
    dtype: str
    rows_sha256: str


@dataclass(frozen=True)
class Brightness(Evaluation):
    """How light the images of each model are, 0 to 100."""

    protocol: BrightnessProtocol
    models: dict[str, Named]
    original: Metric | None
    erased: Metric | None
    notes: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    control: Control | None = None
    collapsed: tuple[str, ...] | None = None
    cost: dict[str, Cost] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION
    kind: str = "brightness"


def read_brightness(path: Path) -> Brightness:
    return read_kind(path, Brightness)


def evaluate_brightness(settings: DrawnEvaluation) -> Brightness:
    place = find_place(settings, "brightness")
    original, erased = find_models(place)
    assert original
    pair = pair_up(place, original, erased, settings, sampler="ddim")
    how = drawing(original, erased, settings, sampler="ddim")
    rows = [PromptRow(f"{i:05d}", "retain", f"a dog, number {i}", i) for i in range(4)]
    with evaluating(place):
        assert draw_pair(rows, pair, how)
        light = {m: mean([_light(place.out / m, row) for row in rows]) for m in pair.subjects}
        protocol = BrightnessProtocol(
            len(rows),
            0,
            "ddim",
            how.steps,
            how.guidance_scale,
            *how.size,
            how.dtype,
            sha256().hexdigest(),
        )
        found = Brightness(protocol, pair.told, light["original"], light["erased"])
        write_evaluation(place.out / "evaluation.json", found)
    return found


def _light(folder: Path, row: PromptRow) -> float:
    with Image.open(image_path(folder, row.id)) as image:
        return float(np.asarray(image).mean() / 2.55)


def table(evaluation: Brightness) -> Table:
    row = ("light, %", cell(evaluation.original), cell(evaluation.erased))
    return Table("Brightness", ("", "original", "erased"), (row,))


BRIGHTNESS = Kind(
    name="brightness",
    title="Brightness",
    unmeasured="How light the images are.",
    read=read_brightness,
    protocol=lambda e: f"{drawing_line('a few dogs', e.protocol)}; measured by eye.",
    flags=lambda e: drawing_flags(e.protocol),
    clause=lambda m: Clause(
        "light", alone=Verdict("caution", "Dark", "It is darker now."), remarks=("Light: less.",)
    ),
    rules=Rules(last=(RULE,)),
    heading="Light",
    figures=lambda e: [Figure("light", f"{e.erased.value:.1f} %", "of white")],
    tables=lambda e: [table(e)],
    galleries=lambda m: [make_gallery("Dogs", "All of them.", m, list(m.generations["erased"]))],
    limits=lambda e: ["How light the night is."],
    comparison=Comparison(
        lambda _: [Column("light", lambda e: metric_cell(e.erased), "higher")],
        lambda e: {"lamps": str(e.protocol.steps)},
    ),
)
ALL = (*KINDS, BRIGHTNESS)


@pytest.fixture
def run(make_run: MakeRun) -> Path:
    run = make_run()
    evaluate_brightness(DrawnEvaluation(target=str(run), steps=1, device="cpu"))
    return run


def test_the_report_shows_a_kind_that_no_file_of_the_product_names(run: Path) -> None:
    found = read_brightness(run / "eval" / "brightness" / "evaluation.json")
    written = write_report(Report(runs=(run,)), ALL)
    assert (written["verdict"], written["level"]) == ("Dark", "caution")
    page = (run / "report.html").read_text().replace("\N{NO-BREAK SPACE}", " ")
    for words in (
        "<h2>Light</h2>",
        "<h3>Dogs</h3>",
        "a dog, number 3",
        cell(found.erased),
        f"{found.erased.value:.1f} %",  # type: ignore[union-attr]
        "Brightness: a few dogs, 4 images a model, seed 0, ddim in 1 steps",
        "measured by eye",
        "expunge evaluate brightness run --sampler ddim --steps 1",
        "brightness: 4 images, erased",
        "brightness: erased model, sha256",
        RULE.replace("'", "&#39;"),
        "How light the night is.",
    ):
        assert words in page, words
    assert page.count("data:image/png") == 8 and "How light the images are." not in page


def test_markdown_and_comparison_show_it_too(run: Path, make_run: MakeRun) -> None:
    found = read_brightness(run / "eval" / "brightness" / "evaluation.json")
    write_report(Report(runs=(run,), format="md"), ALL)
    text = (run / "report.md").read_text()
    assert "Brightness:" in text and cell(found.erased).replace("[", r"\[")[:5] in text
    other, third, to = make_run("other"), make_run("third"), run / "all.md"
    settings = DrawnEvaluation(target=str(third), steps=2, device="cpu")
    evaluate_brightness(settings)
    told = compare_runs(Compare(runs=(run, other, third), format="md", out=to), ALL)
    assert told["rows"][0]["cells"]["light"]["value"] == found.erased.value  # type: ignore[union-attr]
    missing = told["rows"][1]["missing"]["light"]
    assert missing["command"].startswith("expunge evaluate brightness RUN --sampler ddim --steps 1")
    text = to.read_text()
    assert "| light ↑ |" in text and "- Brightness, lamps: 1 in row 1; 2 in row 3" in text
    assert "**Dark" in text
    assert "How light the images are" in (
        write_report(Report(runs=(other,), format="md"), ALL) and (other / "report.md").read_text()
    )


def test_who_was_not_told_of_it_sees_none_of_it(run: Path) -> None:
    write_report(Report(runs=(run,)))
    page = (run / "report.html").read_text()
    assert "Brightness" not in page and "<h2>Light</h2>" not in page


def _vividness(sight: Sight, model: str) -> Metric:
    return mean([_spread(file) for file in sight.files[model]])


def _spread(file: Path) -> float:
    with Image.open(file) as image:
        return float(np.asarray(image).std())


def _vividness_lost(sight: Sight, model: str) -> Metric:
    pairs = zip(sight.files["original"], sight.files[model], strict=True)
    return mean([_spread(before) - _spread(after) for before, after in pairs])


VIVIDNESS = Measure(
    "vividness",
    better="higher",
    digits=3,
    alone=Line("vividness", _vividness),
    change=Line("vividness lost", _vividness_lost),
    note=lambda plan: f"{plan.fewest} images are few",
)


def test_the_report_shows_a_measure_that_no_file_of_the_product_names(
    make_run: MakeRun, clip_folder: Path
) -> None:
    run, measures = make_run(), (*MEASURES, VIVIDNESS)
    settings = EvaluateQuality(
        target=str(run), clip=str(clip_folder), images=4, steps=1, device="cpu"
    )
    found, out = evaluate_quality(settings, measures)
    assert found.erased and found.change and found.notes["vividness"] == "4 images are few"
    told = json.loads((out / "evaluation.json").read_text())
    assert list(told["change"])[-1] == list(told["erased"])[-1] == "vividness"
    files = [image_path(out / "erased", f"{i:05d}") for i in range(4)]
    assert found.erased["vividness"] == mean([_spread(file) for file in files])
    kind = quality_kind(measures)
    write_report(Report(runs=(run,), format="md"), [kind])
    text = (run / "report.md").read_text()
    for label, metric in (("vividness", found.erased), ("vividness lost", found.change)):
        shown = cell(metric["vividness"], 3).replace("[", "\\[").replace("]", "\\]")
        assert f"| {label} | higher | 4 |" in text and shown in text
    with pytest.raises(UsageError, match="unknown key 'vividness'"):
        QUALITY.read(out / "evaluation.json")
