"""What an evaluation's command prints, and what it returns."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from eval.metrics.schema import Cost, Evaluation
from eval.report.tables import duration

Found = TypeVar("Found", bound=Evaluation)


def show(
    found: tuple[Found, Path] | None, as_json: bool, text: Callable[[Found, Path], str]
) -> dict[str, Any] | None:
    """Print an evaluation as `text`, or as one JSON object; returns evaluation.json's content.

    Of a launch's processes only the one that leads has found anything.
    """
    if found is None:
        return None
    content = found[0].to_dict()
    print(json.dumps(content) if as_json else f"{text(*found)}\n{bill(found[0])}".rstrip())
    return content


def bill(evaluation: Evaluation) -> str:
    """What drawing the images took, in one line; nothing of a file of an older version."""
    costs = evaluation.cost.items()
    if not costs:
        return ""
    shares = [
        f"{model}: {cost.images:,} images, {_passes(cost)}{duration(cost.seconds)}"
        for model, cost in costs
    ]
    return f"drawn:   {'; '.join(shares)}"


def _passes(cost: Cost) -> str:
    return f"{cost.passes:,} passes, " if cost.passes is not None else ""
