"""What was drawn: `generations.jsonl`, one line an image, and the images beside it; no torch."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

from PIL.Image import Image

from plumbing.json_file import parse
from plumbing.record import Amount, Count, parse_record
from plumbing.whole_files import replace_file

log = logging.getLogger(__name__)
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
    seconds: Amount
    passes: Count | None = None
    """Through the denoiser, of a row each; None: of an older version."""

    def same_request(self, other: "Generation") -> bool:
        """Whether both ask the same model for the same image; hash and cost are left out."""
        mine, theirs = asdict(self), asdict(other)
        return all(mine[k] == theirs[k] for k in mine if k not in _RESULTS)

    def line(self) -> str:
        """The line that is written."""
        return json.dumps(asdict(self), ensure_ascii=False) + "\n"


_RESULTS = ("sha256", "seconds", "passes")
_LONGEST_NAME = 255
"""Bytes of a file's name, on every file system in use."""


def image_path(out: Path, row_id: str) -> Path:
    """Where the image of a row lies under `out`."""
    return out / IMAGES / f"{row_id}.png"


def png_bytes(image: Image) -> bytes:
    """The content of an image's file."""
    buffer = BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def read_generations(out: Path, *, tell: bool = False) -> dict[str, Generation]:
    """Finished images under `out` by id: whole lines whose hash is the file's; the rest is skipped.

    A line cut short by a kill, or a file that is missing or changed, counts as not drawn; `tell`
    warns of what is damaged. Lines that processes have written apart (`part_path`) count like the
    others.
    """
    logs = [out / GENERATIONS, *sorted(out.glob(PARTS))]
    found = {}
    for path in logs:
        # Not `splitlines`, which takes some letters of a prompt for ends of lines. A kill tears the
        # last line, which is nothing to be told of; whole, it is followed by an empty one.
        *lines, _ = path.read_bytes().split(b"\n") if path.is_file() else [b""]
        for number, line in enumerate(lines, 1):
            generation = parse_generation(line.decode("utf-8", "replace"))
            damaged: object = None if generation else f"{path}, line {number},"
            if generation:
                image = image_path(out, generation.id)
                if _hash(image) == generation.sha256:
                    found[generation.id] = generation
                elif image.is_file():
                    damaged = image
            if tell and damaged:
                log.warning("%s is damaged: drawing the image again", damaged)
    return found


def parse_generation(line: str) -> Generation | None:
    """The image that a line of `generations.jsonl` tells of; None if it tells of none."""
    try:
        found = parse_record(Generation, parse(line))
    except ValueError:
        return None
    return found if is_file_name(found.id) else None


def is_file_name(row_id: str) -> bool:
    """Whether the id of a row, which may be a stranger's, can name an image in its folder."""
    try:
        size = len(f"{row_id}.png".encode())
    except UnicodeEncodeError:  # half of a pair of surrogates, which JSON can spell
        return False
    return (
        row_id not in ("", ".", "..") and not set(row_id) & set("/\\:\0") and size <= _LONGEST_NAME
    )


def _hash(image: Path) -> str | None:
    try:
        return hashlib.sha256(image.read_bytes()).hexdigest()
    except OSError:
        return None


def part_path(out: Path, rank: int) -> Path:
    """Where one process of several writes a line an image, until `write_generations` has all."""
    return out / PARTS.replace("*", str(rank))


def write_generations(out: Path, generations: Sequence[Generation]) -> None:
    """Write `generations.jsonl` whole and at once, in place of what processes wrote apart."""
    text = "".join(generation.line() for generation in generations)
    replace_file(out / GENERATIONS, text.encode())
    for part in out.glob(PARTS):
        part.unlink()
