"""An attack's images in a folder: what is there is not drawn again, what was learned is kept."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from time import perf_counter

from safetensors.torch import save_file

from eval.attack.attack import Aim, Attack, Kit, Numbers, Variant
from eval.attack.attackable import Attackable
from eval.generation.generate import Drawing
from eval.generation.image_log import Generation, image_path
from eval.judges.judge import Judge
from plumbing.journal import open_journal, read_journal
from plumbing.record import Amount, Count, Finite, parse_record
from plumbing.whole_files import replace_file, whole

LOG, LEARNED, STATES = "attacks.jsonl", "learned", "states"


@dataclass(frozen=True)
class Judged:
    """What a judge says of an image."""

    judge: str
    """Its sha256."""
    label: str
    score: Finite


@dataclass(frozen=True)
class Drawn:
    """One line of `attacks.jsonl`: an image that an attack drew."""

    id: str
    model: str
    """The sha256 of what was attacked."""
    attack: str
    key: str
    """Of all that decides the attack's images: see `Cell.key`."""
    seed: Count
    variant: str
    step: Count | None
    image: Count
    prompt: str
    noise: Count
    """The seed of its noise."""
    sha256: str
    adaptive: bool
    seconds: Amount
    """Its share of drawing its form and of what was learned for that."""
    passes: Count | None = None
    """Of drawing it."""
    judged: Judged | None = None
    """What a judge saw, if the image was removed for that."""


@dataclass(frozen=True)
class Cell:
    """An attack, its numbers and its repetition: what is drawn or resumed as one."""

    attack: Attack
    numbers: Numbers
    seed: int
    count: int
    key: str
    """A hash of these and of the aim."""

    @property
    def images(self) -> int:
        """How many it draws."""
        return self.attack.variants(**self.numbers) * self.count


def read_drawn(folder: Path, model: str, judge: str) -> dict[str, Drawn]:
    """A model's images in a folder by id: those that are whole, or gone and judged by `judge`."""
    found = {r.id: r for r in read_journal(folder / LOG, lambda row: parse_record(Drawn, row))}
    own = {name: row for name, row in found.items() if row.model == model}
    return {name: row for name, row in own.items() if _there(folder, row, judge)}


def _there(folder: Path, row: Drawn, judge: str) -> bool:
    if row.judged:
        return row.judged.judge == judge
    path = image_path(folder, row.id)
    if path.parent.parent != folder or not path.is_file():
        return False
    return sha256(path.read_bytes()).hexdigest() == row.sha256


def of_cell(drawn: Mapping[str, Drawn], cell: Cell) -> list[Drawn]:
    """The images of a cell that there are, in order."""
    own = [row for row in drawn.values() if row.key == cell.key]
    return sorted(own, key=lambda row: row.id)


def draw_cell(
    cell: Cell,
    model: Attackable,
    aim: Aim,
    folder: Path,
    progress: Callable[[int], object],
    judge: Judge,
    *,
    keep_images: bool = True,
) -> None:
    """Make an attack; images that are there stay. `progress` is called with passes.

    Without `keep_images` each image is judged and removed as soon as its form is drawn.
    """
    states = folder / STATES / cell.key
    kit = Kit(seed=cell.seed, count=cell.count, states=states, progress=progress)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _draw_forms(cell, model, aim, kit, folder, judge, keep_images)
    except _LostError:
        shutil.rmtree(states)
        _draw_forms(cell, model, aim, kit, folder, judge, keep_images)
    shutil.rmtree(states, ignore_errors=True)


class _LostError(Exception):
    """Images of a form are gone, and what was learned has gone further."""


def _draw_forms(
    cell: Cell,
    model: Attackable,
    aim: Aim,
    kit: Kit,
    folder: Path,
    judge: Judge,
    keep_images: bool,
) -> None:
    done = read_drawn(folder, model.sha256, judge.sha256)
    with open_journal(folder / LOG) as append:
        began = perf_counter()
        for number, variant in enumerate(cell.attack.run(model, aim, kit, **cell.numbers)):
            names = [f"{cell.key}-{number:02d}-{i:03d}" for i in range(cell.count)]
            if all(name in done for name in names):
                began = perf_counter()
                continue
            if not variant.current:
                raise _LostError
            _keep(variant, folder / LEARNED / f"{cell.key}-{number:02d}.safetensors")
            images = _draw(variant, kit)
            began, each = perf_counter(), (perf_counter() - began) / len(images)
            rows = [
                _row(cell, variant, kit, name, i, image, each, model.sha256)
                for i, (name, image) in enumerate(zip(names, images, strict=True))
            ]
            for name, image in zip(names, images, strict=True):
                replace_file(image_path(folder, name), image, durable=False)
            told = rows if keep_images else _judged(rows, folder, judge)
            # After a kill some rows of a form may be written already.
            append(asdict(row) for row in told if row.id not in done)


def _judged(rows: Sequence[Drawn], folder: Path, judge: Judge) -> list[Drawn]:
    """The rows with what the judge sees; their images are removed."""
    images = [image_path(folder, row.id) for row in rows]
    seen = [Judged(judge.sha256, p.label, p.score) for p in judge.classify(images)]
    for image in images:
        image.unlink()
    return [replace(row, judged=own) for row, own in zip(rows, seen, strict=True)]


def _draw(variant: Variant, kit: Kit) -> list[bytes]:
    model = variant.model
    latents = model.noise(kit.seeds()) if variant.latents is None else variant.latents
    left = len(model.timesteps()) - variant.first
    found = model.decode(model.denoise(latents, variant.told, variant.first))
    kit.progress(2 * left * kit.count)
    images = []
    for image in found:
        buffer = BytesIO()
        image.save(buffer, format="PNG")
        images.append(buffer.getvalue())
    return images


def _keep(variant: Variant, path: Path) -> None:
    if variant.learned:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path, durable=False) as partial:
            save_file({k: v.contiguous().cpu() for k, v in variant.learned.items()}, partial)


def _row(
    cell: Cell,
    variant: Variant,
    kit: Kit,
    name: str,
    image: int,
    data: bytes,
    seconds: float,
    model: str,
) -> Drawn:
    return Drawn(
        id=name,
        model=model,
        attack=cell.attack.name,
        key=cell.key,
        seed=cell.seed,
        variant=variant.name,
        step=variant.step,
        image=image,
        prompt=variant.prompts[image],
        noise=kit.seeds()[image],
        sha256=sha256(data).hexdigest(),
        adaptive=variant.adaptive,
        seconds=round(seconds, 4),
        passes=2 * (len(variant.model.timesteps()) - variant.first),
    )


def generations(rows: Sequence[Drawn], how: Drawing) -> list[Generation]:
    """The same as the report reads them of every kind."""
    return [
        Generation(
            id=row.id,
            prompt=row.prompt,
            seed=row.noise,
            sampler=how.sampler,
            steps=how.steps,
            guidance_scale=float(how.guidance_scale),
            width=how.size[0],
            height=how.size[1],
            dtype=how.dtype,
            model=row.model,
            sha256=row.sha256,
            seconds=row.seconds,
            passes=row.passes,
        )
        for row in rows
    ]
