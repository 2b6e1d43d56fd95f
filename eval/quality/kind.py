"""`expunge evaluate quality` as a kind of evaluation."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from eval.kind.kind import Kind
from eval.kind.measurement import Measurement
from eval.kind.pictures import Gallery, make_gallery
from eval.kind.protocol_line import drawing_flags, drawing_line
from eval.kind.rows import parsed
from eval.quality.comparison import COMPARISON
from eval.quality.image_lines import ImageQuality
from eval.quality.measures.known import MEASURES
from eval.quality.measures.measure import Measure
from eval.quality.results import QualityEvaluation, read_quality
from eval.quality.tables import quality_table
from eval.verdict.verdict import Clause
from plumbing.record import parse_record
from plumbing.visible_text import plain

WORST = 10
"""Pairs of images that are shown of those that changed most."""
PUBLISHED = "inception-2015-12-05"
"""What evaluations call the FID's own weights, which are found without a name."""


def _protocol(evaluation: QualityEvaluation) -> str:
    eyes = {"CLIP": evaluation.clip, "Inception": evaluation.inception}
    measure = " and ".join(
        f"{kind} {known.get('name')} ({known.get('sha256', '')[:12]})"
        for kind, known in eyes.items()
        if known or kind == "CLIP"
    )
    protocol = evaluation.protocol
    drawn = drawing_line(f"prompts “{plain(protocol.prompts, 60)}”", protocol)
    return f"{drawn}; measured by {measure}."


def _flags(evaluation: QualityEvaluation) -> dict[str, Any]:
    """A folder's name alone does not find a CLIP again; the model's own needs no flag."""
    protocol, clip = evaluation.protocol, str(evaluation.clip.get("name"))
    inception = evaluation.inception.get("name")
    return drawing_flags(protocol) | {
        "images": protocol.images,
        "real": evaluation.real.get("name"),
        "prompts": None if protocol.prompts == "retain" else protocol.prompts,
        "clip": clip if "/" in clip else None,
        "fid": bool(inception) or None,
        "fid_weights": None if inception == PUBLISHED else inception,
    }


def _read_similarities(place: Path, problems: list[str]) -> Mapping[str, ImageQuality]:
    row = partial(parse_record, ImageQuality)
    return {image.id: image for image in parsed(place / "similarities.jsonl", row, problems)}


def _worst(found: Measurement) -> list[Gallery]:
    """The retained prompts that changed most: chosen by result, and saying so."""
    ids = found.evaluation.worst[:WORST]
    alike = {name: found.rows[name].similarity for name in ids if name in found.rows}
    notes = {name: f"similarity {x:.1f}" for name, x in alike.items() if x is not None}
    caption = "Chosen by result, the worst first; most other prompts changed less."
    return [make_gallery("The prompts that changed most", caption, found, ids, notes=notes)]


def quality_kind(measures: Sequence[Measure]) -> Kind:
    """The kind of evaluation that takes these measures."""
    return Kind(
        name="quality",
        title="Quality",
        unmeasured="Image quality and prompt alignment on retained prompts.",
        read=lambda file: read_quality(file, measures),
        read_rows=_read_similarities,
        protocol=_protocol,
        flags=_flags,
        clause=lambda found: Clause("what was erased", broken=found.evaluation.collapsed or ()),
        heading="Quality of other images",
        tables=lambda evaluation: [quality_table(evaluation, measures)],
        galleries=_worst,
        comparison=COMPARISON,
    )


QUALITY = quality_kind(MEASURES)
