"""What exports are made with: blending, files written as a stream, and putting in place whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from support.erased_runs import UNET, bits_equal, erase, unet
from support.files import tree

from erase.export.place import put_in_place
from erase.models.denoiser_files import denoiser_config, denoiser_weights
from erase.models.locate import locate
from erase.models.single_file.unet_keys import UNET_PREFIX, unet_keys
from erase.tensors.bits import bit_pattern, blend, same_bits
from erase.tensors.weight_files import Weights
from erase.tensors.writing import stream_tensors, write_checked
from expunge.cli import main
from expunge.settings.export import Export
from plumbing.errors import UsageError


def export(run: Path, to: Path, *flags: str) -> int:
    return main(["export", str(run), "--to", str(to), *flags])


def test_the_same_export_again_is_left_alone_and_another_needs_overwrite(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "unet"
    assert export(finished, place, "--format", "unet") == 0
    before = {path: path.stat().st_mtime_ns for path in place.iterdir()}
    capsys.readouterr()
    assert export(finished, place, "--format", "unet", "--json") == 0
    assert json.loads(capsys.readouterr().out)["written"] is False
    assert before == {path: path.stat().st_mtime_ns for path in place.iterdir()}
    other = ["--format", "unet", "--strength", "0.5"]
    assert export(finished, place, *other) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "another export is there" in error and "--overwrite" in error
    assert bits_equal(load_file(place / Path(UNET).name), unet(finished))
    assert export(finished, place, *other, "--overwrite") == 0
    assert not bits_equal(load_file(place / Path(UNET).name), unet(finished))
    assert [path.name for path in tmp_path.iterdir()] == ["unet"]


def test_foreign_files_are_never_replaced(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    for place in (tmp_path / "mine", tmp_path / "mine" / "thesis.txt"):
        assert export(finished, place, "--format", "unet", "--overwrite") == 2
        assert "thesis.txt" in capsys.readouterr().err
    assert tree(tmp_path) == {"mine/thesis.txt": b"precious"}


@pytest.mark.parametrize("kind", ["unet", "pipeline", "delta"])
def test_an_unfinished_run_is_refused(
    finished: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"finished": None}))
    before = tree(tmp_path)
    assert main(["export", str(run), "--format", kind]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert "not finished" in captured.err and "expunge erase" in captured.err
    assert tree(tmp_path) == before


def test_the_default_place_is_in_the_run_and_goes_with_it(
    model_folder: Path, tmp_path: Path
) -> None:
    run = erase(model_folder, tmp_path / "run")
    assert main(["export", str(run), "--format", "delta"]) == 0
    assert Export(run, "delta").place.is_file()
    erase(model_folder, run, "--alpha", "4", "--overwrite")
    assert not (run / "export").exists()


@given(
    st.lists(st.tuples(*[st.floats(width=32, allow_nan=False, allow_infinity=False)] * 2)),
    st.floats(0, 1.5),
)
def test_blend_keeps_what_is_alike_and_both_ends(
    pairs: list[tuple[float, float]], strength: float
) -> None:
    before, after = torch.tensor(pairs, dtype=torch.float32).reshape(-1, 2).unbind(1)
    assert bits_equal({"": blend(before, before.clone(), strength)}, {"": before})
    assert bits_equal({"": blend(before, after, 0)}, {"": before})
    assert bits_equal({"": blend(before, after, 1)}, {"": after})


def test_blend_keeps_negative_zero() -> None:
    zero = torch.tensor([-0.0])
    assert blend(zero, zero.clone(), 0.5).signbit().all()


def test_streams_are_the_files_that_safetensors_writes(finished: Path, tmp_path: Path) -> None:
    weights = Weights([finished / UNET])
    stream_tensors(tmp_path / "a", weights, weights.metadata)
    assert (tmp_path / "a").read_bytes() == (finished / UNET).read_bytes()
    mixed = {
        "scalar": torch.tensor(1.5),
        "half": torch.arange(3).half(),
        "brain": torch.arange(5).bfloat16(),
        "index": torch.arange(3).to(torch.uint16),
        "none": torch.empty(0, 4),
    }
    save_file(mixed, tmp_path / "b", metadata={"é": "ü"})
    stream_tensors(tmp_path / "c", Weights([tmp_path / "b"]), {"é": "ü"})
    assert bits_equal(load_file(tmp_path / "c"), mixed)


def test_a_disk_that_gives_back_another_bit_is_noticed(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = Weights([finished / UNET])

    def badly(path: Path, *given: Any) -> str:
        written = stream_tensors(path, *given)
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        return written

    write_checked(tmp_path / "a", weights, {"format": "pt"})
    monkeypatch.setattr("erase.tensors.writing.stream_tensors", badly)
    with pytest.raises(UsageError, match=r"b: read back, it is not what was written"):
        write_checked(tmp_path / "b", weights, {"format": "pt"})


def test_what_fails_half_way_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")

    def write(place: Path) -> None:
        place.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        put_in_place(tmp_path / "a", write, overwrite=True)
    assert tree(tmp_path) == {"a": b"old"}


def test_tensors_of_one_element_and_an_odd_stride_are_compared() -> None:
    odd = torch.ones(4, 2)[:1, 1:].reshape(1)
    odd = odd.as_strided((1,), (2,))
    assert same_bits(odd, torch.ones(1)) and not same_bits(odd, torch.zeros(1))
    assert bit_pattern(odd).tolist() == [0x3F800000]


def test_a_single_file_has_the_unet_of_its_folder(model_folder: Path, tmp_path: Path) -> None:
    source = locate(str(model_folder))
    base = unet(model_folder)
    keys = unet_keys(denoiser_config(source), base)
    tensors = {UNET_PREFIX + keys[name]: tensor for name, tensor in base.items()}
    for prefix in ("first_stage_model.", "cond_stage_model.transformer."):
        tensors[f"{prefix}a"] = torch.zeros(1)
    save_file(tensors, tmp_path / "model.safetensors")
    single = locate(str(tmp_path / "model.safetensors"), config=model_folder)
    assert bits_equal(dict(denoiser_weights(single)), base)
    assert bits_equal(dict(denoiser_weights(source)), base)
