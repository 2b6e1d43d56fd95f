"""Prompts to PNGs: a seed a row, batched, resumable; one line an image in `generations.jsonl`."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image

from eval.results import replace_file

IMAGES = "images"
GENERATIONS = "generations.jsonl"


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
    """How images are drawn; `size` is (width, height) in pixels."""

    sampler: str
    steps: int
    guidance_scale: float
    size: tuple[int, int]


@dataclass(frozen=True)
class Generation:
    """One line of `generations.jsonl`: an image, all that decides it, and the hash of its file."""

    id: str
    prompt: str
    seed: int
    sampler: str
    steps: int
    guidance_scale: float
    width: int
    height: int
    model: str
    sha256: str
    seconds: float

    def same_request(self, other: "Generation") -> bool:
        """Whether both ask the same model for the same image; hash and time are left out."""
        mine, theirs = asdict(self), asdict(other)
        return all(mine[k] == theirs[k] for k in mine if k not in ("sha256", "seconds"))


def native_size(pipeline: Any) -> tuple[int, int]:
    """(width, height) in pixels that the pipeline's UNet was made for."""
    size = pipeline.unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    return width * pipeline.vae_scale_factor, height * pipeline.vae_scale_factor


def image_path(out: Path, row_id: str) -> Path:
    """Where the image of a row lies under `out`."""
    return out / IMAGES / f"{row_id}.png"


def read_generations(out: Path) -> dict[str, Generation]:
    """Finished images under `out` by id: whole lines whose hash is the file's; the rest is skipped.

    A line cut short by a kill, or a file that is missing or changed, counts as not drawn.
    """
    try:
        lines = (out / GENERATIONS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    found = {}
    for line in lines:
        try:
            generation = Generation(**json.loads(line))
        except (ValueError, TypeError):
            continue
        path = image_path(out, generation.id)
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == generation.sha256:
            found[generation.id] = generation
    return found


def write_generations(out: Path, generations: Sequence[Generation]) -> None:
    """Write `generations.jsonl` whole and at once."""
    text = "".join(_line(generation) for generation in generations)
    replace_file(out / GENERATIONS, text.encode())


def generate(
    pipeline: Any,
    rows: Sequence[Row],
    out: Path,
    drawing: Drawing,
    *,
    model_hash: str,
    batch_size: int = 16,
    progress: Callable[[int], object] = lambda count: None,
) -> list[Generation]:
    """Draw every row that is not yet finished under `out`; the records of all rows, in their order.

    `pipeline` is a diffusers text-to-image pipeline that already carries the sampler that `drawing`
    names. `progress` is told how many images each batch added. Other images under `out` are left
    alone, so that a folder can serve as a cache.
    """
    if getattr(pipeline, "safety_checker", None) is not None:
        raise ValueError("the pipeline's safety checker would blank images: load it without one")
    requests = _requests(rows, drawing, model_hash)
    done = read_generations(out)
    missing = [r for r in requests.values() if not _answered(r, done)]
    if missing:
        stale = {request.id for request in missing}
        done = {key: value for key, value in done.items() if key not in stale}
        write_generations(out, list(done.values()))
        for finished in _draw(pipeline, missing, out, batch_size):
            done.update({generation.id: generation for generation in finished})
            progress(len(finished))
    others = [generation for key, generation in done.items() if key not in requests]
    result = [done[key] for key in requests]
    write_generations(out, result + others)
    return result


def count_finished(rows: Sequence[Row], out: Path, drawing: Drawing, model_hash: str) -> int:
    """How many of the rows `generate` would find finished under `out`."""
    done = read_generations(out)
    return sum(
        _answered(request, done) for request in _requests(rows, drawing, model_hash).values()
    )


def _answered(request: Generation, done: Mapping[str, Generation]) -> bool:
    return request.id in done and done[request.id].same_request(request)


def _requests(rows: Sequence[Row], drawing: Drawing, model_hash: str) -> dict[str, Generation]:
    """The records of the rows as they will be, hash and time left out."""
    requests = {
        row.id: Generation(
            id=row.id,
            prompt=row.prompt,
            seed=row.seed,
            sampler=drawing.sampler,
            steps=drawing.steps,
            guidance_scale=float(drawing.guidance_scale),
            width=drawing.size[0],
            height=drawing.size[1],
            model=model_hash,
            sha256="",
            seconds=0.0,
        )
        for row in rows
    }
    if len(requests) != len(rows):
        raise ValueError("two rows have the same id")
    return requests


def _draw(
    pipeline: Any, wanted: Sequence[Generation], out: Path, batch_size: int
) -> Iterator[list[Generation]]:
    """Draw in batches; each image is on disk before its line is, and its line before the next."""
    (out / IMAGES).mkdir(parents=True, exist_ok=True)
    pipeline.set_progress_bar_config(disable=True)
    embeddings = _encode(pipeline, {w.prompt for w in wanted})
    with (out / GENERATIONS).open("a", encoding="utf-8") as log:
        for start in range(0, len(wanted), batch_size):
            batch = wanted[start : start + batch_size]
            began = time.perf_counter()
            images = _draw_batch(pipeline, batch, embeddings)
            seconds = round((time.perf_counter() - began) / len(batch), 4)
            finished = []
            for request, image in zip(batch, images, strict=True):
                data = _png(image)
                replace_file(image_path(out, request.id), data)
                digest = hashlib.sha256(data).hexdigest()
                record = {**asdict(request), "sha256": digest, "seconds": seconds}
                finished.append(Generation(**record))
            log.writelines(_line(generation) for generation in finished)
            log.flush()
            yield finished


@torch.no_grad()
def _encode(pipeline: Any, prompts: set[str]) -> dict[str, torch.Tensor]:
    """Embedding [1, L, D] of each distinct prompt, and of the empty one that guidance needs.

    One at a time: in a batch the rounding, and so the image, would hang on the neighbours.
    """
    device = pipeline._execution_device
    return {
        prompt: pipeline.encode_prompt(prompt, device, 1, False)[0]
        for prompt in sorted(prompts | {""})
    }


def _draw_batch(
    pipeline: Any, batch: Sequence[Generation], embeddings: Mapping[str, torch.Tensor]
) -> list[Image.Image]:
    # CPU generators: the noise of a seed is then the same on every device.
    generators = [torch.Generator("cpu").manual_seed(request.seed) for request in batch]
    return pipeline(
        prompt_embeds=torch.cat([embeddings[request.prompt] for request in batch]),
        negative_prompt_embeds=embeddings[""].expand(len(batch), -1, -1),
        generator=generators,
        num_inference_steps=batch[0].steps,
        guidance_scale=batch[0].guidance_scale,
        width=batch[0].width,
        height=batch[0].height,
        output_type="pil",
    ).images


def _png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _line(generation: Generation) -> str:
    return json.dumps(asdict(generation), ensure_ascii=False) + "\n"
