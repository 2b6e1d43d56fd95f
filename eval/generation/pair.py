"""The same rows drawn by the original and the erased model; the original's images are shared."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from eval.generation.adopt import adopt, link
from eval.generation.generate import Drawing, Drawings, Row, count_finished, drawing_of, generate
from eval.generation.image_log import PARTS, image_path, read_generations, write_generations
from eval.metrics.schema import Named
from plumbing.disk_space import Need, require_space
from plumbing.processes import current_team
from plumbing.whole_files import sync


class Bar(Protocol):
    """A progress bar, as tqdm is one."""

    def update(self, n: int) -> object:
        """Count `n` more images."""
        ...


Model = Literal["original", "erased"]
OpenBar = Callable[[int, int], AbstractContextManager[Bar]]
"""Opens a bar from the total and from what is finished already."""


class _NoBar:
    """What other processes than the first show."""

    def update(self, n: int) -> None:
        """Count `n` more images, silently."""


NO_BAR = nullcontext(_NoBar())


@dataclass(frozen=True)
class Subject:
    """A model under test: its name, the hash of its files, and how to open its pipeline."""

    name: str
    sha256: str
    open: Callable[[], Any]


@dataclass(frozen=True)
class ModelPair:
    """The models to compare, and where and how they draw."""

    original: Subject | None
    erased: Subject
    out: Path
    """The evaluation's folder."""
    originals: Path
    """Where the original's images are kept for other evaluations."""
    batch_size: int
    open_bar: OpenBar
    """Opens the bar of the drawing."""
    siblings: Sequence[Path] = ()
    """Where other evaluations keep what the erased model drew for them."""

    @property
    def subjects(self) -> dict[Model, Subject]:
        """Those that there are, the original first."""
        first: dict[Model, Subject] = {"original": self.original} if self.original else {}
        return {**first, "erased": self.erased}

    @property
    def told(self) -> dict[str, Named]:
        """What evaluation.json says of them."""
        subjects = self.subjects.items()
        return {model: {"name": s.name, "sha256": s.sha256} for model, s in subjects}


Job = tuple[Subject, Sequence[Row], Path, Drawings]
"""What a model is to draw, where, and how."""


@dataclass(frozen=True)
class CachedRow:
    """A row under the hash of its prompt and seed, by which several evaluations share its image."""

    id: str
    prompt: str
    seed: int

    @classmethod
    def of(cls, row: Row) -> "CachedRow":
        """The row under its shared name."""
        name = hashlib.sha256(json.dumps([row.prompt, row.seed]).encode()).hexdigest()[:20]
        return cls(id=name, prompt=row.prompt, seed=row.seed)


def draw_pair(rows: Sequence[Row], pair: ModelPair, drawing: Drawings) -> bool:
    """Fill `out/original` and `out/erased`, each with images/ and generations.jsonl.

    Only what is missing is drawn, under one bar; the erased model's images of the same prompts and
    seeds are taken from `siblings`. The original's images are drawn in the cache
    `originals` and linked (copied where links are not possible) into `out`. Of the processes of
    `accelerate launch` each draws its share, and is told whether what follows is its to do: False
    in all but the first.
    """
    team, out = current_team(), pair.out
    jobs = make_jobs(rows, pair, drawing)
    if team.leads:
        adopt(rows, out / "erased", drawing, pair.erased.sha256, pair.siblings)
    team.wait()
    finished = [count_finished(rs, folder, how, s.sha256) for s, rs, folder, how in jobs]
    # A kill after the last image leaves the logs of the processes, and no image to draw.
    apart = [any(folder.glob(PARTS)) for _, _, folder, _ in jobs]
    team.wait()
    missing = [len(wanted) - done for (_, wanted, _, _), done in zip(jobs, finished, strict=True)]
    if team.leads:
        _require_disk(jobs, missing, out)
    own = sum(len(team.part(range(count))) for count in missing)
    with pair.open_bar(sum(finished) + own, sum(finished)) if team.leads else NO_BAR as bar:
        for (subject, wanted, folder, how), count, parts in zip(jobs, missing, apart, strict=True):
            if count or parts:
                generate(
                    subject.open() if count else None,
                    wanted,
                    folder,
                    how,
                    model_hash=subject.sha256,
                    batch_size=pair.batch_size,
                    progress=bar.update,
                    team=team,
                )
    if not team.leads:
        return False
    if pair.original:
        caches = {how: folder for _, _, folder, how in jobs[:-1] if isinstance(how, Drawing)}
        _share(rows, {row.id: caches[drawing_of(row, drawing)] for row in rows}, out / "original")
    for folder in ("original", "erased"):
        _discard_strangers(out / folder, {row.id for row in rows})
        # What follows says that these are finished, which a power cut must not make untrue.
        if (out / folder).is_dir():
            sync(out / folder)
    return True


def _require_disk(jobs: Sequence[Job], missing: Sequence[int], out: Path) -> None:
    """Refuse, as a UsageError, to draw what the disks have no room for."""
    needs = []
    for (_, wanted, folder, how), count in zip(jobs, missing, strict=True):
        one = sum(_image_bytes(drawing_of(row, how)) for row in wanted) / max(len(wanted), 1)
        flag = "--out" if folder == out / "erased" else "--originals"
        needs.append(Need(flag, folder, {f"{count} images": count * one}, many=True))
    require_space(needs)


def _image_bytes(how: Drawing) -> float:
    """Of a PNG of a photograph, and of what a file's last block leaves empty."""
    width, height = how.size
    return 0.6 * 3 * width * height + 4096


def make_jobs(rows: Sequence[Row], pair: ModelPair, drawing: Drawings) -> list[Job]:
    """What the original is to draw in a folder for each way of drawing, each row in it once.

    Last, what the erased model is to draw in the evaluation's own folder.
    """
    jobs: list[Job] = []
    if original := pair.original:
        alike: dict[Drawing, dict[str, CachedRow]] = {}
        for row in rows:
            cached = CachedRow.of(row)
            alike.setdefault(drawing_of(row, drawing), {})[cached.id] = cached
        for how, distinct in alike.items():
            folder = pair.originals / _cache_name(original, how)
            jobs.append((original, list(distinct.values()), folder, how))
    return [*jobs, (pair.erased, rows, pair.out / "erased", drawing)]


def _cache_name(original: Subject, drawing: Drawing) -> str:
    width, height = drawing.size
    way = f"{drawing.sampler}-{drawing.steps}-g{drawing.guidance_scale:g}"
    return f"{original.sha256[:16]}-{way}-{width}x{height}-{drawing.dtype}"


def _share(rows: Sequence[Row], caches: Mapping[str, Path], folder: Path) -> None:
    """Give the cached images their names in this evaluation."""
    drawn = {cache: read_generations(cache) for cache in set(caches.values())}
    (folder / "images").mkdir(parents=True, exist_ok=True)
    named = []
    for row in rows:
        cache, name = caches[row.id], CachedRow.of(row).id
        source, target = image_path(cache, name), image_path(folder, row.id)
        link(source, target)
        named.append(replace(drawn[cache][name], id=row.id))
    write_generations(folder, named)


def _discard_strangers(folder: Path, ids: set[str]) -> None:
    """Remove images of an interrupted evaluation that asked for other rows."""
    for path in (folder / "images").glob("*"):
        if path.stem not in ids:
            path.unlink()
