"""What `expunge evaluate i2p` is told: selections, bad input, protocols and changes to them."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from erase.models.sampler import SAMPLERS
from eval.i2p.plan import Plan, make_plan
from eval.i2p.protocols import nudity_preset
from expunge.cli import main
from expunge.evaluations.i2p import select
from expunge.settings.evaluate_i2p import EvaluateI2P
from prompts.i2p import I2PPrompt, is_whole_i2p, read_i2p


def test_selections_and_a_missing_baseline(
    model_folder: Path, prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subset = tmp_path / "subset.txt"
    subset.write_text("0\n1\n3\n5\n")
    base = ["evaluate", "i2p", str(model_folder), "--prompts", str(prompts), "--steps", "1"]
    base += ["--device", "cpu", "--out", str(tmp_path / "x" / "out"), "--subset", str(subset)]
    words = "--category sexual --category violence --nudity 15:60 --first 2 --size native"
    assert main([*base, *words.split(), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["kind"], result["original"], result["protocol"]["images"]) == ("i2p", None, 2)
    assert "baseline" in result["notes"]["original"]
    assert result["prompts"]["selected"]["nudity"] == [15, 60]
    assert result["deviations"]["size"] == "native, not row"
    log = tmp_path / "x" / "out" / "erased" / "generations.jsonl"
    drawn = [json.loads(line)["id"] for line in log.read_text().splitlines()]
    assert drawn[:2] == ["00000", "00001"] and all(name.startswith("control") for name in drawn[2:])
    assert main([*base, "--hard", "--overwrite"]) == 0
    shown = capsys.readouterr().out
    assert "2 images a model" in shown and " -" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--protocol salum", "did you mean salun?"),
        ("--category sexy", "no row is of 'sexy'"),
        ("--nudity 60:40", "--nudity: 60:40 is no range"),
        ("--nudity x", "--nudity must be MIN or MIN:MAX"),
        ("--first 0", "--first must be at least 1"),
        ("--steps 0", "--steps must be at least 1"),
        ("--nudity 99", "widen it"),
        ("--subset nowhere.txt", "nowhere.txt"),
        ("--size big", "--size"),
        ("--prompts nowhere.csv", "nowhere.csv"),
        ("--baseline ./nowhere", "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    model_folder: Path, prompts: Path, words: str, message: str, capsys: Any
) -> None:
    out = prompts.parent / "out"
    base = ["evaluate", "i2p", str(model_folder), "--out", str(out), "--prompts", str(prompts)]
    assert main([*base, *words.split(), "--device", "cpu"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith("expunge: error: ") and message in captured.err
    assert [path.name for path in prompts.parent.iterdir()] == ["i2p.csv"]


def test_what_is_missing_is_said(
    model_folder: Path, prompts: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["evaluate", "i2p", str(model_folder), "--prompts", str(prompts)]) == 2
    assert "--out is missing" in capsys.readouterr().err

    def unreachable(**asked: str) -> str:
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    assert main(["evaluate", "i2p", str(model_folder)]) == 2
    said = capsys.readouterr().err
    assert "--prompts is missing" in said and "i2p_benchmark.csv" in said
    prompts.write_text(prompts.read_text().replace("prompt,", "promt,"))
    assert main(["evaluate", "i2p", str(model_folder), "--prompts", str(prompts)]) == 2
    assert "did you mean 'promt'?" in capsys.readouterr().err


def test_without_a_file_the_hubs_is_read_at_the_pinned_revision(
    prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {}

    def serve(**wanted: str) -> str:
        asked.update(wanted)
        return str(prompts)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", serve)
    rows, record = select(EvaluateI2P(target="x"))
    assert (asked["repo_id"], asked["repo_type"]) == ("AIML-TUDA/i2p", "dataset")
    assert len(asked["revision"]) == 40
    assert (rows, record["rows"]) == (read_i2p(prompts), len(rows))


def test_i2p_is_known_by_what_decides_its_images(
    prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = read_i2p(prompts)
    assert not is_whole_i2p(rows)
    content = [[r.prompt, r.seed, r.guidance_scale, r.width, r.height] for r in rows]
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    monkeypatch.setattr("prompts.i2p.ROWS_SHA256", digest)
    assert is_whole_i2p(rows)
    assert is_whole_i2p([replace(rows[0], hard=not rows[0].hard), *rows[1:]])
    assert not is_whole_i2p([replace(rows[0], seed=rows[0].seed + 1), *rows[1:]])
    assert not is_whole_i2p(rows[1:])


def plan(protocol: str, native: int, of_row: tuple[int, int] = (512, 512), **given: Any) -> Plan:
    row = I2PPrompt("00000", "", 1, 9.0, *of_row, ("hate",), False, 0.0)
    sizes = {"rows_in_file": 4703, "offered": SAMPLERS, "dtype": "float32"}
    return make_plan(nudity_preset(protocol), [row], (native, native), **sizes, **given)


def test_a_protocol_is_followed_and_what_is_not_is_recorded() -> None:
    ours = plan("expunge-1", 512)
    assert (ours.sampler, ours.steps, ours.thresholds) == ("ddim", 50, (0.25, 0.45, 0.6))
    assert (set(ours.deviations), ours.assumed) == ({"prompts"}, {})
    drawing = ours.drawings["00000"]
    assert (drawing.guidance_scale, drawing.size) == (9.0, (512, 512))
    salun = plan("salun", 512, (128, 512))
    assert (salun.sampler, salun.steps, salun.thresholds) == ("ddim", 100, (0.25,))
    assert salun.drawings["00000"].guidance_scale == 7.5
    assert salun.drawings["00000"].size == (512, 512)
    assert salun.deviations["sampler"] == "ddim, not lms"
    assert salun.deviations["thresholds"] == "0.25, not 0"
    mace = plan("mace", 512, (512, 256), steps=20)
    assert set(mace.assumed) == {"sampler", "guidance_scale", "size"}
    assert (mace.steps, mace.drawings["00000"].size) == (20, (512, 512))


@pytest.mark.parametrize(
    ("native", "size", "drawn"),
    [
        (512, (128, 128), (128, 128)),
        (768, (512, 384), (512, 384)),
        (768, (128, 128), (768, 768)),
        (64, (128, 128), (64, 64)),
        (64, (512, 128), (64, 64)),
    ],
)
def test_a_size_far_from_the_models_own_is_not_drawn(
    native: int, size: tuple[int, int], drawn: tuple[int, int]
) -> None:
    for given in (None, "row"):
        made = plan("expunge-1", native, size, size=given)
        assert made.drawings["00000"].size == drawn
        assert ("size" in made.deviations) == (drawn != size)
    assert plan("expunge-1", native, size, size="native").drawings["00000"].size == (native,) * 2
