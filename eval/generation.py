"""What was drawn: `generations.jsonl`, one line an image, and the images beside it; no torch."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from eval.results import replace_file
from prompts.json_file import parse

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
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in logs if path.is_file()]
    # Not splitlines: a prompt may hold what it takes for the end of a line.
    lines = [line for text in texts for line in text.split("\n")]
    found = {}
    for line in lines:
        generation = parse_generation(line)
        if generation and _is_there(image_path(out, generation.id), generation):
            found[generation.id] = generation
    return found


def parse_generation(line: str) -> Generation | None:
    """The image that a line of `generations.jsonl` tells of; None if it tells of none."""
    try:
        found = Generation(**parse(line))
    except (ValueError, TypeError):
        return None
    texts = (found.id, found.prompt, found.sha256)
    sound = all(isinstance(text, str) for text in texts) and is_file_name(found.id)
    return found if sound else None


def is_file_name(row_id: str) -> bool:
    """Whether the id of a row, which may be a stranger's, is the name of a file in its folder."""
    return row_id not in ("", ".", "..") and not set(row_id) & set("/\\:\0")


def _is_there(path: Path, generation: Generation) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == generation.sha256
    except OSError:
        return False


def part_path(out: Path, rank: int) -> Path:
    """Where one process of several writes a line an image, until `write_generations` has all."""
    return out / PARTS.replace("*", str(rank))


def write_generations(out: Path, generations: Sequence[Generation]) -> None:
    """Write `generations.jsonl` whole and at once, in place of what processes wrote apart."""
    text = "".join(generation.line() for generation in generations)
    replace_file(out / GENERATIONS, text.encode())
    for part in out.glob(PARTS):
        part.unlink()
