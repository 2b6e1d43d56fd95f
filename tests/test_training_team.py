"""Two processes erase as one does: the same mask, losses and weights, rounding apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from support.erased_runs import erase, unet
from support.files import tree
from support.launches import launch_two

from benchmarks.kill import Starter
from erase.saliency.mask import SaliencyMask

FLAGS = (
    "--forget-images 5 --retain-images 4 --inference-steps 2 --batch-size 4 --steps 6 --lr 1e-4 "
    "--device cpu --dtype float32"
).split()


@pytest.mark.parametrize(
    "flags",
    [
        ("--micro-batch", "1"),
        ("--batch-size", "3"),
        ("--relabel-share", "0.5", "--adversaries", "2", "--micro-batch", "1"),
        ("--method", "esd", "--trajectory", "current"),
        ("--method", "esd", "--density", "0.5"),
        ("--method", "ca", "--prior", "1"),
        ("--method", "leco"),
    ],
)
def test_two_processes_end_where_one_does(
    model_folder: Path, tmp_path: Path, starter: Starter, flags: tuple[str, ...]
) -> None:
    alone = erase(model_folder, tmp_path / "alone", *FLAGS, *flags)
    words = ["erase", "church", "--model", str(model_folder), "--out", str(tmp_path / "two")]
    told = launch_two(starter, [*words, *FLAGS, *flags], tmp_path / "log")
    assert told.count("run folder") == 1
    assert sorted(tree(alone)) == sorted(tree(tmp_path / "two"))
    masks = [SaliencyMask.load(run / "mask.safetensors") for run in (alone, tmp_path / "two")]
    different = sum(
        int((masks[0].bits(name) != masks[1].bits(name)).sum()) for name in masks[0].shapes
    )
    assert masks[0].kept == masks[1].kept and different <= 2
    logs = [
        [json.loads(line) for line in (run / "train_log.jsonl").read_text().splitlines()]
        for run in (alone, tmp_path / "two")
    ]
    for one, two in zip(*logs, strict=True):
        assert two["losses"] == pytest.approx(one["losses"], abs=1e-5)
    record = json.loads((tmp_path / "two" / "run.json").read_text())
    assert record["training"]["processes"] == 2
    if not different:
        before = unet(alone)
        for name, tensor in unet(tmp_path / "two").items():
            torch.testing.assert_close(tensor, before[name], rtol=0, atol=0.2 * 1e-4)
