"""What images took to draw, by their own lines in `generations.jsonl`."""

from collections.abc import Iterable
from pathlib import Path

from eval.generation.image_log import GENERATIONS, Generation, parse_generation
from eval.metrics.schema import Cost

MODELS = ("original", "erased")


def drawing_cost(out: Path) -> dict[str, Cost]:
    """Of each model's images in an evaluation's folder, whether they are still there or not.

    Those of the original may have been drawn by an evaluation before.
    """
    logs = {model: out / model / GENERATIONS for model in MODELS}
    found = {model: list(_lines(path)) for model, path in logs.items() if path.is_file()}
    return {model: cost_of(lines) for model, lines in found.items() if lines}


def cost_of(generations: Iterable[Generation]) -> Cost:
    """Of images; their passes are not known if those of one are not, as older versions left it."""
    rows = list(generations)
    passes = [row.passes for row in rows]
    known = [count for count in passes if count is not None]
    return Cost(
        images=len(rows),
        passes=sum(known) if len(known) == len(passes) else None,
        seconds=round(sum(row.seconds for row in rows), 1),
    )


def _lines(path: Path) -> Iterable[Generation]:
    for line in path.read_bytes().split(b"\n"):
        if found := parse_generation(line.decode("utf-8", "replace")):
            yield found
