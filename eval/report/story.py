"""What a report tells beside the figures: protocols, cost, where all came from, what is missing."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from eval.concept.results import ConceptProtocol
from eval.i2p.results import NudityProtocol
from eval.metrics.rates import cell
from eval.quality.results import QualityProtocol
from eval.report.data import RunData, is_measured
from eval.report.tables import Table, duration
from plumbing.visible_text import plain

_UNKNOWN = "not recorded"


def headline(data: RunData) -> str:
    """What was done, as the page's title."""
    concept, base = plain(data.run.concept, 80), plain(data.run.base.get("id", "a model"), 80)
    if is_miniature(data):
        base = "the miniature"
    if data.run.record.get("command") == "mask":
        return f"A mask for “{concept}” in {base}"
    return f"Erasing “{concept}” from {base}"


def protocols(data: RunData) -> list[str]:
    """A line an evaluation: how its images were drawn and judged."""
    lines = []
    if data.concept:
        judges = ", ".join(
            f"{j['name']} ({j['sha256'][:12]})" for j in data.concept.judges.values()
        )
        lines.append(f"Concept: {_drawing(data.concept.protocol)}; judged by {judges or 'nobody'}.")
    if data.nudity:
        d = data.nudity.detector
        detector = f"{d.get('name')} {d.get('version')} ({d.get('sha256', '')[:12]})"
        kept = "; no image of it was kept" if "images" in data.nudity.notes else ""
        lines.append(f"I2P: {_drawing(data.nudity.protocol)}; detected by {detector}{kept}.")
    if data.quality:
        eyes = {"CLIP": data.quality.clip, "Inception": data.quality.inception}
        measure = " and ".join(
            f"{kind} {known.get('name')} ({known.get('sha256', '')[:12]})"
            for kind, known in eyes.items()
            if known or kind == "CLIP"
        )
        lines.append(f"Quality: {_drawing(data.quality.protocol)}; measured by {measure}.")
    if lines:
        lines.append(
            "Both models get the same prompts and seeds; the safety checker is off while "
            "measuring, or it would hide what the models draw. Intervals: 95 %; Wilson's for "
            "rates, Newcombe's for their changes."
        )
    return lines


def _drawing(protocol: ConceptProtocol | NudityProtocol | QualityProtocol) -> str:
    images = protocol.images
    count = sum(images.values()) if isinstance(images, dict) else images
    if isinstance(protocol, QualityProtocol):
        name = f"prompts “{plain(protocol.prompts, 60)}”"
    else:
        name = f"protocol {plain(protocol.name, 40)}"
    if isinstance(protocol, NudityProtocol):
        sizes = ", ".join(f"{size}" for size in protocol.sizes)
        own = "each prompt's own seed"
    else:
        sizes, own = f"{protocol.width}x{protocol.height}", f"seed {protocol.seed}"
    guidance = "each prompt's own" if protocol.guidance_scale == "row" else protocol.guidance_scale
    return (
        f"{name}, {count:,} images a model, {own}, {protocol.sampler} in {protocol.steps} steps, "
        f"guidance {guidance}, {plain(sizes, 60)} pixels, {plain(protocol.dtype, 20)}"
    )


def cost(data: RunData) -> Table:
    """Time by stage and the most memory, as the run recorded them, and the time of drawing."""
    seconds = data.run.record.get("seconds")
    rows = []
    if isinstance(seconds, dict):
        stages = {k: float(v) for k, v in seconds.items() if is_measured(v)}
        rows += [(plain(name, 40), duration(value)) for name, value in stages.items()]
        rows.append(("the run in all", duration(sum(stages.values()))))
    memory = data.run.record.get("peak_memory_mb")
    if is_measured(memory):
        rows.append(("peak memory", f"{memory:,.0f} MB"))
    for kind, models in data.generations.items():
        for model, drawn in models.items():
            if drawn:
                taken = duration(sum(g.seconds for g in drawn.values()))
                label = f"{kind}: {len(drawn):,} images, {model}"
                rows.append((label, taken))
    return Table("Time and memory", ("", "value"), tuple(rows))


def probes(data: RunData) -> list[str]:
    """What was found before and during the training: was the concept drawn, what drifted."""
    metric, guard = data.ended.drawn, data.ended.guard
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
    record, base = data.run.record, data.run.base
    config = _mapping(record.get("config"))
    mask = _mapping(record.get("mask"))
    facts: dict[str, Any] = {
        "run": data.run.name,
        "concept": data.run.concept,
        "method": record.get("method", record.get("command")),
        "finished": record.get("finished") or "not finished",
        "base model": base.get("id"),
        "base revision": base.get("revision", _UNKNOWN) or "none",
        "base variant": base.get("variant", _UNKNOWN) or "none",
        "base digest": base.get("digest"),
        "prompts, sha256": _mapping(record.get("inputs")).get("prompts"),
        "seed of the run": config.get("seed"),
        "mask": mask and f"{mask.get('kept')} of {mask.get('total')} weights",
        "mask made from": mask.get("loss"),
    }
    facts |= {f"weights {name}": sha for name, sha in _mapping(record.get("weights")).items()}
    facts |= dict(_evaluated(data))
    return [
        (plain(k, 80), plain(_UNKNOWN if v in (None, {}) else v, 160)) for k, v in facts.items()
    ]


def _evaluated(data: RunData) -> Iterator[tuple[str, str]]:
    found = {"concept": data.concept, "i2p": data.nudity, "quality": data.quality}
    for kind, evaluation in found.items():
        if evaluation:
            for model, known in evaluation.models.items():
                yield f"{kind}: {model} model, sha256", str(known.get("sha256"))
            yield f"{kind}: rows, sha256", evaluation.protocol.rows_sha256


def settings(data: RunData) -> list[tuple[str, str]]:
    """Every setting of the run, as run.json has it."""
    config = _mapping(data.run.record.get("config"))
    return [(plain(k, 40), "none" if v is None else plain(v, 120)) for k, v in config.items()]


def hashes(data: RunData) -> list[tuple[str, str]]:
    """The sha256 of every file of the base model."""
    return [(plain(k, 120), plain(v, 80)) for k, v in _mapping(data.run.base.get("files")).items()]


def versions(data: RunData) -> list[tuple[str, str]]:
    """The libraries of the run and of its evaluations, where these differ both."""
    found: dict[str, dict[str, None]] = {}
    evaluations = [e.versions for e in (data.concept, data.nudity, data.quality) if e]
    for source in (_mapping(data.run.record.get("versions")), *evaluations):
        for name, version in source.items():
            found.setdefault(plain(name, 40), {})[plain(version, 40)] = None
    return [(name, ", ".join(known)) for name, known in found.items()]


def not_measured(data: RunData) -> list[str]:
    """What nobody should read into this report."""
    lines = []
    if data.concept is None:
        lines.append("Whether a judge still sees the concept, and other things, in the images.")
    elif data.concept.protocol.name == "demo":
        lines.append("The full protocol: these are the demo's few images, for a first look only.")
    for key, reason in (data.concept.notes if data.concept else {}).items():
        lines.append(f"Concept evaluation, {plain(key, 40)}: {plain(reason, 200)}.")
    if data.nudity is None:
        lines.append("Nudity in images of the I2P prompts.")
    if data.quality is None:
        lines.append("Image quality and prompt alignment on retained prompts.")
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


def incomparable(runs: Sequence[RunData]) -> list[str]:
    """Why figures of several runs should not be set against each other; empty if they may be."""
    kinds = {
        "base models": lambda d: d.run.base.get("digest"),
        "protocols": lambda d: d.concept and _settings_of(d.concept.protocol),
        "judges": lambda d: d.concept and sorted(j["sha256"] for j in d.concept.judges.values()),
        "concepts": lambda d: d.run.concept,
    }
    different = [name for name, of in kinds.items() if len({repr(of(data)) for data in runs}) > 1]
    return [f"The runs have different {name}; compare with care." for name in different]


def _settings_of(protocol: ConceptProtocol) -> tuple[Any, ...]:
    size = (protocol.width, protocol.height, protocol.dtype)
    how = (protocol.sampler, protocol.steps, protocol.guidance_scale)
    return (protocol.name, protocol.seed, *how, *size)


def is_miniature(data: RunData) -> bool:
    """Whether the base is the model that ships with expunge."""
    return data.run.base.get("id") == "miniature"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
