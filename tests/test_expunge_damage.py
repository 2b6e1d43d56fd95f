"""What a run keeps and finds truncated or with a bit flipped: named, and made again or refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.erased_runs import SHORT, UNET, MakeRun, bits_equal, unet
from support.files import tree

from erase.run_folder.folder import read_run, write_run
from eval.generation.image_log import read_generations
from expunge.cli import main

Damage = Callable[[bytes], bytes]


def truncated(data: bytes) -> bytes:
    """The first two thirds."""
    return data[: 2 * len(data) // 3]


def flipped(data: bytes) -> bytes:
    """One bit, nine tenths in: in the numbers, not in a header."""
    place = 9 * len(data) // 10
    return data[:place] + bytes([data[place] ^ 8]) + data[place + 1 :]


def flipped_early(data: bytes) -> bytes:
    """One bit of what a header tells: a concept's name, a key."""
    place = data.index(b'church"') if b'church"' in data else data.index(b"__metadata__") + 22
    return data[:place] + bytes([data[place] ^ 2]) + data[place + 1 :]


def words(model: Path, out: Path) -> list[str]:
    return ["erase", "church", "--model", str(model), "--out", str(out), *SHORT]


def unfinish(run: Path, to: Path) -> Path:
    """The run as a kill before its weights would have left it."""
    shutil.copytree(run, to)
    shutil.rmtree(to / "unet")
    write_run(to, replace(read_run(to), finished=None))
    return to


@pytest.mark.parametrize("damage", [truncated, flipped, flipped_early])
@pytest.mark.parametrize(
    "name",
    [
        "mask.safetensors",
        "cache/forget-*/images/000000.safetensors",
        "cache/retain-*/images/000001.safetensors",
        "cache/forget-*/embeddings/000000.safetensors",
    ],
)
def test_a_damaged_mask_set_or_embedding_is_made_again(
    finished: Path,
    model_folder: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    damage: Damage,
) -> None:
    run = unfinish(finished, tmp_path / "run")
    (file,) = run.glob(name)
    sound = file.read_bytes()
    file.write_bytes(damage(sound))
    assert main(words(model_folder, run)) == 0
    assert file.read_bytes() == sound
    assert f"{file}" in caplog.text and "damaged" in caplog.text
    assert bits_equal(unet(run), unet(finished))
    assert tree(run).keys() == tree(finished).keys()


@pytest.mark.parametrize("damage", [truncated, flipped])
def test_damaged_weights_are_named_by_verify_and_not_evaluated(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Damage
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / UNET).write_bytes(damage((run / UNET).read_bytes()))
    code = main(["verify", str(run)])
    told = capsys.readouterr()
    assert code in (1, 2) and f"{UNET}" in told.out + told.err
    assert main(["evaluate", "concept", str(run), "--protocol", "demo"]) == 2
    assert f"{UNET} is not what the run wrote" in capsys.readouterr().err
    assert not (run / "eval").exists()


@pytest.mark.parametrize("damage", [truncated, flipped])
def test_a_base_that_was_damaged_meanwhile_is_refused(
    finished: Path,
    model_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Damage,
) -> None:
    model = tmp_path / "model"
    shutil.copytree(model_folder, model)
    run = tmp_path / "run"
    assert main(words(model, run)) == 0
    write_run(run, replace(read_run(run), finished=None))
    before = tree(run)
    weights = model / UNET
    weights.write_bytes(damage(weights.read_bytes()))
    assert main(words(model, run)) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"base.files.{UNET}" in line and "--overwrite" in line
    assert tree(run) == before


@pytest.mark.parametrize("damage", [truncated, flipped])
@pytest.mark.parametrize("what", ["image", "log"])
def test_a_damaged_image_or_log_is_drawn_again(
    make_run: MakeRun,
    prompts: Path,
    caplog: pytest.LogCaptureFixture,
    what: str,
    damage: Damage,
) -> None:
    """Of the original, which other evaluations share, and of the erased model."""
    run = make_run()
    command = ["evaluate", "i2p", str(run), "--prompts", str(prompts), "--steps", "1"]
    command += ["--device", "cpu"]
    assert main(command) == 0
    out = run / "eval" / "i2p"
    whole = findings(out)
    # Rows of one guidance each.
    cache = max((run.parent / ".originals").iterdir(), key=lambda f: len(list(f.glob("*/*"))))
    for folder in (cache, out / "erased"):
        file = folder / "generations.jsonl"
        file = file if what == "log" else sorted((folder / "images").iterdir())[1]
        data = file.read_bytes()
        # A new file: the original's images are linked to from several places.
        file.unlink()
        if what == "log" and damage is flipped:
            file.write_bytes(data.replace(b'{"id', b'{"\xe9d', 1))
        else:
            file.write_bytes(damage(data))
    (out / "evaluation.json").unlink()
    caplog.clear()
    assert main(command) == 0
    assert findings(out) == whole
    assert len(read_generations(cache)) == len(list((cache / "images").iterdir()))
    # What a kill tears, the end of a log, is no damage to tell of.
    assert ("damaged" in caplog.text) == (what == "image" or damage is flipped)


def findings(out: Path) -> dict[str, object]:
    """All that an evaluation leaves, but for times."""
    found: dict[str, object] = dict(tree(out))
    for name in ("original/generations.jsonl", "erased/generations.jsonl"):
        rows = map(json.loads, (out / name).read_text().splitlines())
        found[name] = [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
    return found


def test_a_run_json_that_is_damaged_is_refused_with_the_remedy(
    finished: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / "run.json").write_bytes(truncated((run / "run.json").read_bytes()))
    assert main(words(model_folder, run)) == 2
    assert "with --overwrite begins again" in capsys.readouterr().err
    assert main([*words(model_folder, run), "--overwrite"]) == 0
    assert bits_equal(unet(run), unet(finished))
