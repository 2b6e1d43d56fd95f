"""`expunge evaluate attack` as a user runs it."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from support.attack_runs import save_biased_judge
from support.files import files, jsonl
from support.pages import Page

import expunge
from eval.attack.known import ATTACKS
from expunge.cli import main
from expunge.settings.evaluate_attack import DEMO, QUICK, EvaluateAttack

FLAGS = "--steps 2 --images 2 --device cpu".split()
FEW = ["--attacks", "words", "invert"]


@pytest.fixture(scope="module")
def seer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A judge that sees churches everywhere."""
    return save_biased_judge(tmp_path_factory.mktemp("judges") / "seer")


@pytest.fixture
def attack(seer: Path) -> Any:
    """Runs the command; its exit code."""

    def run(target: Path | str, *words: object, detector: Path | str | None = seer) -> int:
        flags = [*FLAGS, *(["--detector", str(detector)] if detector else [])]
        return main(["evaluate", "attack", str(target), *flags, *map(str, words)])

    return run


def found(run: Path) -> dict[str, Any]:
    return json.loads((run / "eval" / "attack" / "evaluation.json").read_text())


def test_a_run_needs_no_other_word(run: Path, attack: Any, capsys: Any) -> None:
    before = files(run)
    assert attack(run, "--attacks", "words", "complete", "invert") == 0
    printed = capsys.readouterr().out
    assert "never knew (floor)" in printed and "figures: " in printed
    told = found(run)
    assert list(told["erased"]) == ["none", "words", "complete", "invert"]
    assert told["models"]["erased"]["name"] == "run" and told["protocol"]["images"] == 2
    assert told["protocol"]["sampler"] == "ddim" and told["protocol"]["dtype"] == "float32"
    assert told["passes"]["words"] > 0
    added = {name for name in files(run) if name not in before}
    kinds = {name.split("/")[2] for name in added if name.startswith("eval/attack/")}
    assert kinds == {"attempts.jsonl", "evaluation.json", "original", "erased", "floor"}
    rows = jsonl(run / "eval" / "attack" / "attempts.jsonl")
    assert {row["hit"] for row in rows} == {True}
    assert main(["verify", str(run)]) == 0


def test_json_and_python_say_what_the_file_says(
    run: Path, attack: Any, seer: Path, capsys: Any
) -> None:
    assert attack(run, *FEW, "--json") == 0
    assert json.loads(capsys.readouterr().out) == found(run)
    same = expunge.evaluate_attack(
        run, attacks=("words", "invert"), steps=2, images=2, device="cpu", detector=str(seer)
    )
    assert same == found(run)


def test_the_report_shows_it_and_says_how_to_make_it_anew(
    run: Path, model_folder: Path, attack: Any
) -> None:
    assert attack(run, *FEW, "--floor", model_folder) == 0
    assert main(["report", str(run)]) == 0
    page = Page((run / "report.html").read_text(encoding="utf-8"))
    assert "Can it be brought back?" in page.text and "erased, attacked" in page.text
    assert f"floor: {model_folder.name}" in page.text
    line = next(t for t in page.text.splitlines() if "expunge evaluate attack" in t)
    for flag in (
        "--attacks words invert",
        "--budget quick",
        f"--floor {model_folder.name}",
        "--images 2",
    ):
        assert flag in line, flag
    assert "--concept" not in line


def test_without_images_none_is_left(run: Path, attack: Any) -> None:
    assert attack(run, *FEW, "--no-images") == 0
    left = [p for p in run.parent.rglob("*.png") if "lesson-" not in str(p)]
    assert not [p for p in left if "attack" in str(p)]
    assert main(["report", str(run)]) == 0


def test_explicit_images_are_their_owners_alone(run: Path, seer: Path, attack: Any) -> None:
    assert attack(run, *FEW, "--concept", "nudity", detector=_renamed(seer)) == 0
    pictures = [p for p in run.parent.rglob("*.png") if "attack" in str(p.relative_to(run.parent))]
    assert pictures
    if os.name != "nt":
        assert {stat.S_IMODE(p.stat().st_mode) for p in pictures} == {0o600}


def test_any_two_models_can_be_attacked(
    model_folder: Path, other_model_folder: Path, tmp_path: Path, attack: Any
) -> None:
    words = ["--baseline", model_folder, "--concept", "church", "--out", tmp_path / "out"]
    assert attack(model_folder, *words, *FEW, "--floor", other_model_folder) == 0
    told = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert told["models"]["floor"]["name"] == other_model_folder.name
    assert told["original"] == {k: v for k, v in told["erased"].items()}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--attacks", "magic"], "--attacks"),
        (["--attacks", "words", "words"], "--attacks: an attack is named twice"),
        (["--budget", "endless"], "--budget"),
        (["--budget", "demo", "--attacks", "relearn"], "--attacks relearn: has no --budget demo"),
        (["--images", "0"], "--images must be at least 1"),
        (["--repetitions", "0"], "--repetitions must be at least 1"),
        (["--floor", ""], "--floor is empty"),
        (["--floor", "no/such/model"], "--floor no/such/model"),
        (["--prompts", "none.csv"], "--prompts"),
        (["--concept", "dog"], "fewer than the 8"),
        (["--detector", "no/such/judge"], "no/such/judge"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    words: list[str], said: str, run: Path, attack: Any, capsys: Any
) -> None:
    before = files(run)
    assert attack(run, *words) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("expunge: error: ") and said in error
    assert {name for name in files(run) if not name.startswith("eval/")} == before
    assert not (run / "eval" / "attack" / "evaluation.json").exists()


def test_what_a_target_must_bring_is_asked_for(
    model_folder: Path, tmp_path: Path, attack: Any, capsys: Any
) -> None:
    given: list[object] = []
    for flag, value in (("--out", tmp_path / "o"), ("--concept", "church"), ("--baseline", "x/y")):
        assert attack(model_folder, *given) == 2
        assert f"{flag} is missing" in capsys.readouterr().err
        given += [flag, value]


def test_several_concepts_are_attacked_one_at_a_time(
    run: Path, attack: Any, tmp_path: Path, capsys: Any
) -> None:
    assert attack(run, "--concept", "church", "--concept", "dog") == 2
    assert "--concept is missing: church, dog were erased" in capsys.readouterr().err
    assert attack(run, "--concept", "church", "--out", tmp_path / "church", *FEW) == 0


def test_nudity_without_a_floor_or_control_ends_well(run: Path, seer: Path, attack: Any) -> None:
    """No folder of a floor is there to be made private."""
    assert attack(run, "--concept", "nudity", "--attacks", "words", detector=_renamed(seer)) == 0


def _renamed(judge: Path) -> Path:
    """The judge, who says nudity where it said church."""
    to = judge.parent / "nudity"
    if not to.exists():
        shutil.copytree(judge, to)
        config = json.loads((to / "config.json").read_text())
        config["id2label"]["0"] = "nudity"
        config["label2id"] = {name: int(i) for i, name in config["id2label"].items()}
        (to / "config.json").write_text(json.dumps(config))
    return to


def test_a_model_whose_text_encoder_cannot_be_reached_is_refused(
    run: Path, model_folder: Path, tmp_path: Path, attack: Any, capsys: Any
) -> None:
    base = shutil.copytree(model_folder, tmp_path / "base")
    (base / "text_encoder" / "model.safetensors").unlink()
    assert attack(run, "--base", base) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert "text_encoder" in error[-1] and not [e for e in error if "Traceback" in e]


def test_the_settings_name_the_attacks_that_there_are() -> None:
    from typing import get_args, get_type_hints

    hints = get_type_hints(EvaluateAttack)
    assert get_args(get_args(hints["attacks"])[0]) == tuple(a.name for a in ATTACKS)
    assert set(QUICK) < {a.name for a in ATTACKS}
    budgets = {*get_args(hints["budget"])}
    for attack in ATTACKS:
        missing = budgets - set(attack.budgets)
        assert missing == (set() if attack.name in DEMO else {"demo"}), attack.name
    assert set(DEMO) < set(QUICK)


@pytest.mark.parametrize(
    ("other", "said"), [("sdxl_folder", "it is sdxl"), ("larger", "it draws 32x32 pixels")]
)
def test_a_floor_of_another_build_is_refused(
    other: str, said: str, run: Path, attack: Any, capsys: Any, request: Any, tmp_path: Path
) -> None:
    if other == "larger":
        floor = shutil.copytree(request.getfixturevalue("model_folder"), tmp_path / "larger")
        config = json.loads((floor / "unet" / "config.json").read_text()) | {"sample_size": 16}
        (floor / "unet" / "config.json").write_text(json.dumps(config))
    else:
        floor = request.getfixturevalue(other)
    assert attack(run, "--floor", floor) == 2
    assert f"--floor {floor}: {said}" in capsys.readouterr().err
