"""What a stranger's model may bring, and how it is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from expunge.cli import main

UNET = "unet/diffusion_pytorch_model"


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.mark,)


def refused(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and one line, without advice to open the file all the same."""
    assert main(words) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("expunge: error: ") and told in error, error
    assert "weights_only" not in error and "\x1b" not in error


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


CODE = "from pathlib import Path\nPath({mark!r}).touch()\nclass Evil:\n    pass\n"
REMOTE = {"auto_map": {name: "evil.Evil" for name in ("AutoConfig", "AutoModel", "AutoTokenizer")}}
