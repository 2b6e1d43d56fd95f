"""Prompts to PNGs: a seed a row, batched, resumable; one line an image in `generations.jsonl`."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from PIL import Image

from eval.generation.image_log import (
    IMAGES,
    Generation,
    image_path,
    part_path,
    png_bytes,
    read_generations,
    write_generations,
)
from eval.generation.prompt_embedding import Embeddings, encode, encode_nothing
from plumbing.halving import Halving
from plumbing.passes import PassCounter
from plumbing.processes import ALONE, Team
from plumbing.whole_files import naming, replace_file


class Row(Protocol):
    """What is drawn: one image of `prompt` from the noise of `seed`, kept as `images/<id>.png`."""

    @property
    def id(self) -> str:
        """The image's name, unique among the rows."""
        ...

    @property
    def prompt(self) -> str:
        """The text that the model is given."""
        ...

    @property
    def seed(self) -> int:
        """The seed of the image's own noise."""
        ...


@dataclass(frozen=True)
class Drawing:
    """How images are drawn; `size` is (width, height) in pixels, `dtype` the pipeline's own."""

    sampler: str
    steps: int
    guidance_scale: float
    size: tuple[int, int]
    dtype: str

    @property
    def told(self) -> dict[str, Any]:
        """The same by the names that images and evaluations record it under."""
        width, height = self.size
        return {
            "sampler": self.sampler,
            "steps": self.steps,
            "guidance_scale": float(self.guidance_scale),
            "width": width,
            "height": height,
            "dtype": self.dtype,
        }


Drawings = Drawing | Mapping[str, Drawing]
"""How all rows are drawn alike, or each by its id."""


def drawing_of(row: Row, drawing: Drawings) -> Drawing:
    """How this row is drawn."""
    return drawing if isinstance(drawing, Drawing) else drawing[row.id]


def generate(
    pipeline: Any,
    rows: Sequence[Row],
    out: Path,
    drawing: Drawings,
    *,
    model_hash: str,
    batch_size: int = 16,
    progress: Callable[[int], object] = lambda count: None,
    team: Team = ALONE,
) -> list[Generation]:
    """Draw every row that is not yet finished under `out`; the records of all rows, in their order.

    `pipeline` is a diffusers text-to-image pipeline that already carries the sampler that `drawing`
    names; a batch holds rows of one size and guidance. `progress` is told how many images each
    batch added. Other images under `out` are left alone, so that a folder can serve as a cache.
    Of several processes each draws the share that its `team` names, and all return when all are
    drawn.
    """
    if getattr(pipeline, "safety_checker", None) is not None:
        raise ValueError("the pipeline's safety checker would blank images: load it without one")
    requests = make_requests(rows, drawing, model_hash)
    done = read_generations(out, tell=team.leads)
    missing = [r for r in requests.values() if not answered(r, done)]
    # Between two waits either all read or one writes: every process sees the same as missing.
    team.wait()
    if missing:
        stale = {request.id for request in missing}
        if team.leads:
            write_generations(out, [g for key, g in done.items() if key not in stale])
        team.wait()
        for count in _draw(pipeline, team.part(missing), out, batch_size, team.rank):
            progress(count)
        team.wait()
        done = read_generations(out)
        team.wait()
    others = [generation for key, generation in done.items() if key not in requests]
    result = [done[key] for key in requests]
    if team.leads:
        write_generations(out, result + others)
    team.wait()
    return result


def count_finished(rows: Sequence[Row], out: Path, drawing: Drawings, model_hash: str) -> int:
    """How many of the rows `generate` would find finished under `out`."""
    done = read_generations(out)
    return sum(
        answered(request, done) for request in make_requests(rows, drawing, model_hash).values()
    )


def answered(request: Generation, done: Mapping[str, Generation]) -> bool:
    """Whether what is asked for is among what is done."""
    return request.id in done and done[request.id].same_request(request)


def make_requests(rows: Sequence[Row], drawing: Drawings, model_hash: str) -> dict[str, Generation]:
    """The records of the rows as they will be, hash and time left out."""
    requests = {row.id: _request(row, drawing_of(row, drawing), model_hash) for row in rows}
    if len(requests) != len(rows):
        raise ValueError("two rows have the same id")
    return requests


def _request(row: Row, drawing: Drawing, model_hash: str) -> Generation:
    return Generation(
        id=row.id,
        prompt=row.prompt,
        seed=row.seed,
        **drawing.told,
        model=model_hash,
        sha256="",
        seconds=0.0,
    )


def _batches(wanted: Sequence[Generation], size: int) -> Iterator[list[Generation]]:
    """Rows that can be drawn together, those that come first leading."""
    alike: dict[tuple, list[Generation]] = {}
    for w in wanted:
        alike.setdefault((w.steps, w.guidance_scale, w.width, w.height), []).append(w)
    for group in alike.values():
        yield from (group[start : start + size] for start in range(0, len(group), size))


def _draw(
    pipeline: Any, wanted: Sequence[Generation], out: Path, batch_size: int, rank: int
) -> Iterator[int]:
    """Draw in batches; each image is on disk before its line is, and its line before the next.

    Yields how many images each batch had.
    """
    (out / IMAGES).mkdir(parents=True, exist_ok=True)
    path = part_path(out, rank)
    with path.open("a", encoding="utf-8") as log:
        for finished in draw_batches(pipeline, wanted, out, batch_size):
            with naming(path):
                log.writelines(generation.line() for generation in finished)
                log.flush()
            yield len(finished)


def draw_batches(
    pipeline: Any, wanted: Sequence[Generation], out: Path, batch_size: int
) -> Iterator[list[Generation]]:
    """Draw in batches; yields what each had once its images are on disk, told in no file yet."""
    (out / IMAGES).mkdir(parents=True, exist_ok=True)
    pipeline.set_progress_bar_config(disable=True)
    nothing, embeddings = encode_nothing(pipeline), dict[str, Embeddings]()
    in_halves = Halving(
        "drawing images", too_much=should_reduce_batch_size, release=clear_device_cache
    )
    with PassCounter() as counter:
        counter.watch("denoiser", getattr(pipeline, "unet", None) or pipeline.transformer)
        for batch in _batches(wanted, batch_size):
            # Not all at once: thousands of prompts would keep the first image waiting.
            embeddings.update(encode(pipeline, {w.prompt for w in batch} - embeddings.keys()))
            began = time.perf_counter()
            parts = in_halves(batch, lambda part: _draw_batch(pipeline, part, embeddings, nothing))
            images = [image for part in parts for image in part]
            seconds = round((time.perf_counter() - began) / len(batch), 4)
            passes = counter.take().denoiser // len(batch)
            yield [
                _written(replace(request, seconds=seconds, passes=passes), image, out)
                for request, image in zip(batch, images, strict=True)
            ]


def _written(drawn: Generation, image: Image.Image, out: Path) -> Generation:
    data = png_bytes(image)
    # Its hash tells a torn one, which is drawn again.
    replace_file(image_path(out, drawn.id), data, durable=False)
    return replace(drawn, sha256=hashlib.sha256(data).hexdigest())


def _draw_batch(
    pipeline: Any,
    batch: Sequence[Generation],
    embeddings: Mapping[str, Embeddings],
    nothing: Embeddings,
) -> list[Image.Image]:
    # CPU generators: the noise of a seed is then the same on every device.
    generators = [torch.Generator("cpu").manual_seed(request.seed) for request in batch]
    prompts = [embeddings[request.prompt] for request in batch]
    arguments = {name: torch.cat([each[name] for each in prompts]) for name in prompts[0]}
    for name, none in nothing.items():
        arguments[name] = none.expand(len(batch), *none.shape[1:])
    return pipeline(
        **arguments,
        generator=generators,
        num_inference_steps=batch[0].steps,
        guidance_scale=batch[0].guidance_scale,
        width=batch[0].width,
        height=batch[0].height,
        output_type="pil",
    ).images
