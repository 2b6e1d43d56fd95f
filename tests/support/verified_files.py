"""What the tests of `expunge verify` on files share: exports, wrong tensors, the verdicts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from expunge.cli import main
from support.erased_runs import erase
from support.single_files import configs_of, halved, ldm_tensors, save_single, with_ema

Tensors = dict[str, Tensor]
Change = Callable[[Tensors], None]
# A weight that xattn does not train, and what sees it changed.
UNSELECTED = {"unselected weights", "changed weights", "as the run gives"}


def make_single(model: Path, folder: Path) -> Path:
    """Write a base of one file (half precision, with an EMA), its configs, a run, its export."""
    configs = configs_of(model, folder / "configs")
    torch.manual_seed(0)
    tensors = {
        n: t + 0.01 * torch.randn_like(t) if t.is_floating_point() else t
        for n, t in ldm_tensors(model).items()
    }
    file = save_single(folder / "base.safetensors", with_ema(halved(tensors)))
    run = erase(file, folder / "run", "--config", str(configs), "--device", "cpu")
    export(run, folder / "erased.safetensors", "single-file")
    return folder


def export(run: Path, to: Path, kind: str, *flags: str) -> Path:
    assert main(["export", str(run), "--format", kind, "--to", str(to), *flags]) == 0
    return to


def of_file(folder: Path) -> tuple[str, ...]:
    """The flags that tell of a base that is one file."""
    return ("--base", str(folder / "base.safetensors"), "--config", str(folder / "configs"))


def states(target: Path, capsys: Any, *flags: str) -> dict[str, str]:
    """The state of every check by name; the exit code is held to them."""
    capsys.readouterr()
    code = main(["verify", str(target), "--json", *flags])
    captured = capsys.readouterr()
    assert code != 2, captured.err
    found = {check["name"]: check["state"] for check in json.loads(captured.out)["checks"]}
    assert code == ("FAILED" in found.values())
    return found


def failed(target: Path, capsys: Any, *flags: str) -> set[str]:
    return {n for n, state in states(target, capsys, *flags).items() if state == "FAILED"}


def skipped(target: Path, capsys: Any, *flags: str) -> set[str]:
    return {n for n, state in states(target, capsys, *flags).items() if state == "skipped"}


def altered(file: Path, to: Path, change: Change) -> Path:
    """A copy of a weight file with other tensors and the same metadata."""
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    tensors = load_file(file)
    change(tensors)
    to.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, to, metadata=metadata)
    return to


def flipped(name: str, place: int = 0) -> Change:
    """Flips the lowest bit of one weight."""

    def change(tensors: Tensors) -> None:
        kind = {2: torch.int16, 4: torch.int32, 8: torch.int64}[tensors[name].dtype.itemsize]
        tensors[name].reshape(-1).view(kind)[place] ^= 1

    return change


def renamed(name: str) -> Change:
    def change(tensors: Tensors) -> None:
        tensors[f"{name}x"] = tensors.pop(name)

    return change


def ruined(name: str) -> Change:
    def change(tensors: Tensors) -> None:
        tensors[name].reshape(-1)[0] = float("nan")

    return change
