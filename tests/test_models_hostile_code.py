"""Strangers' pickles and code: what they bring does not run, and they are refused in one line."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.strangers import CODE, REMOTE, UNET, Payload, change, refused
from support.tiny_models import save_clip, save_judge

from erase.models.checkpoint import load_checkpoint
from eval.judges.classifier import load_classifier
from eval.judges.clip import load_clip
from eval.judges.open_judge import open_judge
from eval.judges.safety_checker import load_safety_checker
from plumbing.errors import UsageError
from prompts.concept import load_concept


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """What a payload would make; that it would is proved here."""
    path = tmp_path / "ran"
    pickle.loads(pickle.dumps(Payload(path)))
    assert path.exists()
    path.unlink()
    return path


def as_bin(weights: Path, **more: Any) -> None:
    """The same weights as a pickle, with more in it."""
    # transformers has another name for its pickles.
    stem = weights.stem.replace("pytorch_model", "model").replace("model", "pytorch_model")
    torch.save({**load_file(weights), **more}, weights.with_name(f"{stem}.bin"))
    weights.unlink()


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_payload_in_any_part_does_not_run(
    part: str, model_copy: Path, mark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    as_bin(next((model_copy / part).glob("*.safetensors")), more={"deep": [Payload(mark)]})
    out = str(mark.parent / "out")
    refused(
        ["erase", "church", "--model", str(model_copy), "--out", out], "more than weights", capsys
    )
    assert not mark.exists() and not Path(out).exists()


def test_pickles_of_tensors_alone_load(model_copy: Path) -> None:
    before = load_checkpoint(str(model_copy), device="cpu").unet.state_dict()
    as_bin(model_copy / f"{UNET}.safetensors")
    after = load_checkpoint(str(model_copy), device="cpu").unet.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("place", ["top", "state_dict", "nested"])
@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_a_payload_in_a_single_file_does_not_run(
    place: str, new: bool, mark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    payload = Payload(mark)
    content = {"top": payload, "state_dict": {"state_dict": {"a": payload}}}.get(
        place, {"epoch": [({"a": (payload,)},)]}
    )
    file = mark.parent / "x.ckpt"
    torch.save(content, file, _use_new_zipfile_serialization=new)
    refused(["erase", "church", "--model", str(file)], "could run code", capsys)
    assert not mark.exists()


def _judge(folder: Path) -> Callable[[], Any]:
    save_judge(folder, ("church", "dog"))
    return lambda: load_classifier(folder)


def _clip(folder: Path) -> Callable[[], Any]:
    save_clip(folder)
    return lambda: load_clip(folder)


def _checker(folder: Path) -> Callable[[], Any]:
    save_clip(folder)
    change(folder / "config.json", architectures=["StableDiffusionSafetyChecker"])
    return lambda: load_safety_checker(folder)


@pytest.mark.parametrize("make", [_judge, _clip, _checker])
def test_a_payload_in_a_judge_does_not_run(
    make: Callable[[Path], Callable[[], Any]], mark: Path
) -> None:
    folder = mark.parent / "judge"
    folder.mkdir()
    load = make(folder)
    torch.save({"x": Payload(mark)}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UsageError, match="could run code") as error:
        load()
    assert "\n" not in str(error.value) and not mark.exists()


@pytest.mark.parametrize("make", [_judge, _clip, _checker])
@pytest.mark.parametrize("known", [True, False])
def test_code_beside_a_judge_does_not_run(
    make: Callable[[Path], Callable[[], Any]],
    known: bool,
    mark: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not even by a yes at the keyboard, which the library would ask for."""
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    folder = mark.parent / "judge"
    folder.mkdir()
    load = make(folder)
    (folder / "evil.py").write_text(CODE.format(mark=str(mark)))
    change(folder / "config.json", **REMOTE, **({} if known else {"model_type": "evil"}))
    with pytest.raises(UsageError, match="asks for code"):
        load()
    with pytest.raises(UsageError, match="asks for code"):
        open_judge(str(folder), load_concept("church"), clip=folder, device="cpu")
    assert not mark.exists()


def test_an_adapter_does_not_lead_a_judge_elsewhere(tmp_path: Path) -> None:
    """transformers would open the model that it names."""
    load, other = _judge(tmp_path / "a"), tmp_path / "b"
    save_judge(other, ("dog", "church"))
    change_to = {"base_model_name_or_path": str(other), "peft_type": "LORA"}
    (tmp_path / "a" / "adapter_config.json").write_text(json.dumps(change_to))
    with pytest.raises(UsageError, match="leads to another model"):
        load()
