"""Same seed, same image: whatever the batch, the order, or what happened before."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from support.drawn_rows import DRAWING, ROWS, Row

from erase.models.bundle import Bundle
from eval.generation.generate import count_finished, generate
from eval.generation.image_log import Generation, image_path, read_generations
from eval.generation.pair import NO_BAR, ModelPair, Subject, draw_pair


@pytest.fixture
def pipeline(tiny: Bundle) -> StableDiffusionPipeline:
    return tiny.pipeline("ddim")


def draw(pipeline: object, out: Path, rows: list[Row] = ROWS, batch: int = 4) -> list[Generation]:
    return generate(pipeline, rows, out, DRAWING, model_hash="m", batch_size=batch)


def pixels(out: Path, row: Row) -> np.ndarray:
    with Image.open(image_path(out, row.id)) as image:
        return np.asarray(image).astype(int)


def test_every_row_leaves_an_image_and_a_line_that_vouches_for_it(
    pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    generations = draw(pipeline, tmp_path)
    lines = [json.loads(x) for x in (tmp_path / "generations.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [row.id for row in ROWS]
    for line, row in zip(lines, ROWS, strict=True):
        assert (line["prompt"], line["seed"], line["model"]) == (row.prompt, row.seed, "m")
        data = image_path(tmp_path, row.id).read_bytes()
        assert line["sha256"] == hashlib.sha256(data).hexdigest()
    assert [g.id for g in generations] == [row.id for row in ROWS]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["generations.jsonl", "images"]
    assert len(list((tmp_path / "images").iterdir())) == len(ROWS)


def test_batch_size_and_order_do_not_change_an_image(
    pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    """Batched sums may round otherwise, by at most one step of 255."""
    draw(pipeline, tmp_path / "a", batch=1)
    draw(pipeline, tmp_path / "b", batch=5)
    draw(pipeline, tmp_path / "c", ROWS[::-1], batch=3)
    for row in ROWS:
        for other in ("b", "c"):
            assert np.abs(pixels(tmp_path / "a", row) - pixels(tmp_path / other, row)).max() <= 1
    assert np.abs(pixels(tmp_path / "a", ROWS[0]) - pixels(tmp_path / "a", ROWS[3])).max() > 1


def test_it_draws_what_plain_diffusers_draws(
    pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    draw(pipeline, tmp_path, ROWS[:1])
    plain = pipeline(
        ROWS[0].prompt,
        num_inference_steps=2,
        guidance_scale=3.0,
        generator=torch.Generator().manual_seed(ROWS[0].seed),
    ).images[0]
    assert np.abs(pixels(tmp_path, ROWS[0]) - np.asarray(plain).astype(int)).max() <= 1


def test_finished_rows_are_never_drawn_again_and_broken_ones_are(
    pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    first = draw(pipeline, tmp_path)
    image_path(tmp_path, "001").write_bytes(b"half a picture")
    image_path(tmp_path, "004").unlink()
    log = tmp_path / "generations.jsonl"
    log.write_text(log.read_text()[:-30])
    assert count_finished(ROWS, tmp_path, DRAWING, "m") == 4
    drawn: list[int] = []
    again = generate(
        pipeline, ROWS, tmp_path, DRAWING, model_hash="m", batch_size=4, progress=drawn.append
    )
    assert sum(drawn) == 3
    assert [g.sha256 for g in again] == [g.sha256 for g in first]
    untouched = [i for i in range(7) if i not in (1, 4, 6)]
    assert [again[i] for i in untouched] == [first[i] for i in untouched]
    draw(None, tmp_path)


def test_another_setting_or_model_is_another_image(
    pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    draw(pipeline, tmp_path)
    assert count_finished(ROWS, tmp_path, DRAWING, "other model") == 0
    assert count_finished(ROWS, tmp_path, replace(DRAWING, steps=3), "m") == 0
    changed = [replace(ROWS[0], seed=1), *ROWS[1:]]
    assert count_finished(changed, tmp_path, DRAWING, "m") == len(ROWS) - 1


def test_a_folder_serves_as_a_cache_for_other_rows(
    pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    draw(pipeline, tmp_path, ROWS[:2])
    draw(pipeline, tmp_path, ROWS[2:4])
    assert set(read_generations(tmp_path)) == {row.id for row in ROWS[:4]}


def test_two_rows_of_one_name_and_a_safety_checker_are_refused(
    pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="same id"):
        draw(pipeline, tmp_path, [ROWS[0], ROWS[0]])
    pipeline.safety_checker = torch.nn.Identity()
    with pytest.raises(ValueError, match="safety checker"):
        draw(pipeline, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_kill_after_the_last_image_leaves_nothing_once_it_is_asked_again(
    pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    """When all is drawn, and the logs of the processes are not yet one."""

    def ask() -> dict[str, bytes]:
        """The files of an evaluation and of its cache."""
        pair = ModelPair(
            Subject("original", "o", lambda: pipeline),
            Subject("erased", "m", lambda: pipeline),
            out=tmp_path / "out",
            originals=tmp_path / "originals",
            batch_size=4,
            open_bar=lambda total, done: NO_BAR,
        )
        assert draw_pair(ROWS, pair, DRAWING)
        paths = [path for path in tmp_path.rglob("*") if path.is_file()]
        return {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in paths}

    whole = ask()
    for log in tmp_path.glob("*/*/generations.jsonl"):
        log.with_name(".generations.jsonl.partial").write_bytes(b"half")
        log.rename(log.with_name("generations.0.jsonl"))
    assert ask() == whole
