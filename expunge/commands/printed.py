"""What an evaluation's command prints, and what it returns."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from eval.metrics.schema import Evaluation

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
    print(json.dumps(content) if as_json else text(*found))
    return content
