"""Modules run in processes of their own, so that one's memory is not another's."""

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any


def output(module: str, *words: str) -> str:
    """What a module prints, given some words."""
    command = [sys.executable, "-m", module, *words]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def last_json(module: str, flags: Mapping[str, object]) -> Any:
    """What a module's last line says, given some flags; those that are None are left out."""
    given = {flag: value for flag, value in flags.items() if value is not None}
    words = [word for flag, value in given.items() for word in (f"--{flag}", str(value))]
    return json.loads(output(module, *words).splitlines()[-1])
