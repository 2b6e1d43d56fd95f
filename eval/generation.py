"""What was drawn: `generations.jsonl`, one line an image, and the images beside it; no torch."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from eval.results import replace_file

IMAGES = "images"
GENERATIONS = "generations.jsonl"
PARTS = "generations.*.jsonl"


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
    dtype: str
    model: str
    sha256: str
    seconds: float

    def same_request(self, other: "Generation") -> bool:
        """Whether both ask the same model for the same image; hash and time are left out."""
        mine, theirs = asdict(self), asdict(other)
        return all(mine[k] == theirs[k] for k in mine if k not in ("sha256", "seconds"))

    def line(self) -> str:
        """The line that is written."""
        return json.dumps(asdict(self), ensure_ascii=False) + "\n"


def image_path(out: Path, row_id: str) -> Path:
    """Where the image of a row lies under `out`."""
    return out / IMAGES / f"{row_id}.png"


def read_generations(out: Path) -> dict[str, Generation]:
    """Finished images under `out` by id: whole lines whose hash is the file's; the rest is skipped.

    A line cut short by a kill, or a file that is missing or changed, counts as not drawn. Lines
    that processes have written apart (`part_path`) count like the others.
    """
    logs = [out / GENERATIONS, *sorted(out.glob(PARTS))]
    texts = [path.read_text(encoding="utf-8") for path in logs if path.is_file()]
    lines = [line for text in texts for line in text.splitlines()]
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


def part_path(out: Path, rank: int) -> Path:
    """Where one process of several writes a line an image, until `write_generations` has all."""
    return out / PARTS.replace("*", str(rank))


def write_generations(out: Path, generations: Sequence[Generation]) -> None:
    """Write `generations.jsonl` whole and at once, in place of what processes wrote apart."""
    text = "".join(generation.line() for generation in generations)
    replace_file(out / GENERATIONS, text.encode())
    for part in out.glob(PARTS):
        part.unlink()
