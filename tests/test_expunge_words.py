"""What a run is told to forget and to keep: one rule at every door, and no run for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.erased_runs import SHORT

from erase.models.bundle import Bundle
from erase.models.checkpoint import load_checkpoint
from erase.training.step_log import StepRow
from expunge.cli import main
from expunge.parsing import parse
from expunge.runs.lesson import drop_unread, require_effect, require_relabel
from expunge.runs.plan import Plan, default_out, make_plan
from plumbing.errors import UsageError

NAMING = ("a church", "two CHURCHES", "la cathe\u0301dral", "an old chapel\u2019s door")
OTHERS = ("a dog", "a churchill", "\u4e00\u53ea\u72d7")
DOORS = ("--retain-prompts", "--retain-data", "retain in a file")


def plan_of(*words: str, concept: str = "church") -> Plan:
    """What `erase` decides before it loads any weights."""
    return make_plan("erase", parse(("erase",), [concept, *words]))


def kept(door: str, texts: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    """What a run retains of texts that come in by one of the doors."""
    if door == "--retain-prompts":
        (folder / "x.txt").write_text("\n".join(texts), encoding="utf-8")
        return plan_of(door, str(folder / "x.txt")).concept.retain_prompts
    if door == "--retain-data":
        for number, text in enumerate(texts):
            Image.new("RGB", (8, 8)).save(folder / f"{number}.png")
            (folder / f"{number}.txt").write_text(text, encoding="utf-8")
        return tuple(plan_of(door, str(folder)).captions["retain"].values())
    (folder / "x.toml").write_text(
        'name = "church"\nsynonyms = ["chapel", "cathedral"]\nretain = ["'
        + '", "'.join(texts)
        + '"]',
        encoding="utf-8",
    )
    return plan_of(concept=str(folder / "x.toml")).concept.retain_prompts


@pytest.mark.parametrize("door", DOORS)
def test_what_names_the_concept_is_retained_by_no_door(
    door: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mixed = (OTHERS[0], *NAMING, *OTHERS[1:])
    assert kept(door, mixed, tmp_path) == OTHERS
    assert f"4 of 7 {'captions' if 'data' in door else 'prompts'} name church" in caplog.text
    assert str(tmp_path) in caplog.text


@pytest.mark.parametrize("door", DOORS)
def test_with_nothing_left_to_retain_a_run_is_refused(door: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"name church; give (captions|prompts) of other things"):
        kept(door, NAMING, tmp_path)


@pytest.mark.parametrize("door", DOORS)
def test_what_names_something_else_comes_in_by_every_door(door: str, tmp_path: Path) -> None:
    assert kept(door, OTHERS, tmp_path) == OTHERS


def test_what_is_to_be_forgotten_is_not_retained(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A token that stands for the concept names it to nobody but its user."""
    (tmp_path / "f.txt").write_text("a photo of sks\n")
    (tmp_path / "r.txt").write_text("A photo of SKS\na dog\n")
    flags = ["--forget-prompts", str(tmp_path / "f.txt")]
    flags += ["--retain-prompts", str(tmp_path / "r.txt")]
    assert plan_of(*flags).concept.retain_prompts == ("a dog",)
    assert "none of its prompts names church" in caplog.text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("relabel", '["a church"]'),
        ("fixed_relabel", '"the churches"'),
        ("substitutes", '["chapel"]'),
        ("retain", '["a chapel"]'),
        ("forget", "[]"),
        ("relabel", "[]"),
        ("retain", "[]"),
    ],
)
def test_a_concept_file_teaches_something(
    key: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.TOML"
    file.write_text(f'name = "church"\nsynonyms = ["chapel"]\n{key} = {value}\n')
    assert main(["erase", str(file), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert f"CONCEPT: {key} in {file}" in error and error.count("expunge: error") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("relabel", ["a photo of a church", "Churches", "cathe\u0301dral", "x\x1b"])
def test_the_concept_is_not_relabelled_to_itself(
    relabel: str, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["erase", "church", "--model", str(model_folder), "--relabel", relabel, *SHORT]
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    assert "--relabel" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def tiny(model_folder: Path) -> Bundle:
    """The tiny model, of whose tokenizer each letter is a token."""
    return load_checkpoint(str(model_folder), device="cpu", dtype="float32")


def test_a_concept_that_is_never_read_is_not_trained(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "long.txt"
    file.write_text("a very long text " * 20 + "and a church\n" + "of many words " * 20 + "church")
    where = ["--model", str(model_folder), "--forget-prompts", str(file)]
    for command in (["erase", "church", *SHORT], ["mask", "church"]):
        assert main([*command, *where, "--out", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert f"--forget-prompts {file}: 2 of 2 prompts name church only after" in error
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("concept", ["thing", "place"])
def test_a_concept_may_be_called_as_the_word_that_stands_in_for_it(
    concept: str, tiny: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "x.txt").write_text(f"a {concept} " + "x " * 200)
    plan = plan_of("--forget-prompts", str(tmp_path / "x.txt"), concept=concept)
    assert drop_unread(tiny, plan) is plan


@settings(max_examples=8)
@given(words=st.lists(st.integers(0, 60), min_size=1, max_size=5, unique=True))
def test_forget_prompts_are_left_out_where_they_are_cut(
    words: list[int], tiny: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A prompt of n words of one letter reads the concept iff there is a token left for it.

    Cut within its first letter, "church" and "thing" would be one; with that letter they differ.
    """
    limit = tiny.encode(("",)).embeddings.shape[1] - 2
    prompts = {n: "x " * n + "church" for n in words}
    file = tmp_path_factory.getbasetemp() / "forget.txt"
    file.write_text("\n".join(prompts.values()) + "\na church in front")
    plan = plan_of("--forget-prompts", str(file))
    read = {prompt for n, prompt in prompts.items() if n < limit}
    left = set(drop_unread(tiny, plan).concept.forget_prompts)
    assert left == {"a church in front", *read}


def test_images_whose_captions_are_cut_are_left_out(tiny: Bundle, tmp_path: Path) -> None:
    for number, text in enumerate(("a church", "x " * 200 + "church", "x " * 200)):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
        (tmp_path / f"{number}.txt").write_text(text)
    plan = drop_unread(tiny, plan_of("--forget-data", str(tmp_path)))
    assert [path.name for path in plan.captions["forget"]] == ["0.png", "2.png"]


def rows(*losses: dict[str, float]) -> list[StepRow]:
    """A log of these losses."""
    return [StepRow(step, each, 1.0, 1.0) for step, each in enumerate(losses, 1)]


def test_a_training_without_any_loss_ends() -> None:
    nothing = {"forget": 0.0, "retain": 0.0}
    for steps in (1, 3):
        with pytest.raises(UsageError, match=f"after {steps} steps the loss is exactly 0"):
            require_effect(rows(*[nothing] * steps), steps)
    with pytest.raises(UsageError, match="exactly 0"):
        require_effect(rows(*[{"rise": 0.0}] * 5), 100)
    # Retaining costs nothing at first, and a small loss is one.
    require_effect(rows({"forget": 1e-30, "retain": 0.0}), 1)
    require_effect(rows(*[nothing] * 2), 100)
    require_effect(rows(nothing, {"forget": 0.1, "retain": 0.1}, *[nothing] * 3), 5)


@pytest.mark.parametrize("door", ["--relabel", "relabel in a file"])
def test_relabelling_to_what_reads_the_same_is_refused_or_ends_the_run(
    door: str, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two texts that differ only past the last token: the same to the model, not to a reader."""
    one, other = (f"{'a very long text of a house ' * 20}{end}" for end in ("at sea", "in a wood"))
    (tmp_path / "x.toml").write_text(f'name = "y"\nforget = ["{one}"]\nrelabel = ["{other}"]\n')
    words = ["erase", str(tmp_path / "x.toml"), "--model", str(model_folder), *SHORT]
    words += ["--mask-kind", "none", *((door, other) if door == "--relabel" else ())]
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    told = "one to the text encoder" if door == "--relabel" else "the loss is exactly 0"
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out" / "unet").exists()


def test_relabel_prompts_that_name_other_things_are_taken(tiny: Bundle) -> None:
    for relabel in ("random", "fixed", "a dog", "Churchill"):
        require_relabel(tiny, plan_of(), relabel)


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("\u0130stanbul", "istanbul"),
        ("D\u00fcrer", "durer"),
        ("Stra\u00dfe", "strasse"),
        ("\u26ea", "concept"),
    ],
)
def test_run_folders_are_named_in_plain_letters(name: str, slug: str) -> None:
    assert default_out("", name, {}).name.rpartition("-")[0] == slug


def test_a_concept_file_is_found_however_its_path_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "MINE.Toml").write_text('name = "tower"\r\n', encoding="utf-16")
    monkeypatch.setenv("HOME", str(tmp_path))
    plan = plan_of(concept="~/MINE.Toml")
    assert plan.concept.name == "tower"
    assert plan.identity["concepts"] == [str(tmp_path / "MINE.Toml")]
    assert plan.identity == plan_of(concept=f" {tmp_path / 'MINE.Toml'} ").identity
    assert main(["erase", "~/gone.toml", "--out", str(tmp_path / "out")]) == 2
    assert "CONCEPT: no such file" in capsys.readouterr().err
