"""Run every cell of the benchmark that is not there yet."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from erase.models.devices import resolve_device, resolve_dtype
from erase.run_folder.folder import inspect_folder, prepare_folder, write_json, write_values
from expunge.classification_benchmark.bench import CELLS, ORIGINALS, Bench, split
from expunge.classification_benchmark.cells import Cell, plan_cells
from expunge.classification_benchmark.data import Data, read_data
from expunge.classification_benchmark.pictures import draw_gap, draw_metrics
from expunge.classification_benchmark.results import summarise, to_markdown, to_record
from expunge.classification_benchmark.sklearn_door import sklearn
from expunge.runs.provenance import peak_memory_mb, versions
from expunge.settings.classification import Classification, SettledClassification
from plumbing.lock import locked
from plumbing.whole_files import replace_file

log = logging.getLogger(__name__)
RESULTS = "results.json"
TABLES = "results.md"
GAP = "gap.png"
METRICS = "metrics.png"
_OUTPUTS = (CELLS, ORIGINALS, RESULTS, TABLES, GAP, METRICS)
_GRID = ("scenario", "forget_share", "methods", "mask", "seeds")
_ELSEWHERE = ("data", "out", "overwrite", "json", "device", "dtype")


def compare(settings: Classification) -> dict[str, Any]:
    """Run every cell that is not there yet; returns the content of results.json and the folder.

    Bad input is a UsageError, raised before anything is written.
    """
    sklearn("svm")
    settings = settings.settle()
    device = resolve_device(settings.device)
    dtype = resolve_dtype(settings.dtype, device)
    data = read_data(settings.dataset, settings.data, settings.train_images)
    out = settings.out or Path("runs") / f"classification-{settings.dataset}"
    cells = plan_cells(settings)
    for cell in cells:
        # Refuses shares that leave nothing to forget or to keep.
        split(data, cell.task, settings.forget_class, cell.seed)
    identity = _identity(settings, data, device, dtype)
    with locked(out):
        state = inspect_folder(out, identity, overwrite=settings.overwrite)
        _prepare(out, fresh=state == "new")
        bench = Bench(settings, data, out, device, dtype)
        missing = bench.missing(cells)
        if missing:
            _run_missing(bench, missing, identity)
        else:
            log.info("%s: all of this is there, finished; --overwrite does it again", out)
        return _write(bench, cells, identity)


def _run_missing(bench: Bench, missing: Sequence[Cell], identity: dict[str, Any]) -> None:
    """Run them under a bar that counts trained images."""
    write_values(bench.out, {**identity, "finished": None})
    with tqdm(total=bench.images(missing), unit="img", unit_scale=True) as bar:
        for cell in missing:
            bar.set_description(cell.name)
            bench.run(cell, bar.update)


def _write(bench: Bench, cells: Sequence[Cell], identity: dict[str, Any]) -> dict[str, Any]:
    """Write run.json, results.json, the tables and the pictures."""
    found = [json.loads(bench.path(cell).read_text(encoding="utf-8")) for cell in cells]
    rows = summarise(found)
    draw_metrics(rows, bench.out / METRICS)
    pictures = [METRICS]
    (bench.out / GAP).unlink(missing_ok=True)
    if draw_gap(rows, bench.out / GAP):
        pictures.insert(0, GAP)
    record = {
        **identity,
        "grid": {name: getattr(bench.settings, name) for name in _GRID},
        "description": _describe(bench),
        "threads": torch.get_num_threads(),
        "versions": versions() | {"scikit-learn": version("scikit-learn")},
        "peak_memory_mb": peak_memory_mb(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_values(bench.out, record)
    results = {"schema_version": 1, **record, "pictures": pictures, **to_record(found)}
    write_json(bench.out / RESULTS, results)
    text = f"{to_markdown(found)}\n{record['description']}\n"
    replace_file(bench.out / TABLES, text.encode())
    return {"out": str(bench.out), **results}


def _identity(
    settings: SettledClassification, data: Data, device: torch.device, dtype: torch.dtype
) -> dict[str, Any]:
    """What two commands must share to share a folder: all but the grid's extent and the places."""
    left_out = (*_GRID, *_ELSEWHERE)
    config = {f.name: getattr(settings, f.name) for f in fields(settings)}
    return {
        "command": "classification",
        "config": {name: value for name, value in config.items() if name not in left_out},
        "device": device.type,
        "dtype": str(dtype).removeprefix("torch."),
        "data": {"sha256": dict(data.sha256), "train": len(data.train), "test": len(data.test)},
    }


def _prepare(out: Path, *, fresh: bool) -> None:
    """Make the folder; `fresh` clears what an earlier run left, and nothing else."""
    prepare_folder(out, fresh=fresh)
    for path in (out / name for name in _OUTPUTS if fresh):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _describe(bench: Bench) -> str:
    """What the figures are of, in a few sentences."""
    s, data = bench.settings, bench.data
    seeds = ", ".join(map(str, s.seeds))
    return (
        f"{s.dataset}, {len(data.train):,} training and {len(data.test):,} test images; {s.model}, "
        f"first stride {s.stem_stride}, {s.epochs} epochs in batches of {s.batch_size}, "
        f"{str(bench.dtype).removeprefix('torch.')}; seeds {seeds}. "
        "In %, mean ± standard deviation over the seeds; the gap to the same seed's Retrain in "
        "points; seconds of CPU time, masks included."
    )
