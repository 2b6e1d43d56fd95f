"""What a report tells beside the figures: protocols, cost, where all came from, what is missing."""

from collections.abc import Iterator
from typing import Any

from eval.generation.cost import cost_of
from eval.kind.kind import Kind
from eval.kind.measurement import Measurement
from eval.kind.table import Table
from eval.metrics.rates import cell
from eval.metrics.schema import Cost
from eval.report.data import RunData, RunFolder
from eval.report.tables import duration
from plumbing.visible_text import plain

_UNKNOWN = "not recorded"


def headline(data: RunData) -> str:
    """What was done, as the page's title."""
    concept, base = plain(data.run.concept, 80), plain(data.run.base.id or "a model", 80)
    if is_miniature(data):
        base = "the miniature"
    if data.run.command == "mask":
        return f"A mask for “{concept}” in {base}"
    if not data.run.is_run:
        return f"A model that should not draw “{concept}”, against {base}"
    return f"Erasing “{concept}” from {base}"


def protocols(data: RunData) -> list[str]:
    """A line an evaluation: how its images were drawn and judged."""
    lines = [f"{kind.title}: {kind.protocol(found.evaluation)}" for kind, found in data.measured]
    if lines:
        lines.append(
            "Both models get the same prompts and seeds; the safety checker is off while "
            "measuring, or it would hide what the models draw. Intervals: 95 %; Wilson's for "
            "rates, Newcombe's for their changes."
        )
    return lines


def commands(data: RunData) -> list[str]:
    """Command lines that make the run and its evaluations anew."""
    return [*data.run.commands, *(_made(data.run, kind, found) for kind, found in data.measured)]


def _made(run: RunFolder, kind: Kind, found: Measurement) -> str:
    if run.is_run:
        return kind.command(run.name, found.evaluation)
    names = {model: known["name"] for model, known in found.evaluation.models.items()}
    where = told_of_no_run(run, kind, names.get("original"))
    return kind.command(names.get("erased", "MODEL"), found.evaluation, **where)


def told_of_no_run(run: RunFolder, kind: Kind, baseline: str | None) -> dict[str, Any]:
    """What an evaluation must be told of a model that is in no run folder, as flags."""
    concept = {} if kind.name == "i2p" else {"concept": [run.concept]}
    return {"baseline": baseline, **concept, "out": f"{run.name}/{kind.name}"}


def cost(data: RunData) -> Table:
    """The bill: passes and time by stage and the most memory, and what the images took."""
    seconds, passes = data.run.seconds, data.run.passes
    rows = [
        (plain(name, 40), _count(passes.get(name)), duration(value))
        for name, value in seconds.items()
    ]
    if seconds:
        total = sum(passes.values()) if passes else None
        rows.append(("the run in all", _count(total), duration(sum(seconds.values()))))
    for kind, found in data.measured:
        for model, drawn in (found.evaluation.cost or _drawn(found)).items():
            label = f"{kind.name}: {drawn.images:,} images, {plain(model, 20)}"
            rows.append((label, _count(drawn.passes), duration(drawn.seconds)))
    memory = data.run.peak_memory_mb
    notes = () if memory is None else (f"Peak memory of the run: {memory:,.0f} MB.",)
    if passes:
        notes += (
            "A pass is one row through the denoiser; a backward pass counts 2. Times are this "
            "machine's, passes are not.",
        )
    caption = f"{plain(data.run.name, 80)}: passes through the denoiser, and time"
    return Table(caption, ("", "passes", "time"), tuple(rows), notes)


def _drawn(found: Measurement) -> dict[str, Cost]:
    """By the images' own lines, for an evaluation of an older version."""
    return {m: cost_of(lines.values()) for m, lines in found.generations.items() if lines}


def _count(passes: int | None) -> str:
    return "-" if passes is None else f"{passes:,}"


def probes(data: RunData) -> list[str]:
    """What was found before and during the training: was the concept drawn, what drifted."""
    metric, guard = data.run.ended.drawn, data.run.ended.guard
    lines = []
    if metric:
        name = plain(data.run.concept, 80)
        lines.append(
            f"Before the training the judge saw {name} in {cell(metric)} % of the original's own "
            f"{metric.n} images of it."
        )
    if guard and guard.drift:
        step, most = max(guard.drift, key=lambda point: point[1])
        lines.append(
            f"The quality guard found other prompts' predictions to drift by {most:.3g} at most, "
            f"at step {step}; its limit is {guard.limit:g}."
        )
    return lines


def provenance(data: RunData) -> list[tuple[str, str]]:
    """Where the weights came from and what they were measured with."""
    run, base, mask = data.run, data.run.base, data.run.mask
    facts: dict[str, Any] = {
        "run": run.name,
        "concept": run.concept,
        "method": run.method or run.command,
        "finished": run.finished or "not finished",
        "base model": base.id,
        "base revision": base.revision or "none",
        "base variant": base.variant or "none",
        "base digest": base.digest,
        "prompts, sha256": run.prompts_sha256,
        "seed of the run": run.config.get("seed"),
        "mask": mask and f"{mask.get('kept')} of {mask.get('total')} weights",
        "mask made from": mask.get("loss"),
    }
    facts |= {f"weights {name}": sha for name, sha in run.weights.items()}
    facts |= dict(_evaluated(data))
    if not run.is_run:
        # Of a model that somebody else made nobody recorded more.
        facts = {key: value for key, value in facts.items() if value and key != "finished"}
    return [
        (plain(k, 80), plain(_UNKNOWN if v in (None, {}, "") else v, 160)) for k, v in facts.items()
    ]


def _evaluated(data: RunData) -> Iterator[tuple[str, str]]:
    for kind, found in data.measured:
        for model, known in found.evaluation.models.items():
            yield f"{kind.name}: {model} model, sha256", known["sha256"]
        yield f"{kind.name}: rows, sha256", found.evaluation.protocol.rows_sha256


def settings(data: RunData) -> list[tuple[str, str]]:
    """Every setting of the run, as run.json has it."""
    config = data.run.config.items()
    return [(plain(k, 40), "none" if v is None else plain(v, 120)) for k, v in config]


def hashes(data: RunData) -> list[tuple[str, str]]:
    """The sha256 of every file of the base model."""
    return [(plain(k, 120), plain(v, 80)) for k, v in data.run.base.files.items()]


def versions(data: RunData) -> list[tuple[str, str]]:
    """The libraries of the run and of its evaluations, where these differ both."""
    found: dict[str, dict[str, None]] = {}
    evaluations = [measured.evaluation.versions for _, measured in data.measured]
    for source in (data.run.versions, *evaluations):
        for name, version in source.items():
            found.setdefault(plain(name, 40), {})[plain(version, 40)] = None
    return [(name, ", ".join(known)) for name, known in found.items()]


def not_measured(data: RunData) -> list[str]:
    """What nobody should read into this report."""
    lines = []
    for kind in data.kinds:
        found = data.find(kind)
        lines += kind.limits(found.evaluation) if found else [kind.unmeasured]
    lines.append(
        "Whether the concept can be brought back: by attacks on the prompt, by fine-tuning, or "
        "with parts of another model. Forget prompts other than those that were drawn."
    )
    if is_miniature(data):
        lines.append(
            "Any model of full size: the base is the shipped miniature, 64 pixels large and "
            "trained on icons, and everything claimed here rests on the miniature alone."
        )
    return lines


def is_miniature(data: RunData) -> bool:
    """Whether the base is the model that ships with expunge."""
    return data.run.base.id == "miniature"
