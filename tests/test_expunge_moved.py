"""A run is the same wherever its files lie now: prompts, images, masks, concepts, and its base."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from erase.models.locate import locate
from erase.run_folder.folder import inspect_folder, read_run, write_run
from erase.run_folder.identity import without_places
from expunge.cli import main
from expunge.parsing import parse
from expunge.runs.plan import Plan, hash_inputs, make_plan
from expunge.runs.record import begin
from plumbing.errors import UsageError

PLACES = {
    "--retain-prompts": "k.txt",
    "--forget-prompts": "k.txt",
    "--retain-data": "pictures",
    "--forget-data": "pictures",
    "--mask": "m.safetensors",
    "--model": "model",
    "CONCEPT": "mine.toml",
}


@pytest.fixture
def here(tmp_path: Path, model_folder: Path) -> Path:
    """A folder with everything that a run can be given."""
    folder = tmp_path / "a"
    (folder / "pictures").mkdir(parents=True)
    (folder / "k.txt").write_text("a dog\na cat\na tree\na house\n")
    (folder / "m.safetensors").write_bytes(b"a mask")
    (folder / "mine.toml").write_text('name = "church"\nkind = "object"\nsynonyms = ["chapel"]\n')
    Image.fromarray(np.zeros((16, 16, 3), "uint8")).save(folder / "pictures" / "a.png")
    (folder / "pictures" / "a.txt").write_text("a dog")
    shutil.copytree(model_folder, folder / "model")
    return folder


@pytest.fixture
def planned(model_folder: Path) -> Callable[[str, str], Plan]:
    def plan(flag: str, place: str) -> Plan:
        concept = place if flag == "CONCEPT" else "church"
        words = [concept, "--model", place if flag == "--model" else str(model_folder)]
        words += [] if flag in ("CONCEPT", "--model") else [flag, place]
        return make_plan("erase", parse(("erase",), [*words, "--out", "run"]))

    return plan


@pytest.mark.parametrize(("flag", "name"), PLACES.items(), ids=PLACES)
def test_the_same_run_from_another_folder(
    flag: str,
    name: str,
    here: Path,
    planned: Callable[[str, str], Plan],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is begun with a relative path, and gone on with from elsewhere, or after a move."""
    monkeypatch.chdir(here)
    begun = planned(flag, name)
    run = here / "run"
    run.mkdir()
    write_run(run, begin(begun.identity))
    there = here.parent / "b"
    there.mkdir()
    monkeypatch.chdir(there)
    spelled = [f"../a/{name}", str(here / name), f"../b/../a/{name}"]
    for place in spelled:
        plan = planned(flag, place)
        assert inspect_folder(run, plan.identity, overwrite=False) == "unfinished"
    record = read_run(run)
    for what, told in record.inputs.items():
        assert hash_inputs(what, record.concepts, record.config, locate(record.base.id))[0] == told
    moved = shutil.move(here, there / "c") and there / "c"
    plan = planned(flag, f"c/{name}")
    assert inspect_folder(moved / "run", plan.identity, overwrite=False) == "unfinished"
    assert without_places(plan.identity) == without_places(begun.identity)


@pytest.mark.parametrize("flag", ["--retain-prompts", "--retain-data", "--mask", "CONCEPT"])
def test_other_content_is_another_run(
    flag: str, here: Path, planned: Callable[[str, str], Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    (here / "run").mkdir()
    write_run(here / "run", begin(planned(flag, PLACES[flag]).identity))
    (here / "k.txt").write_text("a dog\n")
    (here / "pictures" / "a.txt").write_text("a cat")
    (here / "m.safetensors").write_bytes(b"another")
    (here / "mine.toml").write_text('name = "church"\nkind = "object"\n')
    with pytest.raises(UsageError, match="used by another run"):
        inspect_folder(here / "run", planned(flag, PLACES[flag]).identity, overwrite=False)


def test_a_folder_of_its_own_is_named_alike(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)

    def out(*words: str) -> Path:
        return make_plan("erase", parse(("erase",), ["church", *words])).out

    given = out("--retain-prompts", "k.txt")
    assert given == out("--retain-prompts", f"../{here.name}/k.txt") != out()


@pytest.fixture
def astray(run: Path) -> Path:
    """A finished run whose base is no longer where it was."""
    record = json.loads((run / "run.json").read_text())
    record["base"]["id"] = "/nowhere/tiny"
    (run / "run.json").write_text(json.dumps(record))
    return run


def test_a_base_that_has_moved_can_be_named(
    astray: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["--base", str(model_folder)]
    quick = ["--steps", "1", "--device", "cpu", "--protocol", "demo", "--json"]
    evaluate = ["evaluate", "concept", str(astray), *quick, "--detector", "nudenet"]
    export = ["export", str(astray), "--format"]
    for words in (evaluate, [*export, "pipeline"], [*export, "delta"], ["verify", str(astray)]):
        assert main(words) == 2
        said = capsys.readouterr().err.splitlines()[-1]
        assert "/nowhere/tiny" in said and "--base" in said
    for form, name in (("pipeline", "p"), ("delta", "d.safetensors"), ("lora", "l.safetensors")):
        assert main([*export, form, "--to", str(tmp_path / name), *base]) == 0
        assert (tmp_path / name).exists()
    assert main(["verify", str(astray), *base]) == 0
    assert "/nowhere" not in (tmp_path / "p" / "README.md").read_text()


def test_another_model_is_not_the_base(
    astray: Path, other_model_folder: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = ["--base", str(other_model_folder)]
    for words in (["evaluate", "quality", str(astray)], ["export", str(astray)]):
        assert main([*words, *other]) == 2
        assert "is not the one that was erased" in capsys.readouterr().err
        assert main([*words, "--base", "./none"]) == 2
        assert "--base ./none" in capsys.readouterr().err
    words = ["evaluate", "i2p", str(model_folder), "--base", "x", "--out", "y"]
    assert main(words) == 2


def test_an_evaluation_of_it_is_as_before_the_move(
    run: Path, model_folder: Path, clip_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And it is the same evaluation: a finished one is read."""
    words = ["evaluate", "quality", str(run), "--images", "3", "--steps", "1", "--device", "cpu"]
    words += ["--clip", str(clip_folder), "--json"]
    assert main(words) == 0
    before = capsys.readouterr().out
    record = json.loads((run / "run.json").read_text())
    record["base"]["id"] = f"/nowhere/{model_folder.name}"
    (run / "run.json").write_text(json.dumps(record))
    assert main([*words, "--base", str(model_folder)]) == 0
    assert capsys.readouterr().out == before
