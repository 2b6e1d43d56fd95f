"""What a report is made of: the run as told by its run.json, and what its evaluations left."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from eval.concept.results import ConceptEvaluation, read_evaluation
from eval.concept.scores import Judgement
from eval.generation.image_log import GENERATIONS, Generation
from eval.i2p.counts import ImageDetections, read_detections
from eval.i2p.results import NudityEvaluation, read_nudity
from eval.quality.results import QualityEvaluation, read_quality
from eval.report.check import check_evaluation
from eval.report.training_end import TrainingEnd, read_training_end
from plumbing.errors import UsageError
from plumbing.json_file import parse as parse_json
from plumbing.visible_text import is_explicit

T = TypeVar("T", ConceptEvaluation, NudityEvaluation, QualityEvaluation)
Generations = Mapping[str, Mapping[str, Generation]]
"""By model (`original`, `erased`), then by id."""
_LARGEST = 1e12
"""Of a loss or of seconds that are shown; what is beyond it is no measurement."""


@dataclass(frozen=True)
class MaskPart:
    """How many weights of a part of the model were selected."""

    part: str
    kept: int
    total: int


@dataclass(frozen=True)
class RunFolder:
    """A run as the report is told of it."""

    folder: Path
    record: Mapping[str, Any]
    """The content of run.json."""
    commands: tuple[str, ...] = ()
    """Command lines that make the run and its evaluations anew."""
    blocks: tuple[MaskPart, ...] = ()
    """The mask by block, in the order of the data flow; empty if there is none."""
    kinds: tuple[MaskPart, ...] = ()
    """The mask by kind of layer."""

    @property
    def name(self) -> str:
        """The folder's own name: where it lies says nothing."""
        return self.folder.resolve().name

    @property
    def concept(self) -> str:
        """What was erased."""
        concept = self.record.get("concept")
        name = concept.get("name") if isinstance(concept, dict) else None
        return str(name or " + ".join(self.concepts) or "unknown")

    @property
    def concepts(self) -> list[str]:
        """The concepts as they were given."""
        given = self.record.get("concepts")
        return list(map(str, given)) if isinstance(given, list) else []

    @property
    def base(self) -> Mapping[str, Any]:
        """The original model, as run.json has it."""
        base = self.record.get("base")
        return base if isinstance(base, dict) else {}

    @property
    def explicit(self) -> bool:
        """Whether the concept's name says that no image should be shown unasked."""
        return is_explicit([self.concept, *self.concepts])


@dataclass(frozen=True)
class Step:
    """One line of `train_log.jsonl`, as far as a chart needs it."""

    step: int
    forget_loss: float
    retain_loss: float


@dataclass(frozen=True)
class RunData:
    """Everything that a page is rendered from; what is missing is None or empty."""

    run: RunFolder
    ended: TrainingEnd = field(default_factory=TrainingEnd)
    """How the training ended, if it was not at its last step."""
    concept: ConceptEvaluation | None = None
    nudity: NudityEvaluation | None = None
    quality: QualityEvaluation | None = None
    steps: tuple[Step, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    detections: tuple[ImageDetections, ...] = ()
    similarities: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The lines of quality's `similarities.jsonl` by id."""
    generations: Mapping[str, Generations] = field(default_factory=dict)
    """By evaluation: `concept`, `i2p`, `quality`."""
    problems: tuple[str, ...] = ()
    """What could not be read, said on the page."""


def read_run_data(run: RunFolder) -> RunData:
    """Read all that a run folder holds; UsageError for an evaluation that is not readable.

    Rows of JSONL files that are broken are left out, and `problems` says how many.
    """
    problems: list[str] = []
    places = {kind: run.folder / "eval" / kind for kind in ("concept", "i2p", "quality")}
    files = {kind: place / "evaluation.json" for kind, place in places.items()}
    there = {kind for kind, file in files.items() if file.exists()}
    return RunData(
        run=run,
        ended=read_training_end(run.folder, run.record),
        concept=_checked(files["concept"], read_evaluation),
        nudity=_checked(files["i2p"], read_nudity),
        quality=_checked(files["quality"], read_quality),
        steps=tuple(_parsed(run.folder / "train_log.jsonl", _step, problems)),
        judgements=tuple(
            _parsed(places["concept"] / "judgements.jsonl", _judgement, problems)
            if "concept" in there
            else ()
        ),
        detections=_detections(places["i2p"], problems) if "i2p" in there else (),
        similarities={
            line["id"]: line
            for line in _parsed(places["quality"] / "similarities.jsonl", _similarity, problems)
        },
        generations={kind: _generations(places[kind], problems) for kind in sorted(there)},
        problems=tuple(problems),
    )


def _checked(file: Path, read: Callable[[Path], T]) -> T | None:
    """An evaluation with sound values; None if there is no such file."""
    if not file.exists():
        return None
    evaluation = read(file)
    check_evaluation(file, evaluation)
    return evaluation


def _parsed(path: Path, parse: Any, problems: list[str]) -> Iterator[Any]:
    """What `parse` makes of each line of a file; no file is no line."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return
    except OSError as error:
        problems.append(f"{path.name} cannot be read ({error.strerror})")
        return
    broken = 0
    for line in filter(str.strip, lines):
        try:
            yield parse(parse_json(line))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            broken += 1
    if broken:
        problems.append(f"{broken} of the lines of {path.name} are broken and left out")


def is_measured(value: Any) -> TypeGuard[float]:
    """Whether a value of a record can be a time or an amount, and so be shown and added up."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LARGEST


def _step(data: Mapping[str, Any]) -> Step:
    losses = data["forget_loss"], data["retain_loss"]
    if not all(abs(value) < _LARGEST for value in (data["step"], *losses) if value is not None):
        raise ValueError("no loss")
    # A loss that was not finite is null there, and a gap in the chart.
    return Step(int(data["step"]), *(math.nan if loss is None else float(loss) for loss in losses))


def _judgement(data: Mapping[str, Any]) -> Judgement:
    if not all(isinstance(data[name], str) for name in ("id", "model", "split", "label")):
        raise TypeError("no judgement")
    return Judgement(**{**data, "expected": tuple(map(str, data["expected"]))})


def _similarity(data: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"id": str(data["id"]), "prompt": str(data["prompt"]), "similarity": data["similarity"]}


def _generation(data: Mapping[str, Any]) -> Generation:
    seconds = float(data["seconds"])
    if not all(isinstance(data[name], str) for name in ("id", "prompt", "sha256")):
        raise TypeError("no generation")
    if not 0 <= seconds < _LARGEST or not isinstance(data["seed"], int):
        raise ValueError("no generation")
    return Generation(**{**data, "seconds": seconds})


def _generations(place: Path, problems: list[str]) -> Generations:
    return {
        model: {g.id: g for g in _parsed(place / model / GENERATIONS, _generation, problems)}
        for model in ("original", "erased")
    }


def _detections(place: Path, problems: list[str]) -> tuple[ImageDetections, ...]:
    path = place / "detections.jsonl"
    if not path.exists():
        return ()
    try:
        return tuple(read_detections(path))
    except UsageError as error:
        problems.append(f"detections.jsonl is not shown: {str(error).rpartition('/')[2]}")
        return ()


def split_ids(judgements: Sequence[Judgement], split: str) -> list[str]:
    """Ids of a split's images, each once, in order."""
    return list(dict.fromkeys(j.id for j in judgements if j.split == split))
