"""Deltas: what changed as one small file, applied to its base and taken back by the bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from support.erased_runs import UNET, EraseOnce, apply, bits_equal, make_delta, undo, unet
from support.files import tree

from erase.export.delta import encode, read_delta
from erase.run_folder.folder import read_run
from erase.saliency.mask import SaliencyMask
from expunge.cli import main


@pytest.fixture(scope="module")
def delta(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its delta; not to be altered."""
    return make_delta(finished, tmp_path_factory.mktemp("deltas") / "church.safetensors")


@pytest.fixture(scope="module")
def other_delta(erase_once: EraseOnce, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The delta of another concept on the same base."""
    folder = tmp_path_factory.mktemp("deltas")
    return make_delta(erase_once(concept="dog"), folder / "dog.safetensors")


def test_apply_makes_the_erased_model_and_undo_the_base(
    finished: Path, delta: Path, model_folder: Path, tmp_path: Path
) -> None:
    assert apply(model_folder, tmp_path / "erased", delta) == 0
    assert bits_equal(unet(tmp_path / "erased"), unet(finished))
    assert undo(tmp_path / "erased", tmp_path / "base", delta) == 0
    assert bits_equal(unet(tmp_path / "base"), unet(model_folder))
    base, ours = tree(model_folder), tree(tmp_path / "base")
    assert base.keys() == ours.keys()
    assert {name for name in base if base[name] != ours[name]} <= {"unet/config.json"}
    assert "without church" in (tmp_path / "erased" / "README.md").read_text()
    for folder in ("erased", "base"):
        assert StableDiffusionPipeline.from_pretrained(tmp_path / folder).unet is not None


def test_undo_takes_a_run_and_an_export_too(
    finished: Path, delta: Path, model_folder: Path, tmp_path: Path
) -> None:
    flags = ["--format", "unet", "--to", str(tmp_path / "unet")]
    assert main(["export", str(finished), *flags]) == 0
    assert undo(tmp_path / "unet", tmp_path / "from-unet", delta) == 0
    assert bits_equal(load_file(tmp_path / "from-unet" / Path(UNET).name), unet(model_folder))
    assert undo(finished, tmp_path / "from-run", delta) == 0
    assert bits_equal(unet(tmp_path / "from-run"), unet(model_folder))


def test_apply_to_a_unet_alone(
    finished: Path, delta: Path, model_folder: Path, tmp_path: Path
) -> None:
    assert apply(model_folder / "unet", tmp_path / "unet", delta) == 0
    assert bits_equal(load_file(tmp_path / "unet" / Path(UNET).name), unet(finished))


def test_a_delta_tells_what_it_is(finished: Path, delta: Path) -> None:
    opened, record = read_delta(delta), read_run(finished)
    told = {key.removeprefix("expunge."): value for key, value in opened.metadata.items()}
    assert (told["concept"], told["method"], told["density"]) == ("church", "salun", "0.5")
    assert told["base"] == record.base.digest
    assert int(told["selected"]) == record.kept
    mask = SaliencyMask.load(finished / "mask.safetensors")
    changed = sum(len(opened.places(name)) for name in opened.specs)
    assert changed == int(told["changed"]) > 0
    for name in opened.specs:
        assert mask.bits(name).flatten()[opened.places(name)].all()


@pytest.mark.parametrize(("density", "share"), [("0.5", 0.75), ("0.1", 0.35), ("0.01", 0.3)])
def test_a_delta_is_smaller_than_the_unet(
    erase_once: EraseOnce, tmp_path: Path, density: str, share: float
) -> None:
    """Beside the header, which is large for a UNet of a few kilobytes."""
    run = erase_once("--density", density, "--train-method", "full")
    path = make_delta(run, tmp_path / "delta.safetensors")
    size, whole = path.stat().st_size, (run / UNET).stat().st_size
    assert size < whole
    opened = read_delta(path)
    content = sum(spec.bytes for spec in opened.weights.specs.values())
    total = sum(tensor.numel() for tensor in unet(run).values())
    assert content < share * 4 * total
    assert content <= 4 * int(opened.metadata["expunge.changed"]) + total / 8 + len(opened.specs)


def test_half_precision_stores_half_and_comes_back(
    half_folder: Path, erase_once: EraseOnce, tmp_path: Path
) -> None:
    run = erase_once(model=half_folder)
    wide = make_delta(run, tmp_path / "wide.safetensors")
    narrow = make_delta(run, tmp_path / "narrow.safetensors", "--dtype", "fp16")
    assert narrow.stat().st_size < wide.stat().st_size
    erased = unet(run)
    for name, path, dtype in (("wide", wide, torch.float32), ("narrow", narrow, torch.float16)):
        assert apply(half_folder, tmp_path / name, path) == 0
        assert bits_equal(unet(tmp_path / name), {n: t.to(dtype) for n, t in erased.items()})
        assert undo(tmp_path / name, tmp_path / f"{name}-base", path) == 0
        assert bits_equal(unet(tmp_path / f"{name}-base"), unet(half_folder))


def test_strength(finished: Path, delta: Path, model_folder: Path, tmp_path: Path) -> None:
    """Applied at any strength, a delta gives what the run's own export does."""
    for strength in ("0", "0.5", "1.5"):
        flags = ("--strength", strength)
        assert apply(model_folder, tmp_path / f"a{strength}", delta, flags=flags) == 0
        assert main(["export", str(finished), *flags, "--to", str(tmp_path / f"e{strength}")]) == 0
        assert bits_equal(unet(tmp_path / f"a{strength}"), unet(tmp_path / f"e{strength}"))
    assert bits_equal(unet(tmp_path / "a0"), unet(model_folder))
    half = make_delta(finished, tmp_path / "half.safetensors", "--strength", "0.5")
    assert apply(model_folder, tmp_path / "half", half) == 0
    assert bits_equal(unet(tmp_path / "half"), unet(tmp_path / "a0.5"))


def test_stacked_deltas_count_conflicts_and_the_later_one_stands(
    finished: Path,
    delta: Path,
    other_delta: Path,
    model_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert apply(model_folder, tmp_path / "dog", other_delta) == 0
    base, church, dog = unet(model_folder), unet(finished), unet(tmp_path / "dog")
    both = sum(int(((church[n] != base[n]) & (dog[n] != base[n])).sum()) for n in base)
    capsys.readouterr()
    assert apply(model_folder, tmp_path / "two", delta, other_delta, flags=("--json",)) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["conflicts"], told["erased"]) == (both, ["church", "dog"])
    assert both > 0
    expected = {n: torch.where(dog[n] != base[n], dog[n], church[n]) for n in base}
    assert bits_equal(unet(tmp_path / "two"), expected)
    assert undo(tmp_path / "two", tmp_path / "base", delta, other_delta) == 0
    assert bits_equal(unet(tmp_path / "base"), base)
    assert undo(tmp_path / "two", tmp_path / "wrong", other_delta, delta) == 2
    assert "in the applied order" in capsys.readouterr().err


@given(st.integers(1, 400), st.integers(0, 400), st.booleans(), st.randoms())
def test_encoding_takes_the_smaller_way(
    count: int, changes: int, wide: bool, random: object
) -> None:
    before = torch.arange(count).float()
    before = before if wide else before.half()
    after = before.clone()
    places = sorted(random.sample(range(count), min(changes, count)))  # pyright: ignore[reportAttributeAccessIssue]
    after[places] = -1
    found = encode(before, after)
    if not places:
        assert found == {}
        return
    assert set(found) == {"xor", "index"} or set(found) == {"xor", "bits"}
    assert len(found["xor"]) == len(places)
    other = sum(tensor.nbytes for name, tensor in found.items() if name != "xor")
    assert other == min(2 * len(places), -(-count // 8))
    if "index" in found:
        assert found["index"].tolist() == places
