"""Does the model still draw the concept, and what else changed? Rows to images to judged rates."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from eval.concept.kept import broken, chances
from eval.concept.results import (
    ConceptEvaluation,
    ConceptProtocol,
    ConceptQuestion,
    ConceptScores,
    read_evaluation,
)
from eval.concept.scores import JUDGEMENTS, Judgement, score
from eval.concept.substitute import counted, recount, why_none, with_substitute
from eval.control.collapse import look_at_control
from eval.generation.before_after_grid import Section, draw_grid, spread
from eval.generation.cost import drawing_cost
from eval.generation.evaluation_folder import refuse_other, start_folder
from eval.generation.generate import Drawing
from eval.generation.image_log import image_path
from eval.generation.pair import Model, ModelPair, draw_pair
from eval.generation.private_files import make_private, private_files
from eval.judges.judge import Judge
from eval.judges.model_files import model_name
from eval.metrics.schema import write_evaluation
from plumbing.errors import UsageError
from plumbing.visible_text import is_explicit
from plumbing.whole_files import replace_file
from prompts.concept import ConceptSpec
from prompts.evaluation_rows import PromptRow
from prompts.naming import named_labels

EVALUATION, GRID = "evaluation.json", "grid.png"
COLUMNS = 8
Domain = Literal["object", "style"]


def domain_of(row: PromptRow) -> Domain:
    """The judge that a row is for; a concept that no judge of the model names is an object."""
    return row.judged or "object"


def expected_labels(spec: ConceptSpec, row: PromptRow, judge: Judge) -> tuple[str, ...]:
    """The judge's labels that say that the image is what the row asked for; maybe none."""
    if row.split == "forget":
        return judge.means_concept or named_labels(spec.labels, judge.labels)
    wanted = row.style if domain_of(row) == "style" else row.object
    return named_labels([wanted], judge.labels) if wanted and not judge.means_concept else ()


def draw_and_judge(
    spec: ConceptSpec,
    rows: Sequence[PromptRow],
    control: Sequence[PromptRow],
    pair: ModelPair,
    judges: Mapping[Domain, Judge],
    drawing: Drawing,
    *,
    protocol: tuple[str, int],
    detector: str | None = None,
    overwrite: bool = False,
) -> ConceptEvaluation | None:
    """Draw, judge, count; `out` gets evaluation.json, judgements.jsonl, grid.png and the images.

    Rows that no judge can tell right or wrong are left out, with a note. Where only forget rows are
    left, the `control` rows tell whether the model draws anything at all. `protocol` is its name
    and seed; `detector` is what the user named, if the judges are not those that the concept has by
    default. An evaluation that is already in `out` is returned if it asks the same, and is a
    UsageError otherwise, unless `overwrite`. Bad input is a UsageError, raised before anything is
    written. None in a process of a launch that does not lead it.
    """
    out = pair.out
    judged = _judgeable(spec, rows, judges)
    question = _question(spec, judged, pair, judges, drawing, protocol, detector)
    if (out / EVALUATION).exists() and not overwrite:
        return _previous(out, question)
    start_folder(out, pair.originals, (EVALUATION, JUDGEMENTS, GRID), overwrite=overwrite)
    unjudged = control if all(row.split == "forget" for row in judged) else ()
    explicit = any(judge.explicit for judge in judges.values()) or is_explicit(spec.labels)
    with private_files() if explicit else nullcontext():
        if not draw_pair([*judged, *unjudged], pair, drawing):
            return None
        if explicit:
            make_private(out / model for model in pair.subjects)
        _draw_picture(spec, [*judged, *unjudged], out, list(pair.subjects))
    judgements = [j for m in pair.subjects for j in _judge(spec, judged, judges, out, m)]
    lines = "".join(json.dumps(asdict(j), ensure_ascii=False) + "\n" for j in judgements)
    replace_file(out / JUDGEMENTS, lines.encode())
    result = replace(
        question,
        original=score(judgements, "original") if pair.original else None,
        erased=score(judgements, "erased"),
        control=look_at_control(unjudged, out, paired=pair.original is not None),
        cost=drawing_cost(out),
    )
    result = with_substitute(result, judgements)
    result = replace(result, collapsed=broken(result, chances(judgements)))
    write_evaluation(out / EVALUATION, result)
    return result


def _judgeable(
    spec: ConceptSpec, rows: Sequence[PromptRow], judges: Mapping[Domain, Judge]
) -> list[PromptRow]:
    def known(row: PromptRow) -> bool:
        judge = judges.get(domain_of(row))
        return judge is not None and bool(expected_labels(spec, row, judge))

    kept = [row for row in rows if known(row)]
    if not any(row.split == "forget" for row in kept):
        names = ", ".join(judge.name for judge in judges.values()) or "none"
        raise UsageError(
            f"no judge here can name {spec.name!r} (judges: {names}); list one of a judge's "
            "labels under `synonyms` in the concept's TOML file, or give --detector"
        )
    return kept


def _question(
    spec: ConceptSpec,
    rows: Sequence[PromptRow],
    pair: ModelPair,
    judges: Mapping[Domain, Judge],
    drawing: Drawing,
    protocol: tuple[str, int],
    detector: str | None,
) -> ConceptEvaluation:
    """The evaluation before its answers."""
    splits = Counter(row.split for row in rows)
    lines = json.dumps([asdict(row) for row in rows], sort_keys=True)
    forget = [(row, judges[domain_of(row)]) for row in rows if row.split == "forget"]
    labels = [label for row, judge in forget for label in expected_labels(spec, row, judge)]
    missing = {metric for metric, s in (("ira", "retain"), ("cra", "cross")) if not splits[s]}
    notes = dict.fromkeys(sorted(missing), "the judges name nothing else of that kind")
    notes |= why_none([judge for _, judge in forget], original=pair.original is not None)
    return ConceptEvaluation(
        protocol=ConceptProtocol(
            name=protocol[0],
            seed=protocol[1],
            **drawing.told,
            images=dict(sorted(splits.items())),
            rows_sha256=hashlib.sha256(lines.encode()).hexdigest(),
            detector=detector and model_name(detector),
        ),
        concept=ConceptQuestion(spec.name, spec.kind, tuple(dict.fromkeys(labels))),
        models=pair.told,
        judges={k: {"name": j.name, "sha256": j.sha256} for k, j in sorted(judges.items())},
        original=None,
        erased=ConceptScores(None, None, None),
        notes=notes if pair.original else notes | {"original": "no baseline was given"},
        versions={name: version(name) for name in ("diffusers", "torch", "transformers")},
    )


def _previous(out: Path, question: ConceptEvaluation) -> ConceptEvaluation:
    file = out / EVALUATION
    previous = read_evaluation(file)
    refuse_other(out, previous.differences(question))
    if counted(previous):
        return previous
    recount(file, previous, question.notes)
    return read_evaluation(file)


def _judge(
    spec: ConceptSpec,
    rows: Sequence[PromptRow],
    judges: Mapping[Domain, Judge],
    out: Path,
    model: Model,
) -> Iterator[Judgement]:
    """What the judges see in a model's images: those judged for the object, then for the style."""
    for domain, judge in sorted(judges.items()):
        own = [row for row in rows if domain_of(row) == domain]
        images = [image_path(out / model, row.id) for row in own]
        for row, seen in zip(own, judge.classify(images), strict=True):
            expected = expected_labels(spec, row, judge)
            yield Judgement(row.id, model, row.split, domain, expected, seen.label, seen.score)


def _draw_picture(
    spec: ConceptSpec, rows: Sequence[PromptRow], out: Path, models: Sequence[str]
) -> None:
    """The before/after picture: prompts drawn by a hash from each split, not chosen by result."""
    headings = {
        "forget": f"Prompts that ask for {spec.name}: the erased model should draw something else",
        "retain": f"Prompts that ask for another {spec.kind}: should look as before",
        "near": f"Prompts that ask for what is most like {spec.name}: should look as before",
        "cross": f"{'Objects' if spec.kind == 'style' else 'Styles'}: should look as before",
        "control": "Prompts of other things, all from one noise: should look as before",
    }
    sections = []
    for split, heading in headings.items():
        shown = spread([r for r in rows if r.split == split], COLUMNS, lambda row: row.prompt)
        files = [[image_path(out / model, row.id) for row in shown] for model in models]
        sections.append(Section(heading, [row.prompt for row in shown], files))
    names = [f"{spec.name} erased" if model == "erased" else model for model in models]
    title = f"Before and after erasing {spec.name}" if len(models) > 1 else f"Without {spec.name}?"
    draw_grid(out / GRID, title, names, sections)
