"""No file that is written tells of the user's home or of a hub's token, wherever they came from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors import safe_open
from support.attack_runs import save_biased_judge
from support.erased_runs import SHORT
from support.i2p import I2P_HEADER, I2P_ROWS

from erase.run_folder.folder import read_run, write_run
from erase.run_folder.record import Base, RunRecord
from expunge.cli import main
from plumbing.visible_text import discreet, without_home

TOKEN = "hf_" + "aBcD1234" * 5


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of somebody called anna."""
    folder = tmp_path / "home" / "anna"
    folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return folder


def texts(folder: Path) -> dict[Path, str]:
    """Everything that is written below a folder, pictures too, as text."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: path.read_bytes().decode("latin-1") for path in files}


def telling(folder: Path, home: Path) -> list[Path]:
    words = (str(home), json.dumps(str(home))[1:-1], TOKEN, home.name)
    return [path for path, text in texts(folder).items() if any(word in text for word in words)]


def make_home(home: Path, model: Path) -> dict[str, Path]:
    """A model, prompts, pictures and a concept of the user's; configs that tell where it lay."""
    base = shutil.copytree(model, home / "models" / "tiny")
    for file in ("unet/config.json", "vae/config.json", "text_encoder/config.json"):
        config = json.loads((base / file).read_text())
        config["_name_or_path"] = str(home / "old" / "place")
        (base / file).write_text(json.dumps(config))
    index = json.loads((base / "model_index.json").read_text())
    (base / "model_index.json").write_text(json.dumps({**index, "_name_or_path": str(base)}))
    (home / "retain.txt").write_text("a dog\nan apple\n")
    (home / "mine.toml").write_text('name = "church"\n')
    rows = [I2P_HEADER, *(",".join(f'"{cell}"' for cell in row) for row in I2P_ROWS[:2])]
    (home / "i2p.csv").write_text("\n".join(rows) + "\n")
    return {"base": base, "retain": home / "retain.txt", "concept": home / "mine.toml"}


def test_nothing_that_is_written_tells_of_home_or_token(
    home: Path,
    model_folder: Path,
    clip_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = make_home(home, model_folder)
    clip = shutil.copytree(clip_folder, home / "clip")
    work = tmp_path / "work"
    run, cache = work / "run", home / "cache"
    where = ["--model", str(given["base"]), "--cache", str(cache)]
    flags = ["--retain-prompts", str(given["retain"]), *SHORT]
    quick = ["--steps", "1", "--device", "cpu"]
    i2p, concept = ["--prompts", str(home / "i2p.csv")], str(given["concept"])
    judge = save_biased_judge(home / "judge")
    attack = ["--attacks", "words", "--images", "2", "--floor", str(given["base"])]
    attack += ["--detector", str(judge)]
    mask = ["--mask", str(work / "mask" / "mask.safetensors")]
    short = [word for word in flags if word != "--no-guard"]
    for_mask = [w for k in range(0, len(short), 2) for w in short[k : k + 2] if _of_mask(short[k])]
    for words in (
        ["mask", concept, *where, *for_mask, "--out", str(work / "mask")],
        ["erase", concept, *where, *flags, *mask, "--out", str(run)],
        ["evaluate", "concept", str(run), "--protocol", "demo", *quick],
        ["evaluate", "i2p", str(run), *i2p, *quick],
        ["evaluate", "quality", str(run), "--images", "4", "--clip", str(clip), *quick],
        ["evaluate", "attack", str(run), *attack, *quick],
        ["report", str(run)],
        ["report", str(run), "--format", "md"],
        ["compare", str(run), str(run / "eval"), "--out", str(work / "compare.html")],
        ["compare", str(run), str(run / "eval"), "--format", "md", "--out", str(work / "it.md")],
        ["compare", str(run), str(run / "eval"), "--format", "json", "--out", str(work / "it")],
        ["export", str(run), "--format", "pipeline", "--to", str(work / "pipeline")],
        ["export", str(run), "--format", "single-file", "--to", str(work / "x.safetensors")],
        ["export", str(run), "--format", "delta", "--to", str(work / "delta.safetensors")],
    ):
        assert main(words) == 0, words
    assert telling(work, home) == []
    assert str(home) not in capsys.readouterr().err
    # What was given is found again by the same name.
    assert main(["verify", str(run)]) == 0
    assert main(["verify", str(work / "pipeline"), "--run", str(run)]) == 0
    shown = capsys.readouterr().out
    assert "skipped  input" not in shown and "FAILED" not in shown
    assert read_run(run).base.id == str(given["base"])
    assert json.loads((run / "run.json").read_text())["base"]["id"] == "~/models/tiny"


def _of_mask(flag: str) -> bool:
    return flag not in ("--steps", "--lr")


def test_the_same_run_is_known_again(home: Path, model_folder: Path, tmp_path: Path) -> None:
    base = make_home(home, model_folder)["base"]
    words = ["erase", "church", "--model", str(base), "--out", str(tmp_path / "run"), *SHORT]
    assert main(words) == 0
    before = (tmp_path / "run" / "run.json").read_bytes()
    assert main(words) == 0
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_home_is_written_as_a_shell_writes_it(home: Path, tmp_path: Path) -> None:
    other = f"{home}bel/x"
    assert without_home(f"see {home}/a, {other}") == f"see ~/a, {other}"
    record = RunRecord(base=Base(str(home / "m")), concepts=("a",))
    (tmp_path / "run").mkdir()
    write_run(tmp_path / "run", record)
    assert read_run(tmp_path / "run").base.id == str(home / "m")


def test_errors_and_logs_tell_neither(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["erase", "church", "--model", str(home / "nothing" / TOKEN)]) == 2
    error = capsys.readouterr().err
    assert "~/nothing/hf_" in error and TOKEN not in error and str(home) not in error
    assert discreet(f"got {TOKEN}") == "got hf_…"


def test_exports_of_a_strangers_base_tell_nothing_of_it_either(
    home: Path, model_folder: Path, tmp_path: Path
) -> None:
    base = make_home(home, model_folder)["base"]
    for file in base.rglob("config.json"):
        file.write_text(file.read_text().replace(str(home), "C:\\\\Users\\\\bob"))
    run, made = tmp_path / "run", tmp_path / "made"
    assert main(["erase", "church", "--model", str(base), "--out", str(run), *SHORT]) == 0
    assert main(["export", str(run), "--format", "pipeline", "--to", str(made)]) == 0
    assert not [path for path, text in texts(made).items() if "bob" in text]
    with safe_open(made / "unet" / "diffusion_pytorch_model.safetensors", "pt") as file:
        assert "anna" not in json.dumps(file.metadata())
    assert json.loads((made / "vae" / "config.json").read_text())["_name_or_path"] == "place"
