"""What attacks drew: `attacks.jsonl`, one line an image, and the images beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from eval.generation.generate import Drawing
from eval.generation.image_log import Generation, image_path
from plumbing.journal import read_journal, write_journal
from plumbing.record import Amount, Count, Finite, parse_record

LOG, PARTS = "attacks.jsonl", "attacks.*.jsonl"


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


def read_drawn(folder: Path, model: str, judge: str) -> dict[str, Drawn]:
    """A model's images in a folder by id: those that are whole, or gone and judged by `judge`.

    Lines that processes have written apart (`part_path`) count like the others.
    """
    logs = [folder / LOG, *sorted(folder.glob(PARTS))]
    found = {row.id: row for log in logs for row in read_journal(log, _parse)}
    own = {name: row for name, row in found.items() if row.model == model}
    return {name: row for name, row in own.items() if _there(folder, row, judge)}


def of_cell(drawn: Mapping[str, Drawn], key: str) -> list[Drawn]:
    """The images of the cell of this key that there are, in order."""
    return sorted((row for row in drawn.values() if row.key == key), key=lambda row: row.id)


def part_path(folder: Path, rank: int) -> Path:
    """Where a process writes a line an image, until `join_parts` puts them with the others."""
    return folder / PARTS.replace("*", str(rank))


def join_parts(folder: Path) -> None:
    """Put what processes have written apart into `attacks.jsonl`: the same lines whoever drew."""
    if parts := sorted(folder.glob(PARTS)):
        logs = [folder / LOG, *parts]
        named = [pair for log in logs for pair in read_journal(log, lambda row: (row["id"], row))]
        # A kill before the last part is removed leaves rows that are joined twice.
        rows = dict(named)
        write_journal(folder / LOG, [rows[name] for name in sorted(rows)])
        for part in parts:
            part.unlink()


def generations(rows: Sequence[Drawn], how: Drawing) -> list[Generation]:
    """The same as the report reads them of every kind."""
    return [
        Generation(
            id=row.id,
            prompt=row.prompt,
            seed=row.noise,
            **how.told,
            model=row.model,
            sha256=row.sha256,
            seconds=row.seconds,
            passes=row.passes,
        )
        for row in rows
    ]


def _parse(row: object) -> Drawn:
    return parse_record(Drawn, row)


def _there(folder: Path, row: Drawn, judge: str) -> bool:
    if row.judged:
        return row.judged.judge == judge
    path = image_path(folder, row.id)
    if path.parent.parent != folder or not path.is_file():
        return False
    return sha256(path.read_bytes()).hexdigest() == row.sha256
