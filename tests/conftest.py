"""Fixtures of many test modules: tiny but real models, and runs of them, built offline once."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# The models are too small for several threads, and there is a worker a core.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from hypothesis import settings
from PIL import Image
from support import attack_runs, report_runs
from support.depth_runs import MakeAttacks, attacks_on
from support.erased_runs import EraseOnce, MakeRun, erase
from support.files import written
from support.i2p import I2P_HEADER, I2P_ROWS, draw_moons
from support.tiny_models import save_clip, save_model
from support.tiny_sdxl import save_sdxl
from support.verified_files import make_single

from benchmarks.kill import Starter
from erase.models.bundle import Bundle
from erase.models.checkpoint import load_checkpoint
from erase.run_folder.folder import write_run
from erase.run_folder.record import Base, RunRecord
from eval.depth import images

# A deadline is on the wall clock, and fails an example for what else the machine does.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")

LONGEST = (
    "test_models_miniature",
    "test_expunge_demo",
    "test_expunge_kill",
    "test_export_lora_diffusers",
    "test_export_plain_diffusers",
)
"""The modules that begin, so that no worker is left with one of them when the others have ended."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest modules first; all else stays in its order."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny CLIP."""
    folder = tmp_path_factory.mktemp("clips") / "clip"
    save_clip(folder)
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny epsilon-predicting Stable Diffusion."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(folder)
    return folder


@pytest.fixture(scope="session")
def other_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same shape with other weights, and predicting v."""
    folder = tmp_path_factory.mktemp("models") / "other"
    save_model(folder, "v_prediction", seed=1)
    return folder


@pytest.fixture(scope="session")
def half_folder(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model in float16."""
    folder = tmp_path_factory.mktemp("models") / "half"
    StableDiffusionPipeline.from_pretrained(model_folder).to(torch.float16).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def sdxl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny SDXL."""
    folder = tmp_path_factory.mktemp("models") / "sdxl"
    save_sdxl(folder)
    return folder


@pytest.fixture(scope="session")
def erase_once(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EraseOnce]:
    """Gives a finished run, made once for the same model and flags.

    A test that altered one would make others fail or pass for its own reasons: it is told of.
    """
    made: dict[tuple[Path, str, tuple[str, ...]], tuple[Path, dict[str, int]]] = {}

    def once(*flags: str, model: Path = model_folder, concept: str = "church") -> Path:
        asked = (model, concept, flags)
        if asked not in made:
            out = tmp_path_factory.mktemp("runs") / concept
            run = erase(model, out, *flags, concept=concept)
            made[asked] = (run, written(run))
        return made[asked][0]

    yield once
    for run, before in made.values():
        assert written(run) == before, f"a test has altered {run}; take a copy"


@pytest.fixture(scope="session")
def finished(erase_once: EraseOnce) -> Path:
    """A finished run of the tiny model, two steps long; not to be altered, see `run`."""
    return erase_once()


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, free to be altered."""
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture(scope="session")
def starter() -> Starter:
    """Starts commands in processes of their own, all forked from one that has imported torch."""
    return Starter()


@pytest.fixture(scope="session")
def single(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A single file that was erased from another; see `make_single`; not to be altered."""
    return make_single(model_folder, tmp_path_factory.mktemp("single"))


@pytest.fixture(scope="session")
def chance_erased(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with another seed's weights."""
    folder = tmp_path_factory.mktemp("models") / "erased"
    save_model(folder, seed=3)
    return folder


@pytest.fixture
def attack_tiny(
    model_folder: Path, chance_erased: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> MakeAttacks:
    """Attacks tiny models, for which few images to learn from are enough."""
    monkeypatch.setattr(images, "LEAST", 1)
    return attacks_on(model_folder, chance_erased, tmp_path)


@pytest.fixture
def model_copy(model_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model, free to be altered."""
    return shutil.copytree(model_folder, tmp_path / "model")


@pytest.fixture
def tiny(model_folder: Path) -> Bundle:
    """A freshly loaded tiny model, free to be altered."""
    return load_checkpoint(str(model_folder), device="cpu")


@pytest.fixture
def make_run(tiny: Bundle, tmp_path: Path) -> MakeRun:
    """Makes run folders whose UNet is the tiny model's, shifted a little."""

    def make(name: str = "run", concept: str = "church", shift: float = 0.05) -> Path:
        folder = tmp_path / "runs" / name
        with torch.no_grad():
            tiny.unet.conv_out.weight += shift
        tiny.unet.save_pretrained(folder / "unet")
        source = tiny.source
        base = Base(source.id, digest=source.digest)
        write_run(folder, RunRecord(concepts=(concept,), base=base, finished="2026-01-01"))
        return folder

    return make


@pytest.fixture
def measured_run(tmp_path: Path) -> Path:
    """A run with one evaluation of every kind, as the real writers leave them."""
    run = report_runs.make_run(tmp_path / "run")
    report_runs.add_concept(run, images=100)
    report_runs.add_i2p(run)
    report_runs.add_quality(run)
    attack_runs.add_attack(run)
    return run


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """Twenty pictures of noise in two folders, and a file that is no picture."""
    rng = np.random.default_rng(0)
    for index in range(20):
        path = tmp_path / "photos" / ("a" if index % 2 else "b") / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 16, 3), dtype=np.uint8)).save(path)
    (tmp_path / "photos" / "captions.txt").write_text("noise\n")
    return tmp_path / "photos"


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """A CSV in I2P's layout: rows of several guidances, sizes and categories."""
    path = tmp_path / "i2p.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([I2P_HEADER.split(","), *I2P_ROWS])
    return path


@pytest.fixture
def moons(monkeypatch: pytest.MonkeyPatch) -> None:
    """All models draw moons, in which NudeNet finds something to count."""
    monkeypatch.setattr(StableDiffusionPipeline, "__call__", draw_moons)
