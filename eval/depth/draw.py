"""An attack's images in a folder: what is there is not drawn again, what was learned is kept."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from time import perf_counter

from safetensors.torch import save_file

from eval.attack.attack import Aim, Attack, Kit, Numbers, Variant
from eval.attack.attackable import Attackable
from eval.depth.attack_log import Drawn, Judged, part_path, read_drawn
from eval.generation.image_log import image_path, png_bytes
from eval.judges.judge import Judge
from plumbing.journal import open_journal
from plumbing.whole_files import replace_file, whole

LEARNED, STATES = "learned", "states"


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


def draw_cell(
    cell: Cell,
    model: Attackable,
    aim: Aim,
    folder: Path,
    progress: Callable[[int], object],
    judge: Judge,
    *,
    keep_images: bool = True,
    rank: int = 0,
) -> None:
    """Make an attack; images that are there stay. `progress` is called with passes.

    Without `keep_images` each image is judged and removed as soon as its form is drawn. `rank` is
    the number of this process, which has a log of its own: see `part_path`.
    """
    states = folder / STATES / cell.key
    kit = Kit(seed=cell.seed, count=cell.count, states=states, progress=progress)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _draw_forms(cell, model, aim, kit, folder, judge, keep_images, rank)
    except _LostError:
        shutil.rmtree(states)
        _draw_forms(cell, model, aim, kit, folder, judge, keep_images, rank)
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
    rank: int,
) -> None:
    done = read_drawn(folder, model.sha256, judge.sha256)
    with open_journal(part_path(folder, rank)) as append:
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
    return [png_bytes(image) for image in found]


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
