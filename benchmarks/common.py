"""What the benchmarks share: one run folder a case, kept and resumed; tables from their results."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any, Literal

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from eval.concept.results import ConceptEvaluation, ConceptScores
from eval.metrics.rates import change
from eval.metrics.schema import Metric
from expunge.evaluations.concept import evaluate_concept
from expunge.runs.erase import erase_concepts
from expunge.settings.erase import Erase
from expunge.settings.evaluate import EvaluateConcept
from plumbing.whole_files import replace_file

METRICS = ("ua", "ira", "cra")


@dataclass(frozen=True)
class Options:
    """Flags that every benchmark has."""

    out: Path = Path("runs/bench")
    """Folder of the run folders and tables; what is finished in it is not done again."""
    model: str = "miniature"
    """The model to erase from, as `expunge erase --model` takes it."""
    protocol: Literal["full", "bench", "demo"] = "full"
    """Protocol of the evaluation."""


@dataclass(frozen=True)
class Case:
    """One row of a table."""

    name: str
    concept: str
    evaluation: ConceptEvaluation
    seconds: float
    """Of the whole erasure: sets, mask, training."""


def run_case(name: str, command: Erase, options: Options) -> Case:
    """Erase and measure one case, in the folder of its name; both resume and are kept."""
    record = erase_case(name, command, options)
    evaluation, _ = evaluate_concept(
        EvaluateConcept(target=record["out"], protocol=options.protocol)
    )
    return Case(name, command.concepts[0], evaluation, sum(record["seconds"].values()))


def erase_case(name: str, command: Erase, options: Options) -> dict[str, Any]:
    """Erase one case, in the folder of its name; returns its run.json and the folder (`out`)."""
    out = options.out / name.replace(" ", "-")
    # Encoded sets depend on neither mask nor training: cases of one concept share them.
    data = replace(command.data, cache=options.out / ".cache")
    model = replace(command.model, model=options.model)
    return erase_concepts(replace(command, model=model, data=data, out=out))


def to_record(case: Case) -> dict[str, object]:
    """One case as JSON values: every metric, original and erased, and the change in points."""
    sides = {"original": case.evaluation.original, "erased": case.evaluation.erased}
    data = case.evaluation.to_dict()
    changes = {m: change(*(getattr(side, m, None) for side in sides.values())) for m in METRICS}
    return {
        "case": case.name,
        "concept": case.concept,
        **{side: data[side] for side in sides},
        "change": changes,
        "protocol": data["protocol"],
        "models": data["models"],
        "seconds": round(case.seconds, 1),
    }


def to_markdown(groups: Mapping[str, Sequence[Case]]) -> str:
    """One table: a row a case, and under each group of several cases a row of their means."""
    head = ["", "ua original", "ua erased", "95 %"]
    for metric in ("ira", "cra"):
        head += [f"{metric} original", f"{metric} erased", "95 %", "change"]
    rows = []
    for name, cases in groups.items():
        rows += [_cells(case) for case in cases]
        if len(cases) > 1:
            rows.append(_means(name, cases))
    return table(head, rows)


def write_table(
    options: Options, name: str, groups: Mapping[str, Sequence[Case]], what: str
) -> str:
    """Write NAME.json and NAME.md into the benchmark's folder; returns the Markdown."""
    note = f"{what}: {options.model}, {options.protocol} protocol, in %, with 95 % intervals."
    markdown = f"{note}\n\n{to_markdown(groups)}"
    cases = {group: [to_record(case) for case in members] for group, members in groups.items()}
    write_results(options, name, {"groups": cases}, markdown)
    return markdown


def write_results(options: Options, name: str, found: Mapping[str, Any], markdown: str) -> None:
    """Write what a benchmark found into its folder, as NAME.json and as NAME.md."""
    record = {"benchmark": name, **found}
    replace_file(options.out / f"{name}.json", (json.dumps(record, indent=2) + "\n").encode())
    replace_file(options.out / f"{name}.md", markdown.encode())


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table whose columns are numbers but for the first."""
    lines = [_line(head), _line(["---"] + ["---:"] * (len(head) - 1))]
    return "\n".join([*lines, *(_line(row) for row in rows)]) + "\n"


def to_png(figure: Figure) -> bytes:
    """A picture's PNG, of the same bytes each time."""
    FigureCanvasAgg(figure)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=90, metadata={"Software": None})
    return file.getvalue()


SCORES = tuple(column for metric in METRICS for column in (metric, "95 %"))
"""Heads of the columns of `score_cells`."""


def score_cells(scores: ConceptScores) -> list[str]:
    """Each metric of one model, and its interval."""
    found = [getattr(scores, metric) for metric in METRICS]
    return [cell for metric in found for cell in (_value(metric), _interval(metric))]


def _cells(case: Case) -> list[str]:
    erased = case.evaluation.erased
    cells = [case.name, _value(_side(case, "original", "ua"))]
    cells += [_value(erased.ua), _interval(erased.ua)]
    for metric in ("ira", "cra"):
        before, after = _side(case, "original", metric), _side(case, "erased", metric)
        cells += [_value(before), _value(after), _interval(after)]
        cells.append(_signed(change(before, after)))
    return cells


def _means(name: str, cases: Sequence[Case]) -> list[str]:
    def average(side: str, metric: str) -> float | None:
        return _mean(m.value for c in cases if (m := _side(c, side, metric)))

    cells = [f"**{name}, mean**", _number(average("original", "ua"))]
    cells += [_number(average("erased", "ua")), ""]
    for metric in ("ira", "cra"):
        pairs = [(_side(c, "original", metric), _side(c, "erased", metric)) for c in cases]
        moved = _mean(value for a, b in pairs if (value := change(a, b)) is not None)
        cells += [_number(average(side, metric)) for side in ("original", "erased")]
        cells += ["", _signed(moved)]
    return cells


def _side(case: Case, side: str, metric: str) -> Metric | None:
    return getattr(getattr(case.evaluation, side), metric, None)


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return mean(known) if known else None


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _value(metric: Metric | None) -> str:
    return _number(None if metric is None else metric.value)


def _interval(metric: Metric | None) -> str:
    return "" if metric is None else f"{metric.ci95[0]:.1f} to {metric.ci95[1]:.1f}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.1f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
