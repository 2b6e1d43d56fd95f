"""Strangers' models: the code that they bring does not run, and they are refused in one line."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.erased_runs import erase
from support.files import tree
from support.single_files import configs_of, ldm_tensors, save_single
from support.tiny_models import save_clip, save_judge

from erase.models.checkpoint import load_checkpoint
from erase.tensors.pickles import read_pickle
from erase.tensors.weight_files import Weights
from eval.judges.classifier import load_classifier
from eval.judges.clip import load_clip
from eval.judges.open_judge import open_judge
from eval.judges.safety_checker import load_safety_checker
from expunge.cli import main
from plumbing.errors import UsageError
from prompts.concept import load_concept

UNET = "unet/diffusion_pytorch_model"


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """What a payload would make; that it would is proved here."""
    path = tmp_path / "ran"
    pickle.loads(pickle.dumps(Payload(path)))
    assert path.exists()
    path.unlink()
    return path


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(model_folder, tmp_path / "model")


def refused(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and one line, without advice to open the file all the same."""
    assert main(words) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("expunge: error: ") and told in error, error
    assert "weights_only" not in error and "\x1b" not in error


def as_bin(weights: Path, **more: Any) -> None:
    """The same weights as a pickle, with more in it."""
    torch.save({**load_file(weights), **more}, weights.with_suffix(".bin"))
    weights.unlink()


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_payload_in_any_part_does_not_run(
    part: str, folder: Path, mark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    as_bin(next((folder / part).glob("*.safetensors")), more={"deep": [Payload(mark)]})
    out = str(mark.parent / "out")
    refused(["erase", "church", "--model", str(folder), "--out", out], "more than weights", capsys)
    assert not mark.exists() and not Path(out).exists()


def test_pickles_of_tensors_alone_load(folder: Path) -> None:
    before = load_checkpoint(str(folder), device="cpu").unet.state_dict()
    as_bin(folder / f"{UNET}.safetensors")
    after = load_checkpoint(str(folder), device="cpu").unet.state_dict()
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


CODE = "from pathlib import Path\nPath({mark!r}).touch()\nclass Evil:\n    pass\n"
REMOTE = {"auto_map": {name: "evil.Evil" for name in ("AutoConfig", "AutoModel", "AutoTokenizer")}}


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


PARTS: list[tuple[str, dict[str, Any], str]] = [
    ("model_index.json", {"unet": ["evil", "Evil"]}, "could be code"),
    ("model_index.json", {"vae": ["diffusers", "a.b()"]}, "could be code"),
    ("model_index.json", {"_class_name": ["evil", "Evil"]}, "not supported"),
    ("model_index.json", {"../../x": ["diffusers", "UNet2DConditionModel"]}, "could be code"),
    ("unet/config.json", REMOTE, "asks for code"),
    ("text_encoder/config.json", {"quantization_config": {"a": 1}}, "asks for code"),
    ("text_encoder/config.json", {"_attn_implementation": "evil/kernels"}, "asks for code"),
    ("unet/config.json", {"block_out_channels": [10**6] * 40}, "block_out_channels has 40"),
    ("unet/config.json", {"layers_per_block": 10**9}, "layers_per_block is beyond"),
    ("unet/config.json", {"cross_attention_dim": 10**12}, "beyond all sense"),
    ("unet/config.json", {"sample_size": 10**6}, "sample_size is beyond"),
    ("vae/config.json", {"latent_channels": 10**30}, "beyond all sense"),
    ("text_encoder/config.json", {"vocab_size": 10**6}, "asks for 16,"),
    ("text_encoder/config.json", {"num_hidden_layers": 10**5}, "beyond all sense"),
    ("scheduler/scheduler_config.json", {"_class_name": "os"}, "is no scheduler"),
    ("scheduler/scheduler_config.json", {"num_train_timesteps": 10**12}, "beyond all sense"),
    ("judge/object/config.json", {"id2label": [3]}, "no labels of a judge"),
]


@pytest.mark.parametrize(("file", "values", "told"), PARTS)
def test_configs_that_ask_for_code_or_beyond_all_sense_are_refused(
    file: str,
    values: dict[str, Any],
    told: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change(folder / file, **values)
    for name in ("evil.py", "pipeline.py", "unet/evil.py"):
        (folder / name).write_text(CODE.format(mark=str(tmp_path / "ran")))
    out = tmp_path / "out"
    refused(["erase", "church", "--model", str(folder), "--out", str(out)], told, capsys)
    assert not out.exists() and not (tmp_path / "ran").exists()


def test_deep_configs_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "unet" / "config.json").write_text("[" * 100_000)
    refused(["erase", "church", "--model", str(folder)], "too deeply nested", capsys)


def test_code_is_left_out_of_exports(folder: Path, tmp_path: Path) -> None:
    (folder / "pipeline.py").write_text("")
    (folder / "judge" / "evil.py").write_text("")
    run = erase(folder, tmp_path / "run")
    to = ["--format", "pipeline", "--to", str(tmp_path / "made")]
    assert main(["export", str(run), *to]) == 0
    assert not [path for path in (tmp_path / "made").rglob("*.py")]
    assert (tmp_path / "made" / "judge" / "object" / "config.json").is_file()


def test_links_and_shards_lead_nowhere(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An export would carry off what a link in a stranger's folder leads to."""
    (tmp_path / "secret").write_text("{}")
    link = folder / "tokenizer" / "more.json"
    link.symlink_to(tmp_path / "secret")
    words = ["erase", "church", "--model", str(folder)]
    refused(words, "leads out of the model's folder", capsys)
    link.unlink()
    index = folder / f"{UNET}.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"conv_in.bias": "../../secret.safetensors"}}))
    refused(words, "names files outside the folder", capsys)


def _header(text: str, data: bytes = bytes(64), length: int | None = None) -> bytes:
    told = len(text.encode()) if length is None else length
    return told.to_bytes(8, "little") + text.encode() + data


def _tensor(start: int, end: int, *shape: int) -> dict[str, Any]:
    return {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}


HEADERS = {
    "longer than the file": _header("{}", length=1 << 20),
    "of 2^63 bytes": _header("{}", length=1 << 63),
    "no JSON": _header("{" * 50_000),
    "a name twice": _header('{"a":%s,"a":%s}' % ((json.dumps(_tensor(0, 64, 16)),) * 2)),
    "overlapping": _header(json.dumps({"a": _tensor(0, 40, 10), "b": _tensor(24, 64, 10)})),
    "out of the file": _header(json.dumps({"a": _tensor(0, 1 << 40, 1 << 38)})),
    "an absurd shape": _header(json.dumps({"a": _tensor(0, 64, 1 << 62, 1 << 62)})),
    "a shape that does not fit": _header(json.dumps({"a": _tensor(0, 64, 17)})),
    "an escape sequence": _header(json.dumps({"a\x1b[2J": _tensor(0, 64, 16)})),
    "empty": b"",
}


@pytest.mark.parametrize("what", sorted(HEADERS))
def test_headers_that_lie_are_refused_everywhere(
    what: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(HEADERS[what])
    before = tree(tmp_path)
    out = ["--out", str(tmp_path / "out"), "--model", str(folder)]
    for words in (
        ["erase", "church", "--model", str(bad)],
        ["erase", "church", "--mask", str(bad), *out],
        ["apply", str(bad), "--model", str(folder), "--to", str(tmp_path / "made")],
        ["verify", str(bad)],
    ):
        refused(words, "bad.safetensors", capsys)
    (folder / f"{UNET}.safetensors").write_bytes(HEADERS[what])
    refused(["evaluate", "concept", str(folder), "--concept", "church", *out[:2]], "unet", capsys)
    (folder / f"{UNET}.safetensors").write_bytes(before[f"model/{UNET}.safetensors"])
    assert tree(tmp_path) == before


def test_names_that_are_paths_stay_names(model_folder: Path, tmp_path: Path) -> None:
    """In a single file a tensor of any name is copied along, and no path is made of it."""
    tensors = ldm_tensors(model_folder) | {"../../escaped": torch.ones(2), "/abs": torch.ones(2)}
    base = save_single(tmp_path / "in" / "base.safetensors", tensors)
    configs = configs_of(model_folder, tmp_path / "configs")
    run = erase(base, tmp_path / "in" / "run", "--config", str(configs))
    made = tmp_path / "in" / "made.safetensors"
    assert main(["export", str(run), "--format", "single-file", "--to", str(made)]) == 0
    assert "../../escaped" in Weights([made]).specs
    assert {path.name for path in tmp_path.iterdir()} == {"in", "configs"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(
    value: float, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = load_file(folder / f"{UNET}.safetensors")
    weights["conv_in.weight"][0, 0, 0, 0] = value
    save_file(weights, folder / f"{UNET}.safetensors", {"format": "pt"})
    out = str(tmp_path / "out")
    told = "conv_in.weight holds NaN or infinity"
    refused(["erase", "church", "--model", str(folder), "--out", out], told, capsys)
    assert not Path(out).exists()


def test_pickles_that_claim_more_than_they_hold_are_refused(tmp_path: Path) -> None:
    loop: dict[str, Any] = {}
    loop["state_dict"] = loop
    one = torch.ones(1)
    for content, told in (
        ({"a": one.expand(10**12)}, "larger than its file"),
        ({f"a{n}": torch.ones(999).as_strided((900,), (1,)) for n in range(3)}, None),
        ({f"a{n}": one.expand(100) for n in range(200)}, "larger than"),
        ({"a": torch.ones(3).to_sparse()}, "no plain tensor"),
        ({"a": torch.empty(10**12, device="meta")}, "no plain tensor"),
        (loop, "state_dict is a dict"),
    ):
        torch.save(content, tmp_path / "x.bin")
        if told is None:
            assert len(read_pickle(tmp_path / "x.bin")) == 3
            continue
        with pytest.raises(ValueError, match=told):
            read_pickle(tmp_path / "x.bin")


RECORDS: list[tuple[dict[str, Any], str]] = [
    ({"base": 3}, "base: Expected object, got int"),
    ({"base": {}}, "base: Object missing required field id"),
    ({"base": {"id": "x", "files": [1]}}, "base.files: Expected object, got array"),
    ({"weights": {"../../x": "0"}}, "outside the folder"),
    ({"weights": {"/etc/passwd": "0"}}, "outside the folder"),
    ({"concepts": "church"}, "concepts: Expected array, got str"),
    ({"mask": {"kept": -1}}, "mask[...]: Expected int >= 0"),
    ({"seconds": {"train": "x"}}, "seconds[...]: Expected float, got str"),
    ({"config": {"steps": 10**400}}, "config[...]: "),
    ({"base": None}, "base: Expected object, got null"),
]


def test_a_run_json_of_other_things_is_refused_by_every_command(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = json.loads((run / "run.json").read_text())
    for values, told in RECORDS:
        (run / "run.json").write_text(json.dumps(sound | values))
        for words in (
            ["verify", str(run)],
            ["export", str(run), "--to", str(tmp_path / "made")],
            ["evaluate", "concept", str(run)],
            ["erase", "church", "--model", str(run), "--out", str(tmp_path / "made")],
        ):
            refused(words, told, capsys)
    assert not (tmp_path / "made").exists() and not (run / "eval").exists()


@pytest.mark.parametrize("name", ["eval", "export", "run.json.partial", "cache/x"])
def test_links_out_of_a_run_are_not_followed(
    name: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (run / name).parent.mkdir(exist_ok=True)
    os.symlink(outside, run / name)
    for words in (["evaluate", "concept", str(run)], ["export", str(run)], ["report", str(run)]):
        refused(words, "a link that leads out", capsys)
    model = json.loads((run / "run.json").read_text())["base"]["id"]
    words = ["erase", "dog", "--model", model, "--out", str(run), "--overwrite"]
    refused(words, "a link that leads out", capsys)
    assert list(outside.iterdir()) == []
