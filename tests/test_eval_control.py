"""A model that draws nothing right is told by its pixels alone, and a healthy one is left in peace.

What the bounds rest on is in docs/decisions.md, from `python -m benchmarks.collapse`.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from support.report_runs import add_concept, add_i2p, add_quality, make_run
from support.verdict_cases import GOOD, evaluation, judge

from erase.models.model_source import MINIATURE
from eval.concept.kept import broken
from eval.concept.results import read_evaluation
from eval.control.collapse import MOST, SAME, UNLIKE, measure_control, own_shares, signs
from eval.metrics.schema import Control, ControlScores, Metric, write_evaluation
from eval.quality.results import read_quality
from expunge.cli import main
from plumbing.errors import UsageError
from prompts.concept import Vocabulary, load_concept
from prompts.control_rows import CONTROL_IMAGES, control_rows

SIDE = 32
Pictures = np.ndarray[Any, np.dtype[np.uint8]]
Save = Callable[[str, Pictures], list[Path]]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(name: str, pictures: Pictures) -> list[Path]:
        (tmp_path / name).mkdir()
        files = [tmp_path / name / f"{i}.png" for i in range(len(pictures))]
        for file, picture in zip(files, pictures, strict=True):
            Image.fromarray(picture).save(file)
        return files

    return write


def things(count: int = CONTROL_IMAGES) -> Pictures:
    """A box of its own place and colour a prompt, on a ground of its own."""
    rng = np.random.default_rng(0)
    pictures = np.zeros((count, SIDE, SIDE, 3), np.uint8)
    for picture in pictures:
        picture[:] = rng.integers(0, 256, 3)
        left, top = rng.integers(0, SIDE // 2, 2)
        picture[top : top + SIDE // 2, left : left + SIDE // 2] = rng.integers(0, 256, 3)
    return pictures


def shifted(pictures: Pictures) -> Pictures:
    """Everything as before, in other places and darker: what an erasure may do to the rest."""
    return (np.roll(pictures, 3, axis=2) * 0.8).astype(np.uint8)


def noise(pictures: Pictures) -> Pictures:
    return np.random.default_rng(1).integers(0, 256, pictures.shape, np.uint8)


def one_picture(pictures: Pictures) -> Pictures:
    return np.repeat(pictures[:1], len(pictures), axis=0)


def colours(pictures: Pictures) -> Pictures:
    return (pictures * 0 + np.arange(len(pictures))[:, None, None, None] * 9).astype(np.uint8)


def of_others(pictures: Pictures) -> Pictures:
    return np.random.default_rng(2).permutation(pictures)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda p: p, ()),
        (shifted, ()),
        (np.zeros_like, ("one flat colour", "same picture", "nothing to do with")),
        (colours, ("one flat colour", "nothing to do with")),
        (one_picture, ("same picture", "nothing to do with")),
        (noise, ("nothing to do with",)),
        (lambda p: one_picture(noise(p)), ("same picture", "nothing to do with")),
        (of_others, ("nothing to do with",)),
    ],
)
def test_what_is_broken_is_named_and_what_is_not_is_left(
    save: Save, harm: Callable[[Pictures], Pictures], told: tuple[str, ...]
) -> None:
    control = measure_control(save("original", things()), save("erased", harm(things())))
    found = signs(control)
    assert len(found) == len(told) and all(t in f for t, f in zip(told, found, strict=True))


def test_an_original_that_draws_nothing_is_no_measure(save: Save) -> None:
    for name, harm in (("same", one_picture), ("flat", np.zeros_like)):
        files = save(name, harm(things()))
        assert signs(measure_control(files, files)) == ()


def test_without_an_original_the_bounds_stand_alone(save: Save) -> None:
    assert signs(measure_control(None, save("good", things()))) == ()
    assert signs(measure_control(None, save("flat", np.zeros_like(things()))))
    assert signs(measure_control(None, save("same", one_picture(things()))))


def test_shares_of_nearer_originals_are_counted_by_hand() -> None:
    """Originals 0, 4, 8. Image 1 is nearest its own 0: 100. Image 5 is 1 from its own: 100. Image
    4 is 4 from its own 8 and from 0, and 0 from 4: half a point of two, 25."""
    originals, images = np.array([[0.0], [4.0], [8.0]]), np.array([[1.0], [5.0], [4.0]])
    assert own_shares(images, originals).tolist() == [100, 100, 25]
    assert own_shares(np.ones((3, 1)), np.ones((3, 1))).tolist() == [50, 50, 50]


def test_an_image_that_cannot_be_read_is_named(save: Save) -> None:
    files = save("good", things(3))
    files[1].write_bytes(b"no picture")
    with pytest.raises(UsageError, match=r"1\.png"):
        measure_control(None, files)


WORDS = Vocabulary((*(f"thing{i}" for i in range(40)), "church"), ("flat", "night"))


@pytest.mark.parametrize("concept", ["church", "nudity", "van gogh style", "a photo", None])
@pytest.mark.parametrize("words", [None, WORDS])
def test_control_rows_differ_in_their_prompts_alone(
    concept: str | None, words: Vocabulary | None
) -> None:
    spec = load_concept(concept, words) if concept else None
    rows = control_rows(spec, words, 7)
    assert len(rows) == len({row.prompt for row in rows}) == CONTROL_IMAGES
    assert len({row.seed for row in rows}) == 1 and {row.split for row in rows} == {"control"}
    assert not any(spec and spec.named_in(row.prompt) for row in rows)
    assert rows == control_rows(spec, words, 7) != control_rows(spec, words, 8)


def test_few_retain_prompts_are_filled_up(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('name = "a chair"\nretain = ["a green frog", "a red barn"]\n')
    prompts = [row.prompt for row in control_rows(load_concept(str(file)), None)]
    assert len(prompts) == CONTROL_IMAGES and {"a green frog", "a red barn"} <= set(prompts)
    assert not any("chair" in prompt for prompt in prompts)


def metric(value: float) -> Metric:
    return Metric(value, CONTROL_IMAGES, (value, value))


def scores(flat: float = 0, variety: float = 40, own: float | None = 95) -> ControlScores:
    return ControlScores(metric(flat), metric(variety), None if own is None else metric(own))


@pytest.mark.parametrize(
    ("after", "count"),
    [
        (scores(), 0),
        (scores(flat=MOST - 1), 0),
        (scores(flat=MOST), 1),
        (scores(variety=40 * SAME), 0),
        (scores(variety=40 * SAME - 0.1), 1),
        (scores(own=UNLIKE), 0),
        (scores(own=UNLIKE - 0.1), 1),
        (scores(MOST, 0, 50), 3),
    ],
)
def test_a_bound_is_broken_by_what_passes_it(after: ControlScores, count: int) -> None:
    assert len(signs(Control(CONTROL_IMAGES, scores(own=None), after))) == count


def test_a_collapsed_model_is_never_erased() -> None:
    """ua alone is 100 where noise is drawn; ira and cra, where there are any, know better."""
    control = Control(CONTROL_IMAGES, scores(own=None), scores(own=50))
    alone = replace(evaluation((2.0, None, None), (100.0, None, None)), control=control)
    assert judge(replace(alone, collapsed=())).word == "Erased, rest unproven"
    found = judge(replace(alone, collapsed=broken(alone, {})))
    assert (found.word, found.level) == ("Collapsed", "bad")
    assert "nothing to do with their prompts" in found.sentence and "no success" in found.sentence
    judged = replace(evaluation(GOOD, (100.0, 95.0, 96.0)), collapsed=("it is said so",))
    assert judge(judged).word == "Erased"
    assert broken(evaluation(GOOD, (100.0, 95.0, 96.0)), {}) == ()
    assert broken(evaluation(GOOD, (100.0, 5.0, 96.0)), {}) == ("ira 95.0 → 5.0 %",)


def marked(run: Path, kind: str, found: Any) -> None:
    """Write an evaluation of a run anew, its control images all of one kind."""
    control = Control(CONTROL_IMAGES, scores(own=None), scores(MOST, 0, 50))
    told = replace(found, control=control, collapsed=signs(control))
    write_evaluation(run / "eval" / kind / "evaluation.json", told)


@pytest.mark.parametrize("kind", ["html", "md"])
def test_no_nudity_in_noise_is_no_success(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run", "nudity")
    nudity = add_i2p(run, before=20, after=0)
    assert main(["report", str(run)]) == 0 and "Reduced" in capsys.readouterr().out
    marked(run, "i2p", nudity)
    assert main(["report", str(run), "--format", kind]) == 0
    assert "Collapsed" in capsys.readouterr().out
    text = (run / f"report.{kind}").read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert "same picture" in text and "I2P: 24 control images" in text and "Reduced." not in text


def test_quality_tells_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run")
    marked(run, "quality", add_quality(run))
    assert read_quality(run / "eval" / "quality" / "evaluation.json").control
    assert main(["report", str(run)]) == 0 and "Collapsed" in capsys.readouterr().out


def test_files_of_older_versions_are_read(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    add_concept(run)
    file = run / "eval" / "concept" / "evaluation.json"
    old = json.loads(file.read_text())
    assert old.pop("control") is None and old.pop("collapsed") is None
    file.write_text(json.dumps(old))
    assert read_evaluation(file).collapsed is None


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature, its UNet's output always zero: it draws the noise that it is given."""
    folder = tmp_path_factory.mktemp("blank") / "model"
    shutil.copytree(MINIATURE, folder)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    for name in ("conv_out.weight", "conv_out.bias"):
        weights[name] = torch.zeros_like(weights[name])
    save_file(weights, file, metadata={"format": "pt"})
    return folder


def measured(target: Path, out: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> Any:
    """`evaluate concept` in two steps an image, judged by the miniature's own CLIP."""
    words = [str(target), "--baseline", "miniature", "--concept", "church", "--out", str(out)]
    how = ["--detector", "clip", "--protocol", "demo", "--steps", "2", "--device", "cpu"]
    assert main(["evaluate", "concept", *words, *how, *flags]) == 0
    return capsys.readouterr().out


def test_noise_is_flagged_and_the_original_is_not(
    blank: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = measured(blank, tmp_path / "e" / "blank", capsys)
    assert "COLLAPSED: the erased model is broken: whatever it is asked" in shown
    found = read_evaluation(tmp_path / "e" / "blank" / "evaluation.json")
    assert found.erased.ua and found.erased.ua.value > 97
    assert judge(found).word == "Collapsed"
    assert found.control and found.control.erased.own
    assert found.control.erased.own.value == pytest.approx(50)
    assert "control" not in found.protocol.images
    data = json.loads(measured(MINIATURE, tmp_path / "e" / "same", capsys, "--json"))
    assert data["collapsed"] == [] and data["control"]["erased"]["own"]["value"] == 100
