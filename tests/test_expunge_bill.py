"""The bill of a run: counted as it goes, the same as estimated before, kept over interruptions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support.erased_runs import SHORT

from erase.models.bundle import Bundle
from erase.models.checkpoint import load_checkpoint
from erase.run_folder.folder import read_run
from expunge.cli import main
from expunge.parsing import parse
from expunge.runs import train
from expunge.runs.erase import erase_concepts
from expunge.runs.estimate import stage_images
from expunge.runs.plan import make_plan
from expunge.settings.erase import Erase
from plumbing.processes import Team

WAYS: dict[str, tuple[str, ...]] = {
    "defaults": (),
    "ddim": ("--sampler", "ddim"),
    "pndm takes a step more": ("--sampler", "pndm", "--inference-steps", "4"),
    "guided as good as all": (
        *("--sampler", "pndm", "--inference-steps", "4"),
        *("--guided-share", "0.9"),
    ),
    "guided in part": ("--inference-steps", "5", "--guided-share", "0.6"),
    "unguided": ("--guidance-scale", "1"),
    "plain saliency": ("--saliency-guidance", "0"),
    "a random mask": ("--mask-kind", "random"),
    "held to the noise": ("--retain-target", "noise"),
    "a teacher that moves": ("--teacher", "current", "--retain-target", "noise"),
    "in parts": ("--micro-batch", "1"),
    "all weights": ("--density", "1"),
    "anchors": ("--relabel-share", "0.5", "--mix", "0.5"),
    "adversaries": ("--relabel-share", "0.5", "--adversaries", "2"),
    "a contrastive mask": ("--mask-kind", "contrastive"),
    "esd": ("--method", "esd"),
    "esd, masked": ("--method", "esd", "--density", "0.5"),
    "esd, as in the paper": ("--method", "esd", "--trajectory", "current"),
    "esd, unguided": ("--method", "esd", "--trajectory-guidance", "1"),
    "leco": ("--method", "leco"),
    "ca": ("--method", "ca"),
    "ca, masked": ("--method", "ca", "--density", "0.5"),
    "ca, published": ("--method", "ca", "--teacher", "current", "--prior", "1"),
}


def asked(model: Path, out: Path, *flags: str) -> list[str]:
    """`expunge erase church`, a training of twelve steps; its words."""
    where = ["--model", str(model), "--out", str(out), "--json"]
    guarded = [word for word in SHORT if word != "--no-guard"]
    return ["erase", "church", *where, *guarded, "--lr", "1e-5", "--steps", "12", *flags]


def bill(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What a command prints as JSON."""
    capsys.readouterr()
    assert main(words) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("model", ["model_folder", "sdxl_folder"])
def test_a_run_takes_the_passes_that_were_estimated(
    request: pytest.FixtureRequest,
    model: str,
    way: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if model == "sdxl_folder" and way not in ("defaults", "guided in part"):
        pytest.skip("the same sums, on a slower model")
    words = asked(request.getfixturevalue(model), tmp_path / "run", *WAYS[way])
    told = bill([*words, "--dry-run"], capsys)
    assert list(tmp_path.iterdir()) == []
    done = bill(words, capsys)
    counted = {stage: parts["denoiser"] for stage, parts in done["passes"].items()}
    assert {**told["passes"], "load": 0, "export": 0} == counted
    assert told["seconds"].keys() == {"load", *told["passes"]}
    assert all(value >= 0 for value in told["seconds"].values()) and told["disk_bytes"]
    assert done["passes"].keys() == done["seconds"].keys()
    images = sum(done["sets"].values())
    assert done["passes"]["sets"]["image_decoder"] == images
    assert done["passes"]["sets"]["image_encoder"] == images


def test_what_is_there_already_or_given_costs_nothing(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = ("--cache", str(tmp_path / "cache"))
    first = bill(asked(model_folder, tmp_path / "a", *cache), capsys)
    mask = ("--mask", str(tmp_path / "a" / "mask.safetensors"))
    words = asked(model_folder, tmp_path / "b", *cache, *mask)
    assert bill([*words, "--dry-run"], capsys)["passes"]["mask"] == 0
    second = bill(words, capsys)
    assert first["passes"]["sets"]["denoiser"] > 0 < first["passes"]["mask"]["denoiser"]
    assert second["passes"]["sets"]["denoiser"] == second["passes"]["mask"]["denoiser"] == 0


def test_what_was_spent_before_an_interruption_stays_in_the_bill(
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = bill(asked(model_folder, tmp_path / "whole"), capsys)["passes"]
    words = asked(model_folder, tmp_path / "run")
    with monkeypatch.context() as patch:

        def end(*_: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr(train.Watch, "look", end)
        assert main(words) == 130
    left = read_run(tmp_path / "run").passes
    assert {"probe", "sets", "mask"} <= left.keys() and "train" not in left
    resumed = bill(words, capsys)["passes"]
    for stage in ("probe", "sets", "mask"):
        assert resumed[stage]["denoiser"] == whole[stage]["denoiser"]


def test_a_training_that_was_killed_keeps_its_bill_up_to_its_last_saved_state(
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Twelve steps of 2 + 2 images, killed after ten.

    What is done twice is told twice: two looks of the guard at 8 prompts before the training, and
    the teacher's word on the last two steps, 2 x 4 rows.
    """
    whole = bill(asked(model_folder, tmp_path / "whole"), capsys)["passes"]["train"]["denoiser"]
    words, look = asked(model_folder, tmp_path / "run"), train.Watch.look
    with monkeypatch.context() as patch:

        def end(*told: Any) -> bool:
            found = look(*told)
            if len(told[1]) == 10:
                # As a kill, which leaves no time to save anything more.
                raise KeyboardInterrupt
            return found

        patch.setattr(train.Watch, "look", end)
        assert main(words) == 130
    left = read_run(tmp_path / "run").passes["train"].denoiser
    assert 0 < left < whole
    resumed = bill(words, capsys)
    assert resumed["passes"]["train"]["denoiser"] == whole + 2 * 8 + 2 * 4
    assert resumed["seconds"]["train"] > 0


def test_a_process_of_several_adds_what_the_others_counted() -> None:
    class Both(Team):
        def add(self, tensor: torch.Tensor) -> None:
            tensor *= 2

    assert Team().total([1, 2], torch.device("cpu")) == [1, 2]
    assert Both(0, 2).total([1, 2**40], torch.device("cpu")) == [2, 2**41]


def test_an_estimate_for_people_says_that_nothing_was_done(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [w for w in asked(model_folder, tmp_path / "run") if w != "--json"]
    assert main([*words, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "nothing was done" in shown and "all in all" in shown and "GB while training" in shown
    assert list(tmp_path.iterdir()) == []


def test_an_estimate_refuses_what_the_run_would(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = asked(model_folder, tmp_path / "run", "--dry-run")
    for flags, said in (
        (["--micro-batch", "0"], "--micro-batch"),
        (["--mask", "none.safetensors"], "--mask none.safetensors: no such file"),
        (["--guided-share", "1.5"], "--guided-share must be from 0 to 1"),
        (["--inference-steps", "2000"], "--inference-steps"),
    ):
        assert main([*words, *flags]) == 2
        assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_estimate_knows_how_many_images_are_decoded_and_encoded(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given pictures are encoded, and not drawn; those of the probe are drawn, and not encoded."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(5):
        Image.new("RGB", (16, 16), (50 * i, 0, 0)).save(photos / f"{i}.png")
        (photos / f"{i}.txt").write_text("a dog")
    words = asked(model_folder, tmp_path / "run", "--retain-data", str(photos))
    plan = make_plan("erase", parse(("erase",), words[1:]))
    told = stage_images(load_checkpoint(plan.source, device="cpu"), plan)
    done = bill(words, capsys)["passes"]
    for stage, part in (("probe", "decoded"), ("sets", "decoded"), ("sets", "encoded")):
        assert told[stage][part] == done[stage][f"image_{part[:-1]}r"] > 0, (stage, part)
    assert told["sets"]["encoded"] == told["sets"]["decoded"] + 5


def test_from_python_a_dry_run_gives_the_same(model_folder: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from expunge.settings.groups import DataFlags, ModelArgs

    command = Erase(
        concepts=("church",),
        model=ModelArgs(model=str(model_folder), device="cpu"),
        data=DataFlags(forget_images=3, retain_images=4, inference_steps=2, guided_share=1.0),
        out=tmp_path / "run",
        dry_run=True,
    )
    told = erase_concepts(command)
    assert told["passes"]["sets"] == 7 * 2 * 2 and list(tmp_path.iterdir()) == []
    wide = replace(command, data=replace(command.data, guided_share=0.0))
    assert erase_concepts(wide)["passes"]["sets"] == 7 * 2


def test_images_that_are_not_guided_to_their_end_are_other_images(
    tiny: Bundle, tmp_path: Path
) -> None:
    from erase.image_sets.drawing import Drawing, draw_batches

    def drawn(share: float) -> torch.Tensor:
        how = Drawing("dpm++", 4, 5.0, batch_size=3, guided_share=share)
        rows = range(3)
        (found,) = draw_batches(tiny, ["a church"] * 3, [1, 2, 3], [rows], how, lambda n: None)
        return found

    whole = drawn(1.0)
    assert torch.equal(whole, drawn(0.9)), "three and a half of four steps are four"
    assert not torch.equal(whole, drawn(0.5)) and not torch.equal(drawn(0.0), drawn(0.5))
