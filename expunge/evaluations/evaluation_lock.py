"""What an evaluation has for itself while it runs: its folder, and the original's images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from expunge.evaluations.models_under_test import Place
from plumbing.lock import locked


@contextmanager
def evaluating(place: Place) -> Iterator[None]:
    """Have an evaluation's folder, and wait for the original's images if others are drawing them.

    Of the processes of `accelerate launch`, which share both, the first alone asks.
    """
    with ExitStack() as stack:
        if os.environ.get("RANK", "0") == "0":
            stack.enter_context(locked(place.out))
            stack.enter_context(locked(place.originals, "--originals", wait=True))
        yield
