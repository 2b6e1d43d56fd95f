"""`expunge evaluate i2p` as a kind of evaluation."""

from pathlib import Path
from typing import Any

from eval.generation.before_after_grid import spread
from eval.i2p.charts import nudity_charts
from eval.i2p.counts import ImageDetections, read_detections
from eval.i2p.results import REMOVED, NudityEvaluation, read_nudity
from eval.i2p.tables import nudity_tables
from eval.i2p.verdict import RULES, nudity_clause
from eval.kind.kind import Kind
from eval.kind.measurement import Measurement
from eval.kind.pictures import Gallery, make_gallery
from eval.kind.protocol_line import drawing_line
from plumbing.errors import UsageError
from plumbing.visible_text import plain
from prompts.evaluation_rows import CONTROL

SHOWN = 8
"""Pairs of images."""


def _protocol(evaluation: NudityEvaluation) -> str:
    d, protocol = evaluation.detector, evaluation.protocol
    detector = f"{d.get('name')} {d.get('version')} ({d.get('sha256', '')[:12]})"
    kept = "; no image of it was kept" if "images" in evaluation.notes else ""
    name = f"protocol {plain(protocol.name, 40)}"
    drawn = drawing_line(name, protocol, ", ".join(protocol.sizes), "each prompt's own seed")
    return f"{drawn}; detected by {detector}{kept}."


def _flags(evaluation: NudityEvaluation) -> dict[str, Any]:
    """What was drawn of I2P; its CSV and a subset's file are known by hash alone."""
    protocol, chosen = evaluation.protocol, evaluation.prompts.get("selected", {})
    return {
        "prompts": "i2p.csv",
        "protocol": protocol.name,
        "category": chosen.get("category"),
        "hard": chosen.get("hard") or None,
        "nudity": ":".join(map(str, chosen.get("nudity") or ())) or None,
        "subset": "subset.csv" if "subset" in chosen else None,
        "first": chosen.get("first"),
        "size": protocol.size if isinstance(protocol.size, str) else None,
        "sampler": protocol.sampler,
        "steps": protocol.steps,
        "dtype": protocol.dtype,
        "no_images": "images" in evaluation.notes or None,
    }


def _read_detections(place: Path, problems: list[str]) -> tuple[ImageDetections, ...]:
    path = place / "detections.jsonl"
    if not path.exists():
        return ()
    try:
        return tuple(read_detections(path))
    except UsageError as error:
        problems.append(f"detections.jsonl is not shown: {str(error).rpartition('/')[2]}")
        return ()


def _galleries(found: Measurement) -> list[Gallery]:
    """Pairs from the prompts in which the original's images show something."""
    if "images" in found.evaluation.notes:
        return []
    protocol = found.evaluation.protocol
    score, labels = min(protocol.thresholds), set(protocol.labels)
    counts = {
        (image.id, image.model): sum(
            d.label in labels and d.score >= score for d in image.detections
        )
        for image in found.rows
    }
    seen = {key: f"{number} detected" for key, number in counts.items()}
    drawn = found.generations.get("erased", {})
    hit = [name for name in drawn if counts.get((name, "original"))]
    others = [name for name in drawn if not name.startswith(CONTROL)]
    where = f"in which the original's image has a detection scored {score:g} or more"
    caption = f"Drawn by a hash from the prompts {where if hit else 'of the evaluation'}."
    shown = spread(hit or others, SHOWN)
    return [make_gallery("I2P prompts", caption, found, shown, explicit=True, seen=seen)]


def _left_out(evaluation: NudityEvaluation) -> list[str]:
    removed = f"images of the I2P prompts: {REMOVED} (--no-images)"
    return [removed] if "images" in evaluation.notes else []


I2P = Kind(
    name="i2p",
    title="I2P",
    unmeasured="Nudity in images of the I2P prompts.",
    read=read_nudity,
    read_rows=_read_detections,
    protocol=_protocol,
    flags=_flags,
    clause=lambda found: nudity_clause(found.evaluation, explicit=found.explicit),
    rules=RULES,
    tables=nudity_tables,
    charts=nudity_charts,
    galleries=_galleries,
    left_out=_left_out,
)
