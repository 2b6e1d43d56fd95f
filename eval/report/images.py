"""The pictures of a report: which are shown, and the files as thumbnails within the page."""

import base64
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup
from PIL import Image

from eval.generation.before_after_grid import spread
from eval.generation.image_log import Generation, image_path
from eval.report.data import RunData, split_ids
from plumbing.visible_text import plain
from prompts.evaluation_rows import CONTROL

SIDE = 256
"""Pixels to which larger images are reduced."""
SHOWN = {"forget": 8, "retain": 6, "cross": 6, "control": 6}
WORST = 10
_MODELS = ("original", "erased")


@dataclass(frozen=True)
class Thumbnail:
    """An image of a model, or why it is not there."""

    model: str
    alt: str
    uri: str | None = None
    width: int = 0
    height: int = 0
    problem: str = ""
    seen: str = ""
    """What a judge or detector says of it."""

    @property
    def small(self) -> bool:
        """Whether it is to be enlarged without smoothing."""
        return max(self.width, self.height) <= SIDE // 2


@dataclass(frozen=True)
class Pair:
    """One prompt, drawn by each model from the same noise."""

    prompt: str
    seed: int
    images: tuple[Thumbnail, ...]
    note: str = ""


@dataclass(frozen=True)
class Gallery:
    """Pairs under one heading."""

    heading: str
    caption: str
    pairs: tuple[Pair, ...]
    explicit: bool


def galleries(data: RunData) -> list[Gallery]:
    """The before/after pictures of a run, those of each evaluation that has any."""
    found = [*_concept(data), _i2p(data)]
    return [gallery for gallery in found if gallery and gallery.pairs]


def worst_gallery(data: RunData) -> Gallery | None:
    """The retained prompts that changed most: chosen by result, and saying so."""
    if data.quality is None or not data.quality.worst:
        return None
    notes = {}
    for name in data.quality.worst[:WORST]:
        similarity = data.similarities.get(name, {}).get("similarity")
        if isinstance(similarity, int | float):
            notes[name] = f"similarity {similarity:.1f}"
    ids = data.quality.worst[:WORST]
    pairs = _pairs(data, "quality", ids, {}, explicit=data.run.explicit, notes=notes)
    caption = "Chosen by result, the worst first; most other prompts changed less."
    return Gallery("The prompts that changed most", caption, pairs, data.run.explicit)


def _concept(data: RunData) -> list[Gallery]:
    if data.concept is None:
        return []
    name, kind = plain(data.concept.concept.name, 80), plain(data.concept.concept.kind, 20)
    headings = {
        "forget": f"Asked for {name}: should be something else",
        "retain": f"Asked for another {kind}: should look as before",
        "cross": f"{'Objects' if kind == 'style' else 'Styles'}: should look as before",
        "control": "Prompts of other things, all from one noise: should look as before",
    }
    seen = {(j.id, j.model): f"judged {plain(j.label, 40)}" for j in data.judgements}
    drawn = data.generations.get("concept", {}).get("erased", {})
    caption = "Drawn by a hash of the prompt, not chosen by result."
    found = []
    for split, heading in headings.items():
        known = _control(drawn) if split == "control" else split_ids(data.judgements, split)
        ids = [i for i in known if i in drawn]
        shown = spread(ids, SHOWN[split], lambda name: drawn[name].prompt)
        pairs = _pairs(data, "concept", shown, seen, explicit=data.run.explicit)
        found.append(Gallery(heading, caption, pairs, data.run.explicit))
    return found


def _i2p(data: RunData) -> Gallery | None:
    if data.nudity is None or "images" in data.nudity.notes:
        return None
    score, labels = min(data.nudity.protocol.thresholds), set(data.nudity.protocol.labels)
    counts = {
        (image.id, image.model): sum(
            d.label in labels and d.score >= score for d in image.detections
        )
        for image in data.detections
    }
    seen = {key: f"{number} detected" for key, number in counts.items()}
    drawn = data.generations.get("i2p", {}).get("erased", {})
    hit = [name for name in drawn if counts.get((name, "original"))]
    others = [name for name in drawn if name not in _control(drawn)]
    where = f"in which the original's image has a detection scored {score:g} or more"
    caption = f"Drawn by a hash from the prompts {where if hit else 'of the evaluation'}."
    pairs = _pairs(data, "i2p", spread(hit or others, SHOWN["forget"]), seen, explicit=True)
    return Gallery("I2P prompts", caption, pairs, explicit=True)


def _control(ids: Iterable[str]) -> list[str]:
    """Those of control images, which nobody judges."""
    return [name for name in ids if name.startswith(CONTROL)]


def _pairs(
    data: RunData,
    kind: str,
    ids: Sequence[str],
    seen: Mapping[tuple[str, str], str],
    *,
    explicit: bool,
    notes: Mapping[str, str] | None = None,
) -> tuple[Pair, ...]:
    """Pairs by id; an image that is not as it was measured is left out and its place says so."""
    by_model = data.generations.get(kind, {})
    models = [model for model in _MODELS if by_model.get(model)]
    found = []
    for number, name in enumerate(ids, 1):
        rows = [by_model[model].get(name) for model in models]
        known = next((row for row in rows if row), None)
        if known is None:
            continue
        prompt = plain(known.prompt)
        # What an explicit prompt asks for is not told to those who did not ask either.
        what = f"explicit prompt {number}" if explicit else f"“{plain(known.prompt, 120)}”"
        images = tuple(
            _thumbnail(
                data.run.folder / "eval" / kind / model,
                row,
                model,
                f"{model.capitalize()} model's image of {what}",
                seen.get((name, model), ""),
            )
            for model, row in zip(models, rows, strict=True)
        )
        found.append(Pair(prompt, known.seed, images, (notes or {}).get(name, "")))
    return tuple(found)


def _thumbnail(folder: Path, row: Generation | None, model: str, alt: str, seen: str) -> Thumbnail:
    if row is None:
        return Thumbnail(model, alt, problem="not drawn")
    path = image_path(folder, row.id)
    # The id comes from a file: it must not lead out of the folder.
    if path.parent.name != "images" or path.name != f"{row.id}.png":
        return Thumbnail(model, alt, problem="no such image")
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != row.sha256:
            return Thumbnail(model, alt, problem="changed since it was measured")
        uri, size = inline(content)
    except FileNotFoundError:
        return Thumbnail(model, alt, problem="image missing")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return Thumbnail(model, alt, problem="image broken")
    return Thumbnail(model, alt, uri, *size, seen=seen)


def inline(content: bytes, side: int = SIDE) -> tuple[Markup, tuple[int, int]]:
    """An image file as a data: URI of at most `side` pixels a side, and its size there."""
    with Image.open(io.BytesIO(content)) as image:
        large = max(image.size) > side
        if large:
            image.draft("RGB", (side, side))
        picture = image.convert("RGB")
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    # Saved anew, for a file may hold more than its picture: prompts, paths, whatever was put in.
    if large:
        picture.save(file, format="JPEG", quality=85)
    else:
        picture.save(file, format="PNG", optimize=True)
    kind = "jpeg" if large else "png"
    code = base64.b64encode(file.getvalue()).decode()
    return Markup(f"data:image/{kind};base64,{code}"), picture.size
