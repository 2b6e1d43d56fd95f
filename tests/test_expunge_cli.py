"""The command line: instant help without torch, every flag documented, one line for bad input."""

import os
import shlex
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import erase
import expunge
from expunge import FUNCTIONS
from expunge.cli import main
from expunge.command_table import COMMANDS
from expunge.parsing import flags_of, parse, settings_of
from expunge.settings.groups import DRAWN, DataFlags
from expunge.settings.salun import DEFAULTS, PRESETS
from plumbing.errors import UsageError

NAMES = sorted(COMMANDS)


def run_python(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [[], *[list(name) for name in NAMES]], ids=" ".join)
def test_help_is_instant_and_imports_no_torch(words: list[str]) -> None:
    """Processor time, best of five, or a busy machine would be blamed on us."""
    seconds = []
    for _ in range(5):
        start = sum(os.times()[2:4])
        done = run_python("-X", "importtime", "-m", "expunge", *words, "--help")
        seconds.append(sum(os.times()[2:4]) - start)
        if seconds[-1] < 0.3:
            break
    assert done.returncode == 0 and done.stdout.startswith("usage: expunge")
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert not imported & {"torch", "diffusers", "transformers", "numpy", "matplotlib"}
    assert min(seconds) < 0.3


def test_names_of_the_packages_load_lazily() -> None:
    code = (
        "import sys, erase, expunge; expunge.erase_concept; assert 'torch' not in sys.modules;"
        "assert erase.erase_concept is expunge.erase_concept;"
        "erase.Bundle; assert 'torch' in sys.modules"
    )
    assert run_python("-c", code).returncode == 0
    assert {"unlearn", "load_checkpoint"} <= set(dir(erase))
    assert set(FUNCTIONS) <= set(dir(expunge))
    for package in (erase, expunge):
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            package.__getattr__("nothing")


def test_what_only_moves_weights_starts_without_diffusers() -> None:
    """It takes seconds to import, and needs none of these to read or write tensors."""
    names = ", ".join(f"expunge.commands.{name}" for name in ("apply", "export", "undo", "verify"))
    heavy = "{'diffusers', 'transformers', 'accelerate', 'matplotlib'}"
    done = run_python("-c", f"import sys, {names}; print({heavy} & sys.modules.keys())")
    assert (done.returncode, done.stdout) == (0, "set()\n")


@pytest.mark.parametrize("name", NAMES, ids=" ".join)
def test_every_flag_is_documented(name: tuple[str, ...], capsys: Any) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse(name, ["--help"])
    assert exit_.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    settings = settings_of(name)
    for owner, field in flags_of(settings):
        flag = f"--{field.replace('_', '-')}"
        assert flag in text, flag
        assert documented(owner, field), f"{owner.__name__}.{field} has no docstring"
    assert "None" not in text


def documented(owner: Any, field: str) -> bool:
    """Whether a docstring follows the field in the source of its dataclass or of a base."""
    for base in owner.__mro__[:-1]:
        if field in base.__annotations__:
            source = Path(sys.modules[base.__module__].__file__ or "").read_text(encoding="utf-8")
            lines = source[source.index(f"class {base.__name__}") :].splitlines()
            start = next(i for i, line in enumerate(lines) if line.startswith(f"    {field}: "))
            return lines[start + 1].startswith('    """')
    return False


def test_overview_lists_every_command(capsys: Any) -> None:
    for words in ([], ["-h"], ["--help"]):
        assert main(words) == 0
        out = capsys.readouterr().out
        assert all(f"expunge {' '.join(name)}" in out for name in NAMES)
    assert main(["evaluate", "--help"]) == 0
    out = capsys.readouterr().out
    assert "expunge evaluate concept" in out and "expunge mask" not in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["erase"], "CONCEPT is missing"),
        (["erase", ""], "CONCEPT is empty"),
        (["erase", "church", " "], "CONCEPT is empty"),
        (["erase", "church", "--density", "0"], "--density must be above 0 and at most 1, not 0"),
        (["mask", "church", "--density", "2"], "--density must be above 0 and at most 1, not 2"),
        (["erase", "church", "--density", "nan"], "--density must be above 0"),
        (["erase", "church", "--desity", "0.5"], "did you mean --density?"),
        (["erase", "church", "--steps", "0"], "--steps must be at least 1"),
        (["erase", "church", "--steps", "x"], "--steps cannot be 'x'"),
        (["erase", "church", "--seed", "x"], "--seed: invalid literal"),
        (["erase", "church", "--seed", "-1"], "--seed must be from 0"),
        (["erase", "church", "--lr"], "Missing value for argument '--lr'"),
        (["erase", "church", "--lr", "inf"], "--lr must be above 0"),
        (["erase", "church", "--alpha", "nan"], "--alpha must be at least 0"),
        (["erase", "church", "--alpha", "inf"], "--alpha must be at most 2**53, not inf"),
        (["erase", "church", "--guidance-scale", "inf"], "--guidance-scale must be at most"),
        (["erase", "church", "--noise-weight", "inf"], "--noise-weight must be at most"),
        (["erase", "church", "--steps", "9" * 20], "--steps must be at most 2**53"),
        (["mask", "church", "--saliency-guidance", "inf"], "--saliency-guidance must be at most"),
        (["evaluate", "concept", "r", "--steps", "9" * 20], "--steps must be at most 2**53"),
        (["erase", "church", "--teacher", "old"], "'--teacher'"),
        (["erase", "church", "--model", " "], "--model is empty"),
        (["erase", "church", "--relabel", ""], "--relabel is empty"),
        (["erase", "church", "--mask", "m", "--density", "0.5"], "--mask and --density exclude"),
        (["erase", "church", "--mask", "m", "--mask-kind", "random"], "--mask and --mask-kind"),
        (["erase", "church", "--mask-kind", "none", "--density", "0.5"], "trains every weight"),
        (["mask", "church", "--steps", "5"], "--steps"),
        (["evaluate"], "one of attack"),
        (["evaluate", "cncept"], "did you mean concept?"),
        (["evaluate", "concept"], "TARGET is missing"),
        (["evaluate", "concept", ""], "TARGET is empty"),
        (["export"], "RUN is missing"),
        (["export", "r", "--strength", "1.6"], "--strength must be from 0 to 1.5, not 1.6"),
        (["export", "r", "--strength", "nan"], "--strength must be from 0 to 1.5"),
        (["export", "r", "--format", "onnx"], "'onnx'"),
        (["export", "r"], "r: no run folder"),
        (["verify", "r"], "r: no run folder"),
        (["apply", "--to", "m"], "FILE is missing"),
        (["apply", "a", "a", "--to", "m"], "the same FILE is given twice"),
        (["apply", "a", "--to", "m"], "a: no such file"),
        (["apply", "a"], "--to"),
        (["undo", "m", "--to", "b"], "--delta is missing"),
        (["eras", "church"], "did you mean erase?"),
        (
            ["nonsense"],
            "one of apply, classification, compare, demo, erase, evaluate",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    words: list[str], message: str, capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("expunge: error: ") and captured.err.count("\n") == 1
    assert message in captured.err
    assert list(tmp_path.iterdir()) == []


def test_a_shell_gets_its_completion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["erase", "--tyro-print-completion", "bash"]) == 0
    assert "--density" in capsys.readouterr().out


def test_the_old_module_says_where_it_went() -> None:
    done = run_python("-m", "erase", "--version")
    assert done.returncode == 0 and done.stdout.startswith("expunge ")
    assert "`python -m expunge` now" in done.stderr and done.stderr.count("\n") == 1


def test_module_and_exit_code() -> None:
    done = run_python("-m", "expunge", "erase", "church", "--density", "2")
    assert (done.returncode, done.stdout) == (2, "")


def test_flags_reach_their_fields() -> None:
    words = "church dog --density 0.1 --model m --forget-images 8 --json --out r --lr 1e-4"
    settings = parse(("erase",), words.split())
    assert settings.concepts == ("church", "dog")
    assert (settings.settings.density, settings.settings.lr) == (0.1, 1e-4)
    assert (settings.model.model, settings.data.forget_images) == ("m", 8)
    assert settings.json and settings.out == Path("r")
    settings = parse(("evaluate", "concept"), "r --concept church --concept dog".split())
    assert (settings.target, settings.concept) == ("r", ("church", "dog"))


def test_presets_fill_what_is_not_given() -> None:
    """A flag beats the preset, the preset beats the default; nothing else stays open."""
    words = ["church", "--preset", "salun-nudity", "--alpha", "3"]
    asked = parse(("erase",), words)
    own = {"lr": 0.25, "sampler": "dpm++", "inference_steps": 7, "guidance_scale": 2.0}
    settings, data = asked.settle(lambda sampler: own)
    assert (asked.settings.lr, asked.settings.alpha) == (None, 3)
    assert (settings.lr, settings.alpha, settings.teacher) == (1e-5, 3, "current")
    assert (data.forget_images, data.inference_steps, data.guidance_scale) == (800, 7, 2.0)
    assert parse(("erase",), ["church"]).settle(lambda sampler: own)[0].lr == 0.25
    usual = own | {"lr": DEFAULTS["lr"]}
    plain, data = parse(("erase",), ["church"]).settle(lambda sampler: usual)
    assert {**asdict(plain), **asdict(data)}.items() >= (DEFAULTS | DRAWN).items()
    assert all(set(preset) <= {"sampler", *DEFAULTS, *DRAWN} for preset in PRESETS.values())
    asked_of: list[str | None] = []
    for words in (["--sampler", "euler"], ["--preset", "salun-nudity"], []):
        parse(("erase",), ["church", *words]).settle(lambda name: asked_of.append(name) or own)
    assert asked_of == ["euler", "ddim", None]
    every = parse(("erase",), ["church", "--mask-kind", "none"]).settle(lambda sampler: own)[0]
    assert (every.density, DEFAULTS["density"]) == (1.0, 0.5)


def test_checks_hold_without_the_command_line() -> None:
    with pytest.raises(UsageError, match="--retain-data and --retain-prompts exclude"):
        DataFlags(retain_data=Path("a"), retain_prompts=Path("b"))


def test_a_reader_that_has_gone_ends_it_quietly() -> None:
    command = f"{shlex.quote(sys.executable)} -m expunge erase --help | (exec <&-)"
    command += "; exit ${PIPESTATUS[0]}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (141, "")
